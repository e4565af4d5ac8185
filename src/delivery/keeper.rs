//! The keeper: what this worker's routes and the rest of the world must know of each other. Reads what
//! operators paused; writes which provider has the traffic and how each of them is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Worker;
use super::held::Moment;
use super::route::Route;
use super::upkeep::slept;
use crate::store::providers::{Health, Switch};
use crate::transport::{NoQuota, Transport};

/// How often to look whether an operator paused or resumed something, when nobody calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what changed of the providers' health is written, and how often it is written in any case:
/// well within the time for which it is taken as true.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
const HEALTH_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// Switches that could not be written yet.
const UNWRITTEN_MAX: usize = 1_000;
/// A quota may be raised while we run; and a provider that could not be asked is asked again sooner.
const QUOTA_EVERY: Duration = Duration::from_hours(1);
const QUOTA_RETRY: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub(super) struct Keeper {
    worker: Worker,
    pub(super) routes: Vec<Arc<Route>>,
    /// Told when there is something to read or to write.
    pub(super) news: Arc<Notify>,
    /// Cancelled when it is known what is paused: before that nothing may be sent.
    pub(super) begun: CancellationToken,
}

impl Keeper {
    pub(super) fn new(worker: Worker) -> Self {
        Self {
            worker,
            routes: Vec::new(),
            news: Arc::default(),
            begun: CancellationToken::new(),
        }
    }

    /// Runs until the couriers are done.
    pub(super) async fn run(self, done: CancellationToken) {
        let mut journal = Journal::default();
        loop {
            let finished = done.is_cancelled();
            self.read_pauses(&mut journal).await;
            self.write_switches(&mut journal).await;
            self.write_health(&mut journal).await;
            if finished {
                break;
            }
            tokio::select! {
                () = done.cancelled() => {}
                () = self.news.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        if let Err(failed) = self.worker.store.forget_health(&self.worker.name).await {
            warn!(error = %failed, "this worker's view of its providers stays for a while");
        }
    }

    async fn read_pauses(&self, journal: &mut Journal) {
        let pauses = match self.worker.store.provider_pauses().await {
            Ok(pauses) => pauses,
            Err(failed) => {
                if !std::mem::replace(&mut journal.complained, true) {
                    warn!(error = %failed, "cannot read which providers are paused");
                }
                return;
            }
        };
        journal.complained = false;
        let now = Moment::now(&self.worker.clock);
        for route in &self.routes {
            if self.begun.is_cancelled() {
                route.set_pauses(&pauses, now);
            } else {
                route.begin(&pauses, now);
            }
        }
        self.begun.cancel();
    }

    async fn write_switches(&self, journal: &mut Journal) {
        for switch in self.routes.iter().flat_map(|route| route.take_switches()) {
            self.worker.metrics.switched(&switch);
            let nobody = "nobody";
            let from = switch.from.as_deref().unwrap_or(nobody);
            let to = switch.to.as_deref().unwrap_or(nobody);
            warn!(method = %switch.method, from, to, reason = switch.reason, "traffic moved");
            if journal.unwritten.len() < UNWRITTEN_MAX {
                journal.unwritten.push(switch);
            }
        }
        match self.worker.store.note_switches(&journal.unwritten).await {
            Ok(()) => journal.unwritten.clear(),
            Err(failed) => warn!(error = %failed, "cannot record yet that traffic moved"),
        }
    }

    async fn write_health(&self, journal: &mut Journal) {
        let now = Moment::now(&self.worker.clock);
        let health: Vec<Health> = self.routes.iter().flat_map(|r| r.health(now)).collect();
        self.worker.metrics.providers(&health);
        let since = |last: Option<Instant>| {
            last.map_or(Duration::MAX, |last| {
                now.steady.saturating_duration_since(last)
            })
        };
        let changed = !is_the_same(&health, &journal.health);
        let due = if changed {
            HEALTH_EVERY
        } else {
            HEALTH_AT_LEAST_EVERY
        };
        if since(journal.written_at) < due {
            return;
        }
        match self.worker.store.keep_health(&health).await {
            Ok(()) => {
                journal.health = health;
                journal.written_at = Some(now.steady);
            }
            Err(failed) => warn!(error = %failed, "cannot write how the providers are"),
        }
    }
}

/// What the keeper remembers between its rounds.
#[derive(Default)]
struct Journal {
    complained: bool,
    unwritten: Vec<Switch>,
    health: Vec<Health>,
    written_at: Option<Instant>,
}

/// But for the time at which it was seen.
fn is_the_same(a: &[Health], b: &[Health]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let seen_at = b.seen_at;
            *b == Health {
                seen_at,
                ..a.clone()
            }
        })
}

/// Asks the provider how fast it may be called: at once and then now and again. `asked` is cancelled
/// after the first answer, whatever it was.
pub(super) async fn ask_for_quota(
    (route, line): (Arc<Route>, usize),
    transport: Transport,
    asked: CancellationToken,
    stop: CancellationToken,
) {
    let provider = transport.name();
    let mut known = None;
    while !stop.is_cancelled() {
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = transport.quota() => answer,
        };
        let again = match answer {
            Ok(quota) => {
                route.set_quota(line, quota.per_second);
                if known.replace(quota.per_second) != Some(quota.per_second) {
                    info!(
                        provider,
                        per_second = quota.per_second,
                        per_day = quota.per_day,
                        sent_today = quota.sent_today,
                        "the provider's quota"
                    );
                }
                QUOTA_EVERY
            }
            Err(NoQuota::NeverTold) => {
                asked.cancel();
                return stop.cancelled().await;
            }
            Err(NoQuota::Denied) => {
                info!(
                    provider,
                    "we may not read the provider's quota; its limit is learnt from refusals"
                );
                asked.cancel();
                return stop.cancelled().await;
            }
            Err(NoQuota::Trouble(why)) => {
                let code = why.code.as_deref().unwrap_or_default();
                warn!(provider, code, "the provider's quota cannot be read now");
                QUOTA_RETRY
            }
        };
        asked.cancel();
        slept(again, &stop).await;
    }
}
