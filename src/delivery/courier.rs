//! One provider's courier: keeps its hands full of claimed jobs, as many as the provider is fast
//! enough for, and sends many at a time. While another provider has the traffic it waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::Worker;
use super::held::Held;
use super::keeper::moment;
use super::pace::Ticket;
use super::policy::{Policy, Situation};
use super::recorder::{self, Report};
use super::route::{Clearance, Route, Turn};
use crate::domain::event::Failure;
use crate::domain::id::ClaimId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::method::Method;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::store::jobs::{Claimed, Wanted};
use crate::store::record::{Done, Then, Tried};
use crate::transport::{Transport, segments};

/// After the database failed, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often to look whether the traffic is ours, or a rest is over, when nobody calls.
const TURN_EVERY: Duration = Duration::from_millis(250);
/// The longest wait for the rate before looking again whether the message may still be sent.
const CLEARANCE_EVERY: Duration = Duration::from_millis(100);
/// How long the start waits for the provider's quota.
const QUOTA_WAIT: Duration = Duration::from_secs(5);
/// When the traffic has moved on from a provider that failed, its messages follow after this.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Courier {
    worker: Worker,
    held: Held,
    method: Method,
    transport: Transport,
    policy: Policy,
    route: Arc<Route>,
    /// The provider's place in the route.
    line: usize,
    /// Jobs claimed and not yet done with.
    in_hand: Arc<AtomicUsize>,
    /// When no more than so many wait in our hands, more can be claimed.
    few: AtomicUsize,
    /// Told when they have become few, or none is left.
    fewer: Notify,
}

/// A claimed job on its way to a sender.
struct Parcel {
    claim: ClaimId,
    claimed: Claimed,
    _in_hand: InHand,
}

/// Counts a job as in our hands for as long as it exists.
struct InHand(Arc<AtomicUsize>);

impl InHand {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to become of a parcel.
enum Verdict {
    /// No provider needs to be called.
    Decided,
    Send(Ticket),
    /// Back into the queue.
    Release,
}

impl Courier {
    pub(super) fn new(
        worker: Worker,
        held: Held,
        method: Method,
        transport: Transport,
        (route, line): (Arc<Route>, usize),
    ) -> Arc<Self> {
        let policy = worker.settings.policy();
        Arc::new(Self {
            worker,
            held,
            method,
            transport,
            policy,
            route,
            line,
            in_hand: Arc::default(),
            few: AtomicUsize::new(0),
            fewer: Notify::new(),
        })
    }

    /// Works until it is told to stop; returns when everything it held is recorded or released.
    /// Nothing is claimed before `begun` (it is known what operators paused) and, for a while, `asked`
    /// (the provider's quota).
    pub(super) async fn run(
        self: Arc<Self>,
        begun: CancellationToken,
        asked: CancellationToken,
        stop: CancellationToken,
    ) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = begun.cancelled() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = asked.cancelled() => {}
            () = tokio::time::sleep(QUOTA_WAIT) => {}
        }
        let batch = self.worker.settings.batch;
        // Two batches in hand: one being sent, one claimed meanwhile.
        let (parcels, waiting) = mpsc::channel::<Parcel>(batch * 2);
        // One batch being recorded, one gathered meanwhile: what waits here is sent once more after
        // a kill.
        let (reports, reported) = mpsc::channel::<Report>(batch);
        let recorder = tokio::spawn(recorder::run(
            self.worker.clone(),
            self.held.clone(),
            self.method,
            reported,
        ));
        let dispatcher =
            tokio::spawn(Arc::clone(&self).dispatch(waiting, reports.clone(), stop.clone()));
        self.claim(parcels, reports, &stop).await;
        for task in [dispatcher, recorder] {
            if let Err(failed) = task.await {
                // The words of a panic may hold what must not be logged.
                let panicked = failed.is_panic();
                error!(method = %self.method, panicked, "a task of the courier failed");
            }
        }
    }

    /// Claims a batch whenever it is our turn and there is room for one.
    async fn claim(
        &self,
        parcels: mpsc::Sender<Parcel>,
        reports: mpsc::Sender<Report>,
        stop: &CancellationToken,
    ) {
        while !stop.is_cancelled() {
            let limit = tokio::select! {
                () = stop.cancelled() => break,
                limit = self.room(&parcels) => limit,
            };
            let wanted = Wanted {
                worker: &self.worker.name,
                provider: self.transport.name(),
                method: self.method,
                limit,
                lease: self.worker.settings.lease(),
            };
            // From here on, so that work enqueued while we look is not overlooked.
            let woken = self.worker.woken.notified();
            let asked_at = self.worker.clock.now();
            match self.worker.store.claim(wanted).await {
                Ok(Some(claim)) => {
                    self.held.add(claim.id, asked_at.plus(wanted.lease));
                    let in_hand: Vec<InHand> = claim
                        .jobs
                        .iter()
                        .map(|_| InHand::new(&self.in_hand))
                        .collect();
                    let jobs = claim.jobs.iter().map(|claimed| claimed.job).collect();
                    // The recorder hears of a claim before it hears of any of its jobs.
                    let told = Report::Claimed {
                        claim: claim.id,
                        jobs,
                    };
                    if reports.send(told).await.is_err() {
                        break;
                    }
                    for (claimed, in_hand) in claim.jobs.into_iter().zip(in_hand) {
                        let parcel = Parcel {
                            claim: claim.id,
                            claimed,
                            _in_hand: in_hand,
                        };
                        // There is room, and the dispatcher is there until we are gone.
                        parcels.send(parcel).await.ok();
                    }
                }
                Ok(None) => {
                    let poll = Duration::from_millis(self.worker.settings.poll_ms);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = woken => {}
                        () = tokio::time::sleep(poll) => {}
                    }
                }
                Err(failed) => {
                    warn!(method = %self.method, error = %failed, "cannot claim");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// How many jobs to claim, once it is our turn and what waits in our hands is no more than that.
    async fn room(&self, parcels: &mpsc::Sender<Parcel>) -> usize {
        let batch = self.worker.settings.batch;
        let lease = self.worker.settings.lease();
        loop {
            let (changed, fewer) = (self.route.changed.notified(), self.fewer.notified());
            match self.route.turn(self.line, lease, Instant::now()) {
                Turn::Upto(limit) => {
                    let limit = limit.unwrap_or(batch).min(batch);
                    self.few.store(limit, Ordering::Relaxed);
                    if parcels.max_capacity() - parcels.capacity() <= limit {
                        return limit;
                    }
                }
                Turn::One if self.in_hand.load(Ordering::Relaxed) == 0 => return 1,
                Turn::One | Turn::None => {}
            }
            tokio::select! {
                () = changed => {}
                () = fewer => {}
                () = tokio::time::sleep(TURN_EVERY) => {}
            }
        }
    }

    /// Hands parcels to senders, at most `concurrency` at a time and no faster than the provider takes
    /// them.
    async fn dispatch(
        self: Arc<Self>,
        mut waiting: mpsc::Receiver<Parcel>,
        reports: mpsc::Sender<Report>,
        stop: CancellationToken,
    ) {
        let concurrency = self.worker.settings.concurrency;
        let senders = Arc::new(Semaphore::new(concurrency));
        let in_flight = TaskTracker::new();
        while let Some(parcel) = waiting.recv().await {
            if waiting.len() <= self.few.load(Ordering::Relaxed) {
                self.fewer.notify_one();
            }
            let Ok(permit) = Arc::clone(&senders).acquire_owned().await else {
                break;
            };
            let others = || concurrency.saturating_sub(senders.available_permits() + 1);
            let ticket = match self.verdict(&parcel, others, &stop).await {
                Verdict::Send(ticket) => Some(ticket),
                Verdict::Decided => None,
                Verdict::Release => {
                    if reports.send(Report::Done(self.release(&parcel))).await.is_err() {
                        break;
                    }
                    continue;
                }
            };
            let (courier, reports) = (Arc::clone(&self), reports.clone());
            in_flight.spawn(courier.deliver(parcel, ticket, permit, reports));
        }
        in_flight.close();
        in_flight.wait().await;
    }

    /// Waits until the parcel may be sent, or may not any more.
    async fn verdict(
        &self,
        parcel: &Parcel,
        others: impl Fn() -> usize,
        stop: &CancellationToken,
    ) -> Verdict {
        loop {
            let now = moment(&self.worker);
            if stop.is_cancelled() || !self.held.is_sure_of(parcel.claim, now.time) {
                return Verdict::Release;
            }
            let message = match &parcel.claimed.message {
                Some(message) if self.without_sending(&parcel.claimed).is_none() => message,
                Some(_) | None => return Verdict::Decided,
            };
            let clearance = self
                .route
                .clearance(self.line, units(message), others(), now.ticks);
            match clearance {
                Clearance::Now(ticket) => return Verdict::Send(ticket),
                Clearance::No => return Verdict::Release,
                Clearance::Wait(wait) => tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(wait.min(CLEARANCE_EVERY)) => {}
                },
            }
        }
    }

    /// Back into the queue untouched; if the claim was taken over, it is there already.
    fn release(&self, parcel: &Parcel) -> Done {
        Done {
            claim: parcel.claim,
            job: parcel.claimed.job,
            tried: None,
            then: Then::Again {
                due_at: self.worker.clock.now(),
            },
        }
    }

    /// One attempt, step by step.
    async fn deliver(
        self: Arc<Self>,
        parcel: Parcel,
        ticket: Option<Ticket>,
        permit: OwnedSemaphorePermit,
        reports: mpsc::Sender<Report>,
    ) {
        let Parcel {
            claim,
            claimed,
            _in_hand: in_hand,
        } = parcel;
        let job = claimed.job;
        let (tried, then) = match (ticket, self.without_sending(&claimed)) {
            (_, Some(then)) => (None, then),
            (Some(ticket), None) => self.send(claimed, ticket).await,
            // The clock was set back since it was found expired.
            (None, None) => (
                None,
                Then::Again {
                    due_at: self.worker.clock.now(),
                },
            ),
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
        drop(in_hand);
        if self.in_hand.load(Ordering::Relaxed) == 0 {
            self.fewer.notify_one();
        }
        // Only now, so that no more is sent while the database is slower than the provider.
        drop(permit);
    }

    /// Decides the jobs for which no provider is to be called.
    fn without_sending(&self, claimed: &Claimed) -> Option<Then> {
        if claimed.has_gone {
            return Some(Then::Settled);
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

    async fn send(&self, claimed: Claimed, ticket: Ticket) -> (Option<Tried>, Then) {
        let Some(message) = &claimed.message else {
            return (None, Then::Settled);
        };
        let started_at = self.worker.clock.now();
        let outcome = survived(self.transport.send(message)).await;
        let now = moment(&self.worker);
        let word = outcome.as_str();
        let provider = self.transport.name();
        let took = now.time.since(started_at);
        self.worker.metrics.attempt(self.method, provider, word, took);
        self.route.ended(self.line, ticket, &outcome, now);
        let (code, text) = words(&outcome);
        let tried = Tried {
            provider,
            started_at,
            finished_at: now.time,
            outcome: word,
            counts: !matches!(outcome, Outcome::Throttled { .. } | Outcome::Broken { .. }),
            code,
            text,
        };
        let may_follow = may_follow(&outcome) && self.route.has_moved_on_from(self.line);
        let situation = Situation {
            failures: claimed.job.failures,
            attempts: claimed.job.attempts,
            now: now.time,
            expires_at: claimed.expires_at,
            opens_tracked: self.transport.opens_tracked(&message.content),
        };
        let then = match self.policy.follow(of_the_message(outcome), situation) {
            Then::Again { due_at } if may_follow => Then::Again {
                due_at: due_at.min(now.time.plus(FOLLOW_WAIT)),
            },
            then => then,
        };
        (Some(tried), then)
    }
}

/// What the provider's rate counts: messages, of SMS the segments.
fn units(message: &Outgoing) -> f64 {
    match &message.content {
        Content::Sms { text } => u32::try_from(segments::count(text)).map_or(f64::MAX, f64::from),
        Content::Email { .. } | Content::Push { .. } => 1.0,
    }
}

/// It surely has not gone, and not because of what it is: another provider may have it at once.
fn may_follow(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::TryLater { why, .. } => !why.of_the_message,
        Outcome::Throttled { .. } => true,
        // What broke one provider may be this message; what is unknown may have gone.
        Outcome::Broken { .. } | Outcome::Unknown { .. } => false,
        Outcome::Accepted { .. } | Outcome::Rejected(_) => false,
    }
}

/// How long to wait for the rate is the provider's matter: the route holds all of its messages back,
/// and this one need not wait for longer than the others.
fn of_the_message(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Throttled { why, .. } => Outcome::Throttled { after: None, why },
        outcome => outcome,
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
