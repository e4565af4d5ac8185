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

use super::Parsed;
use super::sns::{BODY_MAX, Class, Envelope, Handshake, Kind, Refusal, Verifier};
use crate::clock::Clock;
use crate::domain::event::What;
use crate::domain::time::Timestamp;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::feedback::{Incoming, Kept, Report};

/// What the webhook needs.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub verifier: Arc<Verifier>,
    /// Confirms subscriptions to allowed topics.
    pub subscriptions: Client,
    /// SES is set up to report opens (`ses.track_opens`).
    pub opens_tracked: bool,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
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
            let now = webhook.clock.now();
            webhook
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
        self.metrics.feedback("none", refusal.label());
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
            && let Err(response) = self.confirm(&envelope, handshake).await
        {
            return response;
        }
        let mut incoming = incoming(&envelope, body, self.clock.now());
        if !self.opens_tracked {
            forget_tracking(&mut incoming.message);
        }
        let kind = incoming.metric_kind;
        match self.store.keep_feedback(incoming.message).await {
            Ok(kept) => {
                self.metrics.feedback(kind, result(kept));
                StatusCode::OK.into_response()
            }
            Err(failed) => {
                self.metrics.feedback(kind, "not_kept");
                error!(error = %failed, "feedback could not be kept; the sender will repeat it");
                let text = "The message could not be kept at the moment; send it again.\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
        }
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

struct Prepared {
    message: Incoming,
    /// From a closed vocabulary.
    metric_kind: &'static str,
}

fn incoming(envelope: &Envelope, body: &str, received_at: Timestamp) -> Prepared {
    let (kind, metric_kind, report) = match &envelope.kind {
        Kind::Notification { .. } => understand(&envelope.message, received_at),
        Kind::SubscriptionConfirmation(_) | Kind::UnsubscribeConfirmation(_) => {
            (envelope.kind.as_str().to_owned(), "subscription", None)
        }
    };
    if let Kind::UnsubscribeConfirmation(_) = envelope.kind {
        error!(
            topic = envelope.topic.as_str(),
            "unsubscribed: no feedback will come any more"
        );
    }
    let message = Incoming {
        source: "sns",
        message_id: envelope.message_id.to_string(),
        topic: envelope.topic.as_str().to_owned(),
        received_at,
        kind,
        body: body.into(),
        report,
    };
    Prepared {
        message,
        metric_kind,
    }
}

/// Whether opens are reported cannot be seen from one message; only whether they could be.
fn forget_tracking(message: &mut Incoming) {
    let happenings = message.report.iter_mut().flat_map(|r| &mut r.happenings);
    for happening in happenings {
        if let What::Accepted { opens_tracked, .. } = &mut happening.what {
            *opens_tracked = false;
        }
    }
}

/// What the message inside the envelope says.
fn understand(message: &str, received_at: Timestamp) -> (String, &'static str, Option<Report>) {
    told(super::parse(message, received_at))
}

/// What was found, by the provider's word and by one of a closed vocabulary, and what is to be applied.
pub(super) fn told(parsed: Parsed) -> (String, &'static str, Option<Report>) {
    match parsed {
        Parsed::Report { kind, report } => {
            let metric_kind = report
                .happenings
                .first()
                .map_or("nothing", |h| h.what.kind());
            let report = Some(report).filter(|report| !report.happenings.is_empty());
            (kind, metric_kind, report)
        }
        Parsed::Test => ("test".to_owned(), "test", None),
        Parsed::Unknown { kind, .. } => (kind, "unknown", None),
        Parsed::Unparsable { why } => {
            warn!(
                why,
                "a verified message could not be understood; it is kept"
            );
            ("unparsable".to_owned(), "unparsable", None)
        }
    }
}

/// In a word of the metrics.
pub(super) fn result(kept: Kept) -> &'static str {
    match kept {
        Kept::Applied { .. } => "applied",
        Kept::Unmatched => "unmatched",
        Kept::Noted => "noted",
        Kept::Duplicate => "duplicate",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::super::sns::{Certificates, SnsSettings};
    use super::*;

    async fn post(body: Body) -> StatusCode {
        let clock = Clock::system();
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::v2026_01_12())
            .build();
        let certificates = Certificates::over_https().unwrap();
        let webhook = Webhook {
            verifier: Arc::new(Verifier::new(SnsSettings::default(), certificates)),
            subscriptions: Client::from_conf(config),
            store: Store::open("sqlite::memory:", 1, clock.clone())
                .await
                .unwrap(),
            clock,
            opens_tracked: true,
            metrics: Arc::default(),
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

    #[test]
    fn a_send_does_not_await_opens_that_ses_does_not_report() {
        let event = r#"{"eventType": "Send", "mail": {"messageId": "m", "headers":
            [{"name": "Content-Type", "value": "text/html"}]}}"#;
        let (kind, _, report) = understand(event, Timestamp::EPOCH);
        let mut message = Incoming {
            source: "sns",
            message_id: "1".to_owned(),
            topic: "t".to_owned(),
            received_at: Timestamp::EPOCH,
            kind,
            body: event.into(),
            report,
        };
        let tracked = |message: &Incoming| {
            let happened = &message.report.as_ref().unwrap().happenings[0].what;
            matches!(
                happened,
                What::Accepted {
                    opens_tracked: true,
                    ..
                }
            )
        };
        assert!(tracked(&message));
        forget_tracking(&mut message);
        assert!(!tracked(&message));
    }
}
