//! The queues of the settings: notifications and feedback.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Roles;
use crate::api::ways::Intake;
use crate::config::Settings;
use crate::feedback::Inbox;
use crate::intake::{Consumer, FeedbackConsumer, Running};

/// Starts to read all of them, where that is a role of this process.
pub(super) async fn read(
    settings: &Settings,
    roles: Roles,
    inbox: &Inbox,
    woken: &Arc<Notify>,
) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    if !roles.intake {
        return Ok(running);
    }
    let sqs = &settings.intake.sqs;
    for queue in sqs.queues() {
        let business = &queue.business;
        anyhow::ensure!(
            inbox.store.business_exists(business).await?,
            "there is no business {business:?} (intake.sqs.queues): it is made with its first key, by \
             `sendtrail keys add --business {business}`"
        );
    }
    if !sqs.queues.is_empty() {
        let consumer = Consumer {
            intake: Intake::new(inbox.store.clone()),
            clock: inbox.clock.clone(),
            metrics: Arc::clone(&inbox.metrics),
            woken: Arc::clone(woken),
            client: sqs.client().await,
            settings: sqs.clone(),
        };
        running.push(consumer.start());
    }
    let sqs = &settings.feedback.sqs;
    if !sqs.queues.is_empty() {
        let consumer = FeedbackConsumer {
            inbox: inbox.clone(),
            client: sqs.client().await,
            settings: sqs.clone(),
        };
        running.push(consumer.start());
    }
    Ok(running)
}
