//! `DELETE /v1/clients/{id}`: a client is forgotten. `/v1/erasures/{id}`: how far that has come.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::Errors;
use super::history::{ClientId, Pairs, no_such_client};
use super::path::Steps;
use super::problem::{Kind, Problem};
use crate::domain::time::Timestamp;
use crate::store::erasures::{Erasure, Order, Ordered};

/// A sentence that an auditor understands.
pub const REASON_LENGTH_MAX: usize = 500;

/// The work of forgetting a client.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct ErasureJson {
    id: String,
    /// Our own key of the client, which the lines of the contact history keep.
    client_uid: String,
    /// `running`; `checking`: everything is gone, and is looked through once more for what was under way
    /// when it began; `finished`.
    #[schema(example = "running")]
    state: &'static str,
    /// Entries whose personal data is gone.
    entries: i64,
    asked_by: String,
    reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
}

impl From<Erasure> for ErasureJson {
    fn from(erasure: Erasure) -> Self {
        Self {
            id: erasure.id.to_string(),
            client_uid: erasure.client.to_string(),
            state: erasure.state(),
            entries: erasure.entries,
            asked_by: erasure.asked_by,
            reason: erasure.reason,
            asked_at: erasure.asked_at,
            finished_at: erasure.finished_at,
        }
    }
}

/// Takes away everything personal of a client: its card, addresses, contents, descriptions, tags,
/// metadata, providers' words, feedback, tasks. Its lines stay in the contact history, with their dates,
/// methods and statuses; what waits is cancelled. This cannot be undone. From now on the id is free: the
/// next notification for it makes a new client.
#[utoipa::path(
    delete, path = "/v1/clients/{id}", tag = "clients",
    params(
        ("id" = String, Path, description = "The application's id of the client, or that of a client who was erased: `erased-…`."),
        ("reason" = Option<String>, Query, description = "Why, for the record: nothing personal."),
    ),
    responses(
        (status = 202, description = "Begun; `Location` tells how far it has come.", body = ErasureJson),
        (status = 200, description = "This client was erased before.", body = ErasureJson),
        (status = 404, description = "The business has no such client."),
        (status = 409, description = "The client is on hold."),
        (status = 422, description = "Parameters are wrong; nothing was changed."),
    ),
)]
pub(super) async fn erase(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(id): ClientId,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let (mut reason, mut errors) = (None, Errors::default());
    pairs.fill(
        &mut [("reason", &mut reason)],
        REASON_LENGTH_MAX,
        &mut errors,
    );
    errors.unless_any(Some(())).map_err(Problem::invalid)?;
    let asked_by = caller.as_author();
    let order = Order {
        business,
        client_id: &id,
        asked_by: &asked_by,
        reason: reason.as_deref(),
    };
    match shared.api.store.erase_client(order).await? {
        Ordered::Begun(erasure) => Ok(answer(StatusCode::ACCEPTED, erasure)),
        Ordered::Before(erasure) => Ok(answer(StatusCode::OK, erasure)),
        Ordered::NoClient => Err(no_such_client()),
        Ordered::OnHold => Err(Problem::new(
            Kind::Conflict,
            "The client is on hold, so nothing was erased. Take the hold off first: PATCH the client \
             with {\"hold\": false}.",
        )),
    }
}

fn answer(status: StatusCode, erasure: Erasure) -> Response {
    let place = format!("/v1/erasures/{}", erasure.id);
    let mut response = (status, Json(ErasureJson::from(erasure))).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// How far an erasure has come.
#[utoipa::path(
    get, path = "/v1/erasures/{id}", tag = "clients",
    params(("id" = String, Path, description = "The id that the erasure was given.")),
    responses(
        (status = 200, description = "The erasure.", body = ErasureJson),
        (status = 404, description = "The business has no such erasure."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
) -> Result<Json<ErasureJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let found = match Uuid::try_parse(&id) {
        Ok(id) => shared.api.store.erasure(business, id).await?,
        Err(_not_an_id) => None,
    };
    let none = || Problem::new(Kind::NotFound, "There is no erasure with this id.");
    Ok(Json(found.ok_or_else(none)?.into()))
}
