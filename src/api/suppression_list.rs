//! `GET /v1/suppressions`: the list page by page, and its history.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::Errors;
use super::history::{Pairs, limit};
use super::intake::{METHODS, sent_by_us};
use super::problem::Problem;
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;
use crate::store::suppressions::{Filter, Suppression};

/// An address that must not be written to, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Suppression)]
pub(super) struct SuppressionJson {
    id: String,
    /// `email`, `sms` or `push`.
    #[schema(example = "email")]
    method: &'static str,
    /// In the form in which addresses are compared: an email address in small letters.
    #[schema(example = "ana@example.com")]
    address: String,
    /// `all` messages by this method, `bulk` ones only, or those of one `contact_type`.
    #[schema(example = "all")]
    scope: &'static str,
    contact_type: Option<String>,
    /// `bounce`, `unregistered`, `complaint`, `soft_bounce`, `stop`, `staff` or `unsubscribe`.
    #[schema(example = "bounce")]
    reason: &'static str,
    /// One sentence for staff.
    text: &'static str,
    /// What can be done.
    remedy: &'static str,
    /// Who said so: a provider, `staff`, `application`, or the `recipient` by the link in a message.
    source: String,
    /// The message that taught us.
    notification_id: Option<String>,
    staff_id: Option<String>,
    note: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// It holds until then; null: until it is taken off the list.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Set on what is not on the list any more.
    lifted: Option<LiftedJson>,
}

/// Who took an entry off the list, when and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lifted)]
struct LiftedJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `staff`, `application`, `recipient`, or `expiry`.
    source: String,
    staff_id: Option<String>,
    note: Option<String>,
}

impl From<Suppression> for SuppressionJson {
    fn from(entry: Suppression) -> Self {
        let scope = match (&entry.contact_type, entry.reason) {
            (Some(_), _) => "contact_type",
            (None, Reason::Unsubscribe) => "bulk",
            (None, _) => "all",
        };
        Self {
            id: entry.id.to_string(),
            method: entry.method.as_str(),
            address: entry.address,
            scope,
            contact_type: entry.contact_type,
            reason: entry.reason.as_str(),
            text: entry.reason.sentence(),
            remedy: entry.reason.remedy(),
            source: entry.source,
            notification_id: entry.notification.map(|id| id.to_string()),
            staff_id: entry.staff_id,
            note: entry.note,
            created_at: entry.created_at,
            expires_at: entry.expires_at,
            lifted: entry.lifted.map(|lifted| LiftedJson {
                at: lifted.at,
                source: lifted.source,
                staff_id: lifted.staff_id,
                note: lifted.note,
            }),
        }
    }
}

/// One page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Suppressions {
    suppressions: Vec<SuppressionJson>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// The suppression list, newest first.
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions", params(Asked),
    responses(
        (status = 200, description = "A page of the list.", body = Suppressions),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<Suppressions>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let filter = Asked::read(pairs)?;
    let page = shared.api.store.suppressions(business, &filter).await?;
    let last = page.suppressions.last().filter(|_| page.more);
    let next = last.map(|entry| BASE64_URL_SAFE_NO_PAD.encode(entry.id.as_bytes()));
    let suppressions = page.suppressions.into_iter().map(Into::into).collect();
    Ok(Json(Suppressions { suppressions, next }))
}

/// Push targets are the longest addresses.
const VALUE_LENGTH_MAX: usize = 4096;

/// The parameters as they came; empty ones count as absent.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `email`, `sms` or `push`.
    method: Option<String>,
    /// In any spelling.
    address: Option<String>,
    /// `true`: what was taken off the list, instead of what is on it.
    #[param(value_type = Option<bool>)]
    lifted: Option<String>,
    /// 1 to 200; 50 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl Asked {
    fn read(pairs: Pairs) -> Result<Filter, Problem> {
        let (mut asked, mut errors) = (Self::default(), Errors::default());
        let mut slots = [
            ("method", &mut asked.method),
            ("address", &mut asked.address),
            ("lifted", &mut asked.lifted),
            ("limit", &mut asked.limit),
            ("cursor", &mut asked.cursor),
        ];
        pairs.fill(&mut slots, VALUE_LENGTH_MAX, &mut errors);
        let filter = asked.filter(&mut errors);
        errors.unless_any(Some(filter)).map_err(Problem::invalid)
    }

    fn filter(self, errors: &mut Errors) -> Filter {
        let method = self.method.as_deref().and_then(|text| {
            let found = sent_by_us(text);
            if found.is_none() {
                let allowed = METHODS.join(", ");
                errors.add("/method", format!("must be one of: {allowed}"));
            }
            found
        });
        let lifted = self.lifted.as_deref().unwrap_or("false");
        if !["true", "false"].contains(&lifted) {
            errors.add("/lifted", "must be true or false");
        }
        let after = self.cursor.as_deref().and_then(|text| {
            let found = cursor(text);
            if found.is_none() {
                errors.add("/cursor", "is not the `next` of a page");
            }
            found
        });
        Filter {
            method,
            addresses: addresses(method, self.address.as_deref(), errors),
            lifted: lifted == "true",
            after,
            limit: limit(self.limit.as_deref(), errors),
        }
    }
}

fn cursor(text: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    Uuid::from_slice(&bytes).ok()
}

/// The forms that a text has as an address of this method, or of any.
fn addresses(method: Option<Method>, text: Option<&str>, errors: &mut Errors) -> Vec<String> {
    let Some(text) = text else {
        return Vec::new();
    };
    let parsed = |method| Address::parse(method, text).map(|address| address.compared());
    let Some(method) = method else {
        let forms: Vec<String> = Method::SENT_BY_US
            .into_iter()
            .filter_map(|method| parsed(method).ok())
            .collect();
        if forms.is_empty() {
            errors.add("/address", "is no address of any method");
        }
        return forms;
    };
    match parsed(method) {
        Ok(form) => vec![form],
        Err(why) => {
            errors.add("/address", why.to_string());
            Vec::new()
        }
    }
}
