//! `/v1/notifications`: enqueue, show, cancel.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::content::Shown;
use super::entries::EntryJson;
use super::intake::Wanted;
use super::openapi::EnqueueBody;
use super::problem::{Kind, Problem};
use super::{Shared, again, body, intake, problem, ways};
use crate::domain::id::NotificationId;
use crate::domain::reason::Category;
use crate::domain::status::Status;
use crate::store::enqueue::{Enqueue, Enqueued, NewNotification, Refusal, Ticket, Why};
use crate::store::history::Entry;
use crate::telemetry;

/// The id in a path. What is no id names nothing, so it is not found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) NotificationId);

impl FromRequestParts<Shared> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, shared).await;
        let id = text
            .ok()
            .and_then(|Path(text)| NotificationId::parse(&text))
            .ok_or_else(Problem::no_such_notification)?;
        telemetry::concerns(id);
        Ok(Self(id))
    }
}

/// What was enqueued, or had been before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    id: String,
    /// The headline of `statuses`.
    #[schema(example = "Awaiting Send")]
    status: Option<&'static str>,
    statuses: Vec<&'static str>,
    /// It had been enqueued before with the same idempotency key and the same body.
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resend_of: Option<String>,
}

/// The answer has the form of the request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Receipts {
    One(Receipt),
    /// In the order of the request.
    Batch {
        notifications: Vec<Receipt>,
    },
}

/// Enqueues one notification, or up to 1,000 of them: all or none.
#[utoipa::path(
    post, path = "/v1/notifications", tag = "notifications", request_body = EnqueueBody,
    responses(
        (status = 202, description = "Enqueued.", body = Receipts),
        (status = 200, description = "All of it had been enqueued before.", body = Receipts),
        (status = 400, description = "The body is not JSON."),
        (status = 409, description = "An idempotency key was used before with another body."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was enqueued."),
    ),
)]
pub(super) async fn enqueue(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::required(request).await?;
    let Wanted {
        notifications,
        is_batch,
    } = shared
        .intake
        .prepare(business, &body, shared.api.clock.now())
        .await?
        .map_err(Problem::invalid)?;
    drop(body);
    let at = intake::pointers(is_batch);
    let mut receipts = submit(&shared, business, notifications, at).await?;
    let status = status_code(&receipts);
    let answer = if is_batch {
        Receipts::Batch {
            notifications: receipts,
        }
    } else {
        Receipts::One(receipts.pop().expect("one receipt per notification"))
    };
    Ok((status, Json(answer)).into_response())
}

/// 202 unless nothing of it is new.
pub(super) fn status_code(receipts: &[Receipt]) -> StatusCode {
    if receipts.iter().all(|receipt| receipt.duplicate) {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

/// Enqueues and wakes a worker. `at` gives the pointer to a notification of the request.
pub(super) async fn submit(
    shared: &Shared,
    business: &str,
    notifications: Vec<NewNotification>,
    at: impl Fn(usize) -> String,
) -> Result<Vec<Receipt>, Problem> {
    let resend_of = notifications.first().and_then(|new| new.resend_of);
    let request = Enqueue {
        business: business.to_owned(),
        notifications,
    };
    let tickets = match shared.api.store.enqueue(request).await? {
        Enqueued::Done(tickets) => tickets,
        Enqueued::Refused(refusals) => return Err(refused(&refusals, at)),
    };
    if let [ticket] = tickets.as_slice() {
        telemetry::concerns(ticket.id);
    }
    let new = tickets.iter().filter(|ticket| !ticket.duplicate).count();
    if new > 0 {
        shared.api.metrics.enqueued(new);
        ways::wake(&shared.api.woken);
    }
    let mut receipts = receipts(shared, business, &tickets).await;
    for receipt in &mut receipts {
        receipt.resend_of = resend_of.map(|id| id.to_string());
    }
    Ok(receipts)
}

/// The enqueue is committed: if the present statuses of duplicates cannot be read, they are left
/// out, because an error would make the caller enqueue the others again.
async fn receipts(shared: &Shared, business: &str, tickets: &[Ticket]) -> Vec<Receipt> {
    let known = tickets.iter().filter(|ticket| ticket.duplicate);
    let known: Vec<NotificationId> = known.map(|ticket| ticket.id).collect();
    let entries = shared.api.store.entries(business, &known).await;
    let entries = entries.unwrap_or_else(|error| {
        problem::log(&error);
        Vec::new()
    });
    let statuses: BTreeMap<NotificationId, Vec<Status>> = entries
        .iter()
        .map(|entry| (entry.id, entry.statuses()))
        .collect();
    let receipt = |ticket: &Ticket| {
        let held = statuses.get(&ticket.id).map_or(&[][..], Vec::as_slice);
        let fresh = &[Status::AwaitingSend][..];
        let statuses = if ticket.duplicate { held } else { fresh };
        let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        Receipt {
            id: ticket.id.to_string(),
            status: statuses.first().copied(),
            statuses,
            duplicate: ticket.duplicate,
            resend_of: None,
        }
    };
    tickets.iter().map(receipt).collect()
}

fn refused(refusals: &[Refusal], at: impl Fn(usize) -> String) -> Problem {
    // Deleted since the entry was looked at.
    if refusals.iter().any(|r| r.why == Why::NotKept) {
        return Problem::new(Kind::Conflict, again::Obstacle::NoContent.to_string());
    }
    let errors = intake::explain(refusals, at);
    let only_keys = refusals.iter().all(|r| r.why == Why::KeyConflict);
    if only_keys {
        let detail = "An idempotency key was used before with another body; nothing was enqueued.";
        return Problem::with_errors(Kind::KeyConflict, detail, errors);
    }
    Problem::invalid(errors)
}

/// The entry with its facts and its timeline.
#[utoipa::path(
    get, path = "/v1/notifications/{id}", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    responses(
        (status = 200, description = "The entry.", body = EntryJson),
        (status = 404, description = "The business has no such notification."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<EntryJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let entry = entry(&shared, business, id).await?;
    let story = shared.api.store.story(id).await?;
    Ok(Json(EntryJson::with_story(entry, &story)))
}

/// The entry, if the business has it.
pub(super) async fn entry(
    shared: &Shared,
    business: &str,
    id: NotificationId,
) -> Result<Entry, Problem> {
    let entry = shared.api.store.entry(business, id).await?;
    entry.ok_or_else(Problem::no_such_notification)
}

/// What was sent, as it was sent.
#[utoipa::path(
    get, path = "/v1/notifications/{id}/content", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    responses(
        (status = 200, description = "The content.", body = Shown),
        (status = 404, description = "No such notification, or an entry without content."),
        (status = 410, description = "The content was deleted; the detail says when and why."),
    ),
)]
pub(super) async fn show_content(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Shown>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let entry = shared.api.store.entry(business, id).await?;
    let content = shared.api.store.content(business, id).await?;
    if let (Some(entry), Some(content)) = (entry, content) {
        return Ok(Json(Shown::new(&entry, content)));
    }
    let gone = shared.api.store.content_gone(business, id).await?;
    Err(match gone {
        Some(why) => Problem::new(Kind::Gone, again::gone(why)),
        None => Problem::new(
            Kind::NotFound,
            "There is no notification with this id and with content.",
        ),
    })
}

/// Takes a notification that waits out of the queue. Repeating it is harmless.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/cancel", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    responses(
        (status = 200, description = "Cancelled: the entry, `Failed` with the category `cancelled`.", body = EntryJson),
        (status = 404, description = "The business has no such notification."),
        (status = 409, description = "It is sent, being sent, or failed."),
    ),
)]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<EntryJson>, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let before = entry(&shared, business, id).await?;
    if let Some(obstacle) = obstacle(&before) {
        return Err(Problem::new(Kind::Conflict, obstacle));
    }
    let cancelled = shared.api.store.cancel(business, id).await?;
    let entry = entry(&shared, business, id).await?;
    if !cancelled && !is_cancelled(&entry) {
        let detail = obstacle(&entry).unwrap_or("A worker has taken it up to send it.");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let story = shared.api.store.story(id).await?;
    Ok(Json(EntryJson::with_story(entry, &story)))
}

fn is_cancelled(entry: &Entry) -> bool {
    let failed = entry.facts.failed.as_ref();
    failed.is_some_and(|failed| failed.failure.category == Category::Cancelled)
}

/// Why an entry cannot be cancelled any more.
fn obstacle(entry: &Entry) -> Option<&'static str> {
    if entry.manual {
        Some("This entry was made by hand; there is nothing to cancel.")
    } else if entry.facts.sent.is_some() || entry.facts.has_evidence() {
        Some("It has been sent.")
    } else if entry.facts.failed.is_some() && !is_cancelled(entry) {
        Some("It has failed, and will not be sent.")
    } else {
        None
    }
}
