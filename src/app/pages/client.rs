//! The contact history of one client.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::asked::Asked;
use super::history;
use super::{Pages, Trouble};
use crate::store::clients::Client;
use crate::web::staff::Visitor;
use crate::web::{self, Card};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let asked = Asked {
        client: Some(id),
        ..Asked::read(query.as_deref())
    };
    let page = history::view(&pages, &visitor, &asked).await?;
    Ok(web::html(&request, page.render()?))
}

/// The card of a client in sight; what is out of it is answered as what does not exist.
pub(super) async fn card(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Card, Trouble> {
    let account = &visitor.account;
    let sight = account.sight();
    let sees = pages.store.sees_client(&account.business, &sight, id);
    if !sees.await? {
        return Err(Trouble::NotFound);
    }
    let client = pages.store.client(&account.business, id).await?;
    client.map(shown).ok_or(Trouble::NotFound)
}

pub(super) fn shown(client: Client) -> Card {
    Card {
        name: client.name.unwrap_or_else(|| client.id.clone()),
        id: client.id,
        uid: client.uid.to_string(),
        email: client.email,
        phone: client.phone,
        location: client.location,
        deactivated_at: client.deactivated_at,
    }
}
