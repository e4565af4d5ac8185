//! Tags for entries that no request of ours has read: those enqueued by SQL, and what clients wrote.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::delivery::slept;
use crate::domain::tags;
use crate::store::tags::{Tagged, Untagged};
use crate::store::{Error, Store};
use crate::template;

/// Entries of one batch: a matter of milliseconds, and their texts take little memory.
const BATCH: usize = 100;
/// How often such entries are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two batches, so that whoever waits for the database gets a turn.
const PAUSE: Duration = Duration::from_millis(50);

/// Finds them, a batch at a time, until the program stops.
pub(super) async fn tag(store: Store, stop: CancellationToken) {
    let mut pause = PAUSE;
    while slept(pause, &stop).await {
        pause = match batch(&store).await {
            Ok(BATCH..) => PAUSE,
            Ok(_) => LOOK_EVERY,
            Err(failed) => {
                warn!(error = %failed, "cannot look for entries without tags");
                LOOK_EVERY
            }
        };
    }
}

/// How many there were.
async fn batch(store: &Store) -> Result<usize, Error> {
    let found = store.untagged(BATCH).await?;
    let tagged: Vec<Tagged> = found.iter().map(of).collect();
    store.keep_tags(&tagged).await?;
    Ok(tagged.len())
}

fn of(entry: &Untagged) -> Tagged {
    let (text, html) = (entry.text.as_deref(), entry.html.as_deref());
    let words = template::of_parts(entry.subject.as_deref(), text, html);
    Tagged {
        id: entry.id,
        tags: tags::without(&words, entry.own.iter()),
    }
}
