//! Notifications whose last attempt may or may not have sent them: held until a person decides, or
//! until feedback shows that they went. A decision may come while one still waits for its next
//! attempt.

use super::db::Tx;
use super::facts::HAS_GONE;
use super::jobs::{self, Job, small};
use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store, WAKE_CHANNEL, facts};
use crate::domain::event::{Decision, Event, EventKey, Failure, What};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    Done,
    /// Somebody had decided before, and this is what.
    Before(Decision),
    /// Meanwhile feedback shows that it went.
    HasGone,
    /// The outcome of its last attempt is known, or it is in a worker's hands.
    NothingToDecide,
}

/// One that waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: NotificationId,
    pub held_at: Timestamp,
}

/// Held ones looked at in one sweep.
const SWEEP_MAX: usize = 1_000;
/// The source of what a person decided.
const SOURCE: &str = "staff";

/// Holds jobs; what else is to be known of them is looked up at their entries.
pub(super) fn insert(jobs: impl IntoIterator<Item = Job>, now: Timestamp) -> Stmt {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("method", Kind::Text),
        ("lane", Kind::Int),
        ("attempts", Kind::Int),
        ("failures", Kind::Int),
        ("held_at", Kind::Time),
    ]);
    for job in jobs {
        rows.add([
            job.id.uuid().into(),
            job.method.as_str().into(),
            i64::from(job.lane).into(),
            i64::from(job.attempts).into(),
            i64::from(job.failures).into(),
            now.into(),
        ]);
    }
    sql(
        "INSERT INTO held_jobs (id, business_id, method, lane, attempts, failures, held_at) \
         SELECT b.id, l.business_id, b.method, b.lane, b.attempts, b.failures, b.held_at FROM ",
    )
    .rows(rows)
    .push(" JOIN contact_log l ON l.id = b.id WHERE true ON CONFLICT (id) DO NOTHING")
}

impl Store {
    /// Decides what is to become of a notification whose last attempt may have sent it.
    pub async fn decide(
        &self,
        business: &str,
        id: NotificationId,
        decision: Decision,
        staff_id: Option<&str>,
    ) -> Result<Decided, Error> {
        super::again(|| self.decide_once(business, id, decision, staff_id)).await
    }

    async fn decide_once(
        &self,
        business: &str,
        id: NotificationId,
        decision: Decision,
        staff_id: Option<&str>,
    ) -> Result<Decided, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let Some(job) = take(&mut tx, business, id).await? else {
            let before = decision_on(&mut tx, business, id, None).await?;
            return Ok(before.map_or(Decided::NothingToDecide, Decided::Before));
        };
        if let Some(before) = decision_on(&mut tx, business, id, Some(job.attempts)).await? {
            return Ok(Decided::Before(before));
        }
        let Some(provider) = last_provider(&mut tx, job).await? else {
            // It went, so that there is nothing left to do either.
            tx.commit().await?;
            return Ok(Decided::HasGone);
        };
        let mut events = vec![event(
            id,
            EventKey::of_decision(job.attempts),
            now,
            What::Decided {
                decision,
                staff_id: staff_id.map(str::to_owned),
            },
        )];
        match decision {
            Decision::Resend => {
                // However often it was tried before: somebody wants it tried.
                let job = Job { failures: 0, ..job };
                tx.execute(jobs::put_back([(job, now)], now)).await?;
                super::notify(&mut tx, WAKE_CHANNEL).await?;
            }
            Decision::GiveUp => {
                let failure = Failure {
                    category: Category::OutcomeUnknown,
                    code: None,
                    provider_text: None,
                };
                let key = EventKey::of_giving_up();
                events.push(event(id, key, now, What::GaveUp(failure)));
            }
            Decision::Sent => {
                let accepted = What::Accepted {
                    provider,
                    provider_message_id: None,
                    opens_tracked: false,
                };
                let key = EventKey::of_decided_acceptance(job.attempts);
                events.push(event(id, key, now, accepted));
            }
        }
        facts::merge(&mut tx, &self.clock, &events, now).await?;
        tx.commit().await?;
        Ok(Decided::Done)
    }

    /// Those of a business that wait for a decision, the newest first, from the one after `after`.
    pub async fn held(
        &self,
        business: &str,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<Held>, Error> {
        let mut tx = self.db.read().await?;
        let mut stmt = sql("SELECT h.id, h.held_at FROM held_jobs h \
             LEFT JOIN delivery_facts f ON f.notification_id = h.id WHERE h.business_id = ")
        .bind(business)
        .push(" AND ")
        .push(HAS_GONE)
        .push(" IS NULL");
        if let Some(after) = after {
            stmt = stmt.push(" AND h.id < ").bind(after.uuid());
        }
        let stmt = stmt
            .push(" ORDER BY h.id DESC LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = tx.all(stmt).await?;
        rows.iter().map(held).collect()
    }

    /// How many of all businesses wait for a decision; counted up to `at_most`.
    pub async fn count_held(&self, at_most: i64) -> Result<i64, Error> {
        let mut tx = self.db.read().await?;
        let stmt =
            sql("SELECT CAST(COUNT(*) AS bigint) AS n FROM (SELECT 1 AS one FROM held_jobs LIMIT ")
                .bind(at_most)
                .push(") AS h");
        let row = tx.optional(stmt).await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }

    /// Lets go of held ones that feedback shows to have gone, a part of them at a time: those after
    /// `after`. Returns after which to go on; `None` from the beginning.
    pub async fn settle_held(
        &self,
        after: Option<NotificationId>,
    ) -> Result<Option<NotificationId>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT waiting.id, ")
            .push(HAS_GONE)
            .push(" AS gone_at FROM (SELECT id FROM held_jobs WHERE id > ")
            .bind(after.map_or(uuid::Uuid::nil(), NotificationId::uuid))
            .push(" ORDER BY id LIMIT ")
            .bind(i64::try_from(SWEEP_MAX).unwrap_or(i64::MAX))
            .push(
                ") AS waiting LEFT JOIN delivery_facts f ON f.notification_id = waiting.id \
                 ORDER BY waiting.id",
            );
        let rows = tx.all(stmt).await?;
        drop(tx);
        let mut gone = Vec::new();
        for row in &rows {
            if row.opt_time("gone_at")?.is_some() {
                gone.push(row.id("id")?);
            }
        }
        if !gone.is_empty() {
            let mut tx = self.db.write().await?;
            let stmt = sql("DELETE FROM held_jobs WHERE id IN (SELECT b.id FROM ")
                .rows(Rows::of_ids(gone))
                .push(")");
            tx.execute(stmt).await?;
            tx.commit().await?;
        }
        let last = rows.last().filter(|_| rows.len() == SWEEP_MAX);
        last.map(|row| row.id("id").map(NotificationId::new))
            .transpose()
    }
}

/// Takes it out of what is held, or out of the queue if the outcome of its last attempt is unknown.
async fn take(tx: &mut Tx, business: &str, id: NotificationId) -> Result<Option<Job>, Error> {
    const COLUMNS: &str = " RETURNING method, lane, attempts, failures";
    let held = sql("DELETE FROM held_jobs WHERE id = ")
        .bind(id.uuid())
        .push(" AND business_id = ")
        .bind(business)
        .push(COLUMNS);
    let waiting = sql("DELETE FROM jobs WHERE id = ")
        .bind(id.uuid())
        .push(" AND business_id = ")
        .bind(business)
        .push(
            " AND EXISTS (SELECT 1 FROM delivery_attempts a WHERE a.notification_id = jobs.id \
             AND a.attempt = jobs.attempts AND a.outcome = 'unknown')",
        )
        .push(COLUMNS);
    for stmt in [held, waiting] {
        if let Some(row) = tx.optional(stmt).await? {
            return Ok(Some(Job {
                id,
                method: row.word("method", Method::parse)?,
                lane: small(row.int("lane")?),
                attempts: small(row.int("attempts")?),
                failures: small(row.int("failures")?),
            }));
        }
    }
    Ok(None)
}

/// What somebody decided on the given attempt of a notification of the business, or on the last one
/// that was decided on.
async fn decision_on(
    tx: &mut Tx,
    business: &str,
    id: NotificationId,
    attempt: Option<u32>,
) -> Result<Option<Decision>, Error> {
    let mut stmt = sql(
        "SELECT e.kind, e.detail FROM delivery_events e JOIN contact_log l \
         ON l.id = e.notification_id WHERE e.kind = 'decided' AND e.notification_id = ",
    )
    .bind(id.uuid())
    .push(" AND l.business_id = ")
    .bind(business);
    if let Some(attempt) = attempt {
        let key = EventKey::of_decision(attempt);
        stmt = stmt.push(" AND e.event_key = ").bind(key.0);
    }
    let stmt = stmt.push(" ORDER BY e.occurred_at DESC LIMIT 1");
    let Some(row) = tx.optional(stmt).await? else {
        return Ok(None);
    };
    Ok(facts::what(&row)?.decision())
}

/// The provider of the attempt in question; `None` when the message is known to have gone.
async fn last_provider(tx: &mut Tx, job: Job) -> Result<Option<String>, Error> {
    let stmt = sql("SELECT a.provider FROM delivery_attempts a \
         LEFT JOIN delivery_facts f ON f.notification_id = a.notification_id \
         WHERE a.notification_id = ")
    .bind(job.id.uuid())
    .push(" AND a.attempt = ")
    .bind(i64::from(job.attempts))
    .push(" AND ")
    .push(HAS_GONE)
    .push(" IS NULL");
    let row = tx.optional(stmt).await?;
    row.map(|row| row.text("provider")).transpose()
}

fn event(id: NotificationId, key: EventKey, now: Timestamp, what: What) -> Event {
    Event {
        notification: id,
        key,
        occurred_at: now,
        source: SOURCE.to_owned(),
        what,
    }
}

fn held(row: &Row) -> Result<Held, Error> {
    Ok(Held {
        id: NotificationId::new(row.id("id")?),
        held_at: row.time("held_at")?,
    })
}
