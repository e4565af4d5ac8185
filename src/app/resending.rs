//! Works at the runs that send many entries again. Any number of processes may: each entry of a run is
//! sent under a key of its own, so that a batch that is repeated, after a kill or beside another process,
//! sends nothing twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use super::order;
use crate::api::again::Again;
use crate::api::fates::{Fate, RUN_MAX, fates};
use crate::api::ways;
use crate::delivery::slept;
use crate::domain::order::Order;
use crate::domain::role::Right;
use crate::metrics::Metrics;
use crate::store::browse::{Browse, Position};
use crate::store::enqueue::{Enqueue, Enqueued, NewNotification};
use crate::store::history::{Entry, Filter};
use crate::store::resend_runs::{Batch, NO_ACCOUNT, Run, key_of};
use crate::store::{Error, Store};

/// Entries of one batch: a commit of milliseconds.
const BATCH: usize = 100;
/// Runs that are worked at in turn.
const OPEN_MAX: usize = 20;
/// How often open runs are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two batches, so that whoever enqueues meanwhile gets a turn.
const PAUSE: Duration = Duration::from_millis(20);

/// What works at the runs.
#[derive(Clone, Debug)]
pub struct Resending {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) woken: Arc<Notify>,
}

impl Resending {
    /// Of a program that does nothing else: what it enqueues, others send.
    pub fn of(store: &Store) -> Self {
        Self {
            store: store.clone(),
            metrics: Arc::default(),
            woken: Arc::default(),
        }
    }

    /// Deals with the next entries of a run that is not at its end. How far it is then; none: the
    /// business has no such run.
    pub async fn go_on(&self, business: &str, id: Uuid) -> Result<Option<Run>, Error> {
        let run = self.store.resend_run(business, id).await?;
        if let Some(run) = run.filter(|run| run.finished_at.is_none()) {
            self.batch(&run).await?;
        }
        self.store.resend_run(business, id).await
    }

    /// Until the program stops.
    pub(super) async fn work(self, stop: CancellationToken) {
        let mut pause = PAUSE;
        while slept(pause, &stop).await {
            pause = match self.round().await {
                Ok(true) => PAUSE,
                Ok(false) => LOOK_EVERY,
                Err(failed) => {
                    warn!(error = %failed, "cannot look for runs of resends");
                    LOOK_EVERY
                }
            };
        }
    }

    /// A batch of each open run. `true`: there is more to do.
    async fn round(&self) -> Result<bool, Error> {
        let mut moved = false;
        for run in self.store.open_resend_runs(OPEN_MAX).await? {
            match self.batch(&run).await {
                Ok(done) => moved |= done,
                // It stays where it is and is tried again, and holds up no other.
                Err(failed) => {
                    error!(error = %failed, run = %run.id, "a run of resends does not go on");
                }
            }
        }
        Ok(moved)
    }

    /// Deals with the next entries of a run. `false`: another process did.
    async fn batch(&self, run: &Run) -> Result<bool, Error> {
        let ended = Batch {
            reached: run.reached,
            sent: 0,
            left_out: 0,
            ends: true,
        };
        let done = usize::try_from(run.sent + run.left_out).unwrap_or(usize::MAX);
        let left = RUN_MAX.saturating_sub(done);
        let order = Order::read(&run.filter);
        let may = self.may_go_on(run, order.as_ref()).await?;
        let filter = order.and_then(order::filter);
        let (None, Some(filter), 1.., true) = (run.stopped_at, filter, left, may) else {
            return self.store.move_resend_run(run, ended).await;
        };
        let browse = Browse {
            filter: Filter {
                limit: BATCH.min(left),
                // What others had sent again before is done; what this run sends is not.
                open_at: Some(run.created_at),
                ..filter
            },
            after: Some(Position::of(run.reached)),
            ..Browse::default()
        };
        let page = self.store.browse(&run.business, &browse).await?;
        let next = page.next.as_ref().map(|next| next.id);
        let Some(last) = next.or(page.entries.last().map(|last| last.id)) else {
            return self.store.move_resend_run(run, ended).await;
        };
        let fates = fates(&self.store, &run.business, &page.entries, Some(run.id)).await?;
        let wanted = page.entries.iter().zip(fates);
        let wanted = wanted.filter(|(_, fate)| *fate == Fate::Resend);
        let new: Vec<NewNotification> = wanted
            .filter_map(|(entry, _)| again(run, entry).of(entry).ok())
            .collect();
        let sent = self.send(run, new).await?;
        let batch = Batch {
            reached: last,
            sent,
            left_out: page.entries.len() - sent,
            ends: next.is_none() || left <= page.entries.len(),
        };
        self.store.move_resend_run(run, batch).await
    }

    /// Whoever ordered it may have lost the right meanwhile. An application's key had it when it asked.
    async fn may_go_on(&self, run: &Run, order: Option<&Order>) -> Result<bool, Error> {
        if run.account == NO_ACCOUNT {
            return Ok(order.is_some_and(|order| order.by.is_some()));
        }
        let account = self.store.staff_account(run.account).await?;
        Ok(account.is_some_and(|account| account.may(Right::ResendMany)))
    }

    /// Enqueues them, less those that are refused; how many are enqueued, now or before.
    async fn send(&self, run: &Run, mut new: Vec<NewNotification>) -> Result<usize, Error> {
        while !new.is_empty() {
            let request = Enqueue {
                business: run.business.clone(),
                notifications: new.clone(),
            };
            match self.store.enqueue(request).await? {
                Enqueued::Done(tickets) => {
                    let fresh = tickets.iter().filter(|ticket| !ticket.duplicate).count();
                    if fresh > 0 {
                        self.metrics.enqueued(fresh);
                        ways::wake(&self.woken);
                    }
                    return Ok(tickets.len());
                }
                // Each time fewer are left.
                Enqueued::Refused(refusals) => {
                    let mut index = 0;
                    new.retain(|_| {
                        let refused = refusals.iter().any(|it| it.index == index);
                        index += 1;
                        !refused
                    });
                }
            }
        }
        Ok(0)
    }
}

/// Under a key that is the same whoever works at the run, and however often.
fn again(run: &Run, entry: &Entry) -> Again {
    Again {
        to: None,
        staff_id: Some(run.staff_id.clone()).filter(|id| !id.is_empty()),
        key: Some(key_of(run.id, &entry.id.to_string())),
    }
}
