//! `GET /openapi.json`: the document of this API, made from the handlers and the readers' limits.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Ref, RefOr};

use super::problem::Document;
use super::{
    account_list, brakes, business, client_export, client_list, clients, contact_log, content,
    decide, erasures, examples, failure_actions, failures, feedback, files, history, intake,
    notifications, operations, providers, reports, resend, schemas, stats, suppression_list,
    suppressions, tasks, templates, webhooks,
};

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "document",
    responses((status = 200, description = "This document.")),
)]
pub(super) async fn document() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let text = build().to_json();
        text.expect("a document of plain values can be written")
            .into()
    });
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.clone()).into_response()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "sendtrail",
        description = "Delivers notifications and keeps the trail. Times are RFC 3339 in UTC; \
                       everything belongs to the business of the API key.",
    ),
    paths(
        notifications::enqueue,
        notifications::show,
        notifications::show_content,
        notifications::cancel,
        files::download,
        resend::resend,
        decide::list,
        decide::decide,
        reports::report,
        client_list::list,
        clients::add,
        clients::show,
        clients::change,
        client_export::export,
        erasures::erase,
        erasures::show,
        contact_log::enter,
        contact_log::describe,
        feedback::list,
        feedback::show,
        feedback::apply,
        history::of_client,
        history::of_all,
        failures::list,
        stats::show,
        brakes::list,
        brakes::lift,
        failure_actions::resend,
        failure_actions::progress,
        failure_actions::stop,
        failure_actions::dismiss,
        providers::list,
        providers::pause,
        providers::pause_method,
        providers::resume,
        providers::resume_method,
        suppression_list::list,
        account_list::list,
        suppressions::suppress,
        suppressions::lift,
        tasks::list,
        tasks::add,
        tasks::change,
        templates::list,
        templates::show,
        templates::write,
        templates::versions,
        templates::show_version,
        business::show,
        business::change,
        webhooks::add,
        webhooks::list,
        webhooks::show,
        webhooks::remove,
        webhooks::rotate,
        webhooks::enable,
        webhooks::replay,
        operations::sns,
        operations::twilio,
        operations::healthz,
        operations::readyz,
        operations::metrics,
        document,
    ),
    components(schemas(Document))
)]
struct Docs;

const SCHEME: &str = "key";

/// What holds for every operation is added here, so that no handler has to repeat it.
pub(super) fn build() -> utoipa::openapi::OpenApi {
    let mut document = <Docs as utoipa::OpenApi>::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key; its scopes are enqueue, read and admin."))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    for (path, item) in &mut document.paths.paths {
        if path.starts_with("/v1/") {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
            ];
            operations.into_iter().flatten().for_each(complete);
        }
    }
    examples::add(&mut document);
    document
}

fn complete(operation: &mut Operation) {
    let scopes: [&str; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, scopes)]);
    for (status, description) in [
        ("401", "There is no valid API key."),
        ("403", "The key's scopes do not allow this."),
        ("500", "An error on our side."),
        (
            "503",
            "Not available at the moment; try again after `Retry-After` seconds.",
        ),
    ] {
        let response = ResponseBuilder::new().description(description).build();
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_owned(), RefOr::T(response));
    }
    for (status, response) in &mut operation.responses.responses {
        if let (RefOr::T(response), true) = (response, status.as_str() >= "400") {
            let schema = Ref::from_schema_name(<Document as utoipa::ToSchema>::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let media_type = "application/problem+json".to_owned();
            response.content.insert(media_type, content.into());
        }
    }
}

/// The body of an enqueue; read by `intake`, whose limits it shows.
#[derive(Debug)]
pub(super) struct EnqueueBody;

/// The body of a resend; read by `resend`.
#[derive(Debug)]
pub(super) struct ResendBody;

/// The body that puts an address on the suppression list; read by `suppressions`.
#[derive(Debug)]
pub(super) struct SuppressBody;

/// The body that takes an address off the suppression list; read by `suppressions`.
#[derive(Debug)]
pub(super) struct LiftBody;

impl utoipa::ToSchema for EnqueueBody {
    fn name() -> Cow<'static, str> {
        "Enqueue".into()
    }
}

impl utoipa::PartialSchema for EnqueueBody {
    fn schema() -> RefOr<Schema> {
        let batch = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["notifications"],
            "properties": {"notifications": {
                "type": "array", "minItems": 1, "maxItems": intake::BATCH_MAX,
                "items": notification(),
            }},
        });
        schema(json!({"oneOf": [notification(), batch]}))
    }
}

impl utoipa::ToSchema for ResendBody {
    fn name() -> Cow<'static, str> {
        "Resend".into()
    }
}

impl utoipa::PartialSchema for ResendBody {
    fn schema() -> RefOr<Schema> {
        schema(json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "to": {"type": "string", "description": "Where to, if not to the same address."},
                "staff_id": text(intake::ID_LENGTH_MAX),
                "idempotency_key": key(),
            },
        }))
    }
}

macro_rules! body_schema {
    ($($body:ty, $name:literal, $schema:expr;)*) => {
        $(impl utoipa::ToSchema for $body {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }

        impl utoipa::PartialSchema for $body {
            fn schema() -> RefOr<Schema> {
                schema($schema)
            }
        })*
    };
}
pub(super) use body_schema;

body_schema! {
    SuppressBody, "Suppress", suppression(true);
    LiftBody, "Lift", suppression(false);
}

fn suppression(is_new: bool) -> Json {
    let mut properties = json!({
        "method": {"type": "string", "enum": intake::METHODS},
        "address": {"type": "string", "description": "In any spelling."},
        "contact_type": {
            "type": "string", "maxLength": intake::NAME_LENGTH_MAX,
            "description": "Of this contact type only; with the reasons staff and unsubscribe.",
        },
        "reason": {
            "type": "string", "enum": suppressions::REASONS,
            "description": "New: staff, or unsubscribe with a contact type. Taken off: needed \
                            where there are several.",
        },
        "note": {
            "type": "string", "maxLength": suppressions::NOTE_LENGTH_MAX,
            "description": "Why: required with the reason staff, and to take something off.",
        },
        "staff_id": text(intake::ID_LENGTH_MAX),
    });
    if let (true, Some(properties)) = (is_new, properties.as_object_mut()) {
        let time = json!({"type": "string", "format": "date-time"});
        properties.insert("expires_at".to_owned(), time);
    } else if let Some(properties) = properties.as_object_mut() {
        let ses =
            json!({"type": "boolean", "description": "Off the account's list at SES as well."});
        properties.insert("ses".to_owned(), ses);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["method", "address"],
        "properties": properties,
    })
}

pub(super) fn schema(json: Json) -> RefOr<Schema> {
    RefOr::T(serde_json::from_value(json).expect("a schema is written here"))
}

pub(super) fn text(length_max: usize) -> Json {
    json!({"type": "string", "minLength": 1, "maxLength": length_max})
}

pub(super) fn key() -> Json {
    json!({
        "type": "string", "minLength": 1, "maxLength": intake::ID_LENGTH_MAX,
        "pattern": "^[!-~]+$",
        "description": "The same key and the same body enqueue once.",
    })
}

fn notification() -> Json {
    let client = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id"],
        "properties": {
            "id": text(intake::ID_LENGTH_MAX),
            "name": text(intake::NAME_LENGTH_MAX),
            "email": {"type": "string", "format": "email"},
            "phone": {"type": "string", "example": "+14155550123"},
        },
    });
    let content = json!({
        "type": "object",
        "additionalProperties": false,
        "description": format!(
            "Email: subject, and text or html or both. SMS: text (up to {} characters). Push: \
             title, text and data (up to {} bytes together).",
            content::SMS_TEXT_LENGTH_MAX, content::PUSH_BYTES_MAX,
        ),
        "properties": {
            "subject": text(content::SUBJECT_LENGTH_MAX),
            "text": text(content::EMAIL_TEXT_LENGTH_MAX),
            "html": text(content::EMAIL_TEXT_LENGTH_MAX),
            "reply_to": schemas::reply_to(),
            "attachments": schemas::attachments(),
            "title": text(content::PUSH_TITLE_LENGTH_MAX),
            "data": {"type": "object"},
        },
    });
    let time = json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["client", "method"],
        "oneOf": [{"required": ["type", "content"]}, {"required": ["template"]}],
        "properties": {
            "client": {"oneOf": [text(intake::ID_LENGTH_MAX), client]},
            "method": {"type": "string", "enum": intake::METHODS},
            "to": {"type": "string", "description": "From the client's card when absent."},
            "type": text(intake::NAME_LENGTH_MAX),
            "contact_type": {
                "type": "string", "maxLength": intake::NAME_LENGTH_MAX,
                "default": intake::CONTACT_TYPE_DEFAULT,
            },
            "content": content,
            "template": schemas::template(),
            "staff_id": text(intake::ID_LENGTH_MAX),
            "send_at": time,
            "expires_at": time,
            "priority": {"type": "string", "enum": intake::PRIORITIES, "default": "normal"},
            "idempotency_key": key(),
            "metadata": {
                "type": "object", "maxProperties": intake::METADATA_KEYS_MAX,
                "description": format!("Up to {} bytes of JSON.", intake::METADATA_BYTES_MAX),
            },
        },
    })
}
