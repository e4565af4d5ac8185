//! `/v1/failures/resend` and `/v1/failures/dismiss`: a whole group of failures is put right, or put aside.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::failure_filter::{self, FILTER_NAMES, Selection};
use super::fates::{Prospect, prospect};
use super::fields::{Errors, Fields};
use super::intake::ID_LENGTH_MAX;
use super::openapi::{body_schema, schema, text};
use super::path::Steps;
use super::problem::{Kind, Problem};
use super::suppressions::NOTE_LENGTH_MAX;
use super::{Shared, body, digest};
use crate::domain::order::Order;
use crate::domain::role::Sight;
use crate::store::history::Filter;
use crate::store::resend_runs::{NO_ACCOUNT, NewRun, Run};

pub(super) const RESEND_NAMES: [&str; 4] = ["filter", "dry_run", "idempotency_key", "staff_id"];
pub(super) const DISMISS_NAMES: [&str; 2] = ["causes", "note"];

/// What sending them again would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResendPreview)]
pub(super) struct PreviewJson {
    dry_run: bool,
    /// Whose messages they are.
    causes: Vec<String>,
    /// Messages that failed for them, have not arrived since and were not sent again.
    matching: usize,
    /// There are more than one run takes.
    more: bool,
    /// Will be sent again.
    resend: usize,
    left_out: LeftOut,
}

/// Messages that cannot be sent again, by the reason.
#[derive(Debug, Serialize, ToSchema)]
struct LeftOut {
    sent_again_before: usize,
    suppressed: usize,
    /// Only emails and SMS whose content is kept can be sent again.
    not_resendable: usize,
}

/// A run that sends many again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResendRun)]
pub(super) struct RunJson {
    id: String,
    #[schema(example = "running")]
    state: &'static str,
    /// Who ordered it.
    by: String,
    begun_at: String,
    finished_at: Option<String>,
    /// Messages that matched when it began.
    total: u64,
    sent: u64,
    left_out: u64,
}

impl RunJson {
    fn of(run: Run) -> Self {
        let state = match (run.finished_at, run.stopped_at) {
            (None, None) => "running",
            (None, Some(_)) => "stopping",
            (Some(_), Some(_)) => "stopped",
            (Some(_), None) => "done",
        };
        Self {
            id: run.id.to_string(),
            state,
            by: run.user,
            begun_at: run.created_at.to_string(),
            finished_at: run.finished_at.map(|at| at.to_string()),
            total: run.total,
            sent: run.sent,
            left_out: run.left_out,
        }
    }
}

/// What is asked for.
struct Wanted {
    filter: Value,
    selection: Selection,
    dry_run: bool,
    key: Option<String>,
    staff_id: Option<String>,
}

impl Wanted {
    fn read(body: &Value) -> Result<Self, Problem> {
        let mut errors = Errors::default();
        let fields = Fields::open(body, String::new(), &RESEND_NAMES, &mut errors);
        let wanted = fields.and_then(|mut fields| {
            fields.require(&["filter"]);
            let filter = fields.get("filter")?.clone();
            let dry_run = fields.flag("dry_run").unwrap_or_default();
            let key = fields.key("idempotency_key", ID_LENGTH_MAX);
            let staff_id = fields.id("staff_id", ID_LENGTH_MAX);
            let mut inner = fields.object("filter", &FILTER_NAMES)?;
            Some(Self {
                selection: Selection::read(&mut inner),
                filter,
                dry_run,
                key,
                staff_id,
            })
        });
        errors.unless_any(wanted).map_err(Problem::invalid)
    }

    /// Of the run: the same for the same key.
    fn id(&self, shared: &Shared, business: &str) -> Uuid {
        let key = self.key.clone();
        key.map_or_else(
            || shared.api.clock.new_uuid(shared.api.clock.now()),
            |key| {
                let what = "resend of failures".to_owned();
                digest::of(&[Some(what), Some(business.to_owned()), Some(key)])
            },
        )
    }
}

/// Sends the messages of causes again, each as it was and to its own address, or tells what that would do.
/// Asked twice with one `idempotency_key`, it begins one run; each message is sent again once.
#[utoipa::path(
    post, path = "/v1/failures/resend", tag = "failures", request_body = ResendFailuresBody,
    responses(
        (status = 202, description = "A run has begun; ask for its progress by its id.", body = RunJson),
        (status = 200, description = "What it would do (`dry_run`), or the run that had begun before under this key.", body = PreviewJson),
        (status = 400, description = "The body is not JSON."),
        (status = 409, description = "The key was used before for another filter."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was sent."),
    ),
)]
pub(super) async fn resend(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    let wanted = Wanted::read(&body)?;
    let store = &shared.api.store;
    let id = wanted.id(&shared, business);
    if wanted.key.is_some()
        && !wanted.dry_run
        && let Some(run) = store.resend_run(business, id).await?
    {
        return before(run, &wanted);
    }
    let causes = wanted.selection.causes(store, business).await?;
    let filter = Filter {
        open_at: Some(shared.api.clock.now()),
        ..wanted.selection.filter(causes.clone())
    };
    let turn = shared.histories.acquire().await;
    let found = prospect(store, business, filter, 0).await?;
    drop(turn);
    if wanted.dry_run {
        return Ok(Json(preview(&causes, &found, true)).into_response());
    }
    let by = caller.as_author();
    let order = Order {
        query: wanted.selection.query(&causes),
        sight: Sight::All,
        by: Some(by.clone()),
    };
    let mut kept = order.to_json();
    if let Some(kept) = kept.as_object_mut() {
        kept.insert("asked".to_owned(), wanted.filter.clone());
    }
    let new = NewRun {
        id,
        business,
        account: NO_ACCOUNT,
        staff_id: wanted.staff_id.as_deref().unwrap_or_default(),
        filter: kept,
        total: found.matching,
        causes: &causes,
        by: &by,
    };
    store.begin_resend_run(new).await?;
    let run = run(&shared, business, id).await?;
    Ok((StatusCode::ACCEPTED, Json(RunJson::of(run))).into_response())
}

/// The run that this key had begun, if it is for the same.
fn before(run: Run, wanted: &Wanted) -> Result<Response, Problem> {
    let staff_id = wanted.staff_id.as_deref().unwrap_or_default();
    if run.filter.get("asked") != Some(&wanted.filter) || run.staff_id != staff_id {
        let detail = "The key was used before for another filter: use a new key for a new run.";
        return Err(Problem::new(Kind::KeyConflict, detail));
    }
    Ok(Json(RunJson::of(run)).into_response())
}

/// A preview as this path answers it, for the command line.
pub fn preview_json(causes: &[Uuid], found: &Prospect, dry_run: bool) -> Value {
    written(&preview(causes, found, dry_run))
}

/// A run as this path answers it, for the command line.
pub fn run_json(run: Run) -> Value {
    written(&RunJson::of(run))
}

/// What was put aside, as this path answers it, for the command line.
pub fn dismissed_json(causes: &[Uuid], by: &str) -> Value {
    written(&Dismissed::of(causes, by.to_owned()))
}

fn written(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).expect("plain values can be written")
}

fn preview(causes: &[Uuid], found: &Prospect, dry_run: bool) -> PreviewJson {
    PreviewJson {
        dry_run,
        causes: causes.iter().map(Uuid::to_string).collect(),
        matching: found.matching,
        more: found.more,
        resend: found.resendable,
        left_out: LeftOut {
            sent_again_before: found.again,
            suppressed: found.suppressed,
            not_resendable: found.not_resendable,
        },
    }
}

/// How far a run is.
#[utoipa::path(
    get, path = "/v1/failures/resend/{id}", tag = "failures",
    params(("id" = String, Path, description = "The id that the order gave.")),
    responses(
        (status = 200, description = "The run.", body = RunJson),
        (status = 404, description = "The business has no such run."),
    ),
)]
pub(super) async fn progress(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
) -> Result<Json<RunJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let run = named(&shared, business, &id).await?;
    Ok(Json(RunJson::of(run)))
}

/// Has a run stop after the batch that is under way. What was sent again stays so.
#[utoipa::path(
    post, path = "/v1/failures/resend/{id}/stop", tag = "failures",
    params(("id" = String, Path, description = "The id that the order gave.")),
    responses(
        (status = 200, description = "It stops, or was at its end.", body = RunJson),
        (status = 404, description = "The business has no such run."),
    ),
)]
pub(super) async fn stop(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
) -> Result<Json<RunJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let known = named(&shared, business, &id).await?;
    // One that is at its end already shows so.
    let by = caller.as_author();
    let stopped = shared.api.store.stop_resend_run(business, known.id, &by);
    stopped.await?;
    let run = run(&shared, business, known.id).await?;
    Ok(Json(RunJson::of(run)))
}

async fn named(shared: &Shared, business: &str, id: &str) -> Result<Run, Problem> {
    let id = Uuid::try_parse(id).map_err(|_no_id| no_such_run())?;
    run(shared, business, id).await
}

async fn run(shared: &Shared, business: &str, id: Uuid) -> Result<Run, Problem> {
    let run = shared.api.store.resend_run(business, id).await?;
    run.ok_or_else(no_such_run)
}

fn no_such_run() -> Problem {
    Problem::new(Kind::NotFound, "There is no run with this id.")
}

/// What was put aside.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dismissed {
    dismissed: Vec<String>,
    by: String,
}

impl Dismissed {
    fn of(causes: &[Uuid], by: String) -> Self {
        let dismissed = causes.iter().map(Uuid::to_string).collect();
        Self { dismissed, by }
    }
}

/// Puts causes aside, with a note for the record, until they are seen again.
#[utoipa::path(
    post, path = "/v1/failures/dismiss", tag = "failures", request_body = DismissBody,
    responses(
        (status = 200, description = "Dismissed until a message fails of it again.", body = Dismissed),
        (status = 400, description = "The body is not JSON."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was dismissed."),
    ),
)]
pub(super) async fn dismiss(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Json<Dismissed>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let fields = Fields::open(&body, String::new(), &DISMISS_NAMES, &mut errors);
    let wanted = fields.and_then(|mut fields| {
        fields.require(&DISMISS_NAMES);
        let causes = failure_filter::causes(&mut fields);
        let note = fields.line("note", NOTE_LENGTH_MAX);
        Some((causes?, note?))
    });
    let (causes, note) = errors.unless_any(wanted).map_err(Problem::invalid)?;
    let store = &shared.api.store;
    failure_filter::are_own(store, business, &causes, "/causes").await?;
    let by = caller.as_author();
    let dismissed = store.dismiss_causes(business, &causes, &by, &note).await?;
    Ok(Json(Dismissed::of(&dismissed, by)))
}

/// The body of an order to send failures again; read here.
#[derive(Debug)]
pub(super) struct ResendFailuresBody;

/// The body of a dismissal; read here.
#[derive(Debug)]
pub(super) struct DismissBody;

body_schema! {
    ResendFailuresBody, "ResendFailures", serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["filter"],
        "properties": {
            "filter": failure_filter::schema(),
            "dry_run": {"type": "boolean", "description": "Tells what would be sent, and sends nothing."},
            "idempotency_key": text(ID_LENGTH_MAX),
            "staff_id": text(ID_LENGTH_MAX),
        },
    });
    DismissBody, "Dismiss", serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "required": DISMISS_NAMES,
        "properties": {
            "causes": failure_filter::causes_schema(),
            "note": text(NOTE_LENGTH_MAX),
        },
    });
}
