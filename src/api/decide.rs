//! Decisions on notifications that may or may not have been sent: which they are, and what is to
//! become of one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::entries::EntryJson;
use super::fields::{Errors, Fields, step};
use super::history::Pairs;
use super::intake::ID_LENGTH_MAX;
use super::notifications::{Id, entry};
use super::problem::{Kind, Problem};
use super::schemas::DecideBody;
use super::{Shared, body, ways};
use crate::domain::event::Decision;
use crate::domain::id::NotificationId;
use crate::store::held::Decided;

/// A page of notifications that are held.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub(super) struct Page {
    notifications: Vec<EntryJson>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

/// Notifications that wait for a person's decision, the newest first.
#[utoipa::path(
    get, path = "/v1/notifications", tag = "notifications",
    params(
        ("state" = String, Query, description = "`held`: those whose last attempt may or may not have sent them."),
        ("limit" = Option<usize>, Query, description = "At most 200; 50 when absent."),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of notifications.", body = Page),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
) -> Result<Json<Page>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let Asked { limit, after } = Asked::read(pairs)?;
    let mut held = shared.api.store.held(business, after, limit + 1).await?;
    let more = held.len() > limit;
    held.truncate(limit);
    let ids: Vec<NotificationId> = held.iter().map(|held| held.id).collect();
    let entries = shared.api.store.entries(business, &ids).await?;
    let since: BTreeMap<_, _> = held.iter().map(|held| (held.id, held.held_at)).collect();
    let notifications = entries.into_iter().map(|entry| {
        let held_at = since.get(&entry.id).copied();
        EntryJson::held(entry, held_at)
    });
    Ok(Json(Page {
        notifications: notifications.collect(),
        next: held.last().filter(|_| more).map(|held| held.id.to_string()),
    }))
}

/// Decides what is to become of a notification that may or may not have been sent. Repeating the
/// same decision is harmless.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/decide", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    request_body = DecideBody,
    responses(
        (status = 200, description = "Decided: the entry.", body = EntryJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such notification."),
        (status = 409, description = "There is nothing to decide, or it was decided otherwise."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong."),
    ),
)]
pub(super) async fn decide(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::optional(request).await?;
    let (decision, staff_id) = read(&body)?;
    // A foreign one is not found, whatever its state.
    entry(&shared, business, id).await?;
    let decided = &shared.api.store;
    let decided = decided.decide(business, id, decision, staff_id.as_deref());
    if let Some(obstacle) = obstacle(decided.await?, decision) {
        return Err(Problem::new(Kind::Conflict, obstacle));
    }
    if decision == Decision::Resend {
        ways::wake(&shared.api.woken);
    }
    let entry = entry(&shared, business, id).await?;
    let story = shared.api.store.story(id).await?;
    Ok(Json(EntryJson::with_story(entry, &story)).into_response())
}

fn obstacle(decided: Decided, decision: Decision) -> Option<&'static str> {
    match decided {
        Decided::Done => None,
        Decided::Before(before) if before == decision => None,
        Decided::Before(Decision::Resend) => Some("It was decided before to send it again."),
        Decided::Before(Decision::GiveUp) => Some("It was decided before to give it up."),
        Decided::Before(Decision::Sent) => Some("It was decided before that it was sent."),
        Decided::HasGone => Some("There is nothing to decide: feedback shows that it was sent."),
        Decided::NothingToDecide => Some(
            "There is nothing to decide: the outcome of its last attempt is known, or it is being \
             sent at this moment.",
        ),
    }
}

pub(super) const NAMES: [&str; 2] = ["action", "staff_id"];
pub(super) const ACTIONS: [&str; 3] = [
    Decision::Resend.as_str(),
    Decision::GiveUp.as_str(),
    Decision::Sent.as_str(),
];

fn read(body: &Value) -> Result<(Decision, Option<String>), Problem> {
    let mut errors = Errors::default();
    let asked = Fields::open(body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&["action"]);
        let decision = fields.word("action", Decision::parse, &ACTIONS);
        let staff_id = fields.id("staff_id", ID_LENGTH_MAX);
        Some((decision?, staff_id))
    });
    errors.unless_any(asked).map_err(Problem::invalid)
}

struct Asked {
    limit: usize,
    after: Option<NotificationId>,
}

impl Asked {
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut errors = Errors::default();
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in pairs {
            if !["state", "limit", "cursor"].contains(&name.as_str()) {
                let detail = "is not known here; the names known here are: state, limit, cursor";
                errors.add(step("", &name), detail);
            } else if found.contains_key(&name) {
                errors.add(step("", &name), "is given twice");
            }
            found.insert(name, value);
        }
        if found.get("state").map(String::as_str) != Some("held") {
            errors.add("/state", "must be: held");
        }
        let limit = found.get("limit").map_or(Some(PAGE_DEFAULT), |text| {
            text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n))
        });
        if limit.is_none() {
            errors.add("/limit", format!("must be a number from 1 to {PAGE_MAX}"));
        }
        let cursor = found.get("cursor").map(|text| NotificationId::parse(text));
        if cursor == Some(None) {
            errors.add("/cursor", "is not the `next` of a page");
        }
        let asked = limit.map(|limit| Self {
            limit,
            after: cursor.flatten(),
        });
        errors.unless_any(asked).map_err(Problem::invalid)
    }
}
