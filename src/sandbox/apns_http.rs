//! The door of the Apple Push Notification service: its provider API, over HTTP/2 only.
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts::APPLE_TOPIC;
use super::control::Door;
use super::direct::PushStory;
use super::hang_up;
use super::provider::{DirectReply, Provider};

pub(super) const DEVICE: &str = "/3/device/{device}";
const PAYLOAD_BYTES_MAX: usize = 4096;
/// Who asks for it wants to know whether the credentials are good: no device has it.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) async fn push(
    State(provider): State<Arc<Provider>>,
    Path(device): Path<String>,
    version: Version,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if version != Version::HTTP_2 {
        // Apple closes the connection; a sandbox may say why.
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP/2 only\n").into_response();
    }
    let given = headers.get("apns-id").cloned();
    let id = given.unwrap_or_else(|| {
        let id = Uuid::new_v8(rand::random()).to_string();
        HeaderValue::try_from(id).expect("a UUID is printable")
    });
    let mut response = match judge(&provider, &device, &headers, body) {
        Ok(response) => response,
        Err((status, reason)) => {
            let body = match status {
                StatusCode::GONE => {
                    json!({ "reason": reason, "timestamp": provider.clock.now().as_millis() })
                }
                _ => json!({ "reason": reason }),
            };
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            (status, content_type, body.to_string()).into_response()
        }
    };
    response.headers_mut().insert("apns-id", id);
    response
}

type Refusal = (StatusCode, &'static str);

fn judge(
    provider: &Arc<Provider>,
    device: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text("authorization").and_then(|value| value.strip_prefix("bearer "));
    let token = token.ok_or((StatusCode::FORBIDDEN, "MissingProviderToken"))?;
    let let_in = provider.accounts.apple_lets_in(token, provider.clock.now());
    let_in.map_err(|reason| (StatusCode::FORBIDDEN, reason))?;
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    match text("apns-topic") {
        Some(APPLE_TOPIC) => {}
        Some(_) => return bad("TopicDisallowed"),
        None => return bad("MissingTopic"),
    }
    if text("apns-id").is_some_and(|id| Uuid::try_parse(id).is_err()) {
        return bad("BadMessageId");
    }
    if !matches!(text("apns-push-type"), Some("alert" | "background")) {
        return bad("InvalidPushType");
    }
    if !matches!(text("apns-priority"), None | Some("10" | "5" | "1")) {
        return bad("BadPriority");
    }
    if text("apns-expiration").is_some_and(|at| at.parse::<i64>().is_err()) {
        return bad("BadExpirationDate");
    }
    let body = body.unwrap_or_default();
    if body.len() > PAYLOAD_BYTES_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
    }
    let shows_something = serde_json::from_slice::<Value>(&body)
        .is_ok_and(|body| body.get("aps").is_some_and(Value::is_object));
    if !shows_something {
        return bad("PayloadEmpty");
    }
    let story = PushStory::of(device);
    match story {
        _ if device == NOBODY => return bad("BadDeviceToken"),
        PushStory::Disabled => return bad("BadDeviceToken"),
        PushStory::Unregistered => return Err((StatusCode::GONE, "Unregistered")),
        PushStory::Accepted | PushStory::Throttled | PushStory::LostAnswer | PushStory::Down => {}
    }
    let identity = text("apns-id").unwrap_or(device);
    match provider.take(Door::Apns, story.admission(), identity, None) {
        DirectReply::Accepted => Ok(StatusCode::OK.into_response()),
        DirectReply::Lost => Ok(hang_up()),
        DirectReply::Throttled => Err((StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
        DirectReply::Down => Err((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
    }
}
