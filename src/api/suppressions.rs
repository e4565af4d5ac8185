//! `POST` and `DELETE /v1/suppressions`: addresses are put on the list and taken off it.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields, step};
use super::history::Pairs;
use super::intake::{ID_LENGTH_MAX, METHODS, NAME_LENGTH_MAX, sent_by_us};
use super::lifting::{Unlifted, off_account_list};
use super::openapi::{LiftBody, SuppressBody};
use super::problem::{Kind, Problem};
use super::suppression_list::SuppressionJson;
use super::{Shared, account_list, body};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;
use crate::store::suppressions::{Filter, Lift, NewSuppression, PAGE_MAX};

/// Words of the field `reason`.
pub(super) const REASONS: [&str; 7] = [
    "bounce",
    "unregistered",
    "complaint",
    "soft_bounce",
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
pub(super) const LIFT_NAMES: [&str; 7] = [
    "method",
    "address",
    "contact_type",
    "reason",
    "note",
    "staff_id",
    "ses",
];
/// A sentence or two.
pub(super) const NOTE_LENGTH_MAX: usize = 500;

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
    let body = body::required(request).await?;
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
    /// Whether it was on the list of SES for the whole account and was taken off; absent unless asked
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    ses: Option<bool>,
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
    let at_ses = if wanted.ses {
        caller.operates()?;
        Some(lift_at_ses(&shared, business, &wanted).await?)
    } else {
        None
    };
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
    if lifted.is_empty() && at_ses != Some(true) {
        let detail = "The address is not on the suppression list in this way.";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let lifted = lifted.into_iter().map(Into::into).collect();
    Ok(Json(LiftedList {
        lifted,
        ses: at_ses,
    }))
}

/// Takes the address off the list of SES as well, first, so that the local entry still stands when SES
/// does not answer; and keeps on record who did it.
async fn lift_at_ses(shared: &Shared, business: &str, wanted: &Wanted) -> Result<bool, Problem> {
    let theirs = account_list::theirs(shared)?;
    let lift = Lift {
        business,
        address: &wanted.address,
        contact_type: None,
        reason: None,
        source: wanted.source(),
        staff_id: wanted.staff_id.as_deref(),
        note: wanted.note.as_deref(),
    };
    let lifted = off_account_list(&shared.api.store, theirs, lift).await;
    lifted.map_err(|why| match why {
        Unlifted::Provider(why) => account_list::unavailable(&why),
        Unlifted::Store(failed) => failed.into(),
    })
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
    /// Off the list of SES as well.
    ses: bool,
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
        let ses = fields.flag("ses").unwrap_or_default();
        if ses && method.is_some_and(|method| method != Method::Email) {
            fields.wrong("ses", "is possible for email addresses only");
        }
        Some(Self {
            ses,
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
    /// Off the list that SES keeps for the whole account as well.
    ses: Option<bool>,
}
