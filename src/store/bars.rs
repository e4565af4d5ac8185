//! What stands in the way of claimed messages: asked of the suppression list once for a whole batch, at
//! the last moment before it is sent, so that what was enqueued earlier is caught as well.

use std::collections::BTreeMap;

use super::db::Tx;
use super::history::Entry;
use super::stmt::{Kind, Rows, sql};
use super::suppressions::{Suppression, suppression};
use super::{Error, Store};
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::suppression::{Reason, is_bulk};
use crate::domain::time::Timestamp;

/// A message about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub id: NotificationId,
    pub business: &'a str,
    pub to: &'a Address,
    pub contact_type: &'a str,
    pub is_bulk: bool,
}

impl<'a> Asked<'a> {
    /// Of an entry that is to be sent again to this address.
    pub fn again(business: &'a str, entry: &'a Entry, to: &'a Address) -> Self {
        let contact_type = &entry.contact_type;
        Self {
            id: entry.id,
            business,
            to,
            contact_type,
            is_bulk: is_bulk(entry.priority_again(), contact_type),
        }
    }
}

/// What of the list stands in the way of a message `b`.
const JOIN: &str = " JOIN suppressions s ON s.business_id = b.business_id AND s.method = b.method \
    AND s.address = b.address AND (s.contact_type = b.contact_type OR \
    (s.contact_type = '' AND (s.reason <> 'unsubscribe' OR b.bulk))) \
    WHERE s.expires_at IS NULL OR s.expires_at > ";

impl Store {
    /// All that would stand in the way of messages such as these, by message.
    pub async fn standing(
        &self,
        messages: &[Asked<'_>],
    ) -> Result<BTreeMap<NotificationId, Vec<Suppression>>, Error> {
        let mut found: BTreeMap<NotificationId, Vec<Suppression>> = BTreeMap::new();
        let rows = rows(messages.iter().copied());
        if rows.is_empty() {
            return Ok(found);
        }
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT b.id AS message_id, s.* FROM ")
            .rows(rows)
            .push(JOIN)
            .bind(self.clock.now());
        for row in tx.all(stmt).await? {
            let id = NotificationId::new(row.id("message_id")?);
            found.entry(id).or_default().push(suppression(&row)?);
        }
        for entries in found.values_mut() {
            entries.sort_by_key(|entry| (entry.reason, entry.id));
        }
        Ok(found)
    }
}

/// The weightiest reason against each message that has one.
pub(super) async fn find(
    tx: &mut Tx,
    messages: impl Iterator<Item = Asked<'_>>,
    now: Timestamp,
) -> Result<BTreeMap<NotificationId, Reason>, Error> {
    let mut found: BTreeMap<NotificationId, Reason> = BTreeMap::new();
    let rows = rows(messages);
    if rows.is_empty() {
        return Ok(found);
    }
    let stmt = sql("SELECT b.id, s.reason FROM ")
        .rows(rows)
        .push(JOIN)
        .bind(now);
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("id")?);
        let reason = row.word("reason", Reason::parse)?;
        let known = found.entry(id).or_insert(reason);
        *known = reason.min(*known);
    }
    Ok(found)
}

fn rows<'a>(messages: impl Iterator<Item = Asked<'a>>) -> Rows {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("business_id", Kind::Text),
        ("method", Kind::Text),
        ("address", Kind::Text),
        ("contact_type", Kind::Text),
        ("bulk", Kind::Bool),
    ]);
    for asked in messages {
        for address in [asked.to.compared(), asked.to.forgotten()] {
            rows.add([
                asked.id.uuid().into(),
                asked.business.into(),
                asked.to.method().as_str().into(),
                address.into(),
                asked.contact_type.into(),
                asked.is_bulk.into(),
            ]);
        }
    }
    rows
}
