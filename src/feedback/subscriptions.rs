//! Looks from time to time whether the topics that may report have a subscription to our webhook, and
//! whether their certificates can be had: a topic that reports to nobody is silent without any error.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Region;
use aws_sdk_sns::error::DisplayErrorContext;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::sns::{TopicArn, Verifier};
use crate::domain::alarm::Kind;
use crate::store::Store;

/// Often enough to be told within the hour in which SNS repeats a message, and no load on its API.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// Pages of 100 subscriptions of one topic.
const PAGES_MAX: usize = 20;
/// How the path of our webhook ends, whatever proxy is before it.
const PATH: &str = "/webhooks/sns";
/// In place of an ARN while a subscription is not confirmed.
const PENDING: &str = "PendingConfirmation";

/// What a topic's list of subscriptions shows, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscription {
    Missing,
    Pending,
    Confirmed,
}

impl Subscription {
    /// Why nothing arrives by it.
    pub const fn trouble(self) -> Option<Kind> {
        match self {
            Self::Missing => Some(Kind::SubscriptionMissing),
            Self::Pending => Some(Kind::SubscriptionPending),
            Self::Confirmed => None,
        }
    }
}

/// Whose topics are looked after, and by what.
#[derive(Clone, Debug)]
pub struct Watch {
    pub store: Store,
    pub client: Client,
    pub verifier: Arc<Verifier>,
    /// ARNs.
    pub topics: Vec<String>,
}

/// Looks after the topics until it is stopped.
pub async fn watch(watch: Watch, stop: CancellationToken) {
    let Watch {
        store,
        client,
        verifier,
        topics,
    } = watch;
    loop {
        for topic in topics.iter().filter_map(|topic| TopicArn::parse(topic)) {
            match look(&client, &topic).await {
                Ok(found) => {
                    for kind in [Kind::SubscriptionMissing, Kind::SubscriptionPending] {
                        tell(&store, kind, &topic, found.trouble() == Some(kind)).await;
                    }
                }
                Err(why) => info!(
                    topic = topic.as_str(),
                    why, "cannot see whether the topic has a subscription"
                ),
            }
            let unreachable = !verifier.reaches(&topic).await;
            tell(&store, Kind::CertificateUnavailable, &topic, unreachable).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The best of the topic's subscriptions to our webhook. The error says what an operator can do.
pub async fn look(client: &Client, topic: &TopicArn) -> Result<Subscription, String> {
    let (mut best, mut next) = (Subscription::Missing, None);
    for _ in 0..PAGES_MAX {
        let region = Region::new(topic.region().to_owned());
        let page = client
            .list_subscriptions_by_topic()
            .topic_arn(topic.as_str())
            .set_next_token(next)
            .customize()
            .config_override(aws_sdk_sns::config::Builder::new().region(region))
            .send()
            .await
            .map_err(|failed| {
                let cause = DisplayErrorContext(&failed).to_string();
                format!("{cause}; allow sns:ListSubscriptionsByTopic on the topic")
            })?;
        best = best.max(best_of(page.subscriptions()));
        if best == Subscription::Confirmed {
            break;
        }
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(best)
}

fn best_of(listed: &[aws_sdk_sns::types::Subscription]) -> Subscription {
    let ours = listed.iter().filter(|subscription| {
        let endpoint = subscription.endpoint().unwrap_or_default();
        let path = endpoint.split(['?', '#']).next().unwrap_or_default();
        matches!(subscription.protocol(), Some("http" | "https")) && path.ends_with(PATH)
    });
    let states = ours.map(|subscription| {
        match subscription.subscription_arn() {
            Some(PENDING) => Subscription::Pending,
            Some(arn) if arn.starts_with("arn:") => Subscription::Confirmed,
            // `Deleted`, while the list is not up to date.
            Some(_) | None => Subscription::Missing,
        }
    });
    states.max().unwrap_or(Subscription::Missing)
}

async fn tell(store: &Store, kind: Kind, topic: &TopicArn, holds: bool) {
    let topic = topic.as_str();
    let told = if holds {
        warn!(topic, "{} {}", kind.sentence(), kind.remedy());
        store.raise(kind, topic).await
    } else {
        store.clear(kind, topic).await
    };
    if let Err(failed) = told {
        warn!(error = %failed, "an alarm cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_the_subscriptions_to_our_webhook_counts() {
        const ARN: &str = "arn:aws:sns:us-east-1:123456789012:ses-feedback:6b0e71bd";
        let listed = |protocol: &str, endpoint: &str, arn: &str| {
            aws_sdk_sns::types::Subscription::builder()
                .protocol(protocol)
                .endpoint(endpoint)
                .subscription_arn(arn)
                .build()
        };
        let ours = "https://mail.example.com/webhooks/sns";
        let foreign = listed("https", "https://example.com/other", ARN);
        let queue = listed(
            "sqs",
            "arn:aws:sqs:us-east-1:123456789012:webhooks/sns",
            ARN,
        );
        let pending = listed("https", ours, PENDING);
        let confirmed = listed("https", &format!("{ours}?from=ses"), ARN);
        let deleted = listed("https", ours, "Deleted");
        let others = [foreign, queue, deleted];
        assert_eq!(best_of(&[]), Subscription::Missing);
        assert_eq!(best_of(&others), Subscription::Missing);
        let [foreign, ..] = others;
        assert_eq!(best_of(&[foreign, pending.clone()]), Subscription::Pending);
        assert_eq!(best_of(&[confirmed, pending]), Subscription::Confirmed);
    }
}
