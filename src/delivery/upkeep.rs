//! Upkeep: the heartbeat of our claims, the rescue of dead workers' claims, the wake-up calls of
//! other processes, the end of what feedback left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Worker;
use super::held::{Held, Moment};
use super::watch::Watch;
use crate::store::Wake;
use crate::store::claims::{Lost, Pulse, Rescued};
use crate::store::unmatched::Sweep;

/// How often dead claims and unmatched events are looked for: an event that crossed its send on
/// the way to the database is applied within this time.
const RESCUE_EVERY: Duration = Duration::from_secs(1);
/// Dead claims taken up in one transaction; each may hold a whole batch.
const RESCUED_TOGETHER: usize = 10;
/// Before a lost connection for wake-up calls is made anew; polling covers the time between.
const LISTEN_PAUSE: Duration = Duration::from_secs(2);

/// How often old feedback is looked for.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// Between two batches of old feedback, so that whoever waits for the database gets a turn: ten
/// times as long as a batch takes.
const PRUNE_PAUSE: Duration = Duration::from_millis(100);

/// `false` when the token was cancelled first.
pub(crate) async fn slept(span: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(span) => true,
    }
}

/// Keeps the claims in our hands alive until there can be none any more.
pub(super) async fn heartbeat(worker: Worker, held: Vec<Held>, done: CancellationToken) {
    while slept(worker.settings.lease() / 3, &done).await {
        let sent = Moment::now(&worker.clock);
        let claims: Vec<_> = held.iter().flat_map(Held::all).collect();
        match worker.store.beat(&claims).await {
            Ok(alive) => held.iter().for_each(|held| held.extend(&alive, sent)),
            Err(failed) => warn!(error = %failed, "no heartbeat: the database does not answer"),
        }
    }
}

/// Takes over from dead workers, and applies feedback that crossed its send.
pub(super) async fn rescue(worker: Worker, stop: CancellationToken) {
    let (mut watch, mut settled) = (Watch::default(), None);
    let mut sweep = Sweep::default();
    while slept(RESCUE_EVERY, &stop).await {
        match worker.store.pulses().await {
            Ok(pulses) => {
                let dead = watch.dead(&pulses, Instant::now());
                for few in dead.chunks(RESCUED_TOGETHER) {
                    take_up(&worker, few).await;
                }
            }
            Err(failed) => warn!(error = %failed, "cannot look for dead workers"),
        }
        match worker.store.settle_held(settled).await {
            Ok(last) => settled = last,
            Err(failed) => warn!(error = %failed, "cannot look for feedback on what is held"),
        }
        if let Err(failed) = worker.store.sweep_unmatched(&mut sweep).await {
            warn!(error = %failed, "cannot look for unmatched feedback");
        }
    }
}

/// All together; where the trouble may lie in one of them, each alone. One that cannot be taken up
/// stays as it is and is tried again, and holds up no other.
async fn take_up(worker: &Worker, dead: &[Pulse]) {
    let held = worker.rules.held();
    let lost = Lost {
        grace: worker.settings.unknown_grace(),
        held: &held,
    };
    match worker.store.rescue(dead, lost).await {
        Ok(rescued) => tell(worker, &rescued),
        Err(failed) if failed.may_lie_in_the_content() && dead.len() > 1 => {
            for one in dead {
                match worker.store.rescue(&[*one], lost).await {
                    Ok(rescued) => tell(worker, &rescued),
                    Err(failed) => cannot_take_up(&failed, &[*one]),
                }
            }
        }
        Err(failed) => cannot_take_up(&failed, dead),
    }
}

fn tell(worker: &Worker, rescued: &Rescued) {
    if rescued.jobs > 0 {
        worker.metrics.rescued(rescued.jobs);
        info!(
            jobs = rescued.jobs,
            workers = ?rescued.workers,
            "took over the jobs of dead workers; their outcome is unknown"
        );
    }
}

fn cannot_take_up(failed: &crate::store::Error, dead: &[Pulse]) {
    let claims: Vec<String> = dead.iter().map(|pulse| pulse.claim.to_string()).collect();
    error!(error = %failed, ?claims, "cannot take over the jobs of dead workers");
}

/// Passes on the calls of other processes.
pub(super) async fn listen(worker: Worker, news: Arc<Notify>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match worker.store.listen().await {
            Ok(None) => return stop.cancelled().await,
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

/// Deletes old feedback, the sessions that are over and the files of staff whose time is over, a batch at
/// a time.
pub(super) async fn prune(worker: Worker, stop: CancellationToken) {
    let mut pause = PRUNE_PAUSE;
    while slept(pause, &stop).await {
        let feedback = worker.store.prune_feedback(worker.retention).await;
        let sessions = worker.store.prune_staff_sessions().await;
        let files = worker.store.drop_old_exports().await;
        pause = PRUNE_EVERY;
        for pruned in [feedback, sessions, files] {
            match pruned {
                Ok(true) => pause = PRUNE_PAUSE,
                Ok(false) => {}
                Err(failed) => warn!(error = %failed, "cannot delete what is old"),
            }
        }
    }
}
