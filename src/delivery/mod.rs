//! The worker: claims jobs in batches, sends them, records what became of them in batches. No
//! transaction is open while the network is used, and a kill at any point loses nothing.

mod backoff;
mod breaker;
mod claimer;
mod courier;
mod files;
mod held;
mod keeper;
mod load;
mod meter;
mod pace;
mod policy;
mod recorder;
mod route;
mod serving;
#[cfg(test)]
mod tests;
mod upkeep;
mod watch;
mod watchdog;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backoff::Schedule;
pub use breaker::BreakerSettings;
use courier::Courier;
use held::Held;
use keeper::Keeper;
pub use pace::Limits;
pub use policy::{OnUnknown, Policy};
use route::Route;
use serving::Serving;
pub(crate) use upkeep::slept;
use watchdog::keep_running;

use crate::clock::Clock;
use crate::domain::message::Outgoing;
use crate::domain::method::Method;
use crate::domain::tracking;
use crate::domain::unsubscribe::Links;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::jobs::Claimed;
pub use crate::store::retention::Retention;
use crate::transport::Transport;

/// `[delivery]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverySettings {
    pub concurrency: usize,
    pub batch: usize,
    pub lease_seconds: u64,
    pub poll_ms: u64,
    pub attempts_max: u32,
    pub retry_initial_ms: u64,
    pub retry_max_ms: u64,
    pub retry_multiplier: f64,
    pub mailbox_retry_initial_ms: u64,
    pub mailbox_retry_max_ms: u64,
    pub unknown_grace_ms: u64,
    pub broken_pause_ms: u64,
    pub stop_seconds: u64,
    pub breaker: BreakerSettings,
}

/// A claim is ours for one lease after it was asked for, and a heartbeat for one after it was sent: a
/// lease must outlast the slowest answer of a database that still works.
const LEASE_SECONDS_SAFE: u64 = 10;

impl DeliverySettings {
    /// What is wrong, with the key it is wrong at.
    pub fn validate(&self) -> Vec<(&'static str, &'static str)> {
        let mut wrong = Vec::new();
        let mut check = |ok: bool, key, text| {
            if !ok {
                wrong.push((key, text));
            }
        };
        check(
            (1..=1024).contains(&self.concurrency),
            "concurrency",
            "must be from 1 to 1024",
        );
        check(
            (1..=1000).contains(&self.batch),
            "batch",
            "must be from 1 to 1000",
        );
        check(
            (1..=3600).contains(&self.lease_seconds),
            "lease_seconds",
            "must be from 1 to 3600",
        );
        check(
            (10..=60_000).contains(&self.poll_ms),
            "poll_ms",
            "must be from 10 to 60000",
        );
        check(
            (1..=1000).contains(&self.attempts_max),
            "attempts_max",
            "must be from 1 to 1000",
        );
        check(
            self.retry_initial_ms >= 1,
            "retry_initial_ms",
            "must be at least 1",
        );
        check(
            self.broken_pause_ms >= 1_000,
            "broken_pause_ms",
            "must be at least 1000",
        );
        let ordered = self.retry_max_ms >= self.retry_initial_ms;
        check(ordered, "retry_max_ms", "must be at least retry_initial_ms");
        check(
            self.mailbox_retry_initial_ms >= 1,
            "mailbox_retry_initial_ms",
            "must be at least 1",
        );
        check(
            self.mailbox_retry_max_ms >= self.mailbox_retry_initial_ms,
            "mailbox_retry_max_ms",
            "must be at least mailbox_retry_initial_ms",
        );
        let growing = (1.0..=10.0).contains(&self.retry_multiplier);
        check(growing, "retry_multiplier", "must be from 1 to 10");
        wrong.extend(self.breaker.validate());
        wrong
    }

    /// What is allowed and seldom meant, with the key.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.lease_seconds < LEASE_SECONDS_SAFE {
            warnings.push(
                "lease_seconds is below 10: a statement may take 8 seconds when the database is \
                 slow, and by then a claim is not surely ours any more, so that nothing would be \
                 sent at such times",
            );
        }
        warnings
    }

    pub fn policy(&self, rules: MethodRules) -> Policy {
        let schedule = |initial, max| Schedule {
            initial: Duration::from_millis(initial),
            max: Duration::from_millis(max),
            multiplier: self.retry_multiplier,
        };
        Policy {
            schedule: schedule(self.retry_initial_ms, self.retry_max_ms),
            mailbox_schedule: schedule(self.mailbox_retry_initial_ms, self.mailbox_retry_max_ms),
            attempts_max: self.attempts_max,
            horizon: rules.horizon,
            on_unknown: rules.on_unknown,
            unknown_grace: self.unknown_grace(),
            broken_pause: self.broken_pause(),
        }
    }

    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    pub fn unknown_grace(&self) -> Duration {
        Duration::from_millis(self.unknown_grace_ms)
    }

    fn broken_pause(&self) -> Duration {
        Duration::from_millis(self.broken_pause_ms)
    }
}

/// What each method has rules of its own for.
#[derive(Clone, Copy, Debug)]
pub struct MethodRules {
    pub horizon: Duration,
    pub on_unknown: OnUnknown,
}

/// The rules of every method that we send by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub email: MethodRules,
    pub sms: MethodRules,
    pub push: MethodRules,
}

impl Rules {
    /// Of what we do not send, nothing is ever asked: any will do.
    pub const fn of(&self, method: Method) -> MethodRules {
        match method {
            Method::Sms => self.sms,
            Method::Push => self.push,
            Method::Email | Method::InPerson | Method::Mail | Method::Phone => self.email,
        }
    }

    /// The methods of which an attempt of unknown outcome waits for a person.
    pub fn held(&self) -> Vec<Method> {
        let sent = Method::SENT_BY_US.into_iter();
        sent.filter(|method| self.of(*method).on_unknown == OnUnknown::Hold)
            .collect()
    }
}

/// What a worker needs.
#[derive(Clone, Debug)]
pub struct Worker {
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Poked when there may be something to do.
    pub woken: Arc<Notify>,
    pub settings: DeliverySettings,
    pub rules: Rules,
    pub retention: Retention,
    /// Unique among all living workers: the holder's name on its claims.
    pub name: String,
    /// By which recipients of bulk email end it; none when nobody can reach us from outside.
    pub links: Option<Links>,
    /// By which opens and clicks are learnt; none likewise.
    pub tracking_links: Option<tracking::Links>,
}

/// One way for messages to leave, and what is known of its rate.
#[derive(Clone, Debug)]
pub struct Provider {
    pub transport: Transport,
    pub limits: Limits,
}

/// The running tasks of a worker.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
    patience: Duration,
}

impl Worker {
    /// The message as it goes out: bulk email with the link by which its recipient ends it, and with
    /// what makes the links by which opens and clicks are learnt, where they are asked for.
    fn finish(&self, claimed: &mut Claimed) -> Option<Outgoing> {
        let links = self.links.as_ref().filter(|_| claimed.is_bulk);
        let mut message = claimed.message.take()?;
        if claimed.job.method == Method::Email {
            message.unsubscribe = links.map(|links| links.of(message.id));
            let is_tracked = message.tracking.opens || message.tracking.clicks;
            let links = self.tracking_links.as_ref().filter(|_| is_tracked);
            message.tracking_links = links.cloned();
        }
        Some(message)
    }

    /// Starts one courier per provider, and the upkeep of all claims. The providers of a method are in
    /// order of preference; only those that serve the same recipients stand in for each other.
    pub fn start(self, methods: Vec<(Method, Vec<Provider>)>) -> Running {
        let stop = CancellationToken::new();
        let (tasks, couriers) = (TaskTracker::new(), TaskTracker::new());
        let patience = Duration::from_secs(self.settings.stop_seconds);
        let mut keeper = Keeper::new(self.clone());
        let start = Start {
            worker: &self,
            begun: &keeper.begun,
            tasks: &tasks,
            couriers: &couriers,
            stop: &stop,
        };
        let (mut all_held, mut routes) = (Vec::new(), Vec::new());
        let groups = methods.into_iter().flat_map(|(method, providers)| {
            let providers = providers.into_iter();
            let providers = providers.map(|provider| (provider.transport.serves(), provider));
            serving::groups(method, providers.collect())
        });
        for (serving, providers) in groups {
            let route = Arc::new(self.route(serving.method, &providers, &keeper.news));
            for (line, Provider { transport, .. }) in providers.into_iter().enumerate() {
                let place = (Arc::clone(&route), line);
                all_held.push(start.provider(serving.clone(), transport, place));
            }
            routes.push(route);
        }
        keeper.routes = routes;
        couriers.close();
        // The heartbeat outlives the couriers: their claims need it until the last is recorded.
        let couriers_done = CancellationToken::new();
        tasks.spawn({
            let couriers_done = couriers_done.clone();
            async move {
                couriers.wait().await;
                couriers_done.cancel();
            }
        });
        let (kept, done) = (keeper.clone(), couriers_done.clone());
        let keep = move || kept.clone().run(done.clone());
        let name = "keeping of providers".to_owned();
        tasks.spawn(keep_running(name, couriers_done.clone(), keep, || {}));
        self.start_upkeep(all_held, keeper.news, &tasks, (&stop, &couriers_done));
        tasks.close();
        Running {
            stop,
            tasks,
            patience,
        }
    }

    fn route(&self, method: Method, providers: &[Provider], news: &Arc<Notify>) -> Route {
        let lines = providers
            .iter()
            .map(|provider| (provider.transport.name(), provider.limits))
            .collect();
        let rules = (self.settings.breaker.clone(), self.settings.broken_pause());
        let news = Arc::clone(news);
        Route::new(method, &self.name, lines, rules, news, Instant::now())
    }

    fn start_upkeep(
        self,
        held: Vec<Held>,
        news: Arc<Notify>,
        tasks: &TaskTracker,
        (stop, couriers_done): (&CancellationToken, &CancellationToken),
    ) {
        let (worker, done) = (self.clone(), couriers_done.clone());
        let heartbeat = move || upkeep::heartbeat(worker.clone(), held.clone(), done.clone());
        let name = "heartbeat".to_owned();
        tasks.spawn(keep_running(name, couriers_done.clone(), heartbeat, || {}));
        let (worker, until) = (self.clone(), stop.clone());
        let rescue = move || upkeep::rescue(worker.clone(), until.clone());
        let name = "rescue".to_owned();
        tasks.spawn(keep_running(name, stop.clone(), rescue, || {}));
        let (worker, until) = (self.clone(), stop.clone());
        let prune = move || upkeep::prune(worker.clone(), until.clone());
        let name = "pruning".to_owned();
        tasks.spawn(keep_running(name, stop.clone(), prune, || {}));
        let (worker, until) = (self, stop.clone());
        let listen = move || upkeep::listen(worker.clone(), Arc::clone(&news), until.clone());
        let name = "wake-up calls".to_owned();
        tasks.spawn(keep_running(name, stop.clone(), listen, || {}));
    }
}

/// What the tasks of a provider are started with.
struct Start<'a> {
    worker: &'a Worker,
    begun: &'a CancellationToken,
    tasks: &'a TaskTracker,
    couriers: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    /// Starts the courier of the provider at that place of a route, and the question for its quota.
    fn provider(&self, serving: Serving, transport: Transport, place: (Arc<Route>, usize)) -> Held {
        let method = serving.method;
        let asked = CancellationToken::new();
        let quota = {
            let (transport, place) = (transport.clone(), place.clone());
            let (asked, stop) = (asked.clone(), self.stop.clone());
            move || {
                let (transport, place) = (transport.clone(), place.clone());
                keeper::ask_for_quota(place, transport, asked.clone(), stop.clone())
            }
        };
        let provider = transport.name();
        let name = format!("quota of {provider} for {method}");
        let until = self.stop.clone();
        self.tasks.spawn(keep_running(name, until, quota, || {}));
        let held = Held::new(self.worker.settings.lease());
        let courier = {
            let (worker, held) = (self.worker.clone(), held.clone());
            let (ready, stop) = ((self.begun.clone(), asked), self.stop.clone());
            move || {
                let (worker, held) = (worker.clone(), held.clone());
                let (transport, place) = (transport.clone(), place.clone());
                Courier::new(worker, held, serving.clone(), transport, place)
                    .run(ready.clone(), stop.child_token())
            }
        };
        let name = format!("{method} courier by {provider}");
        let until = self.stop.clone();
        // What it had in hand must run out, or it would stay there for ever.
        let abandoned = {
            let held = held.clone();
            move || held.abandon_all()
        };
        self.couriers
            .spawn(keep_running(name, until, courier, abandoned));
        held
    }
}

impl Running {
    /// No new claims; what is in flight is finished and recorded, what was not begun is released.
    /// After the configured limit the rest is left to be rescued. Returns whether all was finished.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        tokio::time::timeout(self.patience, self.tasks.wait())
            .await
            .is_ok()
    }
}
