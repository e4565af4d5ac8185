//! `POST /webhooks/twilio`: verify, keep, apply, answer. Twilio tries again after 5xx where the address
//! asks for it, as the one that we send does, and drops what is refused otherwise.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tracing::{error, warn};

use super::refusal::Class;
use super::verifier::{BODY_MAX, PATH, Post};
use super::{Genuine, Refusal, Verifier};
use crate::clock::Clock;
use crate::feedback::inbox;
use crate::feedback::read::understand;
use crate::metrics::Metrics;
use crate::store::Store;

/// What the webhook needs.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub verifier: Verifier,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route(PATH, post(receive))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Arc::new(webhook))
}

const SIGNATURE: &str = "x-twilio-signature";

async fn receive(
    State(webhook): State<Arc<Webhook>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return webhook.refuse(Refusal::TooLarge);
        }
        Err(_broke_off) => return again("The message did not arrive as a whole; send it again.\n"),
    };
    let signatures = headers.get_all(SIGNATURE).iter();
    let signatures: Vec<&[u8]> = signatures.map(HeaderValue::as_bytes).collect();
    let content_type = headers.get(header::CONTENT_TYPE);
    let post = Post {
        signatures: &signatures,
        content_type: content_type.and_then(|v| v.to_str().ok()).unwrap_or(""),
        query: uri.query(),
        body: &body,
    };
    match webhook.verifier.judge(&post) {
        Ok(genuine) => webhook.keep(&genuine).await,
        Err(refusal) => webhook.refuse(refusal),
    }
}

impl Webhook {
    fn refuse(&self, refusal: Refusal) -> Response {
        self.metrics.refused(refusal.label());
        let status = match refusal.class() {
            Class::Forged => StatusCode::FORBIDDEN,
            Class::NotTwilios => StatusCode::BAD_REQUEST,
            Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        warn!(
            reason = refusal.label(),
            status = status.as_u16(),
            "feedback refused"
        );
        (status, format!("{refusal}\n")).into_response()
    }

    async fn keep(&self, genuine: &Genuine) -> Response {
        let now = self.clock.now();
        let message = understand(genuine.said(&self.verifier, now), true).of(genuine.raw(now));
        let is_text = message.text.is_some();
        if let Err(failed) = inbox::keep(&self.store, &self.metrics, message).await {
            error!(error = %failed, "feedback could not be kept; the sender may repeat it");
            return again("The message could not be kept at the moment; send it again.\n");
        }
        if is_text {
            // Twilio sends the words of an answer to who wrote; this one has none.
            ([(header::CONTENT_TYPE, "text/xml")], "<Response/>").into_response()
        } else {
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

fn again(words: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}
