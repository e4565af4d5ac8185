//! Queues of `[feedback.sqs]`: what providers say, by a queue instead of a webhook.

use aws_sdk_sqs::Client;
use tracing::info;

use super::queue::{Running, Take, start};
use super::settings::{Queue, SqsSettings};
use crate::feedback::Inbox;

/// What reads queues of feedback.
#[derive(Clone, Debug)]
pub struct FeedbackConsumer {
    pub inbox: Inbox,
    pub client: Client,
    pub settings: SqsSettings,
}

impl FeedbackConsumer {
    pub fn start(self) -> Running {
        for queue in self.settings.queues() {
            info!(queue = queue.name(), "reading feedback");
        }
        start(&self.client, &self.settings, &self.inbox)
    }
}

impl Take for Inbox {
    async fn take(&self, queue: &Queue, id: &str, body: &str) -> bool {
        self.keep(&queue.url, id, body).await
    }

    fn count(&self, result: &'static str) {
        self.metrics.intake("feedback", result);
    }

    async fn is_ready(&self) -> bool {
        self.store.still_ready().await.is_ok()
    }
}
