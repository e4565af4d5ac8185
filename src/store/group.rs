//! Group commit: concurrent callers are gathered into one transaction, and each is answered after
//! its commit. One commit per call costs thirteen times the CPU of a gathered one.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::instrument::WithSubscriber as _;

use super::Error;

/// Callers that may wait for their turn; beyond it `submit` itself waits, which slows the caller
/// down instead of growing the memory.
const WAITING_MAX: usize = 1024;

/// The thread of all group commits of the process. Among the tasks of a busy server each answer of the
/// database would wait behind the requests that came meanwhile: milliseconds in which a transaction is
/// open and nothing is committed. Apart, more is committed in the same time (decision 26).
static COMMITTING: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("group-commit")
        .enable_all()
        .build()
        .expect("a thread can be started")
});

type Answer<R> = oneshot::Sender<Result<R, Error>>;

#[derive(Debug)]
pub(crate) struct Group<T, R> {
    queue: mpsc::Sender<(T, Answer<R>)>,
}

impl<T, R> Clone for Group<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

/// How callers are gathered.
#[derive(Debug)]
pub(crate) struct Gather<T> {
    /// What one caller adds to a batch.
    pub(crate) weight: fn(&T) -> usize,
    /// A batch is full at this weight; one caller above it goes alone.
    pub(crate) weight_max: usize,
    /// Batches that may be committed at the same time.
    pub(crate) committers: usize,
}

impl<T> Clone for Gather<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Gather<T> {}

impl<T, R> Group<T, R>
where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
{
    /// `commit` writes a whole batch and gives one result per caller, in order.
    pub(crate) fn start<F, Fut>(gather: Gather<T>, commit: F) -> Self
    where
        F: Fn(Arc<[T]>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, Error>> + Send,
    {
        let (queue, waiting) = mpsc::channel::<(T, Answer<R>)>(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..gather.committers {
            let (waiting, commit) = (Arc::clone(&waiting), commit.clone());
            let callers = Handle::current();
            let committing = async move {
                while let Some((batch, answers)) = take(&waiting, gather).await {
                    settle(&commit, batch.into(), (answers, &callers)).await;
                }
            };
            // Whoever hears the thread that this is started on hears this one.
            COMMITTING.spawn(committing.with_current_subscriber());
        }
        Self { queue }
    }

    /// Answers when the batch that this went into is committed. A caller that goes away meanwhile
    /// does not change what is committed.
    pub(crate) async fn submit(&self, item: T) -> Result<R, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send((item, answer))
            .await
            .map_err(|_closed| Error::Closed)?;
        answered.await.map_err(|_closed| Error::Closed)?
    }
}

/// The first caller and all who wait behind it, up to the limit. `None` when the group is dropped.
async fn take<T, R>(
    waiting: &Mutex<mpsc::Receiver<(T, Answer<R>)>>,
    gather: Gather<T>,
) -> Option<(Vec<T>, Vec<Answer<R>>)> {
    let mut waiting = waiting.lock().await;
    let (first, answer) = waiting.recv().await?;
    let mut weight = (gather.weight)(&first);
    let (mut batch, mut answers) = (vec![first], vec![answer]);
    while weight < gather.weight_max {
        let Ok((item, answer)) = waiting.try_recv() else {
            break;
        };
        weight = weight.saturating_add((gather.weight)(&item));
        batch.push(item);
        answers.push(answer);
    }
    Some((batch, answers))
}

/// Commits a batch and answers its callers. When something in it cannot be written, each caller is
/// tried alone, so that none fails for what another one sent.
async fn settle<T, R, F, Fut>(
    commit: &F,
    batch: Arc<[T]>,
    (answers, callers): (Vec<Answer<R>>, &Handle),
) where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(Arc<[T]>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, Error>>,
{
    let result = commit(Arc::clone(&batch)).await;
    let alone = batch.len() > 1 && result.as_ref().is_err_and(Error::may_lie_in_the_content);
    if !alone {
        // Where they run: to wake each of them from here would hold up the next batch.
        callers.spawn(async move {
            answer(result, answers);
            drop(batch);
        });
        return;
    }
    let mut down = None;
    for (item, caller) in batch.iter().zip(answers) {
        let result = match &down {
            Some(error) => Err(Error::clone(error)),
            None => commit(Arc::from([item.clone()])).await,
        };
        down = result
            .as_ref()
            .err()
            .filter(|e| e.is_unavailable() && !e.may_lie_in_the_content())
            .cloned();
        answer(result, vec![caller]);
    }
}

fn answer<R>(result: Result<Vec<R>, Error>, answers: Vec<Answer<R>>) {
    match result {
        Ok(results) => {
            debug_assert_eq!(results.len(), answers.len(), "one result a caller");
            for (answer, result) in answers.into_iter().zip(results) {
                answer.send(Ok(result)).ok();
            }
        }
        Err(error) => {
            for answer in answers {
                answer.send(Err(error.clone())).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Doubles numbers; 13 cannot be written, 55 is held by somebody else, 99 means that the database
    /// is gone.
    fn doubling(commits: Arc<AtomicUsize>, committers: usize) -> Group<u32, u32> {
        let gather = Gather {
            weight: |_| 1,
            weight_max: 100,
            committers,
        };
        Group::start(gather, move |batch: Arc<[u32]>| {
            commits.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                if batch.contains(&13) {
                    return Err(Error::encode("13"));
                }
                if batch.contains(&55) {
                    return Err(Error::Blocked);
                }
                if batch.contains(&99) {
                    return Err(Error::Raced);
                }
                Ok(batch.iter().map(|n| n * 2).collect())
            }
        })
    }

    async fn submit_all(group: &Group<u32, u32>, numbers: &[u32]) -> Vec<Result<u32, Error>> {
        futures_util::future::join_all(numbers.iter().map(|n| group.submit(*n))).await
    }

    #[tokio::test]
    async fn concurrent_callers_share_a_commit_and_each_gets_its_own_answer() {
        let commits = Arc::new(AtomicUsize::new(0));
        let group = doubling(Arc::clone(&commits), 1);
        let results = submit_all(&group, &[1, 2, 3, 4, 5]).await;
        let results: Vec<u32> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, [2, 4, 6, 8, 10]);
        assert!(commits.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_fails_alone() {
        let group = doubling(Arc::default(), 1);
        let results = submit_all(&group, &[1, 2, 13, 4]).await;
        let good: Vec<Option<u32>> = results.into_iter().map(Result::ok).collect();
        assert_eq!(good, [Some(2), Some(4), None, Some(8)]);
    }

    #[tokio::test]
    async fn one_that_waits_for_somebody_elses_transaction_holds_up_nobody_else() {
        let group = doubling(Arc::default(), 1);
        let results = submit_all(&group, &[1, 55, 3, 4]).await;
        let good: Vec<Option<u32>> = results.into_iter().map(Result::ok).collect();
        assert_eq!(good, [Some(2), None, Some(6), Some(8)]);
    }

    #[tokio::test]
    async fn when_the_database_is_gone_nobody_is_tried_alone() {
        let commits = Arc::new(AtomicUsize::new(0));
        let group = doubling(Arc::clone(&commits), 1);
        let results = submit_all(&group, &[1, 99, 3]).await;
        assert!(results.iter().skip(1).all(Result::is_err));
        assert!(commits.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_hold_up_the_others() {
        let group = doubling(Arc::default(), 2);
        let gone = tokio::time::timeout(std::time::Duration::from_millis(1), group.submit(1)).await;
        assert!(gone.is_err());
        assert_eq!(group.submit(2).await.unwrap(), 4);
    }
}
