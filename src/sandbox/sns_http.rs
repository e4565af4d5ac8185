//! The door of Amazon SNS: `Publish` and `ConfirmSubscription` of its query protocol.
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use serde::Deserialize;
use uuid::Uuid;

use super::control::Door;
use super::direct::{Admission, PushStory, TextStory};
use super::envelope::TOPIC_ARN;
use super::feedback::{AcceptedDirect, Destination, Receipt};
use super::hang_up;
use super::provider::{DirectReply, Provider, digest};

/// SNS: 256 KiB for a message, 1,600 characters for a text message.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const TEXT_CHARS_MAX: usize = 1600;
/// ARNs have at most 2,048 characters; our own targets may be tokens of up to 4,096.
const TARGET_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Query {
    action: String,
    phone_number: Option<String>,
    target_arn: Option<String>,
    message: Option<String>,
    topic_arn: Option<String>,
    token: Option<String>,
}

pub(super) async fn query(
    State(provider): State<Arc<Provider>>,
    query: Result<Form<Query>, FormRejection>,
) -> Response {
    let query = match query {
        Ok(Form(query)) => query,
        Err(rejection) => return Trouble::malformed(rejection.body_text()).into_response(),
    };
    let result = match query.action.as_str() {
        "Publish" => publish(&provider, query),
        "ConfirmSubscription" => confirm_subscription(&provider, &query),
        _other => Err(Trouble::sender(
            "InvalidAction",
            "The sandbox knows Publish and ConfirmSubscription.".to_owned(),
        )),
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

fn publish(provider: &Arc<Provider>, query: Query) -> Result<Response, Trouble> {
    let message = query.message.unwrap_or_default();
    if message.is_empty() {
        return Err(Trouble::invalid("Empty message"));
    }
    let destination = match (query.phone_number, query.target_arn) {
        (Some(number), None) => {
            if !is_e164(&number) {
                return Err(invalid_number(&number));
            }
            if message.chars().count() > TEXT_CHARS_MAX {
                return Err(Trouble::invalid("Message Reason: Message too long"));
            }
            Destination::PhoneNumber(number)
        }
        (None, Some(arn)) if arn == TOPIC_ARN => {
            return Err(Trouble::invalid(
                "TargetArn Reason: only the sandbox publishes here",
            ));
        }
        (None, Some(arn)) if arn.len() > TARGET_BYTES_MAX => {
            return Err(Trouble::invalid("TargetArn Reason: too long"));
        }
        (None, Some(arn)) => Destination::Target(arn),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Trouble::invalid(
                "TargetArn or PhoneNumber Reason: exactly one is required",
            ));
        }
    };
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Trouble::invalid("Message too long"));
    }
    let (admission, receipt) = story_of(&destination)?;
    let identity = identity(&destination, &message);
    let at = provider.clock.now();
    let message_id = provider.clock.new_uuid(at).to_string();
    let accepted = AcceptedDirect {
        destination,
        message_id: message_id.clone(),
        at,
    };
    let play = receipt.map(|receipt| play(Arc::clone(provider), accepted, receipt).boxed());
    match provider.take(Door::Sns, admission, &identity, play) {
        DirectReply::Accepted => Ok(answer(
            "Publish",
            &format!("<MessageId>{message_id}</MessageId>"),
        )),
        DirectReply::Lost => Ok(hang_up()),
        DirectReply::Throttled => Err(Trouble::sender("Throttled", "Rate exceeded".to_owned())),
        DirectReply::Down => Err(Trouble::internal()),
    }
}

/// What SNS answers, and what its delivery status log says later. The words are SNS's own:
/// <https://docs.aws.amazon.com/sns/latest/dg/sms_stats_cloudwatch.html>
fn story_of(destination: &Destination) -> Result<(Admission, Option<Receipt>), Trouble> {
    match destination {
        Destination::PhoneNumber(number) => {
            let story = TextStory::of(number);
            let receipt = match story {
                TextStory::Invalid => return Err(invalid_number(number)),
                TextStory::SentOnly | TextStory::Untold | TextStory::Down => None,
                TextStory::Blocked => Some("Blocked as spam by phone carrier"),
                TextStory::Unreachable => Some("Phone is currently unreachable/unavailable"),
                TextStory::OptedOut => Some("Phone number is opted out"),
                TextStory::Delivered | TextStory::Throttled | TextStory::LostAnswer => {
                    return Ok((story.admission(), Some(Receipt::Success)));
                }
            };
            Ok((story.admission(), receipt.map(Receipt::Failure)))
        }
        Destination::Target(arn) => {
            let story = PushStory::of(arn);
            let receipt = match story {
                PushStory::Disabled => return Err(Trouble::disabled()),
                PushStory::Unregistered => Some(Receipt::Failure(
                    "NotificationErrorResponse(command=8, status=InvalidToken, id=1, cause=null)",
                )),
                PushStory::Accepted
                | PushStory::Throttled
                | PushStory::LostAnswer
                | PushStory::Down => None,
            };
            Ok((story.admission(), receipt))
        }
    }
}

/// What tells this message from others.
fn identity(destination: &Destination, message: &str) -> String {
    let (Destination::PhoneNumber(to) | Destination::Target(to)) = destination;
    digest(&[to, message])
}

async fn play(provider: Arc<Provider>, accepted: AcceptedDirect, receipt: Receipt) {
    tokio::time::sleep(provider.pace.latency).await;
    let record = accepted.log_record(receipt);
    provider.poster.publish(None, &record, 1).await;
}

fn confirm_subscription(provider: &Provider, query: &Query) -> Result<Response, Trouble> {
    if query.topic_arn.as_deref() != Some(TOPIC_ARN) {
        return Err(Trouble::not_found());
    }
    let arn = query
        .token
        .as_deref()
        .and_then(|token| provider.poster.confirm(token));
    let arn = arn.ok_or_else(|| Trouble::invalid("Token"))?;
    let result = format!("<SubscriptionArn>{arn}</SubscriptionArn>");
    Ok(answer("ConfirmSubscription", &result))
}

fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// SNS repeats the number in its answer.
fn invalid_number(number: &str) -> Trouble {
    Trouble::invalid(&format!(
        "PhoneNumber Reason: {number} is not valid to publish to"
    ))
}

/// An error of the query protocol.
/// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#operation-error-serialization>
struct Trouble {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Trouble {
    const fn sender(code: &'static str, message: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message,
        }
    }

    fn invalid(what: &str) -> Self {
        Self::sender("InvalidParameter", format!("Invalid parameter: {what}"))
    }

    const fn malformed(why: String) -> Self {
        Self::sender("MalformedQueryString", why)
    }

    fn disabled() -> Self {
        Self::sender("EndpointDisabled", "Endpoint is disabled".to_owned())
    }

    fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "NotFound",
            message: "Topic does not exist".to_owned(),
        }
    }

    fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalError",
            message: "The service is unavailable.".to_owned(),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let fault = if self.status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        let (code, message) = (self.code, escape(&self.message));
        let request_id = Uuid::new_v8(rand::random());
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        );
        xml(self.status, body)
    }
}

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

fn answer(action: &str, result: &str) -> Response {
    let request_id = Uuid::new_v8(rand::random());
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    );
    xml(StatusCode::OK, body)
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
