//! `/v1/business`: who the business writes as, and what it asks to learn of its emails.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::intake::NAME_LENGTH_MAX;
use super::problem::{Kind, Problem};
use super::schemas::BusinessBody;
use super::{Shared, body};
use crate::domain::mailbox::Mailbox;
use crate::domain::sms_sender::SmsSender;
use crate::domain::tracking::OptIn;
use crate::store::businesses::{Business, Change, Setting};
use crate::store::tracking::Tracked;

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
    /// The contact types of which opens or clicks are tracked by links of our own, in emails that go by
    /// SMTP; no others.
    tracking: Vec<TrackingJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tracking)]
pub(super) struct TrackingJson {
    contact_type: String,
    opens: bool,
    clicks: bool,
}

impl From<Tracked> for TrackingJson {
    fn from(tracked: Tracked) -> Self {
        let OptIn { opens, clicks } = tracked.opt_in;
        Self {
            contact_type: tracked.contact_type,
            opens,
            clicks,
        }
    }
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
            tracking: business
                .tracking
                .into_iter()
                .map(TrackingJson::from)
                .collect(),
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

pub(super) const NAMES: [&str; 4] = ["email_from", "reply_to", "sms_from", "tracking"];
pub(super) const TRACKING_NAMES: [&str; 3] = ["contact_type", "opens", "clicks"];
/// Contact types in one request; more than businesses have.
pub(super) const TRACKING_MAX: usize = 100;

/// Changes who the business writes as, from the next enqueue on, and what is tracked, from the next send
/// on; `null` goes back to the settings.
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
        tracking: tracking(&mut fields),
    });
    let change = errors.unless_any(change).map_err(Problem::invalid)?;
    shared.api.store.change_business(business, &change).await?;
    found(&shared, business).await
}

/// Contact types that are not named stay as they are.
fn tracking(fields: &mut Fields<'_, '_>) -> Vec<Tracked> {
    let read = fields.each("tracking", TRACKING_MAX, &TRACKING_NAMES, |item| {
        item.require(&TRACKING_NAMES);
        let contact_type = item.line("contact_type", NAME_LENGTH_MAX);
        let (opens, clicks) = (item.flag("opens"), item.flag("clicks"));
        Some(Tracked {
            contact_type: contact_type?,
            opt_in: OptIn {
                opens: opens?,
                clicks: clicks?,
            },
        })
    });
    read.unwrap_or_default()
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
