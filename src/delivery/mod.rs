//! The worker: claims jobs in batches, sends them, records what became of them in batches. No
//! transaction is open while the network is used, and a kill at any point loses nothing.

mod backoff;
mod breaker;
mod claimer;
mod courier;
mod held;
mod keeper;
mod meter;
mod pace;
mod policy;
mod recorder;
mod route;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backoff::Schedule;
pub use breaker::BreakerSettings;
pub use pace::Limits;
pub use policy::Policy;

use crate::clock::Clock;
use crate::domain::method::Method;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::transport::Transport;
use route::Route;

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
    pub unknown_grace_ms: u64,
    pub broken_pause_ms: u64,
    pub stop_seconds: u64,
    pub breaker: BreakerSettings,
}

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
        let growing = (1.0..=10.0).contains(&self.retry_multiplier);
        check(growing, "retry_multiplier", "must be from 1 to 10");
        wrong.extend(self.breaker.validate());
        wrong
    }

    pub fn policy(&self) -> Policy {
        Policy {
            schedule: Schedule {
                initial: Duration::from_millis(self.retry_initial_ms),
                max: Duration::from_millis(self.retry_max_ms),
                multiplier: self.retry_multiplier,
            },
            attempts_max: self.attempts_max,
            unknown_grace: Duration::from_millis(self.unknown_grace_ms),
            broken_pause: Duration::from_millis(self.broken_pause_ms),
        }
    }

    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
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
    /// Unique among all living workers: the holder's name on its claims.
    pub name: String,
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
    /// Starts one courier per provider, and the upkeep of all claims. The providers of a method are in
    /// order of preference.
    pub fn start(self, methods: Vec<(Method, Vec<Provider>)>) -> Running {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let patience = Duration::from_secs(self.settings.stop_seconds);
        let couriers = TaskTracker::new();
        let held = held::Held::default();
        let (begun, news) = (CancellationToken::new(), Arc::new(Notify::new()));
        let mut routes = Vec::new();
        for (method, providers) in methods {
            let route = self.route(method, &providers, &news);
            for (line, Provider { transport, .. }) in providers.into_iter().enumerate() {
                let asked = CancellationToken::new();
                let quota = keeper::ask_for_quota(
                    Arc::clone(&route),
                    line,
                    transport.clone(),
                    asked.clone(),
                    stop.clone(),
                );
                tasks.spawn(quota);
                let place = (Arc::clone(&route), line);
                let courier =
                    courier::Courier::new(self.clone(), held.clone(), method, transport, place);
                couriers.spawn(courier.run(begun.clone(), asked, stop.clone()));
            }
            routes.push(route);
        }
        couriers.close();
        // Upkeep outlives the couriers: their claims need a heartbeat until the last is recorded.
        let couriers_done = CancellationToken::new();
        tasks.spawn({
            let couriers_done = couriers_done.clone();
            async move {
                couriers.wait().await;
                couriers_done.cancel();
            }
        });
        let keeper = keeper::Keeper {
            worker: self.clone(),
            routes,
            news: Arc::clone(&news),
            begun,
        };
        tasks.spawn(keeper.run(couriers_done.clone()));
        upkeep::start(&self, held, &news, &tasks, &stop, &couriers_done);
        tasks.close();
        Running {
            stop,
            tasks,
            patience,
        }
    }

    fn route(&self, method: Method, providers: &[Provider], news: &Arc<Notify>) -> Arc<Route> {
        let lines = providers
            .iter()
            .map(|provider| (provider.transport.name(), provider.limits))
            .collect();
        let broken_pause = self.settings.policy().broken_pause;
        let rules = (self.settings.breaker.clone(), broken_pause);
        let news = Arc::clone(news);
        let route = Route::new(method, &self.name, lines, rules, news, Instant::now());
        Arc::new(route)
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
