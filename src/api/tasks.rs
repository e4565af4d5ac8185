//! `/v1/tasks`: follow-up tasks, listed, made, marked as done.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::history::{Pairs, limit};
use super::intake::ID_LENGTH_MAX;
use super::openapi::{body_schema, schema, text};
use super::path::Steps;
use super::problem::{Kind, Problem};
use super::{Shared, body};
use crate::domain::by_hand::{self, DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX};
use crate::domain::role::Sight;
use crate::domain::time::Timestamp;
use crate::store::tasks::{Asker, FollowUp, Task, TaskFilter};

pub(super) const NAMES: [&str; 5] = ["client", "title", "description", "due_at", "assignee"];
/// Of a task that follows a contact.
pub(super) const FOLLOW_UP_NAMES: [&str; 4] = ["title", "description", "due_at", "assignee"];
pub(super) const CHANGE_NAMES: [&str; 2] = ["done", "staff_id"];

/// A task to be made; read below.
#[derive(Debug)]
pub(super) struct TaskBody;

/// What becomes of a task; read below.
#[derive(Debug)]
pub(super) struct TaskChangeBody;

body_schema! {
    TaskBody, "NewTask", new_task(true);
    TaskChangeBody, "TaskChange", json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["done"],
        "properties": {
            "done": {"type": "boolean", "description": "false: it is open again."},
            "staff_id": {
                "type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX,
                "description": "Who has done it; required with `done`.",
            },
        },
    });
}

/// With its client, or as what follows a contact.
pub(super) fn new_task(with_client: bool) -> Value {
    let mut properties = json!({
        "title": text(NAME_LENGTH_MAX),
        "description": text(DESCRIPTION_LENGTH_MAX),
        "due_at": {
            "type": "string", "format": "date-time",
            "description": "By when; ten years ahead at most.",
        },
        "assignee": {
            "type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX,
            "description": "The staff_id of who must do it.",
        },
    });
    let mut required = vec!["title", "due_at", "assignee"];
    if let (true, Some(properties)) = (with_client, properties.as_object_mut()) {
        properties.insert("client".to_owned(), text(ID_LENGTH_MAX));
        required.push("client");
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(super) struct TaskJson {
    id: String,
    client_id: Option<String>,
    client_name: Option<String>,
    /// The contact that it follows.
    entry_id: Option<String>,
    title: String,
    description: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    /// The `staff_id` of who must do it.
    assignee: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    done: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// The name of who has done it.
    done_by: Option<String>,
}

impl From<Task> for TaskJson {
    fn from(task: Task) -> Self {
        let (client_id, client_name) = task.client.map(|it| (it.id, it.name)).unzip();
        Self {
            id: task.id.to_string(),
            client_id,
            client_name: client_name.flatten(),
            entry_id: task.entry.map(|id| id.to_string()),
            title: task.title,
            description: task.description,
            due_at: task.due_at,
            assignee: task.assignee,
            created_at: task.created_at,
            done: task.done_at.is_some(),
            done_at: task.done_at,
            done_by: task.done_by,
        }
    }
}

/// One page of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tasks {
    tasks: Vec<TaskJson>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// Tasks: open ones by what is due first, done ones by what was done last.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks", params(Asked),
    responses(
        (status = 200, description = "A page of tasks.", body = Tasks),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<Tasks>, Problem> {
    let asker = everything_of(caller.allowed(Scope::Read)?);
    let filter = Asked::read(pairs)?;
    let page = shared.api.store.tasks(&asker, &filter).await?;
    let last = page.tasks.last().filter(|_| page.more);
    let next = last.map(|task| cursor(task.done_at.unwrap_or(task.due_at), task.id));
    let tasks = page.tasks.into_iter().map(Into::into).collect();
    Ok(Json(Tasks { tasks, next }))
}

/// Makes a task about a client.
#[utoipa::path(
    post, path = "/v1/tasks", tag = "tasks", request_body = TaskBody,
    responses(
        (status = 201, description = "Made.", body = TaskJson),
        (status = 400, description = "The body is not JSON."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong, or there is no such client; nothing was made."),
    ),
)]
pub(super) async fn add(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let (mut errors, now) = (Errors::default(), shared.api.clock.now());
    let read = Fields::open(&body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&["client"]);
        let client = fields.id("client", ID_LENGTH_MAX);
        let task = NewTask::read(&mut fields, now);
        Some((client?, task?))
    });
    let (client, task) = errors.unless_any(read).map_err(Problem::invalid)?;
    let task = task.follow_up();
    let made = shared.api.store.add_task(business, &client, &task);
    let made = made.await?.ok_or_else(|| {
        let mut errors = Errors::default();
        errors.add("/client", "is the id of no client");
        let none: Result<(), _> = errors.unless_any(None);
        Problem::invalid(none.err().unwrap_or_default())
    })?;
    Ok((StatusCode::CREATED, Json(TaskJson::from(made))).into_response())
}

/// Marks a task as done, or opens it again. Who did it first stays on record.
#[utoipa::path(
    patch, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "The id of the task.")),
    request_body = TaskChangeBody,
    responses(
        (status = 200, description = "The task as it is now.", body = TaskJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such task."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn change(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
    request: Request,
) -> Result<Json<TaskJson>, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let id = Uuid::try_parse(&id).map_err(|_no_id| no_such_task())?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let read = Fields::open(&body, String::new(), &CHANGE_NAMES, &mut errors);
    let read = read.and_then(|mut fields| {
        fields.require(&["done"]);
        let done = fields.flag("done")?;
        if done {
            fields.require(&["staff_id"]);
        }
        Some((done, fields.id("staff_id", ID_LENGTH_MAX)))
    });
    let (done, staff_id) = errors.unless_any(read).map_err(Problem::invalid)?;
    let asker = Asker {
        staff_id: staff_id.as_deref().unwrap_or_default(),
        ..everything_of(business)
    };
    let changed = if done {
        shared.api.store.finish_task(&asker, id).await?
    } else {
        shared.api.store.reopen_task(&asker, id).await?
    };
    let task = changed.ok_or_else(no_such_task)?;
    Ok(Json(task.into()))
}

fn no_such_task() -> Problem {
    Problem::new(Kind::NotFound, "There is no task with this id.")
}

/// Applications see all of their business.
const fn everything_of(business: &str) -> Asker<'_> {
    Asker {
        business,
        staff_id: "",
        sight: Sight::All,
    }
}

/// A task as it is asked for.
pub(super) struct NewTask {
    title: String,
    description: Option<String>,
    due_at: Timestamp,
    assignee: String,
}

impl NewTask {
    pub(super) fn read(fields: &mut Fields<'_, '_>, now: Timestamp) -> Option<Self> {
        fields.require(&["title", "due_at", "assignee"]);
        let title = fields.line("title", NAME_LENGTH_MAX);
        let description = fields.text("description", DESCRIPTION_LENGTH_MAX);
        let due_at = time(fields, "due_at", now, by_hand::check_due);
        let assignee = fields.id("assignee", ID_LENGTH_MAX);
        Some(Self {
            title: title?,
            description,
            due_at: due_at?,
            assignee: assignee?,
        })
    }

    pub(super) fn follow_up(&self) -> FollowUp<'_> {
        FollowUp {
            title: &self.title,
            description: self.description.as_deref(),
            due_at: self.due_at,
            assignee: &self.assignee,
        }
    }
}

/// A time that the domain allows.
pub(super) fn time(
    fields: &mut Fields<'_, '_>,
    name: &str,
    now: Timestamp,
    check: impl Fn(Timestamp, Timestamp) -> Result<(), &'static str>,
) -> Option<Timestamp> {
    let at = fields.time(name)?;
    check(at, now).map_err(|why| fields.wrong(name, why)).ok()?;
    Some(at)
}

/// The parameters as they came; empty ones count as absent.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// A `staff_id`; everybody's when absent.
    assignee: Option<String>,
    /// `true`: those that are done, instead of those that are open.
    #[param(value_type = Option<bool>)]
    done: Option<String>,
    /// 1 to 200; 50 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl Asked {
    fn read(pairs: Pairs) -> Result<TaskFilter, Problem> {
        let (mut asked, mut errors) = (Self::default(), Errors::default());
        let mut slots = [
            ("assignee", &mut asked.assignee),
            ("done", &mut asked.done),
            ("limit", &mut asked.limit),
            ("cursor", &mut asked.cursor),
        ];
        pairs.fill(&mut slots, ID_LENGTH_MAX, &mut errors);
        let done = asked.done.as_deref().unwrap_or("false");
        if !["true", "false"].contains(&done) {
            errors.add("/done", "must be true or false");
        }
        let after = asked.cursor.as_deref().and_then(|text| {
            let found = position(text);
            if found.is_none() {
                errors.add("/cursor", "is not the `next` of a page");
            }
            found
        });
        let filter = TaskFilter {
            is_done: done == "true",
            after,
            limit: limit(asked.limit.as_deref(), &mut errors),
            assignee: asked.assignee,
        };
        errors.unless_any(Some(filter)).map_err(Problem::invalid)
    }
}

fn cursor(at: Timestamp, id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}.{id}", at.as_millis()))
}

fn position(text: &str) -> Option<(Timestamp, Uuid)> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (at, id) = text.split_once('.')?;
    let at = Timestamp::from_millis(at.parse().ok()?);
    Some((at, Uuid::try_parse(id).ok()?))
}
