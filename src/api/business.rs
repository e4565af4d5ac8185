//! `/v1/business`: who the business writes as.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::problem::{Kind, Problem};
use super::schemas::BusinessBody;
use super::{Shared, body};
use crate::domain::mailbox::Mailbox;
use crate::domain::sms_sender::SmsSender;
use crate::store::businesses::{Business, Change, Setting};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Business)]
pub(super) struct BusinessJson {
    id: String,
    name: String,
    /// The mailbox that its emails are from; null: that of the settings.
    email_from: Option<String>,
    /// Where answers to its emails go, unless an email says otherwise; null: to the sender.
    reply_to: Option<String>,
    /// The number or name that its SMS are from; null: that of the settings.
    sms_from: Option<String>,
}

impl From<Business> for BusinessJson {
    fn from(business: Business) -> Self {
        let identity = business.identity;
        Self {
            id: business.id,
            name: business.name,
            email_from: identity.email_from.map(|mailbox| mailbox.to_string()),
            reply_to: identity.reply_to.map(|mailbox| mailbox.to_string()),
            sms_from: identity.sms_from.map(|sender| sender.as_str().to_owned()),
        }
    }
}

/// The business of the API key.
#[utoipa::path(
    get, path = "/v1/business", tag = "business",
    responses((status = 200, description = "The business.", body = BusinessJson)),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<BusinessJson>, Problem> {
    found(&shared, caller.allowed(Scope::Read)?).await
}

pub(super) const NAMES: [&str; 3] = ["email_from", "reply_to", "sms_from"];

/// Changes who the business writes as, from the next enqueue on; `null` goes back to the settings.
#[utoipa::path(
    patch, path = "/v1/business", tag = "business", request_body = BusinessBody,
    responses(
        (status = 200, description = "The business as it is now.", body = BusinessJson),
        (status = 400, description = "The body is not JSON."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn change(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Json<BusinessJson>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    let mut errors = Errors::default();
    let change = Fields::open(&body, String::new(), &NAMES, &mut errors).map(|mut fields| Change {
        email_from: given(&mut fields, "email_from", Mailbox::parse),
        reply_to: given(&mut fields, "reply_to", Mailbox::parse),
        sms_from: given(&mut fields, "sms_from", SmsSender::parse),
    });
    let change = errors.unless_any(change).map_err(Problem::invalid)?;
    shared.api.store.change_identity(business, &change).await?;
    found(&shared, business).await
}

fn given<T, E: std::fmt::Display>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Setting<T> {
    if fields.is_cleared(name) {
        return Setting::Default;
    }
    let own = fields.parsed(name, parse);
    own.map_or(Setting::AsItIs, Setting::Own)
}

async fn found(shared: &Shared, business: &str) -> Result<Json<BusinessJson>, Problem> {
    let business = shared.api.store.business(business).await?;
    // An API key belongs to a business that exists.
    let business =
        business.ok_or_else(|| Problem::new(Kind::NotFound, "There is no such business."))?;
    Ok(Json(business.into()))
}
