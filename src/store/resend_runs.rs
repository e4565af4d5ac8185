//! Runs: the entries that match a filter, sent again one batch after the other. How far a run has come
//! is moved on only from where it was, so that of two processes at one run each batch counts once.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use super::row::Row;
use super::stmt::{Rows, Stmt, sql};
use super::{Error, Store, cause_actions};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// Of a run that no member of staff ordered at a page.
pub const NO_ACCOUNT: Uuid = Uuid::nil();

/// A run to be begun.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    /// Chosen by whoever asks, so that asking twice begins one.
    pub id: Uuid,
    pub business: &'a str,
    /// Of whoever orders it at a page; else [`NO_ACCOUNT`].
    pub account: Uuid,
    /// The User of the new entries; empty: they are Automated.
    pub staff_id: &'a str,
    /// As whoever works at the run understands it.
    pub filter: Json,
    /// Entries that matched when it was asked for.
    pub total: usize,
    /// The causes whose messages it sends again, which keep it on record.
    pub causes: &'a [Uuid],
    /// Who orders it, as people read it.
    pub by: &'a str,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub id: Uuid,
    pub business: String,
    /// Of whoever ordered it.
    pub account: Uuid,
    pub staff_id: String,
    /// The name of whoever ordered it.
    pub user: String,
    pub filter: Json,
    pub total: u64,
    pub sent: u64,
    pub left_out: u64,
    /// The last entry that was dealt with; they are taken from the newest on.
    pub reached: NotificationId,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// The name of whoever stopped it.
    pub stopped_by: Option<String>,
}

/// One batch of a run that was dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub reached: NotificationId,
    pub sent: usize,
    pub left_out: usize,
    /// There are no more.
    pub ends: bool,
}

macro_rules! columns {
    () => {
        "SELECT r.id, r.business_id, r.account_id, r.staff_id, coalesce(s.name, r.staff_id) AS name, r.filter, \
         r.total, r.sent, r.left_out, r.reached, r.created_at, r.finished_at, r.stopped_at, \
         coalesce(b.name, r.stopped_by) AS stopped_by FROM resend_runs r \
         LEFT JOIN staff s ON s.business_id = r.business_id AND s.staff_id = r.staff_id \
         LEFT JOIN staff b ON b.business_id = r.business_id AND b.staff_id = r.stopped_by WHERE "
    };
}

impl Store {
    /// Begins a run over the entries that are there now; one that was begun before stays as it is.
    pub async fn begin_resend_run(&self, new: NewRun<'_>) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql(
            "INSERT INTO resend_runs (id, business_id, account_id, staff_id, filter, total, sent, \
             left_out, reached, created_at) VALUES (",
        )
        .bind(new.id)
        .push(", ")
        .bind(new.business)
        .push(", ")
        .bind(new.account)
        .push(", ")
        .bind(new.staff_id)
        .push(", ")
        .bind(new.filter)
        .push(", ")
        .bind(int(new.total))
        .push(", 0, 0, ")
        // What is sent again is newer, so that the run never comes to it.
        .bind(NotificationId::floor(now).uuid())
        .push(", ")
        .bind(now)
        .push(") ON CONFLICT (id) DO NOTHING");
        if tx.execute(stmt).await? > 0 {
            let who = (new.business, new.by);
            cause_actions::resent(&mut tx, &self.clock, who, new.causes, new.id).await?;
        }
        tx.commit().await
    }

    pub async fn resend_run(&self, business: &str, id: Uuid) -> Result<Option<Run>, Error> {
        let stmt = sql(concat!(columns!(), "r.id = "))
            .bind(id)
            .push(" AND r.business_id = ")
            .bind(business);
        Ok(self.runs(stmt).await?.into_iter().next())
    }

    /// The latest runs of a business.
    pub async fn resend_runs(&self, business: &str, limit: usize) -> Result<Vec<Run>, Error> {
        let stmt = sql(concat!(columns!(), "r.business_id = "))
            .bind(business)
            .push(" ORDER BY r.id DESC LIMIT ")
            .bind(int(limit));
        self.runs(stmt).await
    }

    /// Runs that are not at their end, of all businesses.
    pub async fn open_resend_runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        let stmt = sql(concat!(
            columns!(),
            "r.finished_at IS NULL ORDER BY r.created_at, r.id LIMIT "
        ));
        self.runs(stmt.bind(int(limit))).await
    }

    /// Moves a run on. `false`: somebody else has dealt with this batch.
    pub async fn move_resend_run(&self, run: &Run, batch: Batch) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql("UPDATE resend_runs SET reached = ")
            .bind(batch.reached.uuid())
            .push(", sent = sent + ")
            .bind(int(batch.sent))
            .push(", left_out = left_out + ")
            .bind(int(batch.left_out))
            .push(", finished_at = ")
            .bind(batch.ends.then_some(now))
            .push(" WHERE finished_at IS NULL AND id = ")
            .bind(run.id)
            .push(" AND reached = ")
            .bind(run.reached.uuid());
        let moved = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(moved)
    }

    /// Has a run stop after the batch that is under way, on record with who wants it: a member's id, or
    /// words.
    /// `false`: it is at its end, or not there.
    pub async fn stop_resend_run(
        &self,
        business: &str,
        id: Uuid,
        staff_id: &str,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE resend_runs SET stopped_at = ")
            .bind(self.clock.now())
            .push(", stopped_by = ")
            .bind(staff_id)
            .push(" WHERE finished_at IS NULL AND stopped_at IS NULL AND id = ")
            .bind(id)
            .push(" AND business_id = ")
            .bind(business);
        let stopped = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(stopped)
    }

    /// Which of these entries were sent again, otherwise than by this run.
    pub async fn sent_again(
        &self,
        business: &str,
        ids: &[NotificationId],
        run: Option<Uuid>,
    ) -> Result<BTreeSet<NotificationId>, Error> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let key = run.map_or_else(|| "no run".to_owned(), |run| key_of(run, ""));
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT DISTINCT l.resend_of AS id FROM ")
            .rows(Rows::of_ids(ids.iter().map(|id| id.uuid())))
            .push(" JOIN contact_log l ON l.resend_of = b.id WHERE l.business_id = ")
            .bind(business)
            .push(
                " AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.business_id = l.business_id \
                 AND k.notification_id = l.id AND k.key = ",
            )
            .bind(key)
            .push(" || CAST(l.resend_of AS text))");
        let rows = tx.all(stmt).await?;
        let ids = rows.iter().map(|row| row.id("id").map(NotificationId::new));
        ids.collect()
    }

    async fn runs(&self, stmt: Stmt) -> Result<Vec<Run>, Error> {
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        rows.iter().map(run).collect()
    }
}

/// Under which a run sends an entry again: the same whoever works at the run, and however often.
pub fn key_of(run: Uuid, entry: &str) -> String {
    format!("run:{run}:{entry}")
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn run(row: &Row) -> Result<Run, Error> {
    let count = |column| Ok::<_, Error>(u64::try_from(row.int(column)?).unwrap_or(0));
    let filter = row.opt_json("filter")?.unwrap_or_default();
    let by = filter.get("by").and_then(Json::as_str);
    let user = by.map_or_else(|| row.text("name"), |by| Ok(by.to_owned()))?;
    Ok(Run {
        id: row.id("id")?,
        business: row.text("business_id")?,
        account: row.id("account_id")?,
        staff_id: row.text("staff_id")?,
        user,
        filter,
        total: count("total")?,
        sent: count("sent")?,
        left_out: count("left_out")?,
        reached: NotificationId::new(row.id("reached")?),
        created_at: row.time("created_at")?,
        finished_at: row.opt_time("finished_at")?,
        stopped_at: row.opt_time("stopped_at")?,
        stopped_by: row.opt_text("stopped_by")?,
    })
}
