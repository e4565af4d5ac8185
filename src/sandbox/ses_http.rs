//! The door of Amazon SES: the parts of its HTTP API, version 2, that a sender uses.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::control::Door;
use super::mail::{Header, Mail, TAGS_MAX, Tag, is_plain_name};
use super::provider::{EmailReply, Provider};
use super::{RECIPIENTS_MAX, hang_up};
use crate::smtpd::bare_address;

/// The body of a `SendEmail` request, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail {
    from_email_address: Option<String>,
    #[serde(default)]
    destination: Destination,
    content: Content,
    #[serde(default)]
    email_tags: Vec<Tag>,
    configuration_set_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Destination {
    #[serde(default, rename = "ToAddresses")]
    to: Vec<String>,
    #[serde(default, rename = "CcAddresses")]
    cc: Vec<String>,
    #[serde(default, rename = "BccAddresses")]
    bcc: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Option<Raw>,
    simple: Option<Simple>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simple {
    subject: Text,
    #[serde(default)]
    headers: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    data: String,
}

pub(super) async fn send_email(
    State(provider): State<Arc<Provider>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if provider.control.is_down(Door::Ses) {
        return down();
    }
    let mail = match body.map_err(|rejection| rejection.body_text()) {
        Ok(body) => read(&body),
        Err(why) => Err(why),
    };
    let mail = match mail {
        Ok(mail) => mail,
        Err(why) => return error(StatusCode::BAD_REQUEST, "BadRequestException", &why),
    };
    match provider.send_email(mail).await {
        EmailReply::Accepted { message_id } => {
            json_answer(StatusCode::OK, &json!({"MessageId": message_id}))
        }
        EmailReply::Lost => hang_up(),
        EmailReply::Rejected => error(
            StatusCode::BAD_REQUEST,
            "MessageRejected",
            "Message was rejected because of its content.",
        ),
        EmailReply::Throttled => error(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            "Maximum sending rate exceeded.",
        ),
        EmailReply::Down => down(),
    }
}

fn down() -> Response {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServiceErrorException",
        "The service is unavailable.",
    )
}

/// `GetAccount`: a healthy account.
pub(super) async fn get_account(State(provider): State<Arc<Provider>>) -> Response {
    if provider.control.is_down(Door::Ses) {
        return down();
    }
    let account = json!({
        "DedicatedIpAutoWarmupEnabled": false,
        "EnforcementStatus": "HEALTHY",
        "ProductionAccessEnabled": true,
        "SendingEnabled": true,
        "SendQuota": {
            "Max24HourSend": 50_000_000,
            "MaxSendRate": provider.control.max_send_rate(),
            "SentLast24Hours": provider.accepted_emails(),
        },
    });
    json_answer(StatusCode::OK, &account)
}

fn read(body: &[u8]) -> Result<Mail, String> {
    let request: SendEmail = serde_json::from_slice(body)
        .map_err(|error| format!("the request is not valid: {error}"))?;
    let mut mail = match request.content {
        Content { raw: Some(raw), .. } => {
            let message = STANDARD
                .decode(raw.data)
                .map_err(|error| format!("Content.Raw.Data is not base64: {error}"))?;
            Mail::read(&message)
        }
        Content {
            simple: Some(simple),
            ..
        } => simple_mail(
            simple,
            request.from_email_address.as_deref(),
            &request.destination,
        ),
        Content { .. } => return Err("Content needs Raw or Simple".to_owned()),
    };
    let source = request
        .from_email_address
        .or_else(|| mail.header("from").map(str::to_owned))
        .and_then(|from| bare_address(&from));
    mail.source = source.ok_or("FromEmailAddress is missing or not valid")?;
    mail.recipients = recipients(&request.destination, &mail)?;
    if !request.email_tags.is_empty() {
        if request.email_tags.len() > TAGS_MAX || !request.email_tags.iter().all(Tag::is_valid) {
            return Err("EmailTags has too many tags or one that is not valid".to_owned());
        }
        mail.tags = request.email_tags;
    }
    if let Some(name) = request.configuration_set_name {
        if !is_plain_name(&name) {
            return Err("ConfigurationSetName is not valid".to_owned());
        }
        mail.configuration_set = Some(name);
    }
    Ok(mail)
}

fn simple_mail(simple: Simple, from: Option<&str>, destination: &Destination) -> Mail {
    let mut mail = Mail::default();
    let mut add = |name: &str, value: String| {
        mail.add(Header {
            name: name.to_owned(),
            value,
        });
    };
    add("From", from.unwrap_or_default().to_owned());
    add("To", destination.to.join(", "));
    add("Subject", simple.subject.data);
    for header in simple.headers {
        add(&header.name, header.value);
    }
    mail
}

/// Of the request; a raw message without a destination names its recipients itself.
fn recipients(destination: &Destination, mail: &Mail) -> Result<Vec<String>, String> {
    let lists = [&destination.to, &destination.cc, &destination.bcc];
    let mut found = Vec::new();
    for address in lists.into_iter().flatten() {
        found.push(bare_address(address).ok_or("Destination has an address that is not valid")?);
    }
    if found.is_empty() {
        for name in ["to", "cc", "bcc"] {
            found.extend(mail.addresses(name));
        }
    }
    match found.len() {
        0 => Err("Destination has no address".to_owned()),
        1..=RECIPIENTS_MAX => Ok(found),
        _more => Err(format!("Recipient count exceeds {RECIPIENTS_MAX}.")),
    }
}

/// The SDKs read the type of an error from this header.
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

pub(super) fn error(status: StatusCode, error_type: &'static str, message: &str) -> Response {
    let mut response = json_answer(status, &json!({"message": message}));
    response
        .headers_mut()
        .insert(ERROR_TYPE, HeaderValue::from_static(error_type));
    response
}

pub(super) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.to_string()).into_response()
}
