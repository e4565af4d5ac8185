//! Keeps the tasks of a worker running: one that ends before it should is started anew, because a
//! method that silently sends nothing is worse than any crash.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use super::upkeep::slept;

/// Before a task that failed is started anew: a mistake that recurs must not fill the log.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Runs the task that `start` makes until it ends after `stop`, and anew whenever it panics or ends
/// before. `failed` is called between.
pub(super) async fn keep_running<F>(
    name: String,
    stop: CancellationToken,
    start: impl Fn() -> F,
    failed: impl Fn(),
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let ended = tokio::spawn(start()).await;
        if ended.is_ok() && stop.is_cancelled() {
            return;
        }
        // The words of a panic may hold what must not be logged.
        let panicked = ended.is_err();
        error!(
            task = name,
            panicked, "a task of the worker failed; it is started anew"
        );
        failed();
        if !slept(RESTART_PAUSE, &stop).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The first panics, the second ends, the third ends when it should.
    fn ends(number: usize, stop: CancellationToken) -> impl Future<Output = ()> {
        std::future::poll_fn(move |_| {
            match number {
                0 => panic!("ana@example.com"),
                1 => {}
                _ => stop.cancel(),
            }
            std::task::Poll::Ready(())
        })
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_too_early_is_started_anew() {
        let stop = CancellationToken::new();
        let (starts, failures) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, until) = (Arc::clone(&starts), stop.clone());
        let start = move || ends(counted.fetch_add(1, Ordering::SeqCst), until.clone());
        let counted = Arc::clone(&failures);
        let failed = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let kept = keep_running("test".to_owned(), stop, start, failed);
        tokio::time::timeout(Duration::from_secs(20), kept)
            .await
            .unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        assert_eq!(failures.load(Ordering::SeqCst), 2);
    }
}
