//! What waits in memory to be recorded: bounded, written in batches, and counted where it is lost.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::domain::event::{Event, EventKey};
use crate::domain::id::NotificationId;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::tracking::Visited;

/// Visits that wait; with a link and a user agent each, some 10 MB. At 1,000 a second it bridges the
/// four seconds in which a database fails over.
pub(super) const WAITING_MAX: usize = 4_096;
/// Visits of one commit.
const BATCH_MAX: usize = 500;
/// Visits that are remembered as told, so that who repeats one without end costs no commits.
const REMEMBERED_MAX: usize = 10_000;
/// Visits that are told once more, and after how long: longer than a worker needs to record a send, also
/// after the database was away.
const EARLY_MAX: usize = 1_000;
const AGAIN_AFTER: Duration = Duration::from_secs(15);
/// While the database is away, before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Takes visits; never waits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Visits {
    waiting: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

/// What writes them.
#[derive(Debug)]
pub struct Queue {
    waiting: mpsc::Receiver<Event>,
    store: Store,
    metrics: Arc<Metrics>,
    remembered: BTreeSet<(NotificationId, EventKey)>,
    /// What came before its message was on record as sent, and when it is told again.
    early: VecDeque<(Instant, Event)>,
    stop: CancellationToken,
}

/// The running task.
#[derive(Debug)]
pub struct Recording {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Visits {
    pub fn note(&self, visit: Event) {
        let kind = visit.what.kind();
        if self.waiting.try_send(visit).is_err() {
            self.count(kind, "dropped");
        }
    }

    pub fn count(&self, kind: &'static str, result: &'static str) {
        self.metrics.visit(kind, result);
    }
}

impl Queue {
    pub fn new(store: Store, metrics: Arc<Metrics>) -> (Visits, Self) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let visits = Visits {
            waiting: sender,
            metrics: Arc::clone(&metrics),
        };
        let queue = Self {
            waiting,
            store,
            metrics,
            remembered: BTreeSet::new(),
            early: VecDeque::new(),
            stop: CancellationToken::new(),
        };
        (visits, queue)
    }

    pub fn start(self) -> Recording {
        let stop = self.stop.clone();
        let task = tokio::spawn(self.run());
        Recording { task, stop }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Until it is told to stop and nothing waits any more.
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let closed = self.waiting.is_closed();
            tokio::select! {
                () = self.stop.cancelled(), if !closed => self.waiting.close(),
                count = self.waiting.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return self.tell_the_last().await;
                    }
                    self.leave_out_repeated(&mut batch);
                    self.keep(&batch, true).await;
                    batch.clear();
                }
                () = until(self.early.front()) => self.tell_again().await,
            }
        }
    }

    fn leave_out_repeated(&self, batch: &mut Vec<Event>) {
        batch.retain(|visit| {
            let is_known = self.remembered.contains(&(visit.notification, visit.key));
            if is_known {
                self.metrics.visit(visit.what.kind(), "repeated");
            }
            !is_known
        });
    }

    /// Whose record was slower than the reader is on record by now.
    async fn tell_again(&mut self) {
        let now = Instant::now();
        let due = self.early.iter().take_while(|(at, _)| *at <= now).count();
        let due = self.early.drain(..due.min(BATCH_MAX));
        let batch: Vec<Event> = due.map(|(_, visit)| visit).collect();
        self.keep(&batch, false).await;
    }

    /// Before the program ends; what is early now stays so.
    async fn tell_the_last(&mut self) {
        let early: Vec<Event> = self.early.drain(..).map(|(_, visit)| visit).collect();
        for batch in early.chunks(BATCH_MAX) {
            self.keep(batch, false).await;
        }
    }

    /// What was early is told once more.
    fn remember(&mut self, batch: &[Event], answers: &[Visited], first: bool) {
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        for (visit, answer) in batch.iter().zip(answers) {
            if first && *answer == Visited::Early && self.early.len() < EARLY_MAX {
                self.early
                    .push_back((Instant::now() + AGAIN_AFTER, visit.clone()));
                continue;
            }
            self.metrics.visit(visit.what.kind(), answer.as_str());
            if *answer != Visited::Early {
                self.remembered.insert((visit.notification, visit.key));
            }
        }
    }

    /// Tries until the database is there, or the program stops.
    async fn keep(&mut self, batch: &[Event], first: bool) {
        if batch.is_empty() {
            return;
        }
        let mut told = false;
        loop {
            match self.store.keep_visits(batch).await {
                Ok(answers) => return self.remember(batch, &answers, first),
                // One of them may be what cannot be written.
                Err(failed) if failed.may_lie_in_the_content() && batch.len() > 1 => {
                    for visit in batch {
                        Box::pin(self.keep(std::slice::from_ref(visit), first)).await;
                    }
                    return;
                }
                Err(failed) if failed.is_unavailable() && !self.stop.is_cancelled() => {
                    if !told {
                        warn!(error = %failed, "opens and clicks cannot be recorded; trying on");
                        told = true;
                    }
                    self.pause().await;
                }
                Err(failed) => {
                    let lost = batch.len();
                    error!(error = %failed, lost, "opens and clicks could not be recorded");
                    for visit in batch {
                        self.metrics.visit(visit.what.kind(), "not_kept");
                    }
                    return;
                }
            }
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
    }
}

/// For ever, where nothing waits.
async fn until(next: Option<&(Instant, Event)>) {
    match next {
        Some((at, _)) => tokio::time::sleep_until(*at).await,
        None => std::future::pending().await,
    }
}

impl Recording {
    /// Records what waits, for so long. Returns whether that was enough.
    pub async fn stop(self, patience: Duration) -> bool {
        self.stop.cancel();
        tokio::time::timeout(patience, self.task).await.is_ok()
    }
}
