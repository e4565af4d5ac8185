//! Upkeep: the heartbeat of our claims, the rescue of dead workers' claims, the wake-up calls of
//! other processes, the end of what feedback left behind.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Worker;
use super::held::Held;
use crate::store::unmatched::Sweep;

/// How often dead claims and unmatched events are looked for: an event that crossed its send on
/// the way to the database is applied within this time.
const RESCUE_EVERY: Duration = Duration::from_secs(1);
/// Before a lost connection for wake-up calls is made anew; polling covers the time between.
const LISTEN_PAUSE: Duration = Duration::from_secs(2);

/// How often old feedback is looked for.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// Between two batches of old feedback, so that whoever waits for the database gets a turn: ten
/// times as long as a batch takes.
const PRUNE_PAUSE: Duration = Duration::from_millis(100);

/// Starts the upkeep of a worker: rescue, wake-up calls and pruning until `stop`, heartbeats until
/// its couriers are done.
pub(super) fn start(
    worker: &Worker,
    held: Held,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    couriers_done: &CancellationToken,
) {
    tasks.spawn(heartbeat(worker.clone(), held, couriers_done.clone()));
    tasks.spawn(rescue(worker.clone(), stop.clone()));
    tasks.spawn(listen(worker.clone(), stop.clone()));
    tasks.spawn(prune(worker.clone(), stop.clone()));
}

/// `false` when the token was cancelled first.
async fn slept(span: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(span) => true,
    }
}

async fn heartbeat(worker: Worker, held: Held, done: CancellationToken) {
    let lease = worker.settings.lease();
    while slept(lease / 3, &done).await {
        let began = worker.clock.now();
        match worker.store.extend_claims(&held.all(), lease).await {
            Ok(alive) => held.extend(&alive, began.plus(lease)),
            Err(failed) => warn!(error = %failed, "no heartbeat: the database does not answer"),
        }
    }
}

async fn rescue(worker: Worker, stop: CancellationToken) {
    let grace = worker.settings.policy().unknown_grace;
    let mut sweep = Sweep::default();
    while slept(RESCUE_EVERY, &stop).await {
        match worker.store.rescue(grace).await {
            Ok(0) => {}
            Ok(jobs) => {
                worker.metrics.rescued(jobs);
                info!(
                    jobs,
                    "took over the jobs of a dead worker; their outcome is unknown"
                );
            }
            Err(failed) => warn!(error = %failed, "cannot look for dead workers"),
        }
        if let Err(failed) = worker.store.sweep_unmatched(&mut sweep).await {
            warn!(error = %failed, "cannot look for unmatched feedback");
        }
    }
}

async fn listen(worker: Worker, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match worker.store.listen().await {
            Ok(None) => return,
            Ok(Some(mut wakes)) => loop {
                let woken = tokio::select! {
                    () = stop.cancelled() => return,
                    woken = wakes.next() => woken,
                };
                if woken.is_err() {
                    break;
                }
                worker.woken.notify_waiters();
            },
            Err(failed) => warn!(error = %failed, "cannot listen for new work; polling"),
        }
        slept(LISTEN_PAUSE, &stop).await;
    }
}

async fn prune(worker: Worker, stop: CancellationToken) {
    let mut pause = PRUNE_PAUSE;
    while slept(pause, &stop).await {
        pause = match worker.store.prune_feedback(worker.retention).await {
            Ok(true) => PRUNE_PAUSE,
            Ok(false) => PRUNE_EVERY,
            Err(failed) => {
                warn!(error = %failed, "cannot delete old feedback");
                PRUNE_EVERY
            }
        };
    }
}
