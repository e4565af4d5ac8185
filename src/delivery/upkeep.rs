//! Upkeep: the heartbeat of our claims, the rescue of dead workers' claims, the wake-up calls of
//! other processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Worker;
use super::held::Held;
use crate::store::Wake;

/// How often dead claims and unmatched events are looked for: an event that crossed its send on
/// the way to the database is applied within this time.
const RESCUE_EVERY: Duration = Duration::from_secs(1);
/// Before a lost connection for wake-up calls is made anew; polling covers the time between.
const LISTEN_PAUSE: Duration = Duration::from_secs(2);

/// Starts the upkeep of a worker: rescue and wake-up calls until `stop`, heartbeats until its
/// couriers are done.
pub(super) fn start(
    worker: &Worker,
    held: Held,
    news: &Arc<Notify>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    couriers_done: &CancellationToken,
) {
    tasks.spawn(heartbeat(worker.clone(), held, couriers_done.clone()));
    tasks.spawn(rescue(worker.clone(), stop.clone()));
    tasks.spawn(listen(worker.clone(), Arc::clone(news), stop.clone()));
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
        if let Err(failed) = worker.store.sweep_unmatched().await {
            warn!(error = %failed, "cannot look for unmatched feedback");
        }
    }
}

async fn listen(worker: Worker, news: Arc<Notify>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match worker.store.listen().await {
            Ok(None) => return,
            Ok(Some(mut wakes)) => loop {
                let woken = tokio::select! {
                    () = stop.cancelled() => return,
                    woken = wakes.next() => woken,
                };
                match woken {
                    Ok(Wake::Jobs) => worker.woken.notify_waiters(),
                    Ok(Wake::Providers) => news.notify_one(),
                    Err(_lost) => break,
                }
            },
            Err(failed) => warn!(error = %failed, "cannot listen for new work; polling"),
        }
        slept(LISTEN_PAUSE, &stop).await;
    }
}
