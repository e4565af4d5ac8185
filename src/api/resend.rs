//! Resend: the frozen content once more, as an entry of its own that names the first.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::intake::ID_LENGTH_MAX;
use super::notifications::{Id, Receipt, entry, status_code, submit};
use super::openapi::ResendBody;
use super::problem::{Kind, Problem};
use super::{Shared, body, digest};
use crate::domain::address::Address;
use crate::domain::method::{Method, Priority};
use crate::store::enqueue::{ClientRef, ContentSource, Idempotency, NewNotification};
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
    if first.manual {
        let detail = "This entry was made by hand; there is nothing to send again.";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if !first.method.is_resendable() {
        let detail = "Only emails and SMS can be sent again; enqueue a new notification.";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let content = first.content_id.ok_or_else(|| {
        Problem::new(
            Kind::Conflict,
            "The content of this notification is not kept.",
        )
    })?;
    let asked = Asked::read(body, first.method)?;
    let kept = first.to.as_deref();
    let kept = kept.and_then(|to| Address::parse(first.method, to).ok());
    let idempotency = asked.key.map(|key| Idempotency {
        key,
        body_digest: digest::of(&[
            Some(format!("resend of {}", first.id)),
            asked.to.as_ref().map(|to| to.as_str().to_owned()),
            asked.staff_id.clone(),
        ]),
    });
    Ok(NewNotification {
        client: ClientRef {
            id: first.client_id.clone(),
            ..ClientRef::default()
        },
        method: first.method,
        to: asked.to.or(kept),
        type_name: first.type_name.clone(),
        contact_type: first.contact_type.clone(),
        content: ContentSource::Frozen(content),
        files: Vec::new(),
        template: first.template.clone(),
        staff_id: asked.staff_id,
        send_at: None,
        expires_at: None,
        priority: Priority::usual_for(&first.contact_type),
        idempotency,
        metadata: first.metadata.clone(),
        resend_of: Some(first.id),
    })
}

struct Asked {
    to: Option<Address>,
    staff_id: Option<String>,
    key: Option<String>,
}

impl Asked {
    fn read(body: &Value, method: Method) -> Result<Self, Problem> {
        let mut errors = Errors::default();
        let asked = Fields::open(body, String::new(), &NAMES, &mut errors).map(|mut fields| Self {
            to: fields.address("to", method),
            staff_id: fields.id("staff_id", ID_LENGTH_MAX),
            key: fields.key("idempotency_key", ID_LENGTH_MAX),
        });
        errors.unless_any(asked).map_err(Problem::invalid)
    }
}
