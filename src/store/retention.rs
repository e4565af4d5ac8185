//! What feedback leaves behind is kept for a while: raw messages and events that nobody claims. The
//! ledger and the facts are never touched.

use std::time::Duration;

use super::pruning::Pruned;
use super::stmt::{Stmt, sql};
use super::{Error, Store, forgotten, receipts};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// How long feedback is kept; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Raw messages, which hold addresses.
    pub inbox: Option<Duration>,
    /// Events whose message is not known.
    pub unmatched: Option<Duration>,
}

/// Rows of one table deleted in one transaction: a matter of milliseconds, because on SQLite every
/// other writer waits for it.
const PRUNED_MAX: u64 = 1_000;

/// Of messages that may have some hundred kilobytes each.
const BURIED_MAX: u64 = 100;

impl Store {
    /// Deletes some of what is older than it is kept, and of what nobody awaits any more. Returns whether there may be more.
    pub async fn prune_feedback(&self, keep: Retention) -> Result<bool, Error> {
        let now = self.clock.now();
        let inbox = keep.inbox.map(|span| old_messages(now.minus(span)));
        let unmatched = keep.unmatched.map(|span| old_events(now.minus(span)));
        let mut more = false;
        for stmt in [
            inbox,
            unmatched,
            Some(receipts::old(now)),
            Some(forgotten::old(now)),
        ]
        .into_iter()
        .flatten()
        {
            more |= self.prune(stmt, PRUNED_MAX).await? >= PRUNED_MAX;
        }
        Ok(more)
    }

    /// Deletes some of the messages from queues that could not be enqueued, and that nobody saw to for so long.
    pub async fn prune_buried(&self, keep: Duration) -> Result<Pruned, Error> {
        let old = NotificationId::floor(self.clock.now().minus(keep));
        let any = sql("SELECT m.id FROM buried_messages m WHERE m.id < ").bind(old.uuid());
        let any = any.push(" ORDER BY m.id LIMIT 1");
        if self.db.read().await?.optional(any).await?.is_none() {
            return Ok(Pruned::default());
        }
        let buried = self.prune(old_buried(old), BURIED_MAX).await?;
        Ok(Pruned {
            buried,
            more: buried >= BURIED_MAX,
            ..Pruned::default()
        })
    }

    async fn prune(&self, stmt: Stmt, limit: u64) -> Result<u64, Error> {
        let mut tx = self.db.write().await?;
        tx.overwrite(true).await?;
        let stmt = stmt
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            // Several workers prune; none waits for another.
            .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
            .push(")");
        let deleted = tx.execute(stmt).await?;
        tx.overwrite(false).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

fn old_buried(before: NotificationId) -> Stmt {
    sql("DELETE FROM buried_messages WHERE id IN (SELECT m.id FROM buried_messages m WHERE m.id < ")
        .bind(before.uuid())
        .push(" ORDER BY m.id LIMIT ")
}

fn old_messages(before: Timestamp) -> Stmt {
    sql(
        "DELETE FROM feedback_inbox WHERE (source, message_id) IN (SELECT source, message_id \
         FROM feedback_inbox WHERE received_at < ",
    )
    .bind(before)
    .push(" ORDER BY received_at LIMIT ")
}

fn old_events(before: Timestamp) -> Stmt {
    sql(
        "DELETE FROM unmatched_events WHERE event_key IN (SELECT event_key \
         FROM unmatched_events WHERE recorded_at < ",
    )
    .bind(before)
    .push(" ORDER BY recorded_at LIMIT ")
}
