//! What causes of failures learn afterwards, a batch at a time until the program stops.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::delivery::slept;
use crate::store::cause_past::Past;
use crate::store::{Error, Store};

/// Messages of one batch: a matter of milliseconds, because on SQLite every other writer waits for it.
const BATCH: usize = 500;
/// How often messages that were sent again are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// However long the past is to wait: the clock may be set meanwhile.
const ASK_AGAIN: Duration = Duration::from_hours(1);
/// Between two batches, so that whoever waits for the database gets a turn.
const PAUSE: Duration = Duration::from_millis(50);

/// Marks what was sent again, and takes in what failed before there were causes.
pub(super) async fn learn(store: Store, stop: CancellationToken) {
    let (mut pause, mut past) = (PAUSE, TakingIn::Since(Instant::now()));
    while slept(pause, &stop).await {
        pause = match round(&store, &mut past).await {
            Ok(true) => PAUSE,
            Ok(false) => LOOK_EVERY,
            Err(failed) => {
                warn!(error = %failed, "causes of failures do not learn what became of their messages");
                LOOK_EVERY
            }
        };
    }
}

/// When the past is gone on with.
enum TakingIn {
    Since(Instant),
    Done,
}

/// `true`: there may be more to do.
async fn round(store: &Store, past: &mut TakingIn) -> Result<bool, Error> {
    let marked = store.mark_resent(BATCH).await?;
    let mut more = marked >= BATCH;
    if let TakingIn::Since(due) = past
        && *due <= Instant::now()
    {
        match store.take_in_past(BATCH).await? {
            Past::More => more = true,
            Past::Elsewhere => {}
            Past::Later(wait) => *due = Instant::now() + wait.min(ASK_AGAIN),
            Past::Done => *past = TakingIn::Done,
        }
    }
    Ok(more)
}
