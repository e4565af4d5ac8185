//! `/v1/brakes`: whether the bulk email of the business is held, and lifting that.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::body;
use super::fields::{Errors, Fields};
use super::path::Steps;
use super::problem::{Kind, Problem};
use super::providers::{NAMES, REASON_LENGTH_MAX};
use super::schemas::PauseBody;
use crate::domain::brake::{self, State as BrakeState};
use crate::store::brakes::{Brake, BrakeChange, Lifted};

/// The brakes of the business, and what became of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Brakes)]
pub(super) struct BrakesJson {
    brakes: Vec<BrakeJson>,
    /// The newest first.
    changes: Vec<ChangeJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Brake)]
struct BrakeJson {
    /// `bounce`: addresses that do not work; `complaint`.
    #[schema(example = "bounce")]
    kind: &'static str,
    /// `ok`; `warned`, and nothing is held; `held`: bulk email waits until the brake is lifted.
    #[schema(example = "held")]
    state: &'static str,
    /// Emails of the 24 hours before the state changed; absent: it never did.
    sent: Option<i64>,
    /// Those of them that came back.
    returned: Option<i64>,
    text: Option<String>,
    remedy: &'static str,
    changed_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BrakeChange)]
struct ChangeJson {
    #[schema(example = "bounce")]
    kind: &'static str,
    #[schema(example = "held")]
    state: &'static str,
    at: String,
    /// Absent: the program, by the rates.
    by: Option<String>,
    reason: String,
}

/// What became of the order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BrakeLifted)]
pub(super) struct LiftedJson {
    kind: &'static str,
    /// `false`: it was not held.
    changed: bool,
}

/// Whether the bulk email of the business is held because too much of its email comes back.
#[utoipa::path(
    get, path = "/v1/brakes", tag = "brakes",
    responses((status = 200, description = "The brakes.", body = BrakesJson)),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<BrakesJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let known = shared.api.store.brakes(Some(business)).await?;
    let changes = shared.api.store.brake_changes(business).await?;
    let brakes = brake::Kind::ALL.map(|kind| {
        let found = known.iter().find(|brake| brake.kind == kind);
        brake_json(kind, found)
    });
    Ok(Json(BrakesJson {
        brakes: brakes.into(),
        changes: changes.into_iter().map(change_json).collect(),
    }))
}

/// Lets the bulk email of the business go; what was sent up to now does not count any more.
#[utoipa::path(
    post, path = "/v1/brakes/{kind}/lift", tag = "brakes",
    params(("kind" = String, Path, description = "bounce or complaint.")),
    request_body = PauseBody,
    responses(
        (status = 200, description = "It is not held.", body = LiftedJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "There is no such brake."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "A reason is needed."),
    ),
)]
pub(super) async fn lift(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(kind): Steps<String>,
    request: Request,
) -> Result<Json<LiftedJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let by = caller.as_author();
    let kind = brake::Kind::parse(&kind)
        .ok_or_else(|| Problem::new(Kind::NotFound, "The brakes are bounce and complaint."))?;
    let body = body::optional(request).await?;
    let mut errors = Errors::default();
    let reason = Fields::open(&body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&NAMES);
        fields.line("reason", REASON_LENGTH_MAX)
    });
    let reason = errors.unless_any(reason).map_err(Problem::invalid)?;
    let lifted = Lifted {
        business,
        kind,
        by: &by,
        reason: &reason,
    };
    let changed = shared.api.store.lift_brake(lifted).await?;
    if changed {
        shared.api.woken.notify_waiters();
    }
    Ok(Json(LiftedJson {
        kind: kind.as_str(),
        changed,
    }))
}

fn brake_json(kind: brake::Kind, found: Option<&Brake>) -> BrakeJson {
    BrakeJson {
        kind: kind.as_str(),
        state: found.map_or(BrakeState::Ok, |it| it.state).as_str(),
        sent: found.map(|it| it.count.sent),
        returned: found.map(|it| it.count.returned),
        text: found.map(|it| it.why.clone()),
        remedy: kind.remedy(),
        changed_at: found.map(|it| it.changed_at.to_string()),
    }
}

fn change_json(change: BrakeChange) -> ChangeJson {
    ChangeJson {
        kind: change.kind.as_str(),
        state: change.state.as_str(),
        at: change.at.to_string(),
        by: change.by,
        reason: change.reason,
    }
}
