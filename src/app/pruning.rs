//! Deletes what is older than it is kept, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::delivery::slept;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::old_causes::Walk;
use crate::store::pruning::{Pruned, Sweep};

/// Between two batches, so that whoever waits for the database gets a turn: ten times as long as one takes.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether a walk is due.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How long each is kept; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) content: Option<Duration>,
    pub(super) entries: Option<Duration>,
    pub(super) buried: Option<Duration>,
    pub(super) causes: Option<Duration>,
}

/// Until the program stops.
pub(super) async fn prune(
    store: Store,
    metrics: Arc<Metrics>,
    kept: Kept,
    stop: CancellationToken,
) {
    let (mut contents, mut entries) = (Sweep::default(), Sweep::default());
    let mut causes = Walk::default();
    let mut walk = Pruned::default();
    let mut pause = PAUSE;
    while slept(pause, &stop).await {
        let mut done = Pruned::default();
        if let Some(keep) = kept.entries {
            add(&mut done, store.prune_entries(keep, &mut entries).await);
        }
        if let Some(keep) = kept.content {
            add(&mut done, store.prune_contents(keep, &mut contents).await);
        }
        if let Some(keep) = kept.buried {
            add(&mut done, store.prune_buried(keep).await);
        }
        if let Some(keep) = kept.causes {
            add(&mut done, store.prune_causes(keep, &mut causes).await);
        }
        let counted = [
            ("content", done.contents),
            ("entries", done.entries),
            ("files", done.files),
            ("buried", done.buried),
            ("causes", done.causes),
        ];
        for (what, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            metrics.pruned(what, count);
        }
        add(&mut walk, Ok(done));
        pause = if done.more { PAUSE } else { LOOK_EVERY };
        if !done.more {
            tell(std::mem::take(&mut walk));
        }
    }
}

fn add(sum: &mut Pruned, one: Result<Pruned, crate::store::Error>) {
    match one {
        Ok(one) => {
            sum.contents += one.contents;
            sum.entries += one.entries;
            sum.files += one.files;
            sum.buried += one.buried;
            sum.causes += one.causes;
            sum.more |= one.more;
        }
        Err(failed) => warn!(error = %failed, "cannot delete what is not kept for longer"),
    }
}

fn tell(walk: Pruned) {
    let Pruned {
        contents,
        entries,
        files,
        buried,
        causes,
        ..
    } = walk;
    if contents + entries + files + buried + causes > 0 {
        info!(
            contents,
            entries, files, buried, causes, "deleted what is not kept for longer"
        );
    }
}
