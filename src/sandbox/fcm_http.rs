//! The door of Firebase Cloud Messaging: its HTTP API, version 1, and the giving of access tokens.
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>

use std::sync::Arc;

use axum::Form;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::accounts::{GOOGLE_PROJECT, GOOGLE_TOKEN_SECONDS};
use super::control::Door;
use super::direct::PushStory;
use super::hang_up;
use super::provider::{DirectReply, Provider, digest};

pub(super) const TOKEN: &str = "/token";
pub(super) const SEND: &str = "/v1/projects/{project}/messages:send";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const PAYLOAD_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
pub(super) struct Grant {
    grant_type: String,
    assertion: String,
}

/// An access token for a signed claim (RFC 7523).
pub(super) async fn token(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    form: Result<Form<Grant>, FormRejection>,
) -> Response {
    let grant = match form {
        Ok(Form(grant)) if grant.grant_type == GRANT_TYPE => grant,
        Ok(_) => return no_token("unsupported_grant_type", "Invalid grant_type"),
        Err(rejection) => return no_token("invalid_request", &rejection.body_text()),
    };
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let audience = format!("http://{host}{TOKEN}");
    let now = provider.clock.now();
    match provider
        .accounts
        .google_token(&grant.assertion, &audience, now)
    {
        Ok(token) => answer(
            StatusCode::OK,
            &json!({
                "access_token": token, "expires_in": GOOGLE_TOKEN_SECONDS, "token_type": "Bearer",
            }),
        ),
        Err(words) => no_token("invalid_grant", words),
    }
}

fn no_token(error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    answer(StatusCode::BAD_REQUEST, &body)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
struct Request {
    #[serde(default)]
    validate_only: bool,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    token: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    notification: Map<String, Value>,
    #[serde(default)]
    data: Map<String, Value>,
}

pub(super) async fn send(
    State(provider): State<Arc<Provider>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let now = provider.clock.now();
    if !shown.is_some_and(|token| provider.accounts.google_knows(token, now)) {
        return Refusal::new(
            401,
            "UNAUTHENTICATED",
            "Invalid authentication credentials.",
        )
        .into();
    }
    if project != GOOGLE_PROJECT {
        return Refusal::new(404, "NOT_FOUND", "Requested entity was not found.").into();
    }
    let request = match body {
        Ok(body) => serde_json::from_slice::<Request>(&body).map_err(|e| e.to_string()),
        Err(rejection) => Err(rejection.body_text()),
    };
    match request {
        Ok(request) => judge(&provider, &request).unwrap_or_else(Into::into),
        Err(words) => Refusal::of_field("message", &words).into(),
    }
}

fn judge(provider: &Arc<Provider>, request: &Request) -> Result<Response, Refusal> {
    let message = &request.message;
    if let Some((key, _)) = message.data.iter().find(|(_, value)| !value.is_string()) {
        let words = format!("Invalid value at 'message.data[{key}].value' (TYPE_STRING)");
        return Err(Refusal::of_field("message.data[0].value", &words));
    }
    let payload = json!([message.notification, message.data]).to_string();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::by_fcm(
            400,
            "INVALID_ARGUMENT",
            "Message is too big",
        ));
    }
    let token = match (&message.token, &message.topic) {
        (Some(token), None) => token,
        (None, Some(_)) if request.validate_only => return Ok(accepted("fake_message_id")),
        _ => {
            let words = "Exactly one of token and topic is required; topics are only validated";
            return Err(Refusal::of_field("message", words));
        }
    };
    let story = PushStory::of(token);
    let not_a_token = "The registration token is not a valid FCM registration token";
    match story {
        PushStory::Disabled => {
            return Err(Refusal::by_fcm(400, "INVALID_ARGUMENT", not_a_token));
        }
        PushStory::Unregistered => {
            let words = "Requested entity was not found.";
            return Err(Refusal::by_fcm(404, "UNREGISTERED", words));
        }
        PushStory::Accepted | PushStory::Throttled | PushStory::LostAnswer | PushStory::Down => {}
    }
    if request.validate_only {
        return Ok(accepted("fake_message_id"));
    }
    match provider.take(
        Door::Fcm,
        story.admission(),
        &digest(&[token, &payload]),
        None,
    ) {
        DirectReply::Accepted => {
            let id = hex::encode(rand::random::<[u8; 16]>());
            Ok(accepted(&format!("0:{id}")))
        }
        DirectReply::Lost => Ok(hang_up()),
        DirectReply::Throttled => Err(Refusal::by_fcm(429, "QUOTA_EXCEEDED", "Quota exceeded")),
        DirectReply::Down => Err(Refusal::by_fcm(
            503,
            "UNAVAILABLE",
            "The service is currently unavailable.",
        )),
    }
}

fn accepted(id: &str) -> Response {
    let name = format!("projects/{GOOGLE_PROJECT}/messages/{id}");
    answer(StatusCode::OK, &json!({ "name": name }))
}

/// `google.rpc.Status`, with FCM's own code beside it where FCM itself refuses.
struct Refusal {
    status: u16,
    error: Value,
}

impl Refusal {
    fn new(status: u16, word: &str, message: &str) -> Self {
        let error = json!({ "code": status, "message": message, "status": word });
        Self { status, error }
    }

    fn by_fcm(status: u16, code: &str, message: &str) -> Self {
        let word = match status {
            400 => "INVALID_ARGUMENT",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            _ => "UNAVAILABLE",
        };
        Self::new(status, word, message).with(&json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
        }))
    }

    fn of_field(field: &str, message: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", message).with(&json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": message }],
        }))
    }

    fn with(mut self, detail: &Value) -> Self {
        if let Some(error) = self.error.as_object_mut() {
            error.insert("details".to_owned(), json!([detail]));
        }
        self
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer(status, &json!({ "error": refusal.error }));
        if refusal.status == 429 || refusal.status == 503 {
            // FCM would ask for a minute; the sandbox's stories end while one watches.
            let at_once = header::HeaderValue::from_static("0");
            response.headers_mut().insert(header::RETRY_AFTER, at_once);
        }
        response
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=UTF-8")];
    (status, content_type, body.to_string()).into_response()
}
