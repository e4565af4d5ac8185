//! One provider's courier: keeps its hands full of claimed jobs, as many as the provider is fast
//! enough for, and sends many at a time. While another provider has the traffic it waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, error};

use super::Worker;
use super::claimer::Parcel;
use super::files::Files;
use super::held::{Held, Moment};
use super::load::Load;
use super::pace::Ticket;
use super::policy::{Policy, Situation};
use super::recorder::{self, Report};
use super::route::{Another, Clearance, Route};
use super::serving::{self, Service, Serving};
use crate::domain::form;
use crate::domain::id::ClaimId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::outcome::{Outcome, Trouble};
use crate::fault::{self, Step};
use crate::store::jobs::Claimed;
use crate::store::record::{Done, Then, Tried};
use crate::telemetry;
use crate::transport::{Transport, segments};

/// The longest wait for the rate before looking again whether the message may still be sent.
const CLEARANCE_EVERY: Duration = Duration::from_millis(100);
/// What was claimed longer ago goes back and is claimed anew: meanwhile its recipient may have left, or
/// feedback may have shown that it went. Only in front of a slow provider does anything wait so long.
const KNOWLEDGE_LASTS: Duration = Duration::from_secs(10);
/// How long the start waits for the provider's quota.
const QUOTA_WAIT: Duration = Duration::from_secs(5);
/// When the traffic has moved on from a provider that failed, its messages follow after this.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);
/// While another provider is well, the first retries come as soon: if this one is down, the traffic
/// will have moved by then.
const EARLY_RETRIES: u32 = 2;

#[derive(Debug)]
pub(super) struct Courier {
    pub(super) worker: Worker,
    pub(super) held: Held,
    pub(super) serving: Serving,
    pub(super) transport: Transport,
    policy: Policy,
    files: Files,
    pub(super) load: Load,
    pub(super) route: Arc<Route>,
    /// The provider's place in the route.
    pub(super) line: usize,
    /// Jobs claimed to see whether the provider is well again, and not yet done with.
    pub(super) probes: Arc<AtomicUsize>,
    /// When no more than so many wait in our hands, more can be claimed.
    pub(super) few: AtomicUsize,
    /// Told when they have become few, or a probe has ended.
    pub(super) fewer: Notify,
}

/// What is to become of a parcel.
enum Verdict {
    /// No provider needs to be called.
    Decided(Then),
    Send(Ticket),
    /// Back into the queue.
    Release,
}

impl Courier {
    pub(super) fn new(
        worker: Worker,
        held: Held,
        serving: Serving,
        transport: Transport,
        (route, line): (Arc<Route>, usize),
    ) -> Arc<Self> {
        let policy = worker.settings.policy(worker.rules.of(serving.method));
        let files = Files::new(worker.store.clone(), worker.clock.clone());
        Arc::new(Self {
            worker,
            held,
            serving,
            transport,
            policy,
            files,
            load: Load::default(),
            route,
            line,
            probes: Arc::default(),
            few: AtomicUsize::new(0),
            fewer: Notify::new(),
        })
    }

    /// Works until it is told to stop; returns when everything it held is recorded or released.
    /// Where one of its tasks fails, it stops the others and returns before it is told to.
    /// Nothing is claimed before `begun` (it is known what operators paused) and, for a while, `asked`
    /// (the provider's quota).
    pub(super) async fn run(
        self: Arc<Self>,
        (begun, asked): (CancellationToken, CancellationToken),
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
        let mut tasks = JoinSet::new();
        tasks.spawn(recorder::run(
            self.worker.clone(),
            self.held.clone(),
            self.serving.method,
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
            let decided = match self.verdict(&parcel, others, &stop).await {
                Verdict::Send(ticket) => Ok(ticket),
                Verdict::Decided(then) => Err(then),
                Verdict::Release => {
                    if reports
                        .send(Report::Done(Self::release(&parcel)))
                        .await
                        .is_err()
                    {
                        break;
                    }
                    continue;
                }
            };
            let (claim, job) = (parcel.claim, parcel.claimed.job);
            let span = telemetry::attempt(job.id, job.attempts + 1, self.transport.name());
            let delivery = Arc::clone(&self).deliver(parcel, decided, permit, reports.clone());
            in_flight.spawn(Arc::clone(&self).noticed(claim, delivery).instrument(span));
        }
        in_flight.close();
        in_flight.wait().await;
    }

    /// A delivery that panics reports nothing: without our heartbeat its claim runs out.
    async fn noticed(self: Arc<Self>, claim: ClaimId, delivery: impl Future<Output = ()>) {
        if AssertUnwindSafe(delivery).catch_unwind().await.is_err() {
            error!(method = %self.serving.method, "a delivery panicked; this is a mistake in the program");
            self.held.remove(claim);
        }
    }

    /// Waits until the parcel may be sent, or may not any more.
    async fn verdict(
        &self,
        parcel: &Parcel,
        others: impl Fn() -> usize,
        stop: &CancellationToken,
    ) -> Verdict {
        loop {
            let now = Moment::now(&self.worker.clock);
            let is_stale = now.steady.saturating_duration_since(parcel.since) > KNOWLEDGE_LASTS;
            if stop.is_cancelled() || is_stale || !self.held.is_sure_of(parcel.claim, now) {
                return Verdict::Release;
            }
            let message = match self.policy.before(&parcel.claimed, now.wall) {
                Ok(message) => message,
                Err(then) => return Verdict::Decided(then),
            };
            let form = message.to.form();
            match self.serving.of(form) {
                Service::Sends => {}
                Service::Refuses => return Verdict::Decided(Then::GaveUp(serving::refusal(form))),
                Service::BySomebodyElse => return Verdict::Release,
            }
            let clearance = self
                .route
                .clearance(self.line, units(message), others(), now.steady);
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

    /// Back into the queue, into the lane where it belongs, else untouched; if the claim was taken over,
    /// it is there already. Not as due by this moment: it may be the clock's jump that made us unsure of
    /// the claim.
    fn release(parcel: &Parcel) -> Done {
        let mut job = parcel.claimed.job;
        if let (Some(message), Some(priority)) =
            (&parcel.claimed.message, form::priority_of(job.lane))
        {
            job.lane = message.to.form().lane(priority);
        }
        Done {
            claim: parcel.claim,
            job,
            tried: None,
            then: Then::Again {
                due_at: parcel.claimed.since,
            },
        }
    }

    /// One attempt, step by step.
    async fn deliver(
        self: Arc<Self>,
        parcel: Parcel,
        decided: Result<Ticket, Then>,
        permit: OwnedSemaphorePermit,
        reports: mpsc::Sender<Report>,
    ) {
        let Parcel {
            claim,
            claimed,
            probe,
            since: _,
            _share,
        } = parcel;
        let job = claimed.job;
        let (tried, then) = match decided {
            Ok(ticket) => self.send(claimed, ticket).await,
            Err(then) => (None, then),
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
        if let Some(probe) = probe {
            drop(probe);
            self.fewer.notify_one();
        }
        // Only now, so that no more is sent while the database is slower than the provider.
        drop(permit);
    }

    async fn send(&self, mut claimed: Claimed, ticket: Ticket) -> (Option<Tried>, Then) {
        let Some(mut message) = self.worker.finish(&mut claimed) else {
            return (None, Then::Settled);
        };
        let _in_memory = match self.files.fetch(&mut message).await {
            Ok(permit) => permit,
            Err(then) => return (None, then),
        };
        let started_at = self.worker.clock.now();
        fault::at(Step::Sending);
        let mut outcome = survived(self.transport.send(&message)).await;
        fault::at(Step::Answered);
        let now = Moment::now(&self.worker.clock);
        let word = outcome.as_str();
        let provider = self.transport.name();
        let took = now.wall.since(started_at);
        if !matches!(outcome, Outcome::Accepted { .. }) {
            debug!(outcome = word, "an attempt failed");
        }
        self.worker
            .metrics
            .attempt(self.serving.method, provider, word, took);
        self.route.ended(self.line, ticket, &outcome, now);
        let (code, text) = words(&outcome);
        let another = self.route.another(self.line, now.steady);
        let may_follow = may_follow(&outcome) && another != Another::None;
        let follows = may_follow && another == Another::HasTheTraffic;
        // A message that only showed that this one still rests must not use itself up by it.
        let counts = match &outcome {
            Outcome::Throttled { .. } | Outcome::Broken { .. } => false,
            Outcome::TryLater { .. } => !(ticket.probes && follows),
            Outcome::Unknown { .. } | Outcome::Accepted { .. } | Outcome::Rejected(_) => true,
        };
        let tried = Tried {
            provider,
            started_at,
            finished_at: now.wall,
            outcome: word,
            counts,
            cause: outcome.cause(),
            code,
            text,
        };
        let soon = follows || may_follow && claimed.job.failures < EARLY_RETRIES;
        if let Outcome::Throttled { after, why } = &mut outcome
            && !why.of_the_message
        {
            // The route holds back all of the provider's messages for that time; this one need not
            // wait for longer than the others.
            *after = None;
        }
        let situation = Situation {
            failures: claimed.job.failures,
            attempts: claimed.job.attempts,
            counts,
            now: now.wall,
            since: claimed.tried_since.unwrap_or(started_at),
            expires_at: claimed.expires_at,
            opens_tracked: self.transport.opens_tracked(&message),
        };
        let mut then = self.policy.follow(outcome, situation);
        if let Then::Again { due_at } = &mut then
            && soon
        {
            *due_at = (*due_at).min(now.wall.plus(FOLLOW_WAIT));
        }
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
        Outcome::TryLater { why, .. } | Outcome::Throttled { why, .. } => !why.of_the_message,
        // What broke one provider may be this message; what is unknown may have gone.
        Outcome::Broken { .. }
        | Outcome::Unknown { .. }
        | Outcome::Accepted { .. }
        | Outcome::Rejected(_) => false,
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
