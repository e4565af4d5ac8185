//! `/v1/webhooks`: where an application is told what becomes of its notifications.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::path::Steps;
use super::problem::{Kind, Problem};
use super::schemas::{ReplayBody, WebhookBody};
use super::{Shared, body};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{EVENTS, EndpointUrl, Secret, UrlRules};
use crate::store::webhooks::{ENDPOINTS_MAX, Endpoint, NewEndpoint};

/// An endpoint, without the secret that signs what is sent to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookJson {
    id: String,
    #[schema(example = "https://example.com/webhooks")]
    url: String,
    description: Option<String>,
    /// The events that are sent; empty: all.
    events: Vec<String>,
    /// `active`, `failing` (it took nothing of late, and is tried again) or `disabled` (nothing is
    /// sent until it is enabled).
    #[schema(example = "active")]
    status: &'static str,
    /// Since when it has taken nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// What was wrong last.
    last_error: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_delivered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Endpoint> for WebhookJson {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            status: endpoint.state(),
            id: endpoint.id.to_string(),
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.events,
            failing_since: endpoint.failing_since,
            last_error: endpoint.last_error,
            last_delivered_at: endpoint.last_delivered_at,
            disabled_at: endpoint.disabled_at,
            created_at: endpoint.created_at,
        }
    }
}

/// An endpoint and the secret that signs, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookWithSecret {
    #[serde(flatten)]
    webhook: WebhookJson,
    /// In the form of Standard Webhooks.
    #[schema(example = "whsec_…")]
    secret: String,
}

/// All endpoints of the business.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhooks {
    webhooks: Vec<WebhookJson>,
}

/// What is to be sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// How many events are sent once more.
    events: u64,
}

pub(super) const NAMES: [&str; 3] = ["url", "description", "events"];
pub(super) const REPLAY_NAMES: [&str; 1] = ["from"];
/// A line of a list.
pub(super) const DESCRIPTION_LENGTH_MAX: usize = 200;
/// After a change of the secret the one before signs for so long beside it: time to roll out.
const OVERLAP: Duration = Duration::from_hours(24);

/// Tells an address what becomes of the business's notifications, from now on. Each event is a POST
/// with `type`, `timestamp` and `data` (the notification's id, statuses and reason; no content, no
/// address), signed in the manner of Standard Webhooks: `webhook-id`, `webhook-timestamp`,
/// `webhook-signature`. It is sent until it is answered with 2xx, for days if need be, and may come
/// more than once, with the same `webhook-id`.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookBody,
    responses(
        (status = 201, description = "Made.", body = WebhookWithSecret),
        (status = 400, description = "The body is not JSON."),
        (status = 409, description = "The business has as many as it may have."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was made."),
    ),
)]
pub(super) async fn add(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    let wanted = Wanted::read(&body, shared.api.webhook_rules)?;
    let secret = new_secret();
    let new = NewEndpoint {
        business,
        url: &wanted.url,
        description: wanted.description.as_deref(),
        events: &wanted.events,
        secret: &secret,
    };
    let Some(made) = shared.api.store.add_webhook(new).await? else {
        let detail = format!("The business has {ENDPOINTS_MAX} webhooks, as many as it may have.");
        return Err(Problem::new(Kind::Conflict, detail));
    };
    Ok((StatusCode::CREATED, with_secret(made, &secret)).into_response())
}

pub fn new_secret() -> Secret {
    Secret::new(rand::random())
}

fn with_secret(endpoint: Endpoint, secret: &Secret) -> Json<WebhookWithSecret> {
    Json(WebhookWithSecret {
        webhook: endpoint.into(),
        secret: secret.reveal().to_owned(),
    })
}

struct Wanted {
    url: EndpointUrl,
    description: Option<String>,
    /// None: all.
    events: Vec<&'static str>,
}

impl Wanted {
    fn read(body: &Value, rules: UrlRules) -> Result<Self, Problem> {
        let mut errors = Errors::default();
        let wanted =
            Fields::open(body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
                fields.require(&["url"]);
                let url = fields.parsed("url", |text| EndpointUrl::parse(text, rules));
                let description = fields.line("description", DESCRIPTION_LENGTH_MAX);
                let events = events(&mut fields);
                Some(Self {
                    url: url?,
                    description,
                    events,
                })
            });
        errors.unless_any(wanted).map_err(Problem::invalid)
    }
}

fn events(fields: &mut Fields<'_, '_>) -> Vec<&'static str> {
    let Some(value) = fields.get("events") else {
        return Vec::new();
    };
    let words: Option<Vec<&'static str>> = value.as_array().and_then(|words| {
        let known = |word: &Value| EVENTS.into_iter().find(|it| word.as_str() == Some(it));
        let mut words = words.iter().map(known).collect::<Option<Vec<_>>>()?;
        words.sort_unstable();
        words.dedup();
        Some(words)
    });
    words.unwrap_or_else(|| {
        let allowed = EVENTS.join(", ");
        fields.wrong("events", format!("must be a list of any of: {allowed}"));
        Vec::new()
    })
}

/// The endpoints of the business, with how they are.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them.", body = Webhooks)),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<Webhooks>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let webhooks = shared.api.store.webhooks(business).await?;
    let webhooks = webhooks.into_iter().map(Into::into).collect();
    Ok(Json(Webhooks { webhooks }))
}

/// One endpoint.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id.")),
    responses(
        (status = 200, description = "The endpoint.", body = WebhookJson),
        (status = 404, description = "The business has no such endpoint."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<Uuid>,
) -> Result<Json<WebhookJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    found(&shared, business, id).await.map(|it| Json(it.into()))
}

async fn found(shared: &Shared, business: &str, id: Uuid) -> Result<Endpoint, Problem> {
    let found = shared.api.store.webhook(business, id).await?;
    found.ok_or_else(no_such_webhook)
}

fn no_such_webhook() -> Problem {
    Problem::new(Kind::NotFound, "The business has no such webhook.")
}

/// Removes an endpoint; what waited for it is not sent any more.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id.")),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "The business has no such endpoint."),
    ),
)]
pub(super) async fn remove(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<Uuid>,
) -> Result<StatusCode, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    if !shared.api.store.remove_webhook(business, id).await? {
        return Err(no_such_webhook());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the endpoint a new secret. For 24 hours the one before signs as well, so that the application
/// can change over; one more rotation within that time ends it.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id.")),
    responses(
        (status = 200, description = "The new secret signs from now on.", body = WebhookWithSecret),
        (status = 404, description = "The business has no such endpoint."),
    ),
)]
pub(super) async fn rotate(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<Uuid>,
) -> Result<Json<WebhookWithSecret>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let (store, secret) = (&shared.api.store, new_secret());
    if !store.rotate_webhook(business, id, &secret, OVERLAP).await? {
        return Err(no_such_webhook());
    }
    Ok(with_secret(found(&shared, business, id).await?, &secret))
}

/// Sends to the endpoint again, after it was switched off or while it rests. What waited for it comes
/// first.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id.")),
    responses(
        (status = 200, description = "It is sent to.", body = WebhookJson),
        (status = 404, description = "The business has no such endpoint."),
    ),
)]
pub(super) async fn enable(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<Uuid>,
) -> Result<Json<WebhookJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    if !shared.api.store.enable_webhook(business, id).await? {
        return Err(no_such_webhook());
    }
    found(&shared, business, id).await.map(|it| Json(it.into()))
}

/// Sends everything that was recorded for the endpoint since a moment once more, each event with the
/// `webhook-id` that it had. Events are kept for `webhooks.keep_days`.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", request_body = ReplayBody,
    params(("id" = String, Path, description = "The endpoint's id.")),
    responses(
        (status = 202, description = "They are being sent.", body = Replayed),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such endpoint."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was done."),
    ),
)]
pub(super) async fn replay(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<Uuid>,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let from =
        Fields::open(&body, String::new(), &REPLAY_NAMES, &mut errors).and_then(|mut fields| {
            fields.require(&["from"]);
            fields.time("from")
        });
    let from = errors.unless_any(from).map_err(Problem::invalid)?;
    let replayed = shared.api.store.replay_webhook(business, id, from).await?;
    let events = replayed.ok_or_else(no_such_webhook)?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { events })).into_response())
}
