//! The recorder: gathers what became of jobs and records it in batches; knows what is left of each
//! claim. What cannot be recorded is kept and tried again until it can.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::Worker;
use super::held::Held;
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::method::Method;
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
struct Claims {
    jobs: BTreeMap<ClaimId, BTreeMap<NotificationId, Job>>,
    held: Held,
}

/// Runs until every sender is gone and everything is recorded.
pub(super) async fn run(
    worker: Worker,
    held: Held,
    method: Method,
    mut reports: mpsc::Receiver<Report>,
) {
    let mut claims = Claims {
        jobs: BTreeMap::new(),
        held,
    };
    let batch_max = worker.settings.batch;
    let mut batch: Vec<Done> = Vec::with_capacity(batch_max);
    while let Some(first) = reports.recv().await {
        claims.note(first, &mut batch);
        let gathered = async {
            while batch.len() < batch_max {
                let Some(report) = reports.recv().await else {
                    break;
                };
                claims.note(report, &mut batch);
            }
        };
        // Whether it is full or the time is over makes no difference.
        tokio::time::timeout(GATHER, gathered).await.ok();
        if !batch.is_empty() {
            record(&worker, method, &batch, &mut claims).await;
            batch.clear();
        }
    }
}

impl Claims {
    fn note(&mut self, report: Report, batch: &mut Vec<Done>) {
        match report {
            Report::Claimed { claim, jobs } => {
                self.jobs
                    .insert(claim, jobs.into_iter().map(|job| (job.id, job)).collect());
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
                jobs: jobs.map(|(_, job)| *job).collect(),
                rewrite: untried.contains(&claim),
            }
        });
        left.collect()
    }

    fn forget(&mut self, batch: &[Done]) {
        for done in batch {
            if let Some(held) = self.jobs.get_mut(&done.claim) {
                held.remove(&done.job.id);
                if held.is_empty() {
                    self.jobs.remove(&done.claim);
                    self.held.remove(done.claim);
                }
            }
        }
    }
}

async fn record(worker: &Worker, method: Method, batch: &[Done], claims: &mut Claims) {
    let left = claims.left(batch);
    let mut told = false;
    loop {
        match worker.store.record(batch, &left).await {
            Ok(0) => break,
            Ok(fenced) => {
                warn!(%method, fenced, "a claim had been taken over; its outcomes were not recorded");
                break;
            }
            Err(failed) => {
                if !told {
                    error!(%method, error = %failed, waiting = batch.len(), "cannot record; trying on");
                    told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    for done in batch {
        worker.metrics.ended(method, end(&done.then));
    }
    claims.forget(batch);
}

/// The word of the metric.
fn end(then: &Then) -> &'static str {
    match then {
        Then::Sent { .. } => "sent",
        Then::Rejected(_) => "rejected",
        Then::GaveUp(_) => "gave_up",
        Then::Again { .. } => "again",
        Then::Settled => "settled",
    }
}
