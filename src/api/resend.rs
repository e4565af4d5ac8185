//! Resend: the frozen content once more, as an entry of its own that names the first.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::again::{Again, Obstacle};
use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::intake::ID_LENGTH_MAX;
use super::notifications::{Id, Receipt, entry, status_code, submit};
use super::openapi::ResendBody;
use super::problem::{Kind, Problem};
use super::{Shared, body};
use crate::domain::method::Method;
use crate::store::enqueue::NewNotification;
use crate::store::history::Entry;

/// Sends an email or SMS again: to the same address unless another is given.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/resend", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    request_body = Option<ResendBody>,
    responses(
        (status = 202, description = "Enqueued as a new notification.", body = Receipt),
        (status = 200, description = "This resend had been asked for before.", body = Receipt),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such notification."),
        (status = 409, description = "Push messages and entries made by hand cannot be sent again."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was enqueued."),
    ),
)]
pub(super) async fn resend(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::optional(request).await?;
    let first = entry(&shared, business, id).await?;
    let new = again(&first, &body)?;
    let mut receipts = submit(&shared, business, vec![new], |_| String::new()).await?;
    let status = status_code(&receipts);
    let receipt = receipts.pop().expect("one receipt per notification");
    Ok((status, Json(receipt)).into_response())
}

pub(super) const NAMES: [&str; 3] = ["to", "staff_id", "idempotency_key"];

fn again(first: &Entry, body: &Value) -> Result<NewNotification, Problem> {
    // What no field can mend is said before what is wrong with the fields.
    if let Some(obstacle) = Obstacle::of(first) {
        return Err(conflict(obstacle));
    }
    let asked = read(body, first.method)?;
    asked.of(first).map_err(conflict)
}

fn conflict(obstacle: Obstacle) -> Problem {
    Problem::new(Kind::Conflict, obstacle.to_string())
}

fn read(body: &Value, method: Method) -> Result<Again, Problem> {
    let mut errors = Errors::default();
    let again = Fields::open(body, String::new(), &NAMES, &mut errors).map(|mut fields| Again {
        to: fields.address("to", method),
        staff_id: fields.id("staff_id", ID_LENGTH_MAX),
        key: fields.key("idempotency_key", ID_LENGTH_MAX),
    });
    errors.unless_any(again).map_err(Problem::invalid)
}
