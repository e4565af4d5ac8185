//! Finding a client: the page, and those found as one types.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::Pages;
use super::client::shown;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Clients};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let page = view(&pages, &visitor, query.as_deref()).await?;
    Ok(web::html(&request, page.render()?))
}

pub(super) async fn found(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let page = view(&pages, &visitor, query.as_deref()).await?;
    Ok(web::html(&request, page.render_found()?))
}

async fn view(pages: &Pages, visitor: &Visitor, query: Option<&str>) -> Result<Clients, Notice> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let text = pairs.find(|(name, _)| name == "q");
    let text = text.map_or(String::new(), |(_, text)| text.into_owned());
    let (account, sight) = (&visitor.account, visitor.account.sight());
    let found = pages
        .store
        .find_clients(&account.business, &sight, &text)
        .await?;
    Ok(Clients {
        head: visitor.head("/clients"),
        text,
        found: found.clients.into_iter().map(shown).collect(),
        more: found.more,
    })
}
