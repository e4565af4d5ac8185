//! What the program answers beside `/v1`, for the document. It is answered by `feedback` and `app`, which
//! the API does not know; a test asks the running program for each of these.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::openapi::{body_schema, schema};

/// All of them; none wants a key.
#[cfg(test)]
pub(super) const PATHS: [&str; 5] = [
    "/webhooks/sns",
    "/webhooks/twilio",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// The envelope in which SNS posts; read by `feedback`.
#[derive(Debug)]
pub(super) struct SnsBody;

/// The form that Twilio posts; read by `feedback`.
#[derive(Debug)]
pub(super) struct TwilioBody;

body_schema! {
    SnsBody, "SnsMessage", json!({
        "type": "object",
        "required": [
            "Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature",
            "SigningCertURL",
        ],
        "properties": {
            "Type": {
                "type": "string",
                "enum": ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"],
            },
            "MessageId": {"type": "string"},
            "TopicArn": {"type": "string", "description": "One of feedback.sns.topics."},
            "Message": {"type": "string", "description": "The event, as JSON."},
            "Timestamp": {"type": "string", "format": "date-time"},
            "SignatureVersion": {"type": "string", "enum": ["1", "2"]},
            "Signature": {"type": "string"},
            "SigningCertURL": {"type": "string"},
        },
    });
    TwilioBody, "TwilioMessage", json!({
        "type": "object",
        "required": ["MessageSid", "MessageStatus"],
        "properties": {
            "MessageSid": {"type": "string"},
            "MessageStatus": {"type": "string", "example": "delivered"},
            "ErrorCode": {"type": "string"},
            "From": {"type": "string"},
            "Body": {"type": "string", "description": "What a client wrote."},
        },
    });
}

/// Where Amazon SNS reports what became of messages. Believed is what carries a valid signature of SNS
/// and comes from a topic that the settings name; there is no key.
#[utoipa::path(
    post, path = "/webhooks/sns", tag = "operations",
    request_body(content = SnsBody, content_type = "text/plain"),
    responses(
        (status = 200, description = "Kept, or known already."),
        (status = 400, description = "It is no message of SNS."),
        (status = 403, description = "It is forged, stale, or of a foreign topic."),
        (status = 413, description = "The body is too large."),
        (status = 503, description = "It could not be kept or checked at the moment; SNS sends it again."),
    ),
)]
#[expect(dead_code, reason = "it is answered elsewhere")]
pub(super) const fn sns() {}

/// Where Twilio reports what became of texts, and posts those of clients. Believed is what carries a valid
/// signature of the account; there is no key.
#[utoipa::path(
    post, path = "/webhooks/twilio", tag = "operations",
    request_body(content = TwilioBody, content_type = "application/x-www-form-urlencoded"),
    params(("X-Twilio-Signature" = String, Header, description = "Of the address and the form.")),
    responses(
        (status = 200, description = "A text of a client was kept; the answer has no words for it."),
        (status = 204, description = "Kept, or known already."),
        (status = 400, description = "It is no message of Twilio."),
        (status = 403, description = "It is forged, or of another account."),
        (status = 413, description = "The body is too large."),
        (status = 503, description = "It could not be kept at the moment; send it again."),
    ),
)]
#[expect(dead_code, reason = "it is answered elsewhere")]
pub(super) const fn twilio() {}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It does.")),
)]
#[expect(dead_code, reason = "it is answered elsewhere")]
pub(super) const fn healthz() {}

/// Whether the process can work: the database answers, and its schema is one that the program knows.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It can."),
        (status = 503, description = "It cannot, and why."),
    ),
)]
#[expect(dead_code, reason = "it is answered elsewhere")]
pub(super) const fn readyz() {}

/// Counts and states for Prometheus, in the text format of OpenMetrics.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((
        status = 200, description = "What is known; without the queue while the database is away.",
        body = String, content_type = "application/openmetrics-text",
    )),
)]
#[expect(dead_code, reason = "it is answered elsewhere")]
pub(super) const fn metrics() {}
