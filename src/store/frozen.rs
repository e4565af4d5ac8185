//! Contents that are sent again, and those that are deleted because they are old, do not cross: who sends one
//! again holds it, and the entry that had it, until the commit; who deletes passes by what is held, and looks
//! once more for what came in since.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::enqueue::{ContentSource, Enqueue, NewNotification};
use super::stmt::{Rows, Stmt, sql};
use crate::domain::id::NotificationId;

/// What is there of what some requests send again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    contents: BTreeSet<Uuid>,
    entries: BTreeSet<Uuid>,
}

impl Kept {
    /// Whether it can be sent: its content is its own, or is there.
    pub(super) fn has(&self, new: &NewNotification) -> bool {
        let ContentSource::Frozen(content) = new.content else {
            return true;
        };
        let first = new.resend_of.map(NotificationId::uuid);
        self.contents.contains(&content) && first.is_none_or(|id| self.entries.contains(&id))
    }
}

/// Holds what the requests send again. What belongs to a client who was erased counts as gone.
pub(super) async fn hold(tx: &mut Tx, batch: &[Enqueue]) -> Result<Kept, Error> {
    let (mut contents, mut entries) = (BTreeSet::new(), BTreeSet::new());
    for new in batch.iter().flat_map(|request| &request.notifications) {
        if let ContentSource::Frozen(content) = new.content {
            contents.insert(content);
            entries.extend(new.resend_of.map(NotificationId::uuid));
        }
    }
    if contents.is_empty() {
        return Ok(Kept::default());
    }
    // In one order for every writer, so that two of them cannot wait for each other.
    let stmt = of_content(contents).push(tx.dialect().lock(" ORDER BY m.id FOR KEY SHARE OF m"));
    let contents = ids(tx, stmt).await?;
    let stmt = of_entry(entries)
        .push(" JOIN clients c ON c.uid = l.client_uid WHERE c.erased_at IS NULL")
        .push(tx.dialect().lock(" ORDER BY l.id FOR KEY SHARE OF l"));
    let entries = ids(tx, stmt).await?;
    Ok(Kept { contents, entries })
}

/// What is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    Contents,
    Entries,
}

/// Those of some old rows that may go still, locked.
pub(super) async fn free(
    tx: &mut Tx,
    what: Old,
    old: Vec<Uuid>,
    floor: NotificationId,
) -> Result<Vec<Uuid>, Error> {
    let mut old: BTreeSet<Uuid> = old.into_iter().collect();
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let there = ids(tx, of_content(old.clone())).await?;
    let lock = tx.dialect().lock(" FOR UPDATE OF m SKIP LOCKED");
    let locked = ids(tx, of_content(old.clone()).push(lock)).await?;
    old.retain(|id| locked.contains(id) || !there.contains(id));
    if what == Old::Entries {
        let lock = tx.dialect().lock(" FOR UPDATE OF l SKIP LOCKED");
        old = ids(tx, of_entry(old).push(lock)).await?;
    }
    let stmt = sql("WITH RECURSIVE sent (base, id) AS (SELECT b.id, b.id FROM ")
        .rows(Rows::of_ids(old.iter().copied()))
        .push(
            " UNION SELECT sent.base, l.id FROM sent JOIN contact_log l ON l.resend_of = sent.id) \
             SELECT DISTINCT sent.base AS id FROM sent WHERE sent.id >= ",
        )
        .bind(floor.uuid());
    let again = ids(tx, stmt).await?;
    Ok(old.difference(&again).copied().collect())
}

fn of_content(ids: BTreeSet<Uuid>) -> Stmt {
    sql("SELECT m.id FROM ")
        .rows(Rows::of_ids(ids))
        .push(" JOIN message_content m ON m.id = b.id")
}

fn of_entry(ids: BTreeSet<Uuid>) -> Stmt {
    sql("SELECT l.id FROM ")
        .rows(Rows::of_ids(ids))
        .push(" JOIN contact_log l ON l.id = b.id")
}

async fn ids(tx: &mut Tx, stmt: Stmt) -> Result<BTreeSet<Uuid>, Error> {
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| row.id("id")).collect()
}
