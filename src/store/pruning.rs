//! Contents and entries are kept for as long as the settings say, each by its own period, and go a few at
//! a time. What waits to be sent, may be sent again, or belongs to a client on hold stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::db::Tx;
use super::frozen::{self, Old};
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store, files, jobs};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// How far it has come with one of the two. Each process has its own: to begin anew costs little, because
/// what it deleted is gone.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// What is older goes in this walk; none: it begins.
    until: Option<Timestamp>,
    reached: Uuid,
    rest: Rest,
    /// No walk before.
    next_at: Option<Timestamp>,
}

/// What is looked through after the rows themselves.
#[derive(Clone, Debug, Default)]
enum Rest {
    #[default]
    Rows,
    /// Files that no content has: those that are looked for, how far, and after which file the next follow.
    Files(BTreeSet<files::File>, Uuid, files::File),
    /// Keys whose entry is gone, after this one.
    Keys(String, String),
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub contents: u64,
    pub entries: u64,
    pub files: u64,
    /// Messages from queues that could not be enqueued.
    pub buried: u64,
    /// Of failures.
    pub causes: u64,
    /// There may be more to do at once.
    pub more: bool,
}

/// Why an entry has no content any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Erased { at: Timestamp },
    Old { at: Timestamp, days: i64 },
}

/// Rows of one batch: a matter of milliseconds, because on SQLite every other writer waits for it.
const BATCH: i64 = 200;
/// Keys and files of one batch.
const SMALL_BATCH: i64 = 1_000;
/// Between two walks: so much longer something may be kept.
pub(super) const WALK_EVERY: Duration = Duration::from_hours(24);

impl Store {
    /// Deletes some of the contents that are older than they are kept, and of the files that no content
    /// has any more.
    pub async fn prune_contents(&self, keep: Duration, sweep: &mut Sweep) -> Result<Pruned, Error> {
        let now = self.clock.now();
        if sweep.next_at.is_some_and(|at| at > now) {
            return Ok(Pruned::default());
        }
        let until = match sweep.until {
            Some(until) => until,
            None => self.mark_walk(keep, now).await?,
        };
        sweep.until = Some(until);
        if let Rest::Files(wanted, reached, after) = sweep.rest.clone() {
            return self.prune_files(sweep, (wanted, reached, after)).await;
        }
        let (old, reached) = self.old(OF_CONTENTS, sweep.reached, until).await?;
        let Some(reached) = reached else {
            sweep.rest = Rest::Files(BTreeSet::new(), Uuid::nil(), files::File::default());
            return Ok(Pruned {
                more: true,
                ..Pruned::default()
            });
        };
        let mut tx = self.db.write().await?;
        tx.overwrite(true).await?;
        let old = frozen::free(&mut tx, Old::Contents, old, NotificationId::floor(until)).await?;
        let contents = delete_contents(&mut tx, &old).await?;
        tx.overwrite(false).await?;
        tx.commit().await?;
        sweep.reached = reached;
        Ok(Pruned {
            contents,
            more: true,
            ..Pruned::default()
        })
    }

    /// Deletes some of the entries that are older than they are kept, with all that belongs to them.
    pub async fn prune_entries(&self, keep: Duration, sweep: &mut Sweep) -> Result<Pruned, Error> {
        let now = self.clock.now();
        if sweep.next_at.is_some_and(|at| at > now) {
            return Ok(Pruned::default());
        }
        let until = *sweep.until.get_or_insert(now.minus(keep));
        if let Rest::Keys(business, key) = sweep.rest.clone() {
            return self.prune_keys(sweep, (&business, &key), now).await;
        }
        let (old, reached) = self.old(OF_ENTRIES, sweep.reached, until).await?;
        let Some(reached) = reached else {
            sweep.rest = Rest::Keys(String::new(), String::new());
            return Ok(Pruned {
                more: true,
                ..Pruned::default()
            });
        };
        let deleted = super::again(|| self.delete_entries(old.clone(), until)).await?;
        sweep.reached = reached;
        Ok(deleted)
    }

    /// Those of these entries that may go. An erasure of their client locks them in another order.
    async fn delete_entries(&self, old: Vec<Uuid>, until: Timestamp) -> Result<Pruned, Error> {
        let mut tx = self.db.write().await?;
        tx.overwrite(true).await?;
        let old = frozen::free(&mut tx, Old::Entries, old, NotificationId::floor(until)).await?;
        let contents = delete_contents(&mut tx, &old).await?;
        let mut entries = 0;
        for statement in OF_ENTRY {
            let ids = Rows::of_ids(old.iter().copied());
            // The entries themselves come last.
            entries = tx.execute(sql(statement).rows(ids).push(")")).await?;
        }
        tx.overwrite(false).await?;
        tx.commit().await?;
        Ok(Pruned {
            contents: if old.is_empty() { 0 } else { contents },
            entries: if old.is_empty() { 0 } else { entries },
            more: true,
            ..Pruned::default()
        })
    }

    /// Why an entry of the business has no content; `None`: it never had one, or nobody knows.
    pub async fn content_gone(
        &self,
        business: &str,
        id: NotificationId,
    ) -> Result<Option<Gone>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT c.erased_at FROM contact_log l JOIN clients c ON c.uid = l.client_uid \
             WHERE l.content_id IS NOT NULL AND l.id = ",
        )
        .bind(id.uuid())
        .push(" AND l.business_id = ")
        .bind(business);
        let Some(entry) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        if let Some(at) = entry.opt_time("erased_at")? {
            return Ok(Some(Gone::Erased { at }));
        }
        let stmt = sql("SELECT d.deleted_at, d.days FROM content_deletions d WHERE d.before_at > ")
            .bind(id.date())
            .push(" ORDER BY d.before_at LIMIT 1");
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        let (at, days) = (row.time("deleted_at")?, row.int("days")?);
        Ok(Some(Gone::Old { at, days }))
    }

    /// Writes down that contents go now, before they do: so that whoever misses one is told. Until when,
    /// several processes agree on.
    async fn mark_walk(&self, keep: Duration, now: Timestamp) -> Result<Timestamp, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("SELECT d.before_at FROM content_deletions d WHERE d.deleted_at > ")
            .bind(now.minus(WALK_EVERY))
            .push(" AND d.before_at <= ")
            .bind(now.minus(keep))
            .push(" ORDER BY d.before_at DESC LIMIT 1");
        if let Some(row) = tx.optional(stmt).await? {
            return row.time("before_at");
        }
        let until = now.minus(keep);
        let days = keep.as_secs() / WALK_EVERY.as_secs();
        let stmt = sql("INSERT INTO content_deletions (before_at, deleted_at, days) VALUES (")
            .bind(until)
            .push(", ")
            .bind(now)
            .push(", ")
            .bind(i64::try_from(days).unwrap_or(i64::MAX))
            .push(") ON CONFLICT (before_at) DO NOTHING");
        tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(until)
    }

    /// The next rows of a table that may go, and where to go on; none at the end. All of it is of one
    /// moment: a job that is claimed meanwhile is seen in the queue or in the claim.
    async fn old(
        &self,
        base: &'static str,
        reached: Uuid,
        until: Timestamp,
    ) -> Result<(Vec<Uuid>, Option<Uuid>), Error> {
        let floor = NotificationId::floor(until);
        let mut tx = self.db.read().await?;
        let mut claimed = BTreeSet::new();
        for row in tx.all(sql("SELECT jobs FROM claims")).await? {
            let held = jobs::from_json(&row.opt_json("jobs")?.unwrap_or_default())?;
            claimed.extend(held.into_iter().map(|job| job.id));
        }
        // Whether some entry that uses the row keeps it.
        let mut bases: BTreeMap<Uuid, bool> = BTreeMap::new();
        for row in tx.all(with_resends(base, reached, floor)).await? {
            let id = NotificationId::new(row.id("id")?);
            let stays = row.bool("waits")? || id >= floor || claimed.contains(&id);
            *bases.entry(row.id("base")?).or_default() |= stays;
        }
        let last = bases.last_key_value().map(|(base, _)| *base);
        let old = bases.iter().filter(|(_, stays)| !**stays);
        Ok((old.map(|(base, _)| *base).collect(), last))
    }

    async fn prune_files(
        &self,
        sweep: &mut Sweep,
        (mut wanted, reached, after): (BTreeSet<files::File>, Uuid, files::File),
    ) -> Result<Pruned, Error> {
        let mut pruned = Pruned {
            more: true,
            ..Pruned::default()
        };
        let until = sweep.until.unwrap_or(Timestamp::EPOCH);
        let mut tx = self.db.read().await?;
        if wanted.is_empty() {
            let found = files::older_than(&mut tx, until, &after, SMALL_BATCH).await?;
            let Some(last) = found.last else {
                *sweep = Sweep {
                    next_at: Some(self.clock.now().plus(WALK_EVERY)),
                    ..Sweep::default()
                };
                return Ok(Pruned::default());
            };
            sweep.rest = Rest::Files(found.old, Uuid::nil(), last);
            return Ok(pruned);
        }
        let used = files::used_after(&mut tx, reached).await?;
        drop(tx);
        wanted.retain(|file| !used.files.contains(file));
        sweep.rest = match used.last {
            Some(last) if !wanted.is_empty() => Rest::Files(wanted, last, after),
            _ if wanted.is_empty() => Rest::Files(wanted, Uuid::nil(), after),
            _ => {
                let mut tx = self.db.write().await?;
                tx.overwrite(true).await?;
                pruned.files = files::drop_unused(&mut tx, &wanted, reached).await?;
                tx.overwrite(false).await?;
                tx.commit().await?;
                Rest::Files(BTreeSet::new(), Uuid::nil(), after)
            }
        };
        Ok(pruned)
    }

    async fn prune_keys(
        &self,
        sweep: &mut Sweep,
        after: (&str, &str),
        now: Timestamp,
    ) -> Result<Pruned, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT recent.business_id, recent.key, l.id FROM (SELECT i.business_id, i.key, \
             i.notification_id FROM idempotency_keys i WHERE (i.business_id, i.key) > (",
        )
        .bind(after.0)
        .push(", ")
        .bind(after.1)
        .push(") ORDER BY i.business_id, i.key LIMIT ")
        .bind(SMALL_BATCH)
        .push(
            ") AS recent LEFT JOIN contact_log l ON l.id = recent.notification_id \
             ORDER BY recent.business_id, recent.key",
        );
        let rows = tx.all(stmt).await?;
        drop(tx);
        let Some(last) = rows.last() else {
            *sweep = Sweep {
                next_at: Some(now.plus(WALK_EVERY)),
                ..Sweep::default()
            };
            return Ok(Pruned::default());
        };
        sweep.rest = Rest::Keys(last.text("business_id")?, last.text("key")?);
        let mut stale = Rows::new(&[("business_id", Kind::Text), ("key", Kind::Text)]);
        for row in &rows {
            if row.opt_id("id")?.is_none() {
                stale.add([row.text("business_id")?.into(), row.text("key")?.into()]);
            }
        }
        if !stale.is_empty() {
            // One that was used anew meanwhile stays.
            let stmt = sql(
                "DELETE FROM idempotency_keys WHERE NOT EXISTS (SELECT 1 FROM contact_log l \
                 WHERE l.id = idempotency_keys.notification_id) AND (business_id, key) IN \
                 (SELECT b.business_id, b.key FROM ",
            )
            .rows(stale)
            .push(")");
            let mut tx = self.db.write().await?;
            tx.execute(stmt).await?;
            tx.commit().await?;
        }
        Ok(Pruned {
            more: true,
            ..Pruned::default()
        })
    }
}

const OF_CONTENTS: &str = "SELECT m.id FROM message_content m WHERE m.id > ";
const OF_ENTRIES: &str = "SELECT m.id FROM contact_log m WHERE m.id > ";

/// The next rows of a table, each with the entry that it is of and those by which that was sent again.
fn with_resends(base: &'static str, reached: Uuid, floor: NotificationId) -> Stmt {
    sql("WITH RECURSIVE sent (base, id) AS (SELECT due.id, due.id FROM (")
        .push(base)
        .bind(reached)
        .push(" AND m.id < ")
        .bind(floor.uuid())
        .push(" ORDER BY m.id LIMIT ")
        .bind(BATCH)
        .push(
            ") AS due UNION SELECT sent.base, l.id FROM sent JOIN contact_log l \
             ON l.resend_of = sent.id) SELECT sent.base, sent.id, (j.id IS NOT NULL OR h.id IS NOT NULL OR coalesce(c.hold, ",
        )
        .bind(false)
        .push(
            ")) AS waits FROM sent LEFT JOIN contact_log l ON l.id = sent.id \
             LEFT JOIN clients c ON c.uid = l.client_uid LEFT JOIN jobs j ON j.id = sent.id \
             LEFT JOIN held_jobs h ON h.id = sent.id",
        )
}

async fn delete_contents(tx: &mut Tx, ids: &[Uuid]) -> Result<u64, Error> {
    if ids.is_empty() {
        return Ok(0);
    }
    let stmt = sql("DELETE FROM message_content WHERE id IN (SELECT b.id FROM ")
        .rows(Rows::of_ids(ids.iter().copied()))
        .push(")");
    tx.execute(stmt).await
}

/// What belongs to an entry, and the entry. What a client wrote stays known by the provider's id.
const OF_ENTRY: [&str; 10] = [
    "DELETE FROM delivery_attempts WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM delivery_events WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM delivery_facts WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM cause_entries WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM entry_changes WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM unmatched_events WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM awaited_receipts WHERE notification_id IN (SELECT b.id FROM ",
    "DELETE FROM forgotten_recipients WHERE notification_id IN (SELECT b.id FROM ",
    "UPDATE follow_up_tasks SET entry_id = NULL WHERE entry_id IN (SELECT b.id FROM ",
    "DELETE FROM contact_log WHERE id IN (SELECT b.id FROM ",
];
