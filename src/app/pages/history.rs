//! The contact history of all clients.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::{Pages, Trouble};
use crate::domain::id::NotificationId;
use crate::domain::status::Status;
use crate::store::history::{Entry, Filter};
use crate::web::staff::Visitor;
use crate::web::{self, Badge, Hint, Line, Page};

/// Lines of one page: it stays under 100 KB with them.
const LINES: usize = 50;

#[derive(Deserialize)]
pub(super) struct Older {
    before: Option<String>,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(older): Query<Older>,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let page = view(&pages, &visitor, &older).await?;
    Ok(web::html(&request, web::render_page(&page)?))
}

pub(super) async fn live(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(older): Query<Older>,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let page = view(&pages, &visitor, &older).await?;
    Ok(web::html(&request, web::render_live(&page)?))
}

async fn view(pages: &Pages, visitor: &Visitor, older: &Older) -> Result<Page, Trouble> {
    let after = older.before.as_deref().and_then(NotificationId::parse);
    let filter = Filter {
        sight: visitor.account.sight(),
        limit: LINES,
        after,
        ..Filter::default()
    };
    let found = pages
        .store
        .history(&visitor.account.business, &filter)
        .await?;
    let lines: Vec<Line> = found.entries.iter().map(line).collect();
    let last = found.entries.last().filter(|_| found.more);
    Ok(Page {
        head: visitor.head("/"),
        tally: tally(&lines),
        lines,
        sandbox: pages.sandbox,
        older: last.map(|entry| format!("/?before={}", entry.id)),
        newest: after.map(|_| "/".to_owned()),
        hints: hints(pages.address),
        now: pages.clock.now(),
    })
}

fn tally(lines: &[Line]) -> Vec<(Status, u64)> {
    let count = |status| {
        let held = |line: &&Line| line.statuses.iter().any(|badge| badge.status == status);
        u64::try_from(lines.iter().filter(held).count()).unwrap_or(u64::MAX)
    };
    let counts = Status::ALL.map(|status| (status, count(status)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn hints(address: SocketAddr) -> Vec<Hint> {
    let enqueue = |to: &str| {
        format!(
            "curl http://{address}/v1/notifications -H \"Authorization: Bearer $KEY\" \
             -H 'Content-Type: application/json' -d '{{\"client\": \"C-1\", \"method\": \"email\", \
             \"to\": \"{to}\", \"type\": \"Booking confirmation\", \
             \"content\": {{\"subject\": \"Hello\", \"html\": \"<p>See you</p>\"}}}}'"
        )
    };
    let hint = |what: &str, command| Hint {
        what: what.to_owned(),
        command,
    };
    vec![
        hint(
            "Send a message that is opened, then bounces",
            enqueue("opened-then-bounced@simulator.test"),
        ),
        hint(
            "Send one whose address does not exist",
            enqueue("bounced@simulator.test"),
        ),
        hint(
            "Read the contact history as JSON",
            format!("curl http://{address}/v1/history -H \"Authorization: Bearer $KEY\""),
        ),
    ]
}

pub(super) fn line(entry: &Entry) -> Line {
    Line {
        id: entry.id,
        date: entry.date,
        user: entry.user.clone(),
        client_id: entry.client_id.clone(),
        client_name: entry
            .client_name
            .clone()
            .unwrap_or_else(|| entry.client_id.clone()),
        method: entry.method,
        type_name: entry.type_name.clone(),
        contact_type: entry.contact_type.clone(),
        statuses: entry
            .statuses()
            .into_iter()
            .map(|status| badge(entry, status))
            .collect(),
        channel: entry.channel,
    }
}

/// A status with the sentence that is true for it.
fn badge(entry: &Entry, status: Status) -> Badge {
    let facts = &entry.facts;
    let (hover, time) = match status {
        Status::AwaitingSend => ("Waiting to be sent.", Some(entry.date)),
        Status::Sent => (
            "The delivery service took it over.",
            facts.sent.as_ref().map(|s| s.at),
        ),
        Status::Unopened => ("Delivered, not opened yet.", facts.delivered_at),
        Status::Opened if entry.opens_likely_automatic() => (
            "Opened, likely by a machine.",
            facts.opened_or_implied().map(|o| o.first_at),
        ),
        Status::Opened => ("Opened.", facts.opened_or_implied().map(|o| o.first_at)),
        Status::Bounced => {
            let bounced = facts.bounced.as_ref();
            (
                bounced.map_or("", |b| b.bounce.category.sentence()),
                bounced.map(|b| b.at),
            )
        }
        Status::Failed => {
            let failed = facts.failed.as_ref();
            (
                failed.map_or("", |f| f.failure.sentence()),
                failed.map(|f| f.at),
            )
        }
    };
    Badge {
        status,
        hover: hover.to_owned(),
        time,
    }
}
