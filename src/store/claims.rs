//! Claims as their workers' signs of life: heartbeats, and the rescue of the jobs of those that have
//! stopped. No clock is compared with another: see decision 9.

use std::collections::BTreeSet;
use std::time::Duration;

use super::db::Tx;
use super::jobs::{self, Job};
use super::record;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store};
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::method::Method;
use crate::fault::{self, Step};

/// A claim as a watcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    pub claim: ClaimId,
    /// Heartbeats so far.
    pub beats: i64,
    /// Without one for so long, its worker is dead.
    pub lease: Duration,
}

/// What becomes of jobs that a dead worker may or may not have sent.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// How long feedback may take to show that they went, before they are sent again.
    pub grace: Duration,
    /// The methods whose jobs are held for a person's decision instead.
    pub held: &'a [Method],
}

/// What a rescue brought back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    pub jobs: usize,
    /// The names of the dead workers.
    pub workers: BTreeSet<String>,
}

/// Claims seen in one look, the oldest first: a dead worker's stay and grow old, while those of the
/// living come and go.
const PULSES_MAX: i64 = 1_000;

impl Store {
    /// Heartbeat: extends these claims. Returns those that are still there.
    pub async fn beat(&self, held: &[ClaimId]) -> Result<Vec<ClaimId>, Error> {
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
                .push(
                    ") UPDATE claims SET beats = beats + 1 \
                     WHERE id IN (SELECT id FROM mine) RETURNING id",
                );
            let mut alive = Vec::new();
            for row in tx.all(stmt).await? {
                alive.push(ClaimId::new(row.id("id")?));
            }
            tx.commit().await?;
            Ok(alive)
        })
        .await
    }

    /// The claims that stand, the oldest first.
    pub async fn pulses(&self) -> Result<Vec<Pulse>, Error> {
        let mut tx = self.db.read().await?;
        let stmt =
            sql("SELECT id, beats, lease_ms FROM claims ORDER BY id LIMIT ").bind(PULSES_MAX);
        let mut pulses = Vec::new();
        for row in tx.all(stmt).await? {
            let lease = u64::try_from(row.int("lease_ms")?).unwrap_or(0);
            pulses.push(Pulse {
                claim: ClaimId::new(row.id("id")?),
                beats: row.int("beats")?,
                lease: Duration::from_millis(lease),
            });
        }
        Ok(pulses)
    }

    /// Takes up these claims, unless there was a sign of life since: their jobs without an outcome
    /// become attempts of unknown outcome. In one transaction: each claim may hold a whole batch, so
    /// give it few.
    pub async fn rescue(&self, dead: &[Pulse], then: Lost<'_>) -> Result<Rescued, Error> {
        if dead.is_empty() {
            return Ok(Rescued::default());
        }
        super::again(|| self.rescue_once(dead, then)).await
    }

    async fn rescue_once(&self, dead: &[Pulse], then: Lost<'_>) -> Result<Rescued, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let mut rows = Rows::new(&[("id", Kind::Id), ("beats", Kind::Int)]);
        for pulse in dead {
            rows.add([pulse.claim.uuid().into(), pulse.beats.into()]);
        }
        let stmt = sql("WITH dead AS MATERIALIZED (SELECT c.id FROM ")
            .rows(rows)
            .push(" JOIN claims c ON c.id = b.id AND c.beats = b.beats ORDER BY c.id")
            .push(tx.dialect().lock(" FOR UPDATE OF c SKIP LOCKED"))
            .push(
                ") DELETE FROM claims WHERE id IN (SELECT id FROM dead) \
                 RETURNING worker, provider, claimed_at, jobs",
            );
        let mut rescued = Rescued::default();
        for row in tx.all(stmt).await? {
            let jobs = jobs::from_json(&row.opt_json("jobs")?.unwrap_or_default())?;
            let lost = without_outcome(&mut tx, jobs).await?;
            rescued.jobs += lost.len();
            rescued.workers.insert(row.text("worker")?);
            let dead = record::Dead {
                provider: &row.text("provider")?,
                claimed_at: row.time("claimed_at")?,
                then,
            };
            record::as_unknown(&mut tx, &lost, dead, now).await?;
            fault::at(Step::Rescuing);
        }
        tx.commit().await?;
        if rescued.jobs > 0 {
            fault::at(Step::Rescued);
        }
        Ok(rescued)
    }
}

/// Those of claimed jobs whose attempt has no outcome on record.
pub(super) async fn without_outcome(tx: &mut Tx, jobs: Vec<Job>) -> Result<Vec<Job>, Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("attempt", Kind::Int)]);
    for job in &jobs {
        rows.add([job.id.uuid().into(), i64::from(job.attempts + 1).into()]);
    }
    if rows.is_empty() {
        return Ok(jobs);
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
