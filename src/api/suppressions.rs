//! `/v1/suppressions`: the list of addresses that must not be written to. Read, entered, taken off.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields, step};
use super::history::{Pairs, limit};
use super::intake::{ID_LENGTH_MAX, METHODS, NAME_LENGTH_MAX, sent_by_us};
use super::openapi::{LiftBody, SuppressBody};
use super::problem::{Kind, Problem};
use super::{Shared, body};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;
use crate::store::suppressions::{Filter, Lift, NewSuppression, PAGE_MAX, Suppression};

/// Words of the field `reason`.
pub(super) const REASONS: [&str; 6] = [
    "bounce",
    "unregistered",
    "complaint",
    "stop",
    "staff",
    "unsubscribe",
];
pub(super) const NAMES: [&str; 7] = [
    "method",
    "address",
    "contact_type",
    "reason",
    "note",
    "staff_id",
    "expires_at",
];
pub(super) const LIFT_NAMES: [&str; 6] = [
    "method",
    "address",
    "contact_type",
    "reason",
    "note",
    "staff_id",
];
/// A sentence or two.
pub(super) const NOTE_LENGTH_MAX: usize = 500;
/// Push targets are the longest addresses.
const VALUE_LENGTH_MAX: usize = 4096;
const QUERY_NAMES: &str = "method, address, lifted, limit, cursor";

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
    /// `bounce`, `unregistered`, `complaint`, `stop`, `staff` or `unsubscribe`.
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
    Pairs(pairs): Pairs,
) -> Result<Json<Suppressions>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let filter = Asked::read(pairs)?;
    let page = shared.api.store.suppressions(business, &filter).await?;
    let last = page.suppressions.last().filter(|_| page.more);
    let next = last.map(|entry| BASE64_URL_SAFE_NO_PAD.encode(entry.id.as_bytes()));
    let suppressions = page.suppressions.into_iter().map(Into::into).collect();
    Ok(Json(Suppressions { suppressions, next }))
}

/// Puts an address on the list: by a member of staff, or by an application to which the recipient said
/// so. An application that may write to people may also record that they do not want it.
#[utoipa::path(
    post, path = "/v1/suppressions", tag = "suppressions", request_body = SuppressBody,
    responses(
        (status = 201, description = "On the list from now on.", body = SuppressionJson),
        (status = 200, description = "It stood there already, and stays as it is.", body = SuppressionJson),
        (status = 400, description = "The body is not JSON."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn suppress(
    State(shared): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Enqueue)?;
    let body = body::read(request).await?;
    let body = body.ok_or_else(|| Problem::new(Kind::Malformed, "The body is empty."))?;
    let now = shared.api.clock.now();
    let wanted = Wanted::read(&body, &NAMES, now)?;
    let new = NewSuppression {
        business,
        address: &wanted.address,
        contact_type: wanted.contact_type.as_deref(),
        reason: wanted.reason_or_default(),
        source: wanted.source(),
        staff_id: wanted.staff_id.as_deref(),
        note: wanted.note.as_deref(),
        expires_at: wanted.expires_at,
    };
    let (entry, is_new) = shared.api.store.suppress(new).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(SuppressionJson::from(entry))).into_response())
}

/// What was taken off the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiftedList {
    lifted: Vec<SuppressionJson>,
}

/// Takes an address off the list: what holds for all contact types, or what holds for the one given.
/// Where it stands there for several reasons, the one that is settled has to be named. It is kept as
/// history. The fields come in the query or as JSON, because not every client sends a body with
/// DELETE.
#[utoipa::path(
    delete, path = "/v1/suppressions", tag = "suppressions", params(LiftAsked),
    request_body = Option<LiftBody>,
    responses(
        (status = 200, description = "Taken off the list.", body = LiftedList),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "It is not on the list."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was changed."),
    ),
)]
pub(super) async fn lift(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
    request: Request,
) -> Result<Json<LiftedList>, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = match body::read(request).await? {
        Some(body) => body,
        None => from_query(pairs)?,
    };
    let now = shared.api.clock.now();
    let wanted = Wanted::read(&body, &LIFT_NAMES, now)?;
    if wanted.reason.is_none() {
        is_unambiguous(&shared, business, &wanted).await?;
    }
    let lift = Lift {
        business,
        address: &wanted.address,
        contact_type: wanted.contact_type.as_deref(),
        reason: wanted.reason,
        source: wanted.source(),
        staff_id: wanted.staff_id.as_deref(),
        note: wanted.note.as_deref(),
    };
    let lifted = shared.api.store.lift(lift).await?;
    if lifted.is_empty() {
        let detail = "The address is not on the suppression list in this way.";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let lifted = lifted.into_iter().map(Into::into).collect();
    Ok(Json(LiftedList { lifted }))
}

/// A mailbox that works again is no consent to mailings: of several reasons one must be named.
async fn is_unambiguous(shared: &Shared, business: &str, wanted: &Wanted) -> Result<(), Problem> {
    let filter = Filter {
        method: Some(wanted.address.method()),
        addresses: vec![wanted.address.compared()],
        limit: PAGE_MAX,
        ..Filter::default()
    };
    let page = shared.api.store.suppressions(business, &filter).await?;
    let standing = page.suppressions.iter();
    let reasons: Vec<&str> = standing
        .filter(|entry| entry.contact_type == wanted.contact_type)
        .map(|entry| entry.reason.as_str())
        .collect();
    if reasons.len() < 2 {
        return Ok(());
    }
    let mut errors = Errors::default();
    let reasons = reasons.join(", ");
    errors.add(
        "/reason",
        format!("is required here: the address is on the list for {reasons}"),
    );
    errors.unless_any(Some(())).map_err(Problem::invalid)
}

/// The query as an object.
fn from_query(pairs: Vec<(String, String)>) -> Result<Value, Problem> {
    let (mut object, mut errors) = (Map::new(), Errors::default());
    for (name, value) in pairs {
        if object.contains_key(&name) {
            errors.add(step("", &name), "is given twice");
        }
        object.insert(name, value.into());
    }
    let object = errors.unless_any(Some(Value::Object(object)));
    object.map_err(Problem::invalid)
}

/// What is to be put on the list or taken off it.
struct Wanted {
    address: Address,
    contact_type: Option<String>,
    reason: Option<Reason>,
    note: Option<String>,
    staff_id: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Wanted {
    fn read(body: &Value, names: &[&str], now: Timestamp) -> Result<Self, Problem> {
        let mut errors = Errors::default();
        let wanted =
            Fields::open(body, String::new(), names, &mut errors).and_then(|mut fields| {
                let wanted = Self::of(&mut fields, now);
                let is_lift = !names.contains(&"expires_at");
                let reason = wanted.as_ref().map(Self::reason_or_default);
                // Who decides by hand says why: that is what the history is for.
                if is_lift || reason == Some(Reason::Staff) {
                    fields.require(&["note"]);
                }
                wanted
            });
        errors.unless_any(wanted).map_err(Problem::invalid)
    }

    fn of(fields: &mut Fields<'_, '_>, now: Timestamp) -> Option<Self> {
        fields.require(&["method", "address"]);
        let method = fields.word("method", sent_by_us, &METHODS);
        if method.is_none() {
            fields.expect_text("address");
        }
        let address = method.and_then(|method| fields.address("address", method));
        let reason = fields.word("reason", Reason::parse, &REASONS);
        let contact_type = fields.line("contact_type", NAME_LENGTH_MAX);
        let misfit = reason.zip(method).filter(|(r, method)| !r.fits(*method));
        if let Some((_, method)) = misfit {
            let detail = format!("{method} addresses are not suppressed for this reason");
            fields.wrong("reason", detail);
        }
        let holds_for_all = reason.is_some_and(|reason| !reason.may_have_contact_type());
        if contact_type.is_some() && holds_for_all {
            let detail = "is possible with the reasons staff and unsubscribe only: the others hold \
                          for every contact type";
            fields.wrong("contact_type", detail);
        }
        let expires_at = fields.time("expires_at");
        if expires_at.is_some_and(|at| at <= now) {
            fields.wrong("expires_at", "is in the past");
        }
        Some(Self {
            note: fields.line("note", NOTE_LENGTH_MAX),
            staff_id: fields.id("staff_id", ID_LENGTH_MAX),
            address: address?,
            contact_type,
            reason,
            expires_at,
        })
    }

    /// What is limited to a contact type is an opt-out.
    fn reason_or_default(&self) -> Reason {
        let is_opt_out = self.contact_type.is_some();
        let default = if is_opt_out {
            Reason::Unsubscribe
        } else {
            Reason::Staff
        };
        self.reason.unwrap_or(default)
    }

    const fn source(&self) -> &'static str {
        if self.staff_id.is_some() {
            "staff"
        } else {
            "application"
        }
    }
}

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
    fn read(pairs: Vec<(String, String)>) -> Result<Filter, Problem> {
        let (mut asked, mut errors) = (Self::default(), Errors::default());
        for (name, value) in pairs {
            asked.take(&name, value, &mut errors);
        }
        let filter = asked.filter(&mut errors);
        errors.unless_any(Some(filter)).map_err(Problem::invalid)
    }

    fn take(&mut self, name: &str, value: String, errors: &mut Errors) {
        let slot = match name {
            "method" => &mut self.method,
            "address" => &mut self.address,
            "lifted" => &mut self.lifted,
            "limit" => &mut self.limit,
            "cursor" => &mut self.cursor,
            _ => {
                let detail = format!("is not known here; the names known here are: {QUERY_NAMES}");
                return errors.add(step("", name), detail);
            }
        };
        if value.len() > VALUE_LENGTH_MAX {
            let detail = format!("is too long: at most {VALUE_LENGTH_MAX} bytes");
            errors.add(step("", name), detail);
        } else if !value.is_empty() && slot.replace(value).is_some() {
            errors.add(step("", name), "is given twice");
        }
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

/// The fields of DELETE in a query.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description of what `Wanted` reads")]
pub(super) struct LiftAsked {
    /// `email`, `sms` or `push`.
    method: Option<String>,
    address: Option<String>,
    /// What holds for this contact type only.
    contact_type: Option<String>,
    /// What stands there for this reason only.
    reason: Option<String>,
    /// Why it is taken off.
    note: Option<String>,
    /// Who takes it off.
    staff_id: Option<String>,
}
