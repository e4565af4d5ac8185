//! Keeps the counts of the flow: writes what was refused, folds, prunes, and judges the brakes by them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::delivery::slept;
use crate::domain::brake::{Rules, State};
use crate::metrics::Metrics;
use crate::store::{Error, Store};

/// How often counts are folded. What is not folded is read beside the sums, so that this is not the age
/// of what people see; a kill forgets so much of what was refused, and of nothing else.
const FOLD_EVERY: Duration = Duration::from_secs(5);
/// How often all is folded, and how far back in between: what is committed later than that after it was
/// counted waits for the next time. It is read beside the sums meanwhile.
const FOLD_ALL_EVERY: Duration = Duration::from_mins(5);
const FOLD_BACK: Duration = Duration::from_mins(5);
/// Between two batches, so that whoever waits for the database gets a turn.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
/// How often the brakes are judged: so late is a hold at most, at a rate that counts a thousand emails.
const JUDGE_EVERY: Duration = Duration::from_secs(10);
/// How often sums are looked for that are older than they are kept.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

pub(super) struct Counting {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) rules: Rules,
}

impl Counting {
    /// Until the program stops. Any number of processes may.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut pause = BATCH_PAUSE;
        let (mut judged, mut pruned, mut folded) = (None, None, None);
        while slept(pause, &stop).await {
            pause = FOLD_EVERY;
            self.write_refused().await;
            match self.fold(&mut folded).await {
                Ok(true) => pause = BATCH_PAUSE,
                Ok(false) => {}
                Err(failed) => tell(&failed, "cannot fold the counts"),
            }
            if self.rules.enabled && is_due(&mut judged, JUDGE_EVERY) {
                self.judge().await;
            }
            if is_due(&mut pruned, PRUNE_EVERY) {
                match self.store.prune_flow().await {
                    Ok(true) => (pruned, pause) = (None, BATCH_PAUSE),
                    Ok(false) => {}
                    Err(failed) => tell(&failed, "cannot delete old counts"),
                }
            }
        }
    }

    /// `all`: when nothing was left at all.
    async fn fold(&self, all: &mut Option<Instant>) -> Result<bool, Error> {
        if all.is_some_and(|at| at.elapsed() < FOLD_ALL_EVERY) {
            let since = self.clock.now().minus(FOLD_BACK);
            return self.store.fold_flow_since(since).await;
        }
        let more = self.store.fold_flow().await?;
        *all = (!more).then(Instant::now);
        Ok(more)
    }

    async fn write_refused(&self) {
        let refused = self.metrics.take_refused();
        if refused.is_empty() {
            return;
        }
        if let Err(failed) = self.store.count_refused(&refused).await {
            tell(&failed, "cannot count the feedback that was refused");
            self.metrics.put_back_refused(&refused);
        }
    }

    async fn judge(&self) {
        match self.store.judge_brakes(&self.rules).await {
            Ok(changed) => {
                for brake in changed {
                    let (business, kind) = (&brake.business, brake.kind.as_str());
                    match brake.state {
                        State::Ok => info!(business, kind, "a brake is off: {}", brake.why),
                        State::Warned => warn!(business, kind, "a brake warns: {}", brake.why),
                        State::Held => warn!(business, kind, "bulk email is held: {}", brake.why),
                    }
                }
            }
            Err(failed) => tell(&failed, "cannot judge the brakes"),
        }
    }
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

fn tell(failed: &Error, what: &str) {
    warn!(error = %failed, "{what}");
}
