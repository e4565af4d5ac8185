//! How many entries of a history have each status.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::Pages;
use super::asked::Asked;
use super::client::card;
use crate::domain::status::Status;
use crate::store::browse::Reach;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Count, Counts};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let asked = Asked::read(query.as_deref());
    if let Some(id) = &asked.client {
        card(&pages, &visitor, id).await?;
    }
    let account = &visitor.account;
    let (filter, reach) = (asked.filter(account.sight()), Reach::default());
    let store = &pages.store;
    let counted = store
        .count_statuses(&account.business, &filter, reach)
        .await?;
    let note = counted.bounded.then(|| {
        format!(
            "There are older entries: of those that match, the newest {} at most are counted. Choose a \
             range of dates for the others.",
            reach.counted
        )
    });
    let count = |(status, number): &(Status, u64)| Count {
        status: *status,
        number: *number,
        link: of_status(&asked, *status),
    };
    let page = Counts {
        head: visitor.head(""),
        counts: counted.by_status.iter().map(count).collect(),
        entries: counted.entries,
        by_hand: counted.by_hand,
        note,
        back: asked.here(),
    };
    Ok(web::html(&request, page.render()?))
}

/// The history under the same filters, but of this status.
fn of_status(asked: &Asked, status: Status) -> String {
    let asked = Asked {
        statuses: vec![status],
        all: false,
        ..asked.clone()
    };
    asked.address(&asked.pairs(), asked.sort, None)
}
