//! One method's courier: keeps its hands full of claimed jobs and sends many at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::futures::Notified;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::Worker;
use super::files::Files;
use super::held::{Held, Moment};
use super::load::{CLAIM_BYTES_MAX, Load, Share};
use super::policy::{Policy, Situation};
use super::recorder::{self, Report};
use crate::domain::event::Failure;
use crate::domain::id::ClaimId;
use crate::domain::method::Method;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::fault::{self, Step};
use crate::store::jobs::{Claimed, Wanted};
use crate::store::record::{Done, Then, Tried};
use crate::transport::Transport;

/// After the database failed, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Courier {
    worker: Worker,
    held: Held,
    method: Method,
    transport: Transport,
    policy: Policy,
    files: Files,
    load: Load,
    /// Set while the provider rests because its credentials or set-up do not work.
    rests_until: Arc<AtomicI64>,
}

/// A claimed job on its way to a sender.
struct Parcel {
    claim: ClaimId,
    claimed: Claimed,
    /// Of what may be in our hands, while it is.
    _share: Share,
}

impl Courier {
    pub(super) fn new(
        worker: Worker,
        held: Held,
        method: Method,
        transport: Transport,
    ) -> Arc<Self> {
        let policy = worker.settings.policy();
        let files = Files::new(worker.store.clone(), worker.clock.clone());
        Arc::new(Self {
            worker,
            held,
            method,
            transport,
            policy,
            files,
            load: Load::default(),
            rests_until: Arc::default(),
        })
    }

    /// Works until it is told to stop; returns when everything it held is recorded or released.
    /// Where one of its tasks fails, it stops the others and returns before it is told to.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let batch = self.worker.settings.batch;
        // Two batches in hand: one being sent, one claimed meanwhile.
        let (parcels, waiting) = mpsc::channel::<Parcel>(batch * 2);
        // One batch being recorded, one gathered meanwhile: what waits here is sent once more after
        // a kill.
        let (reports, reported) = mpsc::channel::<Report>(batch);
        let mut tasks = JoinSet::new();
        tasks.spawn(recorder::run(
            self.worker.clone(),
            self.held.clone(),
            self.method,
            reported,
        ));
        let dispatch = Arc::clone(&self).dispatch(waiting, reports.clone(), stop.clone());
        tasks.spawn(dispatch);
        tasks.spawn(self.claim(parcels, reports, stop.clone()));
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                stop.cancel();
            }
        }
    }

    /// Claims a batch whenever there is room for one.
    async fn claim(
        self: Arc<Self>,
        parcels: mpsc::Sender<Parcel>,
        reports: mpsc::Sender<Report>,
        stop: CancellationToken,
    ) {
        let batch = self.worker.settings.batch;
        while !stop.is_cancelled() {
            self.rest(&stop).await;
            let space = tokio::select! {
                () = stop.cancelled() => break,
                space = self.load.space() => space,
            };
            let room = tokio::select! {
                () = stop.cancelled() => break,
                room = parcels.reserve_many(batch) => room,
            };
            let Ok(room) = room else { break };
            let wanted = Wanted {
                worker: &self.worker.name,
                provider: self.transport.name(),
                method: self.method,
                limit: batch,
                bytes_max: CLAIM_BYTES_MAX,
                lease: self.worker.settings.lease(),
            };
            // From here on, so that work enqueued while we look is not overlooked.
            let woken = self.worker.woken.notified();
            let asked = Moment::now(&self.worker.clock);
            match self.worker.store.claim(wanted).await {
                Ok(Some(claim)) => {
                    self.held.add(claim.id, asked);
                    let jobs = claim.jobs.iter().map(|claimed| claimed.job).collect();
                    // The recorder hears of a claim before it hears of any of its jobs.
                    if reports
                        .send(Report::Claimed {
                            claim: claim.id,
                            jobs,
                        })
                        .await
                        .is_err()
                    {
                        break;
                    }
                    let bytes = claim.jobs.iter().map(|claimed| claimed.bytes);
                    let shares = self.load.divide(space, bytes.collect()).await;
                    for ((slot, claimed), share) in room.zip(claim.jobs).zip(shares) {
                        slot.send(Parcel {
                            claim: claim.id,
                            claimed,
                            _share: share,
                        });
                    }
                }
                Ok(None) => {
                    drop(room);
                    self.idle(woken, &stop).await;
                }
                Err(failed) => {
                    drop(room);
                    warn!(method = %self.method, error = %failed, "cannot claim");
                    self.pause(STORE_PAUSE, &stop).await;
                }
            }
        }
    }

    /// Waits until somebody enqueues, the next poll, or the end.
    async fn idle(&self, woken: Notified<'_>, stop: &CancellationToken) {
        let poll = Duration::from_millis(self.worker.settings.poll_ms);
        tokio::select! {
            () = stop.cancelled() => {}
            () = woken => {}
            () = tokio::time::sleep(poll) => {}
        }
    }

    async fn pause(&self, span: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(span) => {}
        }
    }

    /// Waits while the provider rests.
    async fn rest(&self, stop: &CancellationToken) {
        while let Some(until) = self.resting() {
            if stop.is_cancelled() {
                return;
            }
            self.pause(until.since(self.worker.clock.now()).min(STORE_PAUSE), stop)
                .await;
        }
    }

    fn resting(&self) -> Option<Timestamp> {
        let until = Timestamp::from_millis(self.rests_until.load(Ordering::Relaxed));
        (until > self.worker.clock.now()).then_some(until)
    }

    /// Hands parcels to senders, at most `concurrency` at a time.
    async fn dispatch(
        self: Arc<Self>,
        mut waiting: mpsc::Receiver<Parcel>,
        reports: mpsc::Sender<Report>,
        stop: CancellationToken,
    ) {
        let senders = Arc::new(Semaphore::new(self.worker.settings.concurrency));
        let in_flight = TaskTracker::new();
        while let Some(parcel) = waiting.recv().await {
            let Ok(permit) = Arc::clone(&senders).acquire_owned().await else {
                break;
            };
            let now = Moment::now(&self.worker.clock);
            let is_ours = self.held.is_sure_of(parcel.claim, now);
            if stop.is_cancelled() || self.resting().is_some() || !is_ours {
                let done = self.release(&parcel);
                if reports.send(Report::Done(done)).await.is_err() {
                    break;
                }
                continue;
            }
            let claim = parcel.claim;
            let delivery = Arc::clone(&self).deliver(parcel, permit, reports.clone());
            in_flight.spawn(Arc::clone(&self).noticed(claim, delivery));
        }
        in_flight.close();
        in_flight.wait().await;
    }

    /// A delivery that panics reports nothing: without our heartbeat its claim runs out.
    async fn noticed(self: Arc<Self>, claim: ClaimId, delivery: impl Future<Output = ()>) {
        if AssertUnwindSafe(delivery).catch_unwind().await.is_err() {
            error!(method = %self.method, "a delivery panicked; this is a mistake in the program");
            self.held.remove(claim);
        }
    }

    /// Back into the queue untouched; if the claim was taken over, it is there already.
    fn release(&self, parcel: &Parcel) -> Done {
        let due_at = self.resting().unwrap_or_else(|| self.worker.clock.now());
        let job = parcel.claimed.job;
        Done {
            claim: parcel.claim,
            job,
            tried: None,
            then: Then::Again { due_at },
        }
    }

    /// One attempt, step by step.
    async fn deliver(
        self: Arc<Self>,
        parcel: Parcel,
        permit: OwnedSemaphorePermit,
        reports: mpsc::Sender<Report>,
    ) {
        let Parcel {
            claim,
            claimed,
            _share,
        } = parcel;
        let job = claimed.job;
        let (tried, then) = match self.without_sending(&claimed) {
            Some(then) => (None, then),
            None => self.send(claimed).await,
        };
        // The recorder is there until the last sender is gone.
        reports
            .send(Report::Done(Done {
                claim,
                job,
                tried,
                then,
            }))
            .await
            .ok();
        // Only now, so that no more is sent while the database is slower than the provider.
        drop(permit);
    }

    /// Decides the jobs for which no provider is to be called.
    fn without_sending(&self, claimed: &Claimed) -> Option<Then> {
        if claimed.has_gone {
            return Some(Then::Settled);
        }
        if let Some(bar) = claimed.bar {
            return Some(Then::GaveUp(bar.failure()));
        }
        let failure = |category, code: &str| {
            let code = Some(code.to_owned());
            Some(Then::GaveUp(Failure {
                category,
                code,
                provider_text: None,
            }))
        };
        let expired = claimed
            .expires_at
            .is_some_and(|at| at <= self.worker.clock.now());
        match &claimed.message {
            _ if expired => failure(Category::Expired, "expired"),
            None => failure(Category::Unknown, "unreadable"),
            Some(_) => None,
        }
    }

    async fn send(&self, mut claimed: Claimed) -> (Option<Tried>, Then) {
        let Some(mut message) = self.worker.finish(&mut claimed) else {
            return (None, Then::Settled);
        };
        let _in_memory = match self.files.fetch(&mut message).await {
            Ok(permit) => permit,
            Err(then) => return (None, then),
        };
        let started_at = self.worker.clock.now();
        fault::at(Step::Sending);
        let outcome = survived(self.transport.send(&message)).await;
        fault::at(Step::Answered);
        let finished_at = self.worker.clock.now();
        let word = outcome.as_str();
        self.worker.metrics.attempt(
            self.method,
            self.transport.name(),
            word,
            finished_at.since(started_at),
        );
        let (code, text) = words(&outcome);
        let counts = !matches!(outcome, Outcome::Throttled { .. } | Outcome::Broken { .. });
        if let Outcome::Broken { why } = &outcome {
            self.begin_rest(why);
        }
        let situation = Situation {
            failures: claimed.job.failures,
            attempts: claimed.job.attempts,
            now: finished_at,
            expires_at: claimed.expires_at,
            opens_tracked: self.transport.opens_tracked(&message.content),
        };
        let then = self.policy.follow(outcome, situation);
        let provider = self.transport.name();
        let tried = Tried {
            provider,
            started_at,
            finished_at,
            outcome: word,
            counts,
            code,
            text,
        };
        (Some(tried), then)
    }

    /// The provider rests, and the operator is told once per rest.
    fn begin_rest(&self, why: &Trouble) {
        let already = self.resting().is_some();
        let until = self.worker.clock.now().plus(self.policy.broken_pause);
        self.rests_until.store(until.as_millis(), Ordering::Relaxed);
        if !already {
            error!(
                method = %self.method,
                provider = self.transport.name(),
                code = why.code.as_deref().unwrap_or(""),
                until = %until,
                "the provider does not accept our credentials or set-up; it is paused. Mend its \
                 section of the configuration (see `sendtrail doctor`)"
            );
        }
    }
}

/// A transport that panics must not leave its job in our hands for ever; what it did is not known.
async fn survived(sending: impl Future<Output = Outcome>) -> Outcome {
    let outcome = AssertUnwindSafe(sending).catch_unwind().await;
    outcome.unwrap_or_else(|_its_words_may_hold_data| {
        error!("a transport panicked; this is a mistake in the program");
        let why = "sending broke off because of a mistake in the program";
        Outcome::Unknown {
            why: Trouble::new(Some("panic"), why),
        }
    })
}

/// The provider's code and words, for the attempts table.
fn words(outcome: &Outcome) -> (Option<String>, Option<String>) {
    match outcome {
        Outcome::Accepted { .. } => (None, None),
        Outcome::Rejected(failure) => (failure.code.clone(), failure.provider_text.clone()),
        Outcome::TryLater { why, .. }
        | Outcome::Throttled { why, .. }
        | Outcome::Broken { why }
        | Outcome::Unknown { why } => (why.code.clone(), Some(why.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transport_that_panics_leaves_an_unknown_outcome() {
        let outcome = survived(async { panic!("ana@example.com") }).await;
        assert_eq!(outcome.as_str(), "unknown");
        let accepts = async {
            Outcome::Accepted {
                provider_message_id: None,
            }
        };
        assert_eq!(survived(accepts).await.as_str(), "accepted");
    }
}
