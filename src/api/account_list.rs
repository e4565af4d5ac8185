//! `/v1/suppressions/ses`: the suppression list that SES keeps for the whole account, beside our own.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::fields::{Errors, step};
use super::history::{Pairs, limit};
use super::problem::{Kind, Problem};
use super::{AccountList, Shared};
use crate::domain::account_list::{Listed, Trouble};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// A page of the account's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountSuppressions)]
pub(super) struct AccountListJson {
    suppressions: Vec<ListedJson>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// An address to which SES sends nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountSuppression)]
struct ListedJson {
    #[schema(example = "ana@example.com")]
    address: String,
    /// `bounce` or `complaint`.
    #[schema(example = "bounce")]
    reason: &'static str,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// What SES gives as a token of a page is shorter.
const CURSOR_LENGTH_MAX: usize = 4_096;

/// The list that SES keeps for the whole account. Needs an admin key of the business `default`. An
/// address is taken off by `DELETE /v1/suppressions` with `"ses": true`.
#[utoipa::path(
    get, path = "/v1/suppressions/ses", tag = "suppressions",
    params(
        ("address" = Option<String>, Query, description = "This address only."),
        ("limit" = Option<u8>, Query, description = "1 to 200; 50 by default. SES may give fewer."),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of the list.", body = AccountListJson),
        (status = 409, description = "Email is not sent by SES here."),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
) -> Result<Json<AccountListJson>, Problem> {
    caller.operates()?;
    let asked = Asked::read(&pairs)?;
    let theirs = theirs(&shared)?;
    let (listed, next) = if let Some(address) = asked.address {
        let found = theirs.find(&address).await;
        let found = found.map_err(|why| unavailable(&why))?;
        (found.into_iter().collect(), None)
    } else {
        let page = theirs.page(asked.cursor, asked.limit).await;
        let page = page.map_err(|why| unavailable(&why))?;
        (page.listed, page.next)
    };
    let suppressions = listed.into_iter().map(ListedJson::from).collect();
    Ok(Json(AccountListJson { suppressions, next }))
}

pub(super) fn theirs(shared: &Shared) -> Result<&dyn AccountList, Problem> {
    shared.api.account_list.as_deref().ok_or_else(|| {
        let detail = "Email is not sent by SES here (email.providers), so there is no such list.";
        Problem::new(Kind::Conflict, detail)
    })
}

pub(super) fn unavailable(why: &Trouble) -> Problem {
    let detail = format!(
        "SES does not tell of its suppression list ({}). Try again; the credentials need \
         ses:GetSuppressedDestination, ses:ListSuppressedDestinations and \
         ses:DeleteSuppressedDestination.",
        why.0
    );
    Problem::new(Kind::Unavailable, detail)
}

impl From<Listed> for ListedJson {
    fn from(listed: Listed) -> Self {
        Self {
            address: listed.address,
            reason: listed.reason.as_str(),
            since: listed.since,
        }
    }
}

struct Asked {
    address: Option<String>,
    limit: u16,
    cursor: Option<String>,
}

impl Asked {
    fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let (mut errors, mut address, mut cursor) = (Errors::default(), None, None);
        let mut size = None;
        for (name, value) in pairs {
            match name.as_str() {
                "address" => match Address::parse(Method::Email, value) {
                    Ok(parsed) => address = Some(parsed.compared()),
                    Err(why) => errors.add("/address", why.to_string()),
                },
                "limit" => size = Some(value.as_str()),
                "cursor" if value.len() <= CURSOR_LENGTH_MAX => cursor = Some(value.clone()),
                "cursor" => errors.add("/cursor", "is not the `next` of a page"),
                _ => {
                    let detail =
                        "is not known here; the names known here are: address, limit, cursor";
                    errors.add(step("", name), detail);
                }
            }
        }
        let limit = u16::try_from(limit(size, &mut errors)).unwrap_or(u16::MAX);
        let asked = Self {
            address,
            limit,
            cursor,
        };
        errors.unless_any(Some(asked)).map_err(Problem::invalid)
    }
}
