//! Reads Amazon SQS queues: each message is one request. It is deleted only after its commit, and
//! one that comes again, as SQS may let it, is known by its id and enqueued once.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::settings::{Queue, SqsSettings};
use crate::api::FieldError;
use crate::api::ways::{self, Intake, Taken};
use crate::clock::Clock;
use crate::fault::{self, Step};
use crate::metrics::Metrics;
use crate::store::Error;
use crate::store::buried::NewBuried;

/// What reads queues.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub intake: Intake,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Poked after an enqueue, so that a worker in this process wakes.
    pub woken: Arc<Notify>,
    pub client: Client,
    pub settings: SqsSettings,
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

impl Consumer {
    pub fn start(self) -> Running {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for queue in self.settings.queues() {
            info!(queue = queue.name(), business = queue.business, "reading");
            for _ in 0..self.settings.receivers {
                tasks.spawn(self.clone().read(queue.clone(), stop.clone()));
            }
        }
        tasks.close();
        Running { stop, tasks }
    }

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
                    self.metrics.intake("sqs", "not_received");
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
            if self.intake.store.ready().await.is_ok() {
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

    /// Whether the message is kept, as notifications or buried.
    async fn take(&self, queue: &Queue, message: &Message) -> bool {
        let body = message.body().unwrap_or_default();
        // SQS gives each an id. Without one they could not be told from each other.
        let Some(id) = message.message_id().filter(|id| !id.is_empty()) else {
            error!(queue = queue.name(), "a message has no id");
            self.metrics.intake("sqs", "left");
            return false;
        };
        let result = match self.decide(&queue.business, id, body).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(errors)) => self.bury(queue, id, body, &errors).await,
            Err(failed) if failed.is_unavailable() => Err(failed),
            // It may lie in the message: it must not come again and again.
            Err(failed) => {
                error!(queue = queue.name(), error = %failed, "a message cannot be written");
                let errors = [FieldError {
                    pointer: String::new(),
                    detail: format!("could not be written: {failed}"),
                }];
                self.bury(queue, id, body, &errors).await
            }
        };
        match result {
            Ok(result) => {
                self.metrics.intake("sqs", result);
                true
            }
            Err(failed) => {
                warn!(queue = queue.name(), error = %failed, "a message is left in the queue");
                self.metrics.intake("sqs", "left");
                false
            }
        }
    }

    /// What became of it, or everything that is wrong with it.
    async fn decide(
        &self,
        business: &str,
        id: &str,
        body: &str,
    ) -> Result<Result<&'static str, Vec<FieldError>>, Error> {
        let mut request = match ways::parse(body.as_bytes()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(vec![error])),
        };
        ways::give_keys(&mut request, |index| derived_key(id, index));
        let tickets = match self
            .intake
            .take(business, &request, self.clock.now())
            .await?
        {
            Taken::Enqueued(tickets) => tickets,
            Taken::Refused(errors) => return Ok(Err(errors)),
        };
        let new = tickets.iter().filter(|ticket| !ticket.duplicate).count();
        if new == 0 {
            return Ok(Ok("duplicate"));
        }
        self.metrics.enqueued(new);
        ways::wake(&self.woken);
        Ok(Ok("enqueued"))
    }

    async fn bury(
        &self,
        queue: &Queue,
        id: &str,
        body: &str,
        errors: &[FieldError],
    ) -> Result<&'static str, Error> {
        let new = NewBuried {
            business: &queue.business,
            source: &queue.url,
            message_id: id,
            reason: serde_json::to_value(errors).unwrap_or_default(),
            body,
        };
        self.intake.store.bury(new).await?;
        warn!(
            queue = queue.name(),
            message_id = id,
            "a message is buried: see `sendtrail intake buried list`"
        );
        Ok("buried")
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
            self.metrics.intake("sqs", "not_deleted");
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

/// The idempotency key of a notification that brings none: the message's own id, which stays the same
/// when SQS delivers it again, and its position in a batch.
pub fn derived_key(message_id: &str, index: Option<usize>) -> String {
    match index {
        Some(index) => format!("sqs-{message_id}-{index}"),
        None => format!("sqs-{message_id}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_from_the_message_and_the_position_in_it() {
        assert_eq!(derived_key("5f1c", None), "sqs-5f1c");
        assert_eq!(derived_key("5f1c", Some(3)), "sqs-5f1c-3");
    }
}
