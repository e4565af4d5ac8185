//! Queues of `[intake.sqs]`: each message is one request. One that comes again, as SQS may let it, is
//! known by its id and enqueued once.

use std::sync::Arc;

use aws_sdk_sqs::Client;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::queue::{Running, Take, start};
use super::settings::{Queue, SqsSettings};
use crate::api::FieldError;
use crate::api::ways::{self, Intake, Taken};
use crate::clock::Clock;
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

impl Consumer {
    pub fn start(self) -> Running {
        for queue in self.settings.queues() {
            info!(queue = queue.name(), business = queue.business, "reading");
        }
        start(&self.client, &self.settings, &self)
    }

    /// Whether the message is kept, as notifications or buried.
    async fn take_over(&self, queue: &Queue, id: &str, body: &str) -> bool {
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
}

impl Take for Consumer {
    async fn take(&self, queue: &Queue, id: &str, body: &str) -> bool {
        self.take_over(queue, id, body).await
    }

    fn count(&self, result: &'static str) {
        self.metrics.intake("sqs", result);
    }

    async fn is_ready(&self) -> bool {
        self.intake.store.still_ready().await.is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_from_the_message_and_the_position_in_it() {
        assert_eq!(derived_key("5f1c", None), "sqs-5f1c");
        assert_eq!(derived_key("5f1c", Some(3)), "sqs-5f1c-3");
    }
}
