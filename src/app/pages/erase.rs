//! Forgetting a client: what will happen, and the order, which wants the client's id typed.

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Pages;
use super::client::in_sight;
use crate::api::REASON_LENGTH_MAX;
use crate::store::erasures::{Order, Ordered};
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Erase};

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    id: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, Notice> {
    answer(&pages, &visitor, &id, None).await
}

pub(super) async fn order(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    let client = in_sight(&pages, &visitor, &id).await?;
    let reason = given.reason.trim();
    let refused = if given.id.trim() != client.id {
        "Type the client ID exactly as it stands there. Nothing was erased."
    } else if reason.is_empty() {
        "Say why: it is kept with your name. Nothing was erased."
    } else if reason.chars().count() > REASON_LENGTH_MAX || reason.chars().any(char::is_control) {
        "The reason must be one line of at most 500 characters. Nothing was erased."
    } else {
        ""
    };
    if !refused.is_empty() {
        return answer(&pages, &visitor, &id, Some(refused)).await;
    }
    let account = &visitor.account;
    let asked_by = format!("{} ({})", account.name, account.staff_id);
    let order = Order {
        business: &account.business,
        client_id: &client.id,
        asked_by: &asked_by,
        reason: Some(reason),
    };
    match pages.store.erase_client(order).await? {
        Ordered::Begun(erasure) | Ordered::Before(erasure) => {
            let path = format!("/clients/erased-{}", erasure.client);
            Ok(Redirect::to(&path).into_response())
        }
        Ordered::OnHold => answer(&pages, &visitor, &id, Some(ON_HOLD)).await,
        Ordered::NoClient => Err(Notice::NotFound),
    }
}

const ON_HOLD: &str =
    "The client is on hold, so nothing was erased. An application can take the hold off.";

async fn answer(
    pages: &Pages,
    visitor: &Visitor,
    id: &str,
    refused: Option<&'static str>,
) -> Result<Response, Notice> {
    let client = in_sight(pages, visitor, id).await?;
    if client.erased_at.is_some() {
        return Err(Notice::NotFound);
    }
    let view = Erase {
        head: visitor.head(""),
        refused,
        on_hold: client.hold,
        card: super::client::shown(client),
    };
    let page = web::html(&HeaderMap::new(), web::render_erase(&view)?);
    let status = match refused {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    Ok((status, page).into_response())
}
