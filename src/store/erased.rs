//! What comes in for clients who were forgotten: it is kept without what is personal.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Error;
use super::db::Tx;
use super::owners::Owners;
use super::stmt::{Rows, sql};
use crate::domain::event::Event;
use crate::domain::id::NotificationId;

/// Those of these notifications whose client was forgotten.
pub(super) async fn among(
    tx: &mut Tx,
    ids: BTreeSet<NotificationId>,
) -> Result<BTreeSet<NotificationId>, Error> {
    let mut erased = BTreeSet::new();
    if ids.is_empty() {
        return Ok(erased);
    }
    let stmt = sql("SELECT b.id FROM ")
        .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
        .push(
            " JOIN contact_log l ON l.id = b.id JOIN clients c ON c.uid = l.client_uid \
             WHERE c.erased_at IS NOT NULL",
        );
    for row in tx.all(stmt).await? {
        erased.insert(NotificationId::new(row.id("id")?));
    }
    Ok(erased)
}

/// The events as they may be kept.
pub(super) fn forget<'a>(events: &'a [Event], owners: &Owners) -> Cow<'a, [Event]> {
    let is_erased = |event: &Event| {
        owners
            .get(&event.notification)
            .is_some_and(|owner| owner.erased)
    };
    if !events.iter().any(is_erased) {
        return Cow::Borrowed(events);
    }
    let mut events = events.to_vec();
    for event in &mut events {
        if is_erased(event) {
            event.what.forget();
        }
    }
    Cow::Owned(events)
}
