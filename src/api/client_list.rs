//! `GET /v1/clients`: the cards of clients, found by what one knows of them, or page by page.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::clients::ClientJson;
use super::fields::Errors;
use super::history::{Pairs, limit};
use super::intake::ID_LENGTH_MAX;
use super::problem::Problem;
use crate::domain::role::Sight;

/// Of the longest cursor, in bytes: an id of letters of four bytes, in base64.
const VALUE_LENGTH_MAX: usize = 4 * ID_LENGTH_MAX * 4 / 3 + 4;

/// One page of cards, or those that were found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clients)]
pub(super) struct Found {
    clients: Vec<ClientJson>,
    /// The `cursor` of the next page; null on the last, and with `search`.
    next: Option<String>,
    /// With `search`: there are more than one answer holds; a longer text finds them.
    more: bool,
}

/// Clients. With `search` the first 20 to whom every word of it belongs, as people look for them: the
/// beginning of a word of the name, an email address, a phone number, an id or UID. Otherwise all of them, in
/// the order of their ids, but for those who were erased.
#[utoipa::path(
    get, path = "/v1/clients", tag = "clients", params(Asked),
    responses(
        (status = 200, description = "Cards.", body = Found),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<Found>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let asked = Asked::read(pairs)?;
    let store = &shared.api.store;
    if let Some(text) = asked.search {
        // An application's key sees all of its business.
        let found = store.find_clients(business, &Sight::All, &text).await?;
        return Ok(Json(Found {
            clients: found.clients.into_iter().map(Into::into).collect(),
            next: None,
            more: found.more,
        }));
    }
    // One more tells whether there is a next page.
    let mut clients = store
        .clients(business, &asked.after, asked.limit + 1)
        .await?;
    let more = clients.len() > asked.limit;
    clients.truncate(asked.limit);
    let last = clients.last().filter(|_| more);
    Ok(Json(Found {
        next: last.map(|last| BASE64_URL_SAFE_NO_PAD.encode(&last.id)),
        clients: clients.into_iter().map(Into::into).collect(),
        more,
    }))
}

struct Wanted {
    search: Option<String>,
    after: String,
    limit: usize,
}

/// The parameters as they came; empty ones count as absent.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// What is known of the client.
    #[param(example = "ruiz")]
    search: Option<String>,
    /// 1 to 200; 50 by default. Not with `search`.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl Asked {
    fn read(pairs: Pairs) -> Result<Wanted, Problem> {
        let (mut asked, mut errors) = (Self::default(), Errors::default());
        let mut slots = [
            ("search", &mut asked.search),
            ("limit", &mut asked.limit),
            ("cursor", &mut asked.cursor),
        ];
        pairs.fill(&mut slots, VALUE_LENGTH_MAX, &mut errors);
        let after = asked.cursor.as_deref().map(cursor);
        if after == Some(None) {
            errors.add("/cursor", "is not the `next` of a page");
        }
        let wanted = Wanted {
            search: asked.search,
            after: after.flatten().unwrap_or_default(),
            limit: limit(asked.limit.as_deref(), &mut errors),
        };
        errors.unless_any(Some(wanted)).map_err(Problem::invalid)
    }
}

fn cursor(text: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let id = String::from_utf8(bytes).ok()?;
    (!id.contains('\0')).then_some(id)
}
