//! The recorder: gathers what became of jobs and records it in batches; knows what is left of each
//! claim. What cannot be recorded while the database is away is kept and tried again until it can.
//! What cannot be recorded although others can is set aside: its claim runs out, and it comes back
//! as an attempt of unknown outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::Worker;
use super::held::Held;
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::method::Method;
use crate::store::Error;
use crate::store::jobs::Job;
use crate::store::record::{Done, Left, Then};

/// What couriers tell the recorder.
#[derive(Debug)]
pub(super) enum Report {
    Claimed { claim: ClaimId, jobs: Vec<Job> },
    Done(Done),
}

/// How long the first of a batch may wait for company.
const GATHER: Duration = Duration::from_millis(2);
/// Between attempts to record while the database is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Recorder {
    worker: Worker,
    method: Method,
    claims: Claims,
    /// Could not be recorded when nothing else could be either: it goes along with the next batch,
    /// which tells whether the trouble lies in it.
    doubtful: Vec<Done>,
}

/// What is left of each claim.
#[derive(Debug)]
struct Claims {
    jobs: BTreeMap<ClaimId, BTreeMap<NotificationId, InHand>>,
    held: Held,
}

#[derive(Clone, Copy, Debug)]
struct InHand {
    job: Job,
    /// Its outcome cannot be recorded: it stays in the claim, which is to run out.
    is_aside: bool,
}

/// Runs until every sender is gone and everything is recorded.
pub(super) async fn run(
    worker: Worker,
    held: Held,
    method: Method,
    mut reports: mpsc::Receiver<Report>,
) {
    let batch_max = worker.settings.batch;
    let mut recorder = Recorder {
        worker,
        method,
        claims: Claims {
            jobs: BTreeMap::new(),
            held,
        },
        doubtful: Vec::new(),
    };
    loop {
        let mut batch = std::mem::take(&mut recorder.doubtful);
        let more = recorder.gather(&mut reports, &mut batch, batch_max).await;
        if batch.is_empty() && !more {
            return;
        }
        recorder.record(batch, more).await;
    }
}

impl Recorder {
    /// Fills the batch; `false` when nothing will come any more.
    async fn gather(
        &mut self,
        reports: &mut mpsc::Receiver<Report>,
        batch: &mut Vec<Done>,
        batch_max: usize,
    ) -> bool {
        if batch.len() >= batch_max {
            tokio::time::sleep(RETRY_PAUSE).await;
            return !reports.is_closed();
        }
        // What is doubtful waits for others, but not for ever.
        let first = if batch.is_empty() {
            Ok(reports.recv().await)
        } else {
            tokio::time::timeout(RETRY_PAUSE, reports.recv()).await
        };
        match first {
            Ok(Some(report)) => self.claims.note(report, batch),
            Ok(None) => return false,
            Err(_elapsed) => return true,
        }
        let gathered = async {
            while batch.len() < batch_max {
                let Some(report) = reports.recv().await else {
                    break;
                };
                self.claims.note(report, batch);
            }
        };
        // Whether it is full or the time is over makes no difference.
        tokio::time::timeout(GATHER, gathered).await.ok();
        true
    }

    /// Records a batch. After an error that may lie in what is to be written, each alone: what still
    /// cannot be written although others can is set aside.
    async fn record(&mut self, batch: Vec<Done>, more_will_come: bool) {
        if batch.is_empty() {
            return;
        }
        let Err(trouble) = self.write(&batch).await else {
            return;
        };
        error!(
            method = %self.method, error = %trouble, outcomes = batch.len(),
            "cannot record a batch; each of it is tried alone"
        );
        let (all, mut failed) = (batch.len(), Vec::new());
        for done in batch {
            if let Err(trouble) = self.write(from_ref(&done)).await {
                failed.push((done, trouble));
            }
        }
        if failed.len() < all || !more_will_come {
            for (done, trouble) in failed {
                self.set_aside(&done, &trouble);
            }
        } else {
            self.doubtful = failed.into_iter().map(|(done, _)| done).collect();
        }
    }

    /// Tries until the database is there; an error may lie in what is to be written.
    async fn write(&mut self, batch: &[Done]) -> Result<(), Error> {
        let left = self.claims.left(batch);
        let mut told = false;
        loop {
            match self.worker.store.record(batch, &left).await {
                Ok(0) => break,
                Ok(fenced) => {
                    warn!(
                        method = %self.method, fenced,
                        "a claim had been taken over; its outcomes were not recorded"
                    );
                    break;
                }
                Err(failed) if failed.may_lie_in_the_content() => return Err(failed),
                Err(failed) => {
                    if !told {
                        let waiting = batch.len();
                        let method = self.method;
                        error!(%method, error = %failed, waiting, "cannot record; trying on");
                        told = true;
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        for done in batch {
            self.worker.metrics.ended(self.method, end(&done.then));
        }
        self.claims.forget(batch);
        Ok(())
    }

    fn set_aside(&mut self, done: &Done, trouble: &Error) {
        error!(
            method = %self.method, error = %trouble, notification = %done.job.id,
            outcome = done.tried.as_ref().map_or("none", |tried| tried.outcome),
            "an outcome cannot be recorded and is set aside; its claim will run out, and it comes \
             back as an attempt of unknown outcome"
        );
        self.worker.metrics.ended(self.method, "set_aside");
        self.claims.set_aside(done);
    }
}

impl Claims {
    fn note(&mut self, report: Report, batch: &mut Vec<Done>) {
        match report {
            Report::Claimed { claim, jobs } => {
                let in_hand = |job: Job| InHand {
                    job,
                    is_aside: false,
                };
                let jobs = jobs.into_iter().map(|job| (job.id, in_hand(job)));
                self.jobs.insert(claim, jobs.collect());
            }
            Report::Done(done) => batch.push(done),
        }
    }

    /// What is left of the claims that the batch belongs to, once it is recorded.
    fn left(&self, batch: &[Done]) -> Vec<Left> {
        let touched: BTreeSet<ClaimId> = batch.iter().map(|done| done.claim).collect();
        let done: BTreeSet<(ClaimId, NotificationId)> =
            batch.iter().map(|done| (done.claim, done.job.id)).collect();
        let untried: BTreeSet<ClaimId> = batch
            .iter()
            .filter(|done| done.tried.is_none())
            .map(|done| done.claim)
            .collect();
        let left = touched.into_iter().map(|claim| {
            let held = self.jobs.get(&claim).into_iter().flatten();
            let jobs = held.filter(|(id, _)| !done.contains(&(claim, **id)));
            Left {
                claim,
                jobs: jobs.map(|(_, in_hand)| in_hand.job).collect(),
                rewrite: untried.contains(&claim),
            }
        });
        left.collect()
    }

    fn forget(&mut self, batch: &[Done]) {
        for done in batch {
            if let Some(jobs) = self.jobs.get_mut(&done.claim) {
                jobs.remove(&done.job.id);
            }
            self.end_if_nothing_is_left(done.claim);
        }
    }

    fn set_aside(&mut self, done: &Done) {
        let jobs = self.jobs.get_mut(&done.claim);
        if let Some(in_hand) = jobs.and_then(|jobs| jobs.get_mut(&done.job.id)) {
            in_hand.is_aside = true;
        }
        self.end_if_nothing_is_left(done.claim);
    }

    /// Without our heartbeat, a claim of which something was set aside runs out.
    fn end_if_nothing_is_left(&mut self, claim: ClaimId) {
        let jobs = self.jobs.get(&claim).into_iter().flatten();
        if jobs.map(|(_, in_hand)| in_hand).all(|job| job.is_aside) {
            self.jobs.remove(&claim);
            self.held.remove(claim);
        }
    }
}

/// The word of the metric.
fn end(then: &Then) -> &'static str {
    match then {
        Then::Sent { .. } => "sent",
        Then::Rejected(_) => "rejected",
        Then::GaveUp(_) => "gave_up",
        Then::Again { .. } => "again",
        Then::Hold => "held",
        Then::Settled => "settled",
    }
}
