//! `POST /v1/clients/{id}/contact-log`: contacts that were made outside the program, with the task that
//! follows them. `PATCH /v1/contact-log/{id}`: what an entry is about, in other words.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::auth::{Caller, Scope};
use super::entries::EntryJson;
use super::fields::{Errors, Fields};
use super::history::{ClientId, no_such_client};
use super::intake::{ID_LENGTH_MAX, NAME_LENGTH_MAX};
use super::notifications::Id;
use super::openapi::{body_schema, key, schema, text};
use super::problem::{FieldError, Kind, Problem};
use super::tasks::{FOLLOW_UP_NAMES, NewTask, new_task, time};
use super::{Shared, body};
use crate::domain::by_hand::{self, DESCRIPTION_LENGTH_MAX};
use crate::domain::method::{Channel, Method};
use crate::domain::time::Timestamp;
use crate::store::by_hand::{Contact, Entered};
use crate::store::changes::{Edit, Edited};

pub(super) const NAMES: [&str; 9] = [
    "date",
    "method",
    "channel",
    "type",
    "contact_type",
    "staff_id",
    "description",
    "follow_up",
    "idempotency_key",
];
pub(super) const DESCRIPTION_NAMES: [&str; 2] = ["description", "staff_id"];
/// Who changed an entry, where an application did and named nobody.
const APPLICATION: &str = "Application";
const METHODS: [&str; 6] = [
    Method::Email.as_str(),
    Method::Sms.as_str(),
    Method::Push.as_str(),
    Method::InPerson.as_str(),
    Method::Mail.as_str(),
    Method::Phone.as_str(),
];
const CHANNELS: [&str; 2] = [Channel::Outbound.as_str(), Channel::Inbound.as_str()];

/// A contact to be entered; read below, whose limits it shows.
#[derive(Debug)]
pub(super) struct ContactBody;

/// A description to be changed; read below.
#[derive(Debug)]
pub(super) struct DescriptionBody;

body_schema! {
    ContactBody, "NewContact", contact();
    DescriptionBody, "NewDescription", json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["description"],
        "properties": {
            "description": {
                "type": ["string", "null"], "maxLength": DESCRIPTION_LENGTH_MAX,
                "description": "Null takes it away.",
            },
            "staff_id": {
                "type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX,
                "description": "Who changes it; the application when absent.",
            },
        },
    });
}

fn contact() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["method", "contact_type"],
        "properties": {
            "date": {
                "type": "string", "format": "date-time",
                "description": "When it was; now when absent. From 1990 on, and a day ahead at most.",
            },
            "method": {"type": "string", "enum": METHODS},
            "channel": {"type": "string", "enum": CHANNELS, "default": CHANNELS[0]},
            "type": {
                "type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX,
                "description": "What it is called; by its method when absent, such as Phone call.",
            },
            "contact_type": {
                "type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX,
                "description": "A new one is made on the spot.",
            },
            "staff_id": {
                "type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX,
                "description": "Who made the contact; No Staff when absent.",
            },
            "description": text(DESCRIPTION_LENGTH_MAX),
            "follow_up": new_task(false),
            "idempotency_key": key(),
        },
    })
}

/// Enters a contact that was made outside the program, such as a talk. It stands in the history at its
/// date, and cannot be deleted.
#[utoipa::path(
    post, path = "/v1/clients/{id}/contact-log", tag = "history",
    params(("id" = String, Path, description = "The application's id of the client.")),
    request_body = ContactBody,
    responses(
        (status = 201, description = "Entered.", body = EntryJson),
        (status = 200, description = "The same had been entered before under this key.", body = EntryJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such client."),
        (status = 409, description = "The key was used before for something else."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was entered."),
    ),
)]
pub(super) async fn enter(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(client_id): ClientId,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let asked = Asked::read(&body, shared.api.clock.now()).map_err(Problem::invalid)?;
    let store = &shared.api.store;
    let contact = asked.contact(business, &client_id);
    let (status, id) = match store.enter_contact(&contact).await? {
        Entered::New(id) => (StatusCode::CREATED, id),
        Entered::Before(id) => (StatusCode::OK, id),
        Entered::KeyTaken(_) => return Err(key_taken()),
        Entered::NoClient => return Err(no_such_client()),
    };
    let entry = store.entry(business, id).await?;
    let entry = entry.ok_or_else(Problem::no_such_notification)?;
    Ok((status, Json(EntryJson::brief(entry))).into_response())
}

/// Changes the description of an entry of the contact history. The former one is kept, with who changed it
/// and when; no entry can be deleted.
#[utoipa::path(
    patch, path = "/v1/contact-log/{id}", tag = "history",
    params(("id" = String, Path, description = "The entry's id.")),
    request_body = DescriptionBody,
    responses(
        (status = 200, description = "The entry as it is now.", body = EntryJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such entry, or its client was erased."),
        (status = 409, description = "Somebody else changed it at the same moment."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn describe(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
    request: Request,
) -> Result<Json<EntryJson>, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let read = Fields::open(&body, String::new(), &DESCRIPTION_NAMES, &mut errors).map(|mut it| {
        if !it.is_cleared("description") {
            it.require(&["description"]);
        }
        let description = it.text("description", DESCRIPTION_LENGTH_MAX);
        (description, it.id("staff_id", ID_LENGTH_MAX))
    });
    let (after, staff_id) = errors.unless_any(read).map_err(Problem::invalid)?;
    let store = &shared.api.store;
    let found = store.entry(business, id).await?;
    let before = found.ok_or_else(Problem::no_such_notification)?.description;
    let edit = Edit::Description { before, after };
    let by = staff_id.as_deref().unwrap_or(APPLICATION);
    match store.edit_entry(business, id, by, &edit).await? {
        Edited::Done | Edited::Same => {}
        Edited::Meanwhile => return Err(changed_meanwhile()),
        Edited::Nothing => return Err(Problem::no_such_notification()),
    }
    let entry = store.entry(business, id).await?;
    let entry = entry.ok_or_else(Problem::no_such_notification)?;
    Ok(Json(EntryJson::brief(entry)))
}

fn changed_meanwhile() -> Problem {
    let detail = "Somebody else changed the entry at the same moment; read it and repeat.";
    Problem::new(Kind::Conflict, detail)
}

fn key_taken() -> Problem {
    let errors = vec![FieldError {
        pointer: "/idempotency_key".to_owned(),
        detail: "was used before with another body: use a new key for a new contact".to_owned(),
    }];
    let detail = "The key was used before for something else; nothing was entered.";
    Problem::with_errors(Kind::KeyConflict, detail, errors)
}

struct Asked {
    date: Option<Timestamp>,
    method: Method,
    channel: Channel,
    type_name: Option<String>,
    contact_type: String,
    staff_id: Option<String>,
    description: Option<String>,
    task: Option<NewTask>,
    key: Option<String>,
}

impl Asked {
    fn read(body: &Value, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let asked =
            Fields::open(body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
                fields.require(&["method", "contact_type"]);
                let date = time(&mut fields, "date", now, by_hand::check_date);
                let method = fields.word("method", Method::parse, &METHODS);
                let channel = fields.word("channel", Channel::parse, &CHANNELS);
                let type_name = fields.line("type", NAME_LENGTH_MAX);
                let contact_type = fields.line("contact_type", NAME_LENGTH_MAX);
                let staff_id = fields.id("staff_id", ID_LENGTH_MAX);
                let description = fields.text("description", DESCRIPTION_LENGTH_MAX);
                let key = fields.key("idempotency_key", ID_LENGTH_MAX);
                let task = fields.object("follow_up", &FOLLOW_UP_NAMES);
                let task = task.and_then(|mut task| NewTask::read(&mut task, now));
                Some(Self {
                    date,
                    method: method?,
                    channel: channel.unwrap_or(Channel::Outbound),
                    type_name,
                    contact_type: contact_type?,
                    staff_id,
                    description,
                    task,
                    key,
                })
            });
        errors.unless_any(asked)
    }

    fn contact<'a>(&'a self, business: &'a str, client_id: &'a str) -> Contact<'a> {
        Contact {
            business,
            client_id,
            date: self.date,
            method: self.method,
            channel: self.channel,
            type_name: self.type_name.as_deref(),
            contact_type: &self.contact_type,
            staff_id: self.staff_id.as_deref(),
            description: self.description.as_deref(),
            entered_by: None,
            key: self.key.as_deref(),
            follow_up: self.task.as_ref().map(NewTask::follow_up),
        }
    }
}
