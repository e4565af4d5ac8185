//! Outbound webhooks: applications are told what becomes of their notifications. Each endpoint is
//! served by a task of its own, so that a slow or dead one delays no other.

mod caller;
mod operations;
mod payload;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

pub use operations::{OperationsSettings, Teller};
pub use settings::WebhookSettings;

use caller::{Call, Caller, Concerns, Refusal};

use crate::clock::Clock;
use crate::domain::id::NotificationId;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::webhook_queue::{
    HeldEndpoint, Round, WebhookDelivery, WebhookEnd, WebhookOutcome,
};

/// What the sender of webhooks needs.
#[derive(Clone, Debug)]
pub struct Sender {
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub settings: WebhookSettings,
    /// Unique among all living workers.
    pub name: String,
}

/// How often events that are due are looked for.
const POLL: Duration = Duration::from_millis(500);
/// Endpoints served at the same time by one process. A slow one keeps its place for a round.
const ENDPOINTS_MAX: usize = 256;
/// Events sent to one endpoint in one round, and recorded together.
const BATCH: usize = 128;
/// Requests to one endpoint at the same time; those about one notification follow each other.
const REQUESTS_MAX: usize = 8;
/// A round begins nothing new after this.
const ROUND_MAX: Duration = Duration::from_secs(5);
/// For reading what is due and recording what became of it, on a busy database.
const RECORD_MAX: Duration = Duration::from_secs(5);
/// How often old events are looked for, and the pause between two batches of them.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
const PRUNE_PAUSE: Duration = Duration::from_millis(100);

/// The running tasks.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    /// Begins nothing new, finishes the requests under way and records them.
    pub async fn stop(self, patience: Duration) -> bool {
        self.stop.cancel();
        let [sending, pruning] = self.tasks;
        let both = async { (sending.await.is_ok(), pruning.await.is_ok()) };
        tokio::time::timeout(patience, both).await == Ok((true, true))
    }
}

impl Sender {
    pub fn start(self) -> Result<Running, reqwest::Error> {
        let stop = CancellationToken::new();
        let caller = Caller::new(&self.settings)?;
        let pruning = tokio::spawn(prune(self.clone(), stop.clone()));
        let serving = Serving {
            sender: self,
            caller,
            stop: stop.clone(),
        };
        let sending = tokio::spawn(serving.run());
        let tasks = [sending, pruning];
        Ok(Running { stop, tasks })
    }
}

async fn prune(sender: Sender, stop: CancellationToken) {
    let mut pause = PRUNE_PAUSE;
    let keep = sender.settings.keep();
    while stop
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
    {
        pause = match sender.store.prune_webhooks(keep).await {
            Ok(true) => PRUNE_PAUSE,
            Ok(false) => PRUNE_EVERY,
            Err(failed) => {
                warn!(error = %failed, "cannot delete old webhook events");
                PRUNE_EVERY
            }
        };
    }
}

#[derive(Clone, Debug)]
struct Serving {
    sender: Sender,
    caller: Caller,
    stop: CancellationToken,
}

impl Serving {
    /// Until it is told to stop: a task for each endpoint for which something is due.
    async fn run(self) {
        let mut rounds = JoinSet::new();
        while !self.stop.is_cancelled() {
            while let Some(ended) = rounds.try_join_next() {
                note(&ended);
            }
            let free = ENDPOINTS_MAX.saturating_sub(rounds.len());
            let (store, name) = (&self.sender.store, &self.sender.name);
            // A round, the last answer in it, and its record.
            let lease = ROUND_MAX + self.sender.settings.timeout() + RECORD_MAX;
            match store.claim_webhooks(name, lease, free).await {
                Ok(held) => {
                    for endpoint in held {
                        rounds.spawn(self.clone().serve(endpoint));
                    }
                }
                Err(failed) => warn!(error = %failed, "cannot look for webhook events"),
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
                // More may be due for the endpoint that has just been served.
                Some(ended) = rounds.join_next() => note(&ended),
            }
        }
        while let Some(ended) = rounds.join_next().await {
            note(&ended);
        }
    }

    /// One round for one endpoint.
    async fn serve(self, endpoint: HeldEndpoint) {
        let due = match self.sender.store.due_webhooks(&endpoint, BATCH).await {
            Ok(due) => due,
            // The lease runs out, and then somebody looks again.
            Err(failed) => return warn!(error = %failed, "cannot read webhook events"),
        };
        let sent = Sent::default();
        let begun = Instant::now();
        futures_util::stream::iter(by_notification(due))
            .for_each_concurrent(REQUESTS_MAX, |events| {
                self.send_in_order(&endpoint, events, &sent, begun)
            })
            .await;
        self.record(&endpoint, sent).await;
    }

    /// Stops at the first that is not taken: what follows about the same notification would come before
    /// it.
    async fn send_in_order(
        &self,
        endpoint: &HeldEndpoint,
        events: Vec<WebhookDelivery>,
        sent: &Sent,
        begun: Instant,
    ) {
        for event in events {
            let late = begun.elapsed() > ROUND_MAX || self.stop.is_cancelled();
            if late || sent.in_trouble.load(Ordering::Relaxed) {
                return;
            }
            let result = self.send(endpoint, &event).await;
            let taken = result.is_ok();
            let end = match result {
                Ok(()) => WebhookEnd::Taken,
                Err(refusal) => {
                    sent.refused(refusal);
                    self.after_failure(&event)
                }
            };
            self.sender.metrics.webhook(match end {
                WebhookEnd::Taken => "delivered",
                WebhookEnd::Again { .. } => "failed",
                WebhookEnd::GivenUp => "given_up",
            });
            sent.note(WebhookOutcome { id: event.id, end });
            if !taken {
                return;
            }
        }
    }

    async fn send(&self, endpoint: &HeldEndpoint, event: &WebhookDelivery) -> Result<(), Refusal> {
        let body = payload::body(event).map_err(|failed| {
            error!(error = %failed, "a webhook event cannot be written as JSON");
            Refusal {
                text: "the event cannot be written".to_owned(),
                concerns: Concerns::Event,
            }
        })?;
        let id = format!("msg_{}", event.id.simple());
        let call = Call {
            url: &endpoint.url,
            id: &id,
            at: self.sender.clock.now(),
            body,
            secrets: &endpoint.secrets,
        };
        self.caller.call(call).await
    }

    fn after_failure(&self, event: &WebhookDelivery) -> WebhookEnd {
        let now = self.sender.clock.now();
        let settings = &self.sender.settings;
        if now >= event.queued_at.plus(settings.give_up_after()) {
            return WebhookEnd::GivenUp;
        }
        let wait = settings.schedule().wait(event.attempts.saturating_add(1));
        WebhookEnd::Again { at: now.plus(wait) }
    }

    async fn record(&self, endpoint: &HeldEndpoint, sent: Sent) {
        let now = self.sender.clock.now();
        let settings = &self.sender.settings;
        let outcomes = sent.outcomes.into_inner();
        let outcomes = outcomes.unwrap_or_else(PoisonError::into_inner);
        let last = sent.last.into_inner();
        let last = last.unwrap_or_else(PoisonError::into_inner);
        let taken = outcomes.iter().any(|it| it.end == WebhookEnd::Taken);
        let in_trouble = sent.in_trouble.into_inner();
        let failures = if taken { 0 } else { endpoint.failures };
        // An event that is refused by itself comes again at its own time.
        let next_at = if in_trouble {
            now.plus(settings.schedule().wait(failures.saturating_add(1)))
        } else {
            now
        };
        let gone = last
            .as_ref()
            .is_some_and(|it| it.concerns == Concerns::Gone);
        let round = Round {
            next_at,
            error: last.map(|refusal| refusal.text),
            give_up_after: settings.give_up_after(),
            gone,
        };
        let (store, name) = (&self.sender.store, &self.sender.name);
        match store
            .record_webhooks(name, endpoint.id, &outcomes, &round)
            .await
        {
            Ok(false) => {}
            Ok(true) => {
                self.sender.metrics.webhook("endpoint_disabled");
                let why = round.error.unwrap_or_default();
                warn!(endpoint = %endpoint.id, business = endpoint.business, why,
                    "a webhook endpoint takes nothing; nothing more is sent to it until it is enabled");
            }
            // What was taken will be sent again: the application knows it by its webhook-id.
            Err(failed) => warn!(error = %failed, "cannot record what was sent to a webhook"),
        }
        debug!(endpoint = %endpoint.id, events = outcomes.len(), "events were sent to a webhook endpoint");
    }
}

/// The words of a panic may hold what must not be logged. The lease runs out by itself.
fn note(ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        error!("a round of webhooks failed");
    }
}

/// What a round has brought about so far.
#[derive(Debug, Default)]
struct Sent {
    outcomes: Mutex<Vec<WebhookOutcome>>,
    last: Mutex<Option<Refusal>>,
    /// There is no use in sending more for now.
    in_trouble: AtomicBool,
}

impl Sent {
    fn note(&self, outcome: WebhookOutcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push(outcome);
    }

    /// The gravest is kept.
    fn refused(&self, refusal: Refusal) {
        if refusal.concerns != Concerns::Event {
            self.in_trouble.store(true, Ordering::Relaxed);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|it| it.concerns != Concerns::Gone) {
            *last = Some(refusal);
        }
    }
}

/// The events of each notification in their order; notifications in the order of their first.
fn by_notification(due: Vec<WebhookDelivery>) -> Vec<Vec<WebhookDelivery>> {
    let mut places: BTreeMap<NotificationId, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<WebhookDelivery>> = Vec::new();
    for delivery in due {
        let next = groups.len();
        let place = *places.entry(delivery.event.notification).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(delivery),
            None => groups.push(vec![delivery]),
        }
    }
    groups
}
