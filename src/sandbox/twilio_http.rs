//! The door of Twilio: `Messages` of its API of 2010-04-01.
//! <https://www.twilio.com/docs/messaging/api/message-resource>

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::TWILIO_ACCOUNT;
use super::callback::Callback;
use super::control::Door;
use super::direct::TextStory;
use super::hang_up;
use super::provider::{DirectReply, Provider, digest};
use crate::domain::time::Timestamp;

pub(super) const MESSAGES: &str = "/2010-04-01/Accounts/{account}/Messages.json";
pub(super) const MESSAGE: &str = "/2010-04-01/Accounts/{account}/Messages/{name}";
pub(super) const NUMBERS: &str = "/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json";
const TEXT_CHARS_MAX: usize = 1600;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    to: Option<String>,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    body: Option<String>,
    status_callback: Option<String>,
}

pub(super) async fn create(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Create>, FormRejection>,
) -> Response {
    if let Err(refusal) = authenticate(&provider, &account, &headers) {
        return refusal.into_response();
    }
    match form {
        Ok(Form(create)) => send(&provider, create).unwrap_or_else(IntoResponse::into_response),
        Err(rejection) => {
            let words = rejection.body_text();
            Refusal::new(StatusCode::BAD_REQUEST, 20001, words).into_response()
        }
    }
}

/// How a message stands; the name is its id and `.json`.
pub(super) async fn message(
    State(provider): State<Arc<Provider>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = authenticate(&provider, &account, &headers) {
        return refusal.into_response();
    }
    let sid = name.strip_suffix(".json").unwrap_or(&name);
    match provider.texts.resource(sid) {
        Some(resource) => answer(StatusCode::OK, &resource),
        None => not_found().into_response(),
    }
}

fn not_found() -> Refusal {
    let words = "The requested resource was not found";
    Refusal::new(StatusCode::NOT_FOUND, 20404, words)
}

/// No numbers: enough for who only wants to know whether the credentials are good.
pub(super) async fn numbers(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Response {
    match authenticate(&provider, &account, &headers) {
        Ok(()) => answer(StatusCode::OK, &json!({ "incoming_phone_numbers": [] })),
        Err(refusal) => refusal.into_response(),
    }
}

fn authenticate(provider: &Provider, account: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = provider.accounts.twilio_token();
    let login = STANDARD.encode(format!("{TWILIO_ACCOUNT}:{token}"));
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    if shown != Some(login.as_str()) {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            20003,
            "Authenticate",
        ));
    }
    if account != TWILIO_ACCOUNT {
        return Err(not_found());
    }
    Ok(())
}

fn send(provider: &Arc<Provider>, create: Create) -> Result<Response, Refusal> {
    let refuse = |code, words: &str| Err(Refusal::new(StatusCode::BAD_REQUEST, code, words));
    let to = create.to.unwrap_or_default();
    let body = create.body.unwrap_or_default();
    if create.from.is_none() && create.messaging_service_sid.is_none() {
        return refuse(21603, "A 'From' phone number is required.");
    }
    if body.is_empty() {
        return refuse(21602, "Message body is required.");
    }
    if body.chars().count() > TEXT_CHARS_MAX {
        let words = "The concatenated message body exceeds the 1600 character limit";
        return refuse(21617, words);
    }
    let story = TextStory::of(&to);
    match story {
        TextStory::Invalid => {
            return refuse(21211, &format!("Invalid 'To' Phone Number: {to}"));
        }
        TextStory::OptedOut => return refuse(21610, "Attempt to send to unsubscribed recipient"),
        TextStory::Delivered
        | TextStory::SentOnly
        | TextStory::Untold
        | TextStory::Blocked
        | TextStory::Unreachable
        | TextStory::Throttled
        | TextStory::LostAnswer
        | TextStory::Down => {}
    }
    let callback = create.status_callback.unwrap_or_default();
    let identity = digest(&[&to, &body, &callback]);
    let message = Message {
        sid: format!("SM{}", hex::encode(rand::random::<[u8; 16]>())),
        to,
        from: create.from,
        messaging_service_sid: create.messaging_service_sid,
    };
    let resource = message.resource(&body);
    let sid = message.sid.clone();
    let callback = Callback::to(&callback).filter(|_| story != TextStory::Untold);
    let play = callback.map(|callback| {
        let provider = Arc::clone(provider);
        async move { message.tell(&provider, story, &callback).await }.boxed()
    });
    let reply = provider.take(Door::Twilio, story.admission(), &identity, play);
    if matches!(reply, DirectReply::Accepted | DirectReply::Lost) {
        // Whoever asks comes later than the end of the story.
        let at = provider.clock.now();
        provider.texts.remember(sid, ended(story, &resource, at));
    }
    match reply {
        DirectReply::Accepted => Ok(answer(StatusCode::CREATED, &resource)),
        DirectReply::Lost => Ok(hang_up()),
        DirectReply::Throttled => Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            20429,
            "Too Many Requests",
        )),
        DirectReply::Down => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            20503,
            "Service unavailable",
        )),
    }
}

/// The status with which the story ends, and its error code.
fn end_of(story: TextStory) -> Option<(&'static str, Option<u32>)> {
    match story {
        TextStory::Delivered | TextStory::Untold | TextStory::Throttled | TextStory::LostAnswer => {
            Some(("delivered", None))
        }
        TextStory::Blocked => Some(("undelivered", Some(30004))),
        TextStory::Unreachable => Some(("undelivered", Some(30003))),
        TextStory::SentOnly | TextStory::Invalid | TextStory::OptedOut | TextStory::Down => None,
    }
}

/// The resource as it is in the end.
fn ended(story: TextStory, created: &Value, at: Timestamp) -> Value {
    let (status, code) = end_of(story).unwrap_or(("sent", None));
    let mut resource = created.clone();
    if let Some(fields) = resource.as_object_mut() {
        fields.insert("status".to_owned(), status.into());
        fields.insert("error_code".to_owned(), code.into());
        fields.insert("date_updated".to_owned(), rfc2822(at).into());
    }
    resource
}

/// `Thu, 15 Jan 2026 10:00:00 +0000`; none for a time that has no such form.
fn rfc2822(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&at)
        .ok()
}

struct Message {
    sid: String,
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
}

impl Message {
    fn resource(&self, body: &str) -> Value {
        let status = if self.messaging_service_sid.is_some() {
            "accepted"
        } else {
            "queued"
        };
        json!({
            "account_sid": TWILIO_ACCOUNT,
            "api_version": "2010-04-01",
            "body": body,
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "from": self.from,
            "messaging_service_sid": self.messaging_service_sid,
            "num_media": "0",
            "sid": self.sid,
            "status": status,
            "to": self.to,
        })
    }

    /// What became of it, status by status.
    async fn tell(self, provider: &Provider, story: TextStory, callback: &Callback) {
        let last = end_of(story);
        for (status, code) in [Some(("sent", None)), last].into_iter().flatten() {
            tokio::time::sleep(provider.pace.latency).await;
            let mut fields = vec![
                ("SmsSid", self.sid.as_str()),
                ("SmsStatus", status),
                ("MessageStatus", status),
                ("To", &self.to),
                ("MessageSid", &self.sid),
                ("AccountSid", TWILIO_ACCOUNT),
                ("ApiVersion", "2010-04-01"),
            ];
            fields.extend(self.from.as_deref().map(|from| ("From", from)));
            let service = self.messaging_service_sid.as_deref();
            fields.extend(service.map(|sid| ("MessagingServiceSid", sid)));
            let code = code.map(|code| code.to_string());
            fields.extend(code.as_deref().map(|code| ("ErrorCode", code)));
            callback.post(provider, &fields).await;
        }
    }
}

/// An error in Twilio's form.
struct Refusal {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            code,
            message,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self {
            status,
            code,
            message,
        } = self;
        let body = json!({
            "code": code,
            "message": message,
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": status.as_u16(),
        });
        answer(status, &body)
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.to_string()).into_response()
}
