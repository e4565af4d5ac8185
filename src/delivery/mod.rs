//! The worker: claims jobs in batches, sends them, records what became of them in batches. No
//! transaction is open while the network is used, and a kill at any point loses nothing.

mod backoff;
mod courier;
mod held;
mod policy;
mod recorder;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backoff::Schedule;
pub use policy::Policy;

use crate::clock::Clock;
use crate::domain::method::Method;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::retention::Retention;
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
    pub unknown_grace_ms: u64,
    pub broken_pause_ms: u64,
    pub stop_seconds: u64,
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
    pub retention: Retention,
    /// Unique among all living workers: the holder's name on its claims.
    pub name: String,
}

/// The running tasks of a worker.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
    patience: Duration,
}

impl Worker {
    /// Starts one courier per method that has a transport, and the upkeep of all claims.
    pub fn start(self, transports: Vec<(Method, Transport)>) -> Running {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let patience = Duration::from_secs(self.settings.stop_seconds);
        let couriers = TaskTracker::new();
        let held = held::Held::default();
        for (method, transport) in transports {
            let courier = courier::Courier::new(self.clone(), held.clone(), method, transport);
            couriers.spawn(courier.run(stop.clone()));
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
        upkeep::start(&self, held, &tasks, &stop, &couriers_done);
        tasks.close();
        Running {
            stop,
            tasks,
            patience,
        }
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
