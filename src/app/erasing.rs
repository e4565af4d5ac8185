//! Works at the erasures of clients, a batch of each in turn. Any number of processes may: one at a time
//! holds an erasure, and each goes on where the last one ended.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::delivery::slept;
use crate::store::{Error, Store};

/// Erasures that are worked at in turn.
const OPEN_MAX: i64 = 20;
/// How often open ones are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two batches, so that whoever enqueues meanwhile gets a turn.
const PAUSE: Duration = Duration::from_millis(20);

/// Until the program stops.
pub(super) async fn erase(store: Store, stop: CancellationToken) {
    let mut pause = PAUSE;
    while slept(pause, &stop).await {
        pause = match round(&store).await {
            Ok(true) => PAUSE,
            Ok(false) => LOOK_EVERY,
            Err(failed) => {
                warn!(error = %failed, "cannot look for clients to be erased");
                LOOK_EVERY
            }
        };
    }
}

/// A batch of each. `true`: there is more to do.
async fn round(store: &Store) -> Result<bool, Error> {
    let mut moved = false;
    for id in store.open_erasures(OPEN_MAX).await? {
        match store.erase_on(id).await {
            Ok(true) => moved = true,
            Ok(false) => {}
            // It stays where it is and is tried again, and holds up no other.
            Err(failed) => error!(error = %failed, %id, "an erasure does not go on"),
        }
    }
    Ok(moved)
}
