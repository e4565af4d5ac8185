//! An answer that costs a query: found out once in a while, however many ask for it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Cached<T> {
    kept_for: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    pub(super) fn new(kept_for: Duration) -> Self {
        Self {
            kept_for,
            last: Mutex::default(),
        }
    }

    /// The last answer while it is fresh. Who asks while it is being found out waits for it.
    pub(super) async fn get(&self, find_out: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < self.kept_for
        {
            return answer.clone();
        }
        let answer = find_out.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn ask(cached: &Cached<usize>, queries: &AtomicUsize) -> usize {
        let query = async {
            tokio::task::yield_now().await;
            queries.fetch_add(1, Ordering::SeqCst)
        };
        cached.get(query).await
    }

    #[tokio::test]
    async fn many_who_ask_while_an_answer_is_fresh_cost_one_query() {
        let cached = Cached::new(Duration::from_hours(1));
        let queries = AtomicUsize::new(0);
        let answers = (0..100).map(|_| ask(&cached, &queries));
        let answers = futures_util::future::join_all(answers).await;
        assert_eq!(answers, [0; 100]);
        assert_eq!(ask(&cached, &queries).await, 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_longer_fresh_is_found_out_anew() {
        let (cached, queries) = (Cached::new(Duration::ZERO), AtomicUsize::new(0));
        for expected in 0..3 {
            assert_eq!(ask(&cached, &queries).await, expected);
        }
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_question_to_the_next() {
        let cached = Cached::new(Duration::from_hours(1));
        let given_up = cached.get(std::future::pending::<usize>());
        let limit = Duration::from_millis(10);
        assert!(tokio::time::timeout(limit, given_up).await.is_err());
        assert_eq!(cached.get(async { 7 }).await, 7);
    }
}
