//! Schemas of what the readers take and no type describes; their limits are the readers' own.

use std::borrow::Cow;

use serde_json::{Value as Json, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::openapi::{body_schema, schema, text};
use super::{business, content, decide, files, intake, providers, rendering, reports, webhooks};
use crate::domain::webhook;

/// The body of a change of the business; read by `business`.
#[derive(Debug)]
pub(super) struct BusinessBody;

/// The body of a template; read by `templates`.
#[derive(Debug)]
pub(super) struct TemplateBody;

/// The reason of an order; read by `providers` and `brakes`.
#[derive(Debug)]
pub(super) struct PauseBody;

/// A new client's card; read by `clients`.
#[derive(Debug)]
pub(super) struct ClientBody;

/// Changes of a client's card; read by `clients`.
#[derive(Debug)]
pub(super) struct ClientChangesBody;

/// A new endpoint; read by `webhooks`.
#[derive(Debug)]
pub(super) struct WebhookBody;

/// An event that an application reports; read by `reports`.
#[derive(Debug)]
pub(super) struct ReportBody;

/// What is to be sent again; read by `webhooks`.
#[derive(Debug)]
pub(super) struct ReplayBody;

body_schema! {
    ClientBody, "NewClient", client(true);
    ClientChangesBody, "ClientChanges", client(false);
    WebhookBody, "NewWebhook", endpoint();
    ReportBody, "NewEvent", event();
    ReplayBody, "Replay", json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["from"],
        "properties": {"from": {"type": "string", "format": "date-time"}},
    });
}

fn event() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["kind"],
        "properties": {
            "kind": {
                "type": "string", "enum": reports::KINDS,
                "description": "Of email: opened, clicked. Of SMS: clicked. Of push: all.",
            },
            "occurred_at": {
                "type": "string", "format": "date-time",
                "description": "Now when absent. Not before the enqueue, and not in the future.",
            },
            "id": {
                "type": "string", "minLength": 1, "maxLength": intake::ID_LENGTH_MAX,
                "description": "The caller's own: the same id is recorded once.",
            },
            "link": {
                "type": "string", "minLength": 1, "maxLength": reports::LINK_LENGTH_MAX,
                "description": "Which was clicked.",
            },
        },
    })
}

fn endpoint() -> Json {
    let url = json!({
        "type": "string", "format": "uri", "maxLength": webhook::URL_LENGTH_MAX,
        "description": "https, and an address that everybody can reach.",
        "examples": ["https://example.com/webhooks"],
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "properties": {
            "url": url,
            "description": text(webhooks::DESCRIPTION_LENGTH_MAX),
            "events": {
                "type": "array",
                "items": {"type": "string", "enum": webhook::EVENTS},
                "description": "All when absent or empty.",
            },
        },
    })
}

fn client(is_new: bool) -> Json {
    let nullable = |of: &str, length_max| json!({"type": ["string", "null"], "maxLength": length_max, "description": of});
    let mut properties = json!({
        "name": nullable("As people read it.", intake::NAME_LENGTH_MAX),
        "email": nullable("For emails without `to`.", 254),
        "phone": nullable("For text messages without `to`: +14155550123.", 32),
        "location": nullable("Staff who see clients by location see those of their own.", intake::NAME_LENGTH_MAX),
        "staff_id": nullable("The staff member whose client it is.", intake::ID_LENGTH_MAX),
        "deactivated": {"type": "boolean", "description": "Nothing is sent to the client."},
    });
    if let Some(properties) = properties.as_object_mut() {
        let (name, schema) = if is_new {
            ("id", text(intake::ID_LENGTH_MAX))
        } else {
            let of = "The law wants it kept: it is neither deleted with time nor erased.";
            ("hold", json!({"type": "boolean", "description": of}))
        };
        properties.insert(name.to_owned(), schema);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": if is_new { vec!["id"] } else { Vec::new() },
        "properties": properties,
    })
}

impl utoipa::ToSchema for PauseBody {
    fn name() -> Cow<'static, str> {
        "Pause".into()
    }
}

impl utoipa::PartialSchema for PauseBody {
    fn schema() -> RefOr<Schema> {
        schema(json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["reason"],
            "properties": {"reason": text(providers::REASON_LENGTH_MAX)},
        }))
    }
}

/// The body of a decision; read by `decide`.
#[derive(Debug)]
pub(super) struct DecideBody;

impl utoipa::ToSchema for DecideBody {
    fn name() -> Cow<'static, str> {
        "Decide".into()
    }
}

impl utoipa::PartialSchema for DecideBody {
    fn schema() -> RefOr<Schema> {
        schema(json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["action"],
            "properties": {
                "action": {
                    "type": "string", "enum": decide::ACTIONS,
                    "description": "`resend`: send it again at once. `give_up`: leave it; it is \
                                    Failed. `sent`: somebody has seen that it went; it is Sent.",
                },
                "staff_id": text(intake::ID_LENGTH_MAX),
            },
        }))
    }
}

impl utoipa::ToSchema for BusinessBody {
    fn name() -> Cow<'static, str> {
        "ChangeOfBusiness".into()
    }
}

impl utoipa::PartialSchema for BusinessBody {
    fn schema() -> RefOr<Schema> {
        schema(json!({
            "type": "object",
            "additionalProperties": false,
            "description": "What is absent stays as it is; null goes back to the settings.",
            "properties": {
                "email_from": mailbox("The mailbox that emails are from."),
                "reply_to": mailbox("Where answers go, unless an email says otherwise."),
                "sms_from": {
                    "type": ["string", "null"],
                    "description": "A number, or a name of up to 11 letters, digits and hyphens.",
                    "examples": ["+14155550123", "MyShop"],
                },
                "tracking": tracking(),
            },
        }))
    }
}

fn tracking() -> Json {
    json!({
        "type": "array", "maxItems": business::TRACKING_MAX,
        "description": "What is tracked of emails of these contact types that go by SMTP; others \
                        stay as they are.",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": business::TRACKING_NAMES,
            "properties": {
                "contact_type": text(intake::NAME_LENGTH_MAX),
                "opens": {"type": "boolean"},
                "clicks": {"type": "boolean"},
            },
        },
    })
}

fn mailbox(description: &str) -> Json {
    json!({
        "type": ["string", "null"], "description": description,
        "examples": ["Bookings <bookings@example.com>"],
    })
}

impl utoipa::ToSchema for TemplateBody {
    fn name() -> Cow<'static, str> {
        "ChangeOfTemplate".into()
    }
}

impl utoipa::PartialSchema for TemplateBody {
    fn schema() -> RefOr<Schema> {
        let html = json!({
            "type": "string", "maxLength": content::EMAIL_TEXT_LENGTH_MAX,
            "description": "Values are escaped; without text, the text is made from it.",
        });
        schema(json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["method"],
            "description": "Jinja: {{ name }}, {% if %}, {% for %}, filters. Email: subject, and \
                            text or html or both. SMS: text. Push: text, and a title.",
            "properties": {
                "method": {"type": "string", "enum": intake::METHODS},
                "type": text(intake::NAME_LENGTH_MAX),
                "subject": text(content::SUBJECT_LENGTH_MAX),
                "title": text(content::SUBJECT_LENGTH_MAX),
                "text": text(content::EMAIL_TEXT_LENGTH_MAX),
                "html": html,
            },
        }))
    }
}

/// The field `attachments` of an email.
pub(super) fn attachments() -> Json {
    let data = json!({
        "type": "string", "contentEncoding": "base64", "minLength": 1,
        "description": format!(
            "Up to {} bytes in one file, {} in one email.",
            files::ATTACHMENT_BYTES_MAX,
            files::ATTACHMENTS_BYTES_MAX
        ),
    });
    let id = json!({
        "type": "string", "maxLength": files::CONTENT_ID_LENGTH_MAX,
        "description": "For an image within the text: what the HTML shows it by, `cid:…`.",
    });
    json!({
        "type": "array", "maxItems": files::ATTACHMENTS_MAX,
        "description": "Email only.",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "content_type", "data"],
            "properties": {
                "name": text(files::FILE_NAME_LENGTH_MAX),
                "content_type": text(files::CONTENT_TYPE_LENGTH_MAX),
                "content_id": id,
                "data": data,
            },
        },
    })
}

/// The field `reply_to` of an email.
pub(super) fn reply_to() -> Json {
    json!({
        "type": "string",
        "description": "Email only: where answers go, if not to the business's own address.",
        "examples": ["Ana Ruiz <ana@example.com>"],
    })
}

/// The field `template` of a notification.
pub(super) fn template() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "description": "Instead of content: filled when it is enqueued. A value that the template \
                        asks for and the data lacks is an error.",
        "properties": {
            "name": text(rendering::TEMPLATE_NAME_LENGTH_MAX),
            "data": {
                "type": "object",
                "description": format!("Up to {} bytes of JSON.", rendering::DATA_BYTES_MAX),
            },
            "reply_to": reply_to(),
            "attachments": attachments(),
        },
    })
}
