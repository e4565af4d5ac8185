//! The contact history of one client.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::Pages;
use super::asked::Asked;
use super::history;
use crate::domain::role::Right;
use crate::store::clients::Client;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Card};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let asked = Asked {
        client: Some(id),
        ..Asked::read(query.as_deref())
    };
    let page = history::whole(&pages, &visitor, &asked).await?;
    Ok(web::html(&request, page.render()?))
}

pub(super) async fn card(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Card, Notice> {
    let client = in_sight(pages, visitor, id).await?;
    let may_erase = visitor.account.may(Right::EraseClients);
    Ok(Card {
        erasable: may_erase && client.erased_at.is_none(),
        ..shown(client)
    })
}

/// A client in sight; what is out of it is answered as what does not exist.
pub(super) async fn in_sight(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Client, Notice> {
    let account = &visitor.account;
    let sight = account.sight();
    let sees = pages.store.sees_client(&account.business, &sight, id);
    if !sees.await? {
        return Err(Notice::NotFound);
    }
    let client = pages.store.client(&account.business, id).await?;
    client.ok_or(Notice::NotFound)
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
        erased_at: client.erased_at,
        erasable: false,
    }
}
