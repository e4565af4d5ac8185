//! The queue: jobs are claimed in batches, a claim is one row, and the jobs of a dead worker's
//! claim come back as attempts of unknown outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::db::Tx;
use super::history;
use super::record;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store, facts};
use crate::domain::address::Address;
use crate::domain::event::{Event, EventKey, Failure, What};
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::message::Outgoing;
use crate::domain::method::{Method, Priority};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::fault::{self, Step};

/// A batch of jobs in one worker's hands.
#[derive(Debug)]
pub struct Claim {
    pub id: ClaimId,
    pub jobs: Vec<Claimed>,
}

/// One claimed job with what is needed to send it.
#[derive(Debug)]
pub struct Claimed {
    pub job: Job,
    pub expires_at: Option<Timestamp>,
    /// A provider or its feedback already shows that the message went: an earlier attempt of
    /// unknown outcome is resolved, and nothing is to be sent.
    pub has_gone: bool,
    /// `None` when the stored message cannot be read any more.
    pub message: Option<Outgoing>,
}

/// A job row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: NotificationId,
    pub method: Method,
    pub lane: u8,
    /// Attempts made so far.
    pub attempts: u32,
    /// Attempts that count against the limit.
    pub failures: u32,
}

/// What to claim.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub worker: &'a str,
    pub provider: &'a str,
    pub method: Method,
    pub limit: usize,
    pub lease: Duration,
}

/// Jobs waiting in one lane.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    pub method: Method,
    pub lane: Priority,
    pub waiting: i64,
    /// When the job that has been due for longest was due; later than now when none is due yet.
    pub oldest_due_at: Timestamp,
}

/// Dead claims taken up in one transaction; each may hold a whole batch.
const RESCUED_CLAIMS_MAX: i64 = 10;

impl Store {
    /// Takes up to `limit` due jobs, higher lanes first. The claim is committed, and with it the
    /// record that an attempt may begin, before any provider is called.
    pub async fn claim(&self, wanted: Wanted<'_>) -> Result<Option<Claim>, Error> {
        super::again(|| self.claim_once(wanted)).await
    }

    async fn claim_once(&self, wanted: Wanted<'_>) -> Result<Option<Claim>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let mut jobs = Vec::new();
        for lane in Priority::ALL {
            let left = wanted.limit.saturating_sub(jobs.len());
            if left > 0 {
                jobs.append(&mut take_due(&mut tx, wanted.method, lane, now, left).await?);
            }
        }
        if jobs.is_empty() {
            return Ok(None);
        }
        let id = ClaimId::new(self.clock.new_uuid(now));
        let stmt = sql(
            "INSERT INTO claims (id, worker, provider, claimed_at, lease_until, jobs) VALUES (",
        )
        .bind(id.uuid())
        .push(", ")
        .bind(wanted.worker)
        .push(", ")
        .bind(wanted.provider)
        .push(", ")
        .bind(now)
        .push(", ")
        .bind(now.plus(wanted.lease))
        .push(", ")
        .bind(jobs_as_json(&jobs))
        .push(")");
        tx.execute(stmt).await?;
        let jobs = load(&mut tx, jobs).await?;
        fault::at(Step::Claiming);
        tx.commit().await?;
        fault::at(Step::Claimed);
        Ok(Some(Claim { id, jobs }))
    }

    /// Heartbeat: extends these claims. Returns those that are still there.
    pub async fn extend_claims(
        &self,
        held: &[ClaimId],
        lease: Duration,
    ) -> Result<Vec<ClaimId>, Error> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        super::again(async || {
            let mut tx = self.db.write().await?;
            // Locked in the order in which recorders lock them.
            let stmt = sql("WITH mine AS MATERIALIZED (SELECT c.id FROM ")
                .rows(Rows::of_ids(held.iter().map(|claim| claim.uuid())))
                .push(" JOIN claims c ON c.id = b.id ORDER BY c.id")
                .push(tx.dialect().lock(" FOR UPDATE OF c"))
                .push(") UPDATE claims SET lease_until = ")
                .bind(self.clock.now().plus(lease))
                .push(" WHERE id IN (SELECT id FROM mine) RETURNING id");
            let mut alive = Vec::new();
            for row in tx.all(stmt).await? {
                alive.push(ClaimId::new(row.id("id")?));
            }
            tx.commit().await?;
            Ok(alive)
        })
        .await
    }

    /// Takes up the claims whose lease ran out: their jobs without an outcome become attempts of
    /// unknown outcome, tried again after `grace` unless feedback shows meanwhile that they went.
    /// Returns how many jobs came back.
    pub async fn rescue(&self, grace: Duration) -> Result<usize, Error> {
        super::again(|| self.rescue_once(grace)).await
    }

    async fn rescue_once(&self, grace: Duration) -> Result<usize, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql("WITH dead AS MATERIALIZED (SELECT id FROM claims WHERE lease_until < ")
            .bind(now)
            .push(" ORDER BY lease_until LIMIT ")
            .bind(RESCUED_CLAIMS_MAX)
            .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
            .push(
                ") DELETE FROM claims WHERE id IN (SELECT id FROM dead) \
                 RETURNING provider, claimed_at, jobs",
            );
        let mut rescued = 0;
        for row in tx.all(stmt).await? {
            let jobs = jobs_from_json(&row.opt_json("jobs")?.unwrap_or_default())?;
            let lost = without_outcome(&mut tx, jobs).await?;
            rescued += lost.len();
            let dead = record::Dead {
                provider: &row.text("provider")?,
                claimed_at: row.time("claimed_at")?,
                due_at: now.plus(grace),
            };
            record::as_unknown(&mut tx, &lost, dead, now).await?;
            fault::at(Step::Rescuing);
        }
        tx.commit().await?;
        if rescued > 0 {
            fault::at(Step::Rescued);
        }
        Ok(rescued)
    }

    /// Takes a waiting job out of the queue and records the cancellation. `false` when there is
    /// nothing to cancel: it is in a worker's hands, it is done, or it is known to have gone.
    pub async fn cancel(&self, business: &str, id: NotificationId) -> Result<bool, Error> {
        super::again(|| self.cancel_once(business, id)).await
    }

    async fn cancel_once(&self, business: &str, id: NotificationId) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM jobs WHERE id = ")
            .bind(id.uuid())
            .push(
                " AND NOT EXISTS (SELECT 1 FROM delivery_facts f WHERE f.notification_id = jobs.id \
                 AND coalesce(f.sent_at, f.delivered_at, f.opened_first_at, f.clicked_first_at, \
                 f.complained_at, f.bounced_at) IS NOT NULL) \
                 AND EXISTS (SELECT 1 FROM contact_log l WHERE l.id = jobs.id AND l.business_id = ",
            )
            .bind(business)
            .push(")");
        if tx.execute(stmt).await? == 0 {
            return Ok(false);
        }
        let now = self.clock.now();
        facts::merge(&mut tx, &[cancellation(id, now)], now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// How many jobs wait, and for how long.
    pub async fn depth(&self) -> Result<Vec<Depth>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT method, lane, CAST(COUNT(*) AS bigint) AS waiting, \
             MIN(due_at) AS oldest FROM jobs GROUP BY method, lane");
        let mut depths = Vec::new();
        for row in tx.all(stmt).await? {
            let lane = row.int("lane")?;
            let lane = Priority::ALL
                .into_iter()
                .find(|p| i64::from(p.lane()) == lane);
            depths.push(Depth {
                method: row.word("method", Method::parse)?,
                lane: lane.ok_or_else(|| Error::corrupt("lane", "no such lane"))?,
                waiting: row.int("waiting")?,
                oldest_due_at: row.time("oldest")?,
            });
        }
        Ok(depths)
    }

    /// When the next job of this method is due; `None` when none waits.
    pub async fn next_due(&self, method: Method) -> Result<Option<Timestamp>, Error> {
        let mut tx = self.db.read().await?;
        let mut next = None;
        for lane in Priority::ALL {
            let stmt = sql("SELECT due_at FROM jobs WHERE method = ")
                .bind(method.as_str())
                .push(" AND lane = ")
                .bind(i64::from(lane.lane()))
                .push(" ORDER BY due_at LIMIT 1");
            if let Some(row) = tx.optional(stmt).await? {
                let due = row.time("due_at")?;
                next = Some(next.map_or(due, |known: Timestamp| known.min(due)));
            }
        }
        Ok(next)
    }
}

fn cancellation(id: NotificationId, now: Timestamp) -> Event {
    let failure = Failure {
        category: Category::Cancelled,
        code: None,
        provider_text: None,
    };
    Event {
        notification: id,
        key: EventKey::of_giving_up(),
        occurred_at: now,
        source: "application".to_owned(),
        what: What::GaveUp(failure),
    }
}

/// Deletes due jobs of a lane and returns them, the longest due first.
async fn take_due(
    tx: &mut Tx,
    method: Method,
    lane: Priority,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Job>, Error> {
    let stmt = sql("WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE method = ")
        .bind(method.as_str())
        .push(" AND lane = ")
        .bind(i64::from(lane.lane()))
        .push(" AND due_at <= ")
        .bind(now)
        .push(" ORDER BY due_at, id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
        .push(
            ") DELETE FROM jobs WHERE id IN (SELECT id FROM due) \
             RETURNING id, method, lane, due_at, attempts, failures",
        );
    let mut jobs = Vec::new();
    for row in tx.all(stmt).await? {
        let job = Job {
            id: NotificationId::new(row.id("id")?),
            method: row.word("method", Method::parse)?,
            lane: small(row.int("lane")?),
            attempts: small(row.int("attempts")?),
            failures: small(row.int("failures")?),
        };
        jobs.push((row.time("due_at")?, job));
    }
    jobs.sort_unstable_by_key(|(due_at, job)| (*due_at, job.id));
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

/// A counter that never reaches the limit of its type in practice.
fn small<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

/// The messages of claimed jobs, in the order of the jobs.
async fn load(tx: &mut Tx, jobs: Vec<Job>) -> Result<Vec<Claimed>, Error> {
    let stmt = sql(
        "SELECT l.id, l.method, l.address, l.expires_at, m.subject, m.text, m.html, \
         m.data, f.sent_at, \
         coalesce(f.delivered_at, f.opened_first_at, f.clicked_first_at, f.complained_at, \
         f.bounced_at) AS evidence_at FROM ",
    )
    .rows(Rows::of_ids(jobs.iter().map(|job| job.id.uuid())))
    .push(
        " JOIN contact_log l ON l.id = b.id \
         LEFT JOIN message_content m ON m.id = l.content_id \
         LEFT JOIN delivery_facts f ON f.notification_id = l.id",
    );
    let mut found = std::collections::BTreeMap::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("id")?);
        let method = row.word("method", Method::parse)?;
        let has_gone = row.opt_time("sent_at")?.is_some() || row.opt_time("evidence_at")?.is_some();
        let to = Address::parse(method, &row.opt_text("address")?.unwrap_or_default()).ok();
        // What cannot be read must not hold up the rest of the batch.
        let message = match (to, history::content(&row, method)) {
            (Some(to), Ok(Some(content))) => Some(Outgoing { id, to, content }),
            _ => None,
        };
        found.insert(id, (row.opt_time("expires_at")?, has_gone, message));
    }
    let claimed = jobs.into_iter().map(|job| {
        let (expires_at, has_gone, message) = found.remove(&job.id).unwrap_or((None, false, None));
        Claimed {
            job,
            expires_at,
            has_gone,
            message,
        }
    });
    Ok(claimed.collect())
}

/// The jobs of a dead claim whose attempt has no outcome on record.
async fn without_outcome(tx: &mut Tx, jobs: Vec<Job>) -> Result<Vec<Job>, Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("attempt", Kind::Int)]);
    for job in &jobs {
        rows.add([job.id.uuid().into(), i64::from(job.attempts + 1).into()]);
    }
    let stmt = sql("SELECT a.notification_id FROM ")
        .rows(rows)
        .push(" JOIN delivery_attempts a ON a.notification_id = b.id AND a.attempt = b.attempt");
    let mut known = BTreeSet::new();
    for row in tx.all(stmt).await? {
        known.insert(NotificationId::new(row.id("notification_id")?));
    }
    Ok(jobs
        .into_iter()
        .filter(|job| !known.contains(&job.id))
        .collect())
}

/// Puts jobs into the queue.
pub(super) fn insert(jobs: impl IntoIterator<Item = (Job, Timestamp)>) -> Stmt {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("method", Kind::Text),
        ("lane", Kind::Int),
        ("due_at", Kind::Time),
        ("attempts", Kind::Int),
        ("failures", Kind::Int),
    ]);
    for (job, due_at) in jobs {
        rows.add([
            job.id.uuid().into(),
            job.method.as_str().into(),
            i64::from(job.lane).into(),
            due_at.into(),
            i64::from(job.attempts).into(),
            i64::from(job.failures).into(),
        ]);
    }
    sql(
        "INSERT INTO jobs (id, method, lane, due_at, attempts, failures) \
         SELECT b.id, b.method, b.lane, b.due_at, b.attempts, b.failures FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (id) DO NOTHING")
}

pub(super) fn jobs_as_json(jobs: &[Job]) -> Json {
    jobs.iter()
        .map(|job| {
            json!([
                job.id.to_string(),
                job.method.as_str(),
                job.lane,
                job.attempts,
                job.failures
            ])
        })
        .collect()
}

fn jobs_from_json(jobs: &Json) -> Result<Vec<Job>, Error> {
    type Fields = (Uuid, String, u8, u32, u32);
    let jobs: Vec<Fields> =
        serde::Deserialize::deserialize(jobs).map_err(|e| Error::corrupt("jobs", e))?;
    jobs.into_iter()
        .map(|(id, method, lane, attempts, failures)| {
            let method = Method::parse(&method)
                .ok_or_else(|| Error::corrupt("jobs", format!("unknown method {method:?}")))?;
            Ok(Job {
                id: NotificationId::new(id),
                method,
                lane,
                attempts,
                failures,
            })
        })
        .collect()
}
