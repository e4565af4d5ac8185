//! `POST /webhooks/sns`: verify, keep, apply, answer. SNS drops a message for good on any 4xx but
//! 429, so trouble of ours is always 503; only what is forged, foreign or malformed gets 4xx.

use std::sync::Arc;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Region;
use aws_sdk_sns::error::DisplayErrorContext;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tracing::{error, info, warn};

use super::inbox::{Inbox, Message};
use super::read::{self, Raw};
use super::sns::{BODY_MAX, Class, Envelope, Handshake, Kind, Refusal};
use crate::domain::time::Timestamp;

/// What the webhook needs.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub inbox: Inbox,
    /// Confirms subscriptions to allowed topics.
    pub subscriptions: Client,
}

pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route("/webhooks/sns", post(receive))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Arc::new(webhook))
}

/// SNS sets it on messages without envelope, which nothing signs.
const RAW_DELIVERY: &str = "x-amz-sns-rawdelivery";

async fn receive(
    State(webhook): State<Arc<Webhook>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let judged = match body {
        Ok(body) => {
            let raw = headers
                .get(RAW_DELIVERY)
                .is_some_and(|value| value == "true");
            let inbox = &webhook.inbox;
            let now = inbox.clock.now();
            inbox
                .verifier
                .judge(&body, raw, now)
                .await
                .map(|envelope| (envelope, body))
        }
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::TooLarge)
        }
        Err(_broke_off) => {
            let text = "The message did not arrive as a whole; send it again.\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    match judged {
        Ok((envelope, body)) => {
            let text = std::str::from_utf8(&body).expect("an envelope was read from it");
            webhook.keep(envelope, text).await
        }
        Err(refusal) => webhook.refuse(&refusal),
    }
}

impl Webhook {
    fn refuse(&self, refusal: &Refusal) -> Response {
        self.inbox.metrics.refused(refusal.label());
        let status = match refusal.class() {
            Class::Forged => StatusCode::FORBIDDEN,
            Class::NotSns => StatusCode::BAD_REQUEST,
            Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        warn!(
            reason = refusal.label(),
            status = status.as_u16(),
            "feedback refused"
        );
        (status, format!("{refusal}\n")).into_response()
    }

    /// Keeps the verified message, applies it, and confirms a subscription.
    async fn keep(&self, envelope: Envelope, body: &str) -> Response {
        if let Kind::SubscriptionConfirmation(handshake) = &envelope.kind
            && let Err(response) = Box::pin(self.confirm(&envelope, handshake)).await
        {
            return response;
        }
        let inbox = &self.inbox;
        let message = incoming(&envelope, body, inbox.clock.now(), inbox.opens_tracked);
        if let Err(failed) = inbox.put(message).await {
            error!(error = %failed, "feedback could not be kept; the sender will repeat it");
            let text = "The message could not be kept at the moment; send it again.\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
        StatusCode::OK.into_response()
    }

    /// By the API, for the topic of the verified message; the address in it is never visited.
    async fn confirm(&self, envelope: &Envelope, handshake: &Handshake) -> Result<(), Response> {
        let topic = envelope.topic.as_str();
        let region = Region::new(envelope.topic.region().to_owned());
        let call = self
            .subscriptions
            .confirm_subscription()
            .topic_arn(topic)
            .token(&handshake.token)
            // Only the owner can unsubscribe us: the addresses in messages are no longer enough.
            .authenticate_on_unsubscribe("true")
            .customize()
            .config_override(aws_sdk_sns::config::Builder::new().region(region));
        match call.send().await {
            Ok(_) => {
                info!(topic, "subscription confirmed");
                Ok(())
            }
            Err(failed) => {
                error!(
                    topic,
                    error = %DisplayErrorContext(&failed),
                    "subscription not confirmed: allow sns:ConfirmSubscription on the topic"
                );
                let text = "The subscription could not be confirmed at the moment.\n";
                Err((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
            }
        }
    }
}

/// As it is to be kept.
pub(super) fn incoming(
    envelope: &Envelope,
    body: &str,
    received_at: Timestamp,
    opens_tracked: bool,
) -> Message {
    if let Kind::UnsubscribeConfirmation(_) = envelope.kind {
        error!(
            topic = envelope.topic.as_str(),
            "unsubscribed: no feedback will come any more"
        );
    }
    read::of_envelope(envelope, received_at, opens_tracked).of(Raw {
        source: read::SNS,
        message_id: envelope.message_id.to_string(),
        topic: envelope.topic.as_str().to_owned(),
        received_at,
        body: body.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::super::sns::{Certificates, SnsSettings, Verifier};
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    async fn post(body: Body) -> StatusCode {
        let clock = Clock::system();
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::v2026_01_12())
            .build();
        let certificates = Certificates::over_https().unwrap();
        let inbox = Inbox {
            verifier: Arc::new(Verifier::new(SnsSettings::default(), certificates)),
            store: Store::open("sqlite::memory:", 1, clock.clone())
                .await
                .unwrap(),
            clock,
            opens_tracked: true,
            metrics: Arc::default(),
        };
        let webhook = Webhook {
            inbox,
            subscriptions: Client::from_conf(config),
        };
        let request = Request::post("/webhooks/sns").body(body).unwrap();
        router(webhook).oneshot(request).await.unwrap().status()
    }

    /// SNS would drop for good what a proxy on the way did not get through to us.
    #[tokio::test]
    async fn a_body_that_broke_off_is_to_be_sent_again_and_a_large_one_is_not() {
        let broken = futures_util::stream::iter([
            Ok("{\"Type\":"),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ]);
        let status = post(Body::from_stream(broken)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let large = Body::from(vec![b' '; BODY_MAX + 1]);
        assert_eq!(post(large).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
