//! What comes in for clients who were forgotten: it is kept without what is personal.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Error;
use super::db::Tx;
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

/// Those that these events are about. Only events that hold something personal are looked up: the
/// acceptance of a message, which is what most are, does not.
pub(super) async fn of(tx: &mut Tx, events: &[Event]) -> Result<BTreeSet<NotificationId>, Error> {
    let personal = events.iter().filter(|event| {
        let mut what = event.what.clone();
        what.forget();
        what != event.what
    });
    among(tx, personal.map(|event| event.notification).collect()).await
}

/// The events as they may be kept.
pub(super) fn forget<'a>(
    events: &'a [Event],
    erased: &BTreeSet<NotificationId>,
) -> Cow<'a, [Event]> {
    if erased.is_empty() {
        return Cow::Borrowed(events);
    }
    let mut events = events.to_vec();
    for event in &mut events {
        if erased.contains(&event.notification) {
            event.what.forget();
        }
    }
    Cow::Owned(events)
}
