//! Recording what became of claimed jobs: attempts, events, facts, retries, in one commit a batch.

use std::collections::BTreeSet;

use super::claims::Lost;
use super::db::Tx;
use super::jobs::{self, Job};
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store, claims, erased, facts, feedback, held, unmatched};
use crate::clock::Clock;
use crate::domain::event::{Event, EventKey, Failure, What};
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::time::Timestamp;
use crate::domain::trace;
use crate::fault::{self, Step};

/// What became of one claimed job.
#[derive(Clone, Debug)]
pub struct Done {
    pub claim: ClaimId,
    /// As claimed: the counts do not include this attempt.
    pub job: Job,
    /// `None` when no provider was called.
    pub tried: Option<Tried>,
    pub then: Then,
}

/// One attempt, for the attempts table.
#[derive(Clone, Debug)]
pub struct Tried {
    pub provider: &'static str,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// A word of [`crate::domain::outcome::Outcome`].
    pub outcome: &'static str,
    /// It counts against the limit of attempts.
    pub counts: bool,
    /// Who asked us to try later, where that was the outcome.
    pub cause: Option<&'static str>,
    pub code: Option<String>,
    pub text: Option<String>,
}

/// What follows.
#[derive(Clone, Debug)]
pub enum Then {
    Sent {
        provider_message_id: Option<String>,
        opens_tracked: bool,
    },
    /// It will never go: refused by the provider.
    Rejected(Failure),
    /// It will never go: we stopped trying.
    GaveUp(Failure),
    /// Back into the queue.
    Again { due_at: Timestamp },
    /// It may have gone: out of the queue until a person decides, or feedback shows that it did.
    Hold,
    /// It went earlier; nothing is left to do.
    Settled,
}

/// What is left of a claim after a batch was recorded.
#[derive(Clone, Debug)]
pub struct Left {
    pub claim: ClaimId,
    /// Jobs still in the worker's hands; a claim with none is deleted.
    pub jobs: Vec<Job>,
    /// Some job left the claim without an attempt on record, so the row must be rewritten.
    pub rewrite: bool,
}

/// A dead worker's claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead<'a> {
    pub(super) provider: &'a str,
    pub(super) claimed_at: Timestamp,
    pub(super) then: Lost<'a>,
}

impl Store {
    /// Records a batch. Only the holder of a claim may record: what belongs to a claim that was
    /// taken away is dropped, but for the knowledge that a provider accepted a message, which is
    /// added beside what the successor knows. Returns how many were dropped so.
    pub async fn record(&self, batch: &[Done], left: &[Left]) -> Result<usize, Error> {
        super::again(|| self.record_once(batch, left)).await
    }

    async fn record_once(&self, batch: &[Done], left: &[Left]) -> Result<usize, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let held = hold(&mut tx, batch, left).await?;
        let mine: Vec<&Done> = batch
            .iter()
            .filter(|done| held.contains(&done.claim))
            .collect();
        let Unsent { again, hold } = unsent(&mut tx, &mine).await?;
        write_attempts(&mut tx, &mine).await?;
        write_facts(&mut tx, &self.clock, batch, &mine, now).await?;
        if !again.is_empty() {
            tx.execute(jobs::put_back(again, now)).await?;
        }
        if !hold.is_empty() {
            tx.execute(held::insert(hold, now)).await?;
        }
        for left in left.iter().filter(|left| held.contains(&left.claim)) {
            let released = |done: &Done| done.claim == left.claim && done.tried.is_none();
            let rewrite = left.rewrite || batch.iter().any(released);
            shrink(&mut tx, left, rewrite).await?;
        }
        fault::at(Step::Recording);
        tx.commit().await?;
        fault::at(Step::Recorded);
        Ok(batch.len() - mine.len())
    }
}

/// What is to be done on with.
#[derive(Default)]
struct Unsent {
    again: Vec<(Job, Timestamp)>,
    hold: Vec<Job>,
}

/// The jobs that go back into the queue or are held. When the answer to a commit was lost, the same
/// batch comes again, while another worker may have claimed meanwhile what the first commit put back:
/// so only the attempts that are not on record yet count, and of what was released without an
/// attempt, the jobs that their claim still lists.
async fn unsent(tx: &mut Tx, mine: &[&Done]) -> Result<Unsent, Error> {
    let goes_on = |done: &&&Done| matches!(done.then, Then::Again { .. } | Then::Hold);
    let (tried, released): (Vec<&Done>, Vec<&Done>) = mine
        .iter()
        .filter(goes_on)
        .partition(|done| done.tried.is_some());
    let attempted = tried.iter().map(|done| done.job).collect();
    let fresh = claims::without_outcome(tx, attempted).await?;
    let fresh: BTreeSet<NotificationId> = fresh.into_iter().map(|job| job.id).collect();
    let listed = listed(tx, released.iter().map(|done| done.claim).collect()).await?;
    let tried = tried
        .into_iter()
        .filter(|done| fresh.contains(&done.job.id));
    let released = released
        .into_iter()
        .filter(|done| listed.contains(&(done.claim, done.job.id)));
    let mut unsent = Unsent::default();
    for done in tried.chain(released) {
        match done.then {
            Then::Again { due_at } => unsent.again.push((next_job(done), due_at)),
            Then::Hold => unsent.hold.push(next_job(done)),
            Then::Sent { .. } | Then::Rejected(_) | Then::GaveUp(_) | Then::Settled => {}
        }
    }
    Ok(unsent)
}

/// The jobs that these claims list.
async fn listed(
    tx: &mut Tx,
    claims: BTreeSet<ClaimId>,
) -> Result<BTreeSet<(ClaimId, NotificationId)>, Error> {
    let mut listed = BTreeSet::new();
    if claims.is_empty() {
        return Ok(listed);
    }
    let stmt = sql("SELECT c.id, c.jobs FROM ")
        .rows(Rows::of_ids(claims.into_iter().map(ClaimId::uuid)))
        .push(" JOIN claims c ON c.id = b.id");
    for row in tx.all(stmt).await? {
        let claim = ClaimId::new(row.id("id")?);
        let jobs = jobs::from_json(&row.opt_json("jobs")?.unwrap_or_default())?;
        listed.extend(jobs.into_iter().map(|job| (claim, job.id)));
    }
    Ok(listed)
}

/// What remains of a claim after its jobs were recorded.
async fn shrink(tx: &mut Tx, left: &Left, rewrite: bool) -> Result<(), Error> {
    let stmt = if left.jobs.is_empty() {
        sql("DELETE FROM claims WHERE id = ").bind(left.claim.uuid())
    } else if rewrite {
        sql("UPDATE claims SET jobs = ")
            .bind(jobs::as_json(left.jobs.iter().copied()))
            .push(" WHERE id = ")
            .bind(left.claim.uuid())
    } else {
        return Ok(());
    };
    tx.execute(stmt).await?;
    Ok(())
}

/// The claims that are still ours, locked so that no rescuer can take them until we commit.
async fn hold(tx: &mut Tx, batch: &[Done], left: &[Left]) -> Result<BTreeSet<ClaimId>, Error> {
    let claims: BTreeSet<ClaimId> = batch
        .iter()
        .map(|done| done.claim)
        .chain(left.iter().map(|left| left.claim))
        .collect();
    let stmt = sql("SELECT c.id FROM ")
        .rows(Rows::of_ids(claims.into_iter().map(ClaimId::uuid)))
        .push(" JOIN claims c ON c.id = b.id")
        .push(tx.dialect().lock(" ORDER BY c.id FOR UPDATE OF c"));
    let mut held = BTreeSet::new();
    for row in tx.all(stmt).await? {
        held.insert(ClaimId::new(row.id("id")?));
    }
    Ok(held)
}

/// The job as it goes back into the queue.
fn next_job(done: &Done) -> Job {
    let counts = done.tried.as_ref().is_some_and(|tried| tried.counts);
    Job {
        attempts: done.job.attempts + u32::from(done.tried.is_some()),
        failures: done.job.failures + u32::from(counts),
        ..done.job
    }
}

async fn write_attempts(tx: &mut Tx, mine: &[&Done]) -> Result<(), Error> {
    let mut rows = attempt_rows();
    // A provider's words name the recipient.
    let has_words = |done: &&&Done| {
        done.tried
            .as_ref()
            .is_some_and(|tried| tried.text.is_some())
    };
    let with_words = mine.iter().filter(has_words).map(|done| done.job.id);
    let erased = erased::among(tx, with_words.collect()).await?;
    for done in mine {
        let Some(tried) = &done.tried else { continue };
        tx.tell(done.job.id, || Some(step(done, tried)));
        let text = tried
            .text
            .clone()
            .filter(|_| !erased.contains(&done.job.id));
        let next_at = match done.then {
            Then::Again { due_at } => Some(due_at),
            Then::Sent { .. }
            | Then::Rejected(_)
            | Then::GaveUp(_)
            | Then::Hold
            | Then::Settled => None,
        };
        rows.add([
            done.job.id.uuid().into(),
            i64::from(done.job.attempts + 1).into(),
            tried.provider.into(),
            tried.started_at.into(),
            tried.finished_at.into(),
            tried.outcome.into(),
            tried.cause.into(),
            tried.code.clone().into(),
            text.into(),
            next_at.into(),
        ]);
    }
    insert_attempts(tx, rows).await
}

fn step(done: &Done, tried: &Tried) -> trace::Step {
    trace::Step {
        notification: done.job.id,
        began_at: tried.started_at,
        ended_at: tried.finished_at,
        what: trace::Stage::Attempted {
            number: done.job.attempts + 1,
            provider: tried.provider,
            outcome: tried.outcome,
        },
    }
}

fn attempt_rows() -> Rows {
    Rows::new(&[
        ("notification_id", Kind::Id),
        ("attempt", Kind::Int),
        ("provider", Kind::Text),
        ("started_at", Kind::Time),
        ("finished_at", Kind::Time),
        ("outcome", Kind::Text),
        ("cause", Kind::Text),
        ("code", Kind::Text),
        ("text", Kind::Text),
        ("next_at", Kind::Time),
    ])
}

async fn insert_attempts(tx: &mut Tx, rows: Rows) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO delivery_attempts (notification_id, attempt, provider, \
         started_at, finished_at, outcome, cause, code, text, next_at) SELECT b.notification_id, \
         b.attempt, b.provider, b.started_at, b.finished_at, b.outcome, b.cause, b.code, b.text, \
         b.next_at FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (notification_id, attempt) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// Attempts of unknown outcome for the jobs of a dead claim, and the jobs back into the queue or held.
pub(super) async fn as_unknown(
    tx: &mut Tx,
    lost: &[Job],
    dead: Dead<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let due_at = now.plus(dead.then.grace);
    let (mut again, mut held, mut rows) = (Vec::new(), Vec::new(), attempt_rows());
    for job in lost {
        let is_held = dead.then.held.contains(&job.method);
        rows.add([
            job.id.uuid().into(),
            i64::from(job.attempts + 1).into(),
            dead.provider.into(),
            dead.claimed_at.into(),
            now.into(),
            "unknown".into(),
            Option::<String>::None.into(),
            Option::<String>::None.into(),
            "the worker stopped before it could record an outcome".into(),
            (!is_held).then_some(due_at).into(),
        ]);
        let next = Job {
            attempts: job.attempts + 1,
            failures: job.failures + 1,
            ..*job
        };
        if is_held {
            held.push(next);
        } else {
            again.push((next, due_at));
        }
    }
    insert_attempts(tx, rows).await?;
    if !again.is_empty() {
        tx.execute(jobs::put_back(again, now)).await?;
    }
    if !held.is_empty() {
        tx.execute(held::insert(held, now)).await?;
    }
    Ok(())
}

/// Events and facts: acceptances of every claim, failures of those that are ours, and what feedback
/// said of these messages before we knew them.
async fn write_facts(
    tx: &mut Tx,
    clock: &Clock,
    batch: &[Done],
    mine: &[&Done],
    now: Timestamp,
) -> Result<(), Error> {
    let mut events: Vec<Event> = batch.iter().filter_map(acceptance).collect();
    let waiting = unmatched::take(tx, &events).await?;
    events.extend(waiting);
    events.extend(mine.iter().filter_map(|done| failure(done, now)));
    facts::merge(tx, clock, &events, now).await?;
    Ok(())
}

fn acceptance(done: &Done) -> Option<Event> {
    let (
        Then::Sent {
            provider_message_id,
            opens_tracked,
        },
        Some(tried),
    ) = (&done.then, &done.tried)
    else {
        return None;
    };
    Some(Event {
        notification: done.job.id,
        key: EventKey::of_attempt(done.job.attempts + 1),
        occurred_at: tried.finished_at,
        source: tried.provider.to_owned(),
        what: What::Accepted {
            provider: tried.provider.to_owned(),
            provider_message_id: provider_message_id.as_deref().map(feedback::indexed),
            opens_tracked: *opens_tracked,
        },
    })
}

fn failure(done: &Done, now: Timestamp) -> Option<Event> {
    let what = match &done.then {
        Then::Rejected(failure) => What::Rejected(failure.clone()),
        Then::GaveUp(failure) => What::GaveUp(failure.clone()),
        Then::Sent { .. } | Then::Again { .. } | Then::Hold | Then::Settled => return None,
    };
    let (key, occurred_at, source) = match &done.tried {
        Some(tried) => {
            let key = EventKey::of_attempt(done.job.attempts + 1);
            (key, tried.finished_at, tried.provider)
        }
        None => (EventKey::of_giving_up(), now, "worker"),
    };
    Some(Event {
        notification: done.job.id,
        key,
        occurred_at,
        source: source.to_owned(),
        what,
    })
}
