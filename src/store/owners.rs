//! Whose notifications are: looked up once for all that a commit does with them.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::db::Tx;
use super::row::Row;
use super::stmt::{Rows, sql};
use crate::domain::event::Event;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// By notification, of those that exist.
pub(super) type Owners = BTreeMap<NotificationId, Owner>;

#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) business: String,
    pub(super) method: Method,
    /// When it was to be sent.
    pub(super) due_at: Timestamp,
    /// Its client was forgotten.
    pub(super) erased: bool,
    /// Its facts row is there. Where it is not, it may be by now.
    pub(super) has_facts: bool,
}

/// What [`read`] reads, of an entry `l`, its client `c` and its facts `f`.
pub(super) const COLUMNS: &str = "l.id, l.business_id, l.method, l.send_at, \
    c.erased_at IS NOT NULL AS erased, f.notification_id IS NOT NULL AS has_facts";
/// The same where nothing is personal: nothing is looked up beside the entry.
const COLUMNS_OF_ENTRY: &str =
    "l.id, l.business_id, l.method, l.send_at, FALSE AS erased, FALSE AS has_facts";
pub(super) const CLIENT: &str = " LEFT JOIN clients c ON c.uid = l.client_uid";
const FACTS: &str = " LEFT JOIN delivery_facts f ON f.notification_id = l.id";

pub(super) async fn of(tx: &mut Tx, ids: BTreeSet<NotificationId>) -> Result<Owners, Error> {
    look_up(tx, ids, true).await
}

/// Those of these events. The clients are looked up only where an event holds something personal: the
/// acceptance of a message, which is what most are, does not.
pub(super) async fn of_events(tx: &mut Tx, events: &[Event]) -> Result<Owners, Error> {
    let ids = events.iter().map(|event| event.notification).collect();
    let personal = events.iter().any(|event| event.what.is_personal());
    look_up(tx, ids, personal).await
}

async fn look_up(
    tx: &mut Tx,
    ids: BTreeSet<NotificationId>,
    clients: bool,
) -> Result<Owners, Error> {
    if ids.is_empty() {
        return Ok(Owners::new());
    }
    let ids = Rows::of_ids(ids.into_iter().map(NotificationId::uuid));
    let columns = if clients { COLUMNS } else { COLUMNS_OF_ENTRY };
    let mut stmt = sql("SELECT ")
        .push(columns)
        .push(" FROM ")
        .rows(ids)
        .push(" JOIN contact_log l ON l.id = b.id");
    if clients {
        stmt = stmt.push(CLIENT).push(FACTS);
    }
    tx.all(stmt).await?.iter().map(read).collect()
}

pub(super) fn read(row: &Row) -> Result<(NotificationId, Owner), Error> {
    let id = NotificationId::new(row.id("id")?);
    let owner = Owner {
        business: row.text("business_id")?,
        method: row.word("method", Method::parse)?,
        due_at: row.opt_time("send_at")?.unwrap_or(id.date()).max(id.date()),
        erased: row.bool("erased")?,
        has_facts: row.bool("has_facts")?,
    };
    Ok((id, owner))
}
