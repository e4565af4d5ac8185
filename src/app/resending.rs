//! Works at the runs that send many entries again. Any number of processes may: each entry of a run is
//! sent under a key of its own, so that a batch that is repeated, after a kill or beside another process,
//! sends nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use super::order::Order;
use crate::api::again::{Again, Obstacle};
use crate::api::ways;
use crate::delivery::slept;
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::role::Right;
use crate::metrics::Metrics;
use crate::store::bars::Asked;
use crate::store::browse::{Browse, Position};
use crate::store::enqueue::{Enqueue, Enqueued, NewNotification};
use crate::store::history::{Entry, Filter};
use crate::store::resend_runs::{Batch, Run, key_of};
use crate::store::{Error, Store};

/// Entries that one run takes: what a mishap of a day leaves behind, and few enough that the preview
/// counts them while somebody waits.
pub(super) const RUN_MAX: usize = 10_000;
/// Entries of one batch: a commit of milliseconds.
const BATCH: usize = 100;
/// Runs that are worked at in turn.
const OPEN_MAX: usize = 20;
/// How often open runs are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two batches, so that whoever enqueues meanwhile gets a turn.
const PAUSE: Duration = Duration::from_millis(20);

/// What becomes of an entry that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Resend,
    /// It was sent again before.
    Again,
    /// Its address is suppressed.
    Suppressed,
    /// It cannot be sent again, or its address is none.
    Not,
}

/// What works at the runs.
#[derive(Clone, Debug)]
pub(super) struct Resending {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) woken: Arc<Notify>,
}

impl Resending {
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
        let filter = Order::read(&run.filter).and_then(Order::filter);
        // Whoever ordered it may have lost the right meanwhile.
        let account = self.store.staff_account(run.account).await?;
        let may = account.is_some_and(|account| account.may(Right::ResendMany));
        let (None, Some(filter), 1.., true) = (run.stopped_at, filter, left, may) else {
            return self.store.move_resend_run(run, ended).await;
        };
        let browse = Browse {
            filter: Filter {
                limit: BATCH.min(left),
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
        staff_id: Some(run.staff_id.clone()),
        key: Some(key_of(run.id, &entry.id.to_string())),
    }
}

/// What becomes of each of these entries.
pub(super) async fn fates(
    store: &Store,
    business: &str,
    entries: &[Entry],
    run: Option<Uuid>,
) -> Result<Vec<Fate>, Error> {
    let ids: Vec<NotificationId> = entries.iter().map(|entry| entry.id).collect();
    let again = store.sent_again(business, &ids, run).await?;
    let resendable = entries.iter().filter(|entry| Obstacle::of(entry).is_none());
    let addresses: BTreeMap<NotificationId, Address> = resendable
        .filter_map(|entry| {
            let to = Address::parse(entry.method, entry.to.as_deref()?).ok()?;
            Some((entry.id, to))
        })
        .collect();
    let asked: Vec<Asked<'_>> = entries
        .iter()
        .filter_map(|entry| Some(Asked::again(business, entry, addresses.get(&entry.id)?)))
        .collect();
    let standing = store.standing(&asked).await?;
    let fate = |entry: &Entry| match (addresses.get(&entry.id), standing.get(&entry.id)) {
        (None, _) => Fate::Not,
        _ if again.contains(&entry.id) => Fate::Again,
        (Some(_), Some(_)) => Fate::Suppressed,
        (Some(_), None) => Fate::Resend,
    };
    Ok(entries.iter().map(fate).collect())
}
