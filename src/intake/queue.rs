//! Reads Amazon SQS queues. A message is deleted only after it is kept; one that comes again, as SQS
//! may let it, is for its taker to recognise.

use std::future::Future;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::settings::{Queue, SqsSettings};
use crate::fault::{self, Step};

/// What becomes of the messages of queues.
pub(super) trait Take: Clone + Send + Sync + 'static {
    /// Whether the message is kept, so that it can be deleted.
    fn take(&self, queue: &Queue, id: &str, body: &str) -> impl Future<Output = bool> + Send;

    /// Counts what became of a call or of a message.
    fn count(&self, result: &'static str);

    /// Whether messages could be kept at present.
    fn is_ready(&self) -> impl Future<Output = bool> + Send;
}

#[derive(Clone)]
struct Reader<T> {
    client: Client,
    settings: SqsSettings,
    taker: T,
}

/// Readers under way.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The most that SQS gives or takes in one call.
const MESSAGES_MAX: i32 = 10;
/// How long to wait after trouble; doubled while it lasts.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long what was received may take to be finished when the program ends. What is not is not
/// deleted, and comes again.
const STOP_MAX: Duration = Duration::from_secs(10);

pub(super) fn start<T: Take>(client: &Client, settings: &SqsSettings, taker: &T) -> Running {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    for queue in settings.queues() {
        for _ in 0..settings.receivers {
            let reader = Reader {
                client: client.clone(),
                settings: settings.clone(),
                taker: taker.clone(),
            };
            tasks.spawn(reader.read(queue.clone(), stop.clone()));
        }
    }
    tasks.close();
    Running { stop, tasks }
}

impl<T: Take> Reader<T> {
    async fn read(self, queue: Queue, stop: CancellationToken) {
        let mut pause = PAUSE_FIRST;
        while !stop.is_cancelled() {
            // A poll that is given up here may have been given messages: they come again when their
            // visibility time-out has passed.
            let received = tokio::select! {
                received = self.receive(&queue) => received,
                () = stop.cancelled() => return,
            };
            let is_well = match received {
                Ok(messages) => self.take_all(&queue, messages).await,
                Err(why) => {
                    warn!(queue = queue.name(), why, "cannot receive");
                    self.taker.count("not_received");
                    false
                }
            };
            if is_well {
                pause = PAUSE_FIRST;
            } else {
                self.wait(&stop, &mut pause).await;
            }
        }
    }

    /// Until the trouble may be over. Nothing is received while the database is away: each receipt
    /// counts, and a queue with a redrive policy would give the messages up.
    async fn wait(&self, stop: &CancellationToken, pause: &mut Duration) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                () = stop.cancelled() => return,
            }
            *pause = (*pause * 2).min(PAUSE_MAX);
            if self.taker.is_ready().await {
                return;
            }
        }
    }

    async fn receive(&self, queue: &Queue) -> Result<Vec<Message>, String> {
        let call = self
            .client
            .receive_message()
            .queue_url(&queue.url)
            .max_number_of_messages(MESSAGES_MAX)
            .wait_time_seconds(self.settings.wait_seconds.into())
            .visibility_timeout(self.settings.visibility_seconds.into());
        let answer = call.send().await.map_err(|error| reason(&error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Takes them all over, and deletes those that are kept now. `false`: trouble.
    async fn take_all(&self, queue: &Queue, messages: Vec<Message>) -> bool {
        let taken = messages.iter().map(|message| self.take(queue, message));
        let kept = join_all(taken).await;
        let done = messages.iter().zip(&kept).filter(|(_, kept)| **kept);
        let receipts: Vec<&str> = done
            .filter_map(|(message, _)| message.receipt_handle())
            .collect();
        fault::at(Step::TakenOver);
        let deleted = self.delete(queue, &receipts).await;
        deleted && kept.into_iter().all(|kept| kept)
    }

    async fn take(&self, queue: &Queue, message: &Message) -> bool {
        let body = message.body().unwrap_or_default();
        // SQS gives each an id. Without one they could not be told from each other.
        let Some(id) = message.message_id().filter(|id| !id.is_empty()) else {
            error!(queue = queue.name(), "a message has no id");
            self.taker.count("left");
            return false;
        };
        self.taker.take(queue, id, body).await
    }

    /// What cannot be deleted now comes again, is found to be a repetition, and is deleted then.
    async fn delete(&self, queue: &Queue, receipts: &[&str]) -> bool {
        if receipts.is_empty() {
            return true;
        }
        let entries = receipts.iter().enumerate().map(|(number, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(*receipt)
                .build()
                .expect("an id and a receipt are given")
        });
        let call = self.client.delete_message_batch().queue_url(&queue.url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        let failed = match answer {
            Ok(answer) => answer.failed().first().map(|first| first.code().to_owned()),
            Err(error) => Some(reason(&error)),
        };
        if let Some(why) = &failed {
            warn!(
                queue = queue.name(),
                why, "cannot delete what was taken over"
            );
            self.taker.count("not_deleted");
        }
        failed.is_none()
    }
}

impl Running {
    /// Receives nothing more, and finishes what was received. Returns whether all was finished.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        let finished = tokio::time::timeout(STOP_MAX, self.tasks.wait());
        finished.await.is_ok()
    }
}

/// Whether the queue can be read, with what the settings say. Receives nothing.
pub async fn check(client: &Client, queue: &Queue) -> Result<(), String> {
    let call = client.get_queue_attributes().queue_url(&queue.url);
    let answer = call
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await;
    answer.map(drop).map_err(|error| {
        format!(
            "{}: see [intake.sqs], and the rights of its key",
            reason(&error)
        )
    })
}

/// The service's code, or what kind of trouble it was; its text may quote the request.
fn reason<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    match (code, error) {
        (Some(code), _) => code.to_owned(),
        (None, SdkError::ConstructionFailure(_)) => "no credentials or no region".to_owned(),
        (None, SdkError::TimeoutError(_)) => "time-out".to_owned(),
        (None, SdkError::DispatchFailure(_)) => "no connection".to_owned(),
        (None, _) => "no answer that could be read".to_owned(),
    }
}
