//! The courier's hands: claims jobs when it is the provider's turn, as many as it is fast enough for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::courier::Courier;
use super::held::Moment;
use super::load::{CLAIM_BYTES_MAX, Share};
use super::recorder::Report;
use super::route::Turn;
use super::upkeep::slept;
use crate::domain::id::ClaimId;
use crate::store::jobs::{Claim, Claimed, Wanted};

/// After the database failed, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often to look whether the traffic is ours, or a rest is over, when nobody calls.
const TURN_EVERY: Duration = Duration::from_millis(250);

/// A claimed job on its way to a sender.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) claim: ClaimId,
    pub(super) claimed: Claimed,
    /// When it was claimed: so old is what is known of it.
    pub(super) since: Instant,
    /// It is to show whether the provider is well again.
    pub(super) probe: Option<Probe>,
    /// Of what may be in our hands, while it is.
    pub(super) _share: Share,
}

/// Counts for as long as it exists.
#[derive(Debug)]
pub(super) struct Probe(Arc<AtomicUsize>);

impl Probe {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Courier {
    /// Claims a batch whenever it is our turn and there is room for one.
    pub(super) async fn claim(
        self: Arc<Self>,
        parcels: mpsc::Sender<Parcel>,
        reports: mpsc::Sender<Report>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            let space = tokio::select! {
                () = stop.cancelled() => break,
                space = self.load.space() => space,
            };
            let (limit, is_probe) = tokio::select! {
                () = stop.cancelled() => break,
                room = self.room(&parcels) => room,
            };
            let wanted = Wanted {
                worker: &self.worker.name,
                provider: self.transport.name(),
                method: self.serving.method,
                forms: &self.serving.forms,
                limit,
                bytes_max: CLAIM_BYTES_MAX,
                lease: self.worker.settings.lease(),
            };
            // From here on, so that work enqueued while we look is not overlooked.
            let woken = self.worker.woken.notified();
            let asked = Moment::now(&self.worker.clock);
            match self.worker.store.claim(wanted).await {
                Ok(Some(claim)) => {
                    self.held.add(claim.id, asked);
                    let jobs = claim.jobs.iter().map(|claimed| claimed.job).collect();
                    let id = claim.id;
                    // The recorder hears of a claim before it hears of any of its jobs.
                    let told = reports.send(Report::Claimed { claim: id, jobs }).await;
                    let since = (asked.steady, is_probe);
                    if told.is_err() || !self.hand_over(claim, since, space, &parcels).await {
                        break;
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
                    warn!(method = %self.serving.method, error = %failed, "cannot claim");
                    slept(STORE_PAUSE, &stop).await;
                }
            }
        }
    }

    /// To the dispatcher; `false` when it is gone.
    async fn hand_over(
        &self,
        claim: Claim,
        (since, is_probe): (Instant, bool),
        space: Option<OwnedSemaphorePermit>,
        parcels: &mpsc::Sender<Parcel>,
    ) -> bool {
        let bytes = claim.jobs.iter().map(|claimed| claimed.bytes);
        let shares = self.load.divide(space, bytes.collect()).await;
        for (claimed, share) in claim.jobs.into_iter().zip(shares) {
            let parcel = Parcel {
                claim: claim.id,
                claimed,
                since,
                probe: is_probe.then(|| Probe::new(&self.probes)),
                _share: share,
            };
            if parcels.send(parcel).await.is_err() {
                return false;
            }
        }
        true
    }

    /// How many jobs to claim, and whether as a probe, once it is our turn and what waits in our hands
    /// is no more than that.
    async fn room(&self, parcels: &mpsc::Sender<Parcel>) -> (usize, bool) {
        let batch = self.worker.settings.batch;
        let lease = self.worker.settings.lease();
        loop {
            let (changed, fewer) = (self.route.changed.notified(), self.fewer.notified());
            match self.route.turn(self.line, lease, Instant::now()) {
                Turn::Upto(limit) => {
                    let limit = limit.unwrap_or(batch).min(batch);
                    self.few.store(limit, Ordering::Relaxed);
                    if parcels.max_capacity() - parcels.capacity() <= limit {
                        return (limit, false);
                    }
                }
                // Whatever hangs since before its rest says nothing about it now.
                Turn::One if self.probes.load(Ordering::Relaxed) == 0 => return (1, true),
                Turn::One | Turn::None => {}
            }
            tokio::select! {
                () = changed => {}
                () = fewer => {}
                () = tokio::time::sleep(TURN_EVERY) => {}
            }
        }
    }
}
