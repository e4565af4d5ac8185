//! Causes of failures that nobody saw or did anything about for as long as they are kept, and the counts that
//! are older than that.

use std::time::Duration;

use uuid::Uuid;

use super::causes::hour;
use super::db::Tx;
use super::pruning::{Pruned, WALK_EVERY};
use super::stmt::{Rows, Stmt, sql};
use super::{Error, Store};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// How far a walk has come. Each process has its own.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    reached: Uuid,
    /// No walk before.
    next_at: Option<Timestamp>,
}

/// Causes of one batch.
const BATCH: i64 = 100;
/// Counts, and messages of causes, of one batch: a matter of milliseconds.
const ROWS_MAX: u64 = 1_000;

impl Store {
    /// Deletes some of the causes that were not seen for so long, with what was done about them, and some of
    /// the counts that are older.
    pub async fn prune_causes(&self, keep: Duration, walk: &mut Walk) -> Result<Pruned, Error> {
        let now = self.clock.now();
        if walk.next_at.is_some_and(|at| at > now) {
            return Ok(Pruned::default());
        }
        let until = now.minus(keep);
        let mut pruned = Pruned {
            more: true,
            ..Pruned::default()
        };
        let stmt = sql("SELECT c.id FROM failure_causes c WHERE c.id > ")
            .bind(walk.reached)
            .push(" ORDER BY c.id LIMIT ")
            .bind(BATCH);
        let ids = ids(&mut self.db.read().await?, stmt).await?;
        let Some(last) = ids.last().copied() else {
            *walk = Walk {
                reached: Uuid::nil(),
                next_at: Some(now.plus(WALK_EVERY)),
            };
            return Ok(Pruned::default());
        };
        let mut tx = self.db.write().await?;
        let counts = old_counts(&ids, until);
        let mut is_done = delete_some(&mut tx, counts, "k").await? < ROWS_MAX;
        // Locked, and looked at once more: a failure that was recorded until then is seen now, and who records
        // the next one waits.
        let held = unseen(&mut tx, &ids, until).await?;
        let old = unseen(&mut tx, &held, until).await?;
        if is_done && !old.is_empty() {
            let entries = sql(
                "DELETE FROM cause_entries WHERE (cause_id, notification_id) IN \
                 (SELECT e.cause_id, e.notification_id FROM ",
            )
            .rows(Rows::of_ids(old.iter().copied()))
            .push(" JOIN cause_entries e ON e.cause_id = b.id");
            is_done = delete_some(&mut tx, entries, "e").await? < ROWS_MAX;
        }
        if is_done && !old.is_empty() {
            // A message that somebody holds keeps its cause until the next walk.
            let empty = sql("SELECT b.id FROM ")
                .rows(Rows::of_ids(old.iter().copied()))
                .push(" WHERE NOT EXISTS (SELECT 1 FROM cause_entries e WHERE e.cause_id = b.id)");
            let empty = self::ids(&mut tx, empty).await?;
            for statement in OF_CAUSE {
                let ids = Rows::of_ids(empty.iter().copied());
                // The causes themselves come last.
                pruned.causes = tx.execute(sql(statement).rows(ids).push(")")).await?;
            }
        }
        tx.commit().await?;
        if is_done {
            walk.reached = last;
        }
        Ok(pruned)
    }
}

const OF_CAUSE: [&str; 2] = [
    "DELETE FROM cause_actions WHERE cause_id IN (SELECT b.id FROM ",
    "DELETE FROM failure_causes WHERE id IN (SELECT b.id FROM ",
];

fn old_counts(causes: &[Uuid], until: Timestamp) -> Stmt {
    sql(
        "DELETE FROM cause_counts WHERE (business_id, hour, cause_id) IN \
         (SELECT k.business_id, k.hour, k.cause_id FROM ",
    )
    .rows(Rows::of_ids(causes.iter().copied()))
    .push(" JOIN cause_counts k ON k.cause_id = b.id WHERE k.hour < ")
    .bind(hour(until))
}

/// Several processes prune; none waits for another, nor for who adds to a count.
async fn delete_some(tx: &mut Tx, which: Stmt, of: &'static str) -> Result<u64, Error> {
    let stmt = which
        .push(" LIMIT ")
        .bind(i64::try_from(ROWS_MAX).unwrap_or(i64::MAX))
        .push(tx.dialect().lock(" FOR UPDATE OF "))
        .push(tx.dialect().lock(of))
        .push(tx.dialect().lock(" SKIP LOCKED"))
        .push(")");
    tx.execute(stmt).await
}

/// Those of these causes that have no count any more and were not acted on since then, locked.
async fn unseen(tx: &mut Tx, causes: &[Uuid], until: Timestamp) -> Result<Vec<Uuid>, Error> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = sql("SELECT c.id FROM ")
        .rows(Rows::of_ids(causes.iter().copied()))
        .push(" JOIN failure_causes c ON c.id = b.id WHERE c.first_at < ")
        .bind(until)
        .push(
            " AND NOT EXISTS (SELECT 1 FROM cause_counts k WHERE k.cause_id = c.id) \
             AND NOT EXISTS (SELECT 1 FROM cause_actions a WHERE a.cause_id = c.id AND a.id >= ",
        )
        .bind(NotificationId::floor(until).uuid())
        .push(")")
        .push(
            tx.dialect()
                .lock(" ORDER BY c.id FOR UPDATE OF c SKIP LOCKED"),
        );
    ids(tx, stmt).await
}

async fn ids(tx: &mut Tx, stmt: Stmt) -> Result<Vec<Uuid>, Error> {
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| row.id("id")).collect()
}
