//! Feedback that comes by a queue of Amazon SQS: messages of SNS in their envelope or without it, and
//! events of `EventBridge`. Who may write into the queue, the queue's own policy says.

use tracing::{error, warn};

use super::inbox::{Inbox, Message};
use super::json::Json;
use super::provider_text::text_at;
use super::read::{self, Raw};
use super::sns::Refusal;
use super::webhook::incoming;

/// In characters. An id is looked up by an index; those of AWS have 36.
const ID_LENGTH_MAX: usize = 128;

impl Inbox {
    /// Keeps what a message of a queue says. `true`: the queue need not have it any longer.
    pub async fn keep(&self, queue: &str, id: &str, body: &str) -> bool {
        let message = match self.read(queue, id, body).await {
            Ok(message) => message,
            Err(refusal) => return self.refuse(&refusal),
        };
        if let Err(failed) = self.put(message).await {
            error!(error = %failed, "feedback could not be kept; it is left in its queue");
            return false;
        }
        true
    }

    async fn read(&self, queue: &str, id: &str, body: &str) -> Result<Message, Refusal> {
        let now = self.clock.now();
        let json = Json::parse(body).ok();
        let text = |pointer| json.as_ref().and_then(|json| text_at(json, pointer));
        if text("/Type").is_some() && text("/Signature").is_some() {
            let envelope = self.verifier.judge_queued(body.as_bytes(), now).await?;
            return Ok(incoming(&envelope, body, now, self.opens_tracked));
        }
        let theirs = text("/id").filter(|id| id.chars().count() <= ID_LENGTH_MAX);
        let (source, id) = match theirs {
            Some(id) if text("/source") == Some(read::AWS_SES) => (read::EVENTBRIDGE, id),
            _ => (read::SQS, id),
        };
        Ok(read::of_text(body, now, self.opens_tracked).of(Raw {
            source,
            message_id: id.to_owned(),
            topic: queue.to_owned(),
            received_at: now,
            body: body.into(),
        }))
    }

    /// What is forged would come again and again. What settings or a clock may be to blame for stays in
    /// the queue, which keeps it for as long as it is told to.
    fn refuse(&self, refusal: &Refusal) -> bool {
        self.metrics.refused(refusal.label());
        let stays = refusal.may_be_our_mistake();
        warn!(
            reason = refusal.label(),
            stays, "feedback from a queue refused"
        );
        !stays
    }
}
