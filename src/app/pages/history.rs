//! The contact history of all clients, and what it shares with that of one.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::Pages;
use super::asked::{Asked, label, sort_word};
use super::client::card;
use crate::domain::column::Column;
use crate::domain::line;
use crate::domain::method::{Channel, Method};
use crate::domain::role::Right;
use crate::domain::status::Status;
use crate::store::browse::{Bound, Looked, Reach, Sort};
use crate::store::choices::Choices;
use crate::store::history::Entry;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Badge, Chip, Choice, Form, Heading, Hint, Line, Page};

/// Lines of one page: it stays under 100 KB with them.
const LINES: usize = 50;
/// Characters of a description that a line shows; the entry's own page shows them all.
const DESCRIPTION_SHOWN: usize = 160;

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let asked = Asked::read(query.as_deref());
    if asked.client.is_some() {
        return Ok(Redirect::to(&asked.here()).into_response());
    }
    let page = whole(&pages, &visitor, &asked).await?;
    Ok(web::html(&request, page.render()?))
}

/// What of a history changes while it is open.
pub(super) async fn live(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let asked = Asked::read(query.as_deref());
    // An open page asks every second; of what people choose from, it shows a name of staff at most.
    let choices = if asked.staff_id.is_some() {
        pages.store.choices(&visitor.account.business).await?
    } else {
        Choices::default()
    };
    let page = view(&pages, &visitor, &asked, &choices).await?;
    Ok(web::html(&request, page.render_live()?))
}

/// The whole page of the history that is asked for. `NotFound` when its client is out of sight.
pub(super) async fn whole(pages: &Pages, visitor: &Visitor, asked: &Asked) -> Result<Page, Notice> {
    let choices = pages.store.choices(&visitor.account.business).await?;
    view(pages, visitor, asked, &choices).await
}

async fn view(
    pages: &Pages,
    visitor: &Visitor,
    asked: &Asked,
    choices: &Choices,
) -> Result<Page, Notice> {
    let (store, account) = (&pages.store, &visitor.account);
    let client = match &asked.client {
        Some(id) => Some(card(pages, visitor, id).await?),
        None => None,
    };
    let browse = asked.browse(account.sight(), LINES);
    let looked = store.browse(&account.business, &browse).await?;
    let next = looked.next.as_ref();
    let pairs = asked.pairs();
    let unfiltered = asked.address(&[], asked.sort, None);
    Ok(Page {
        head: visitor.head(if client.is_some() { "" } else { "/" }),
        form: form(asked, choices),
        chips: chips(asked, choices),
        wrong: asked.wrong.clone(),
        notes: notes(&looked),
        headings: headings(asked, &account.hidden_columns),
        columns: columns(&account.hidden_columns),
        lines: looked.entries.iter().map(line).collect(),
        sandbox: pages.sandbox,
        older: next.map(|next| asked.address(&pairs, asked.sort, Some(next))),
        newest: (asked.after.is_some()).then(|| asked.address(&pairs, asked.sort, None)),
        here: asked.here(),
        live: asked.part("/live", &[]),
        counts: asked.part("/counts", &pairs),
        query: asked.query(),
        resends_many: account.may(Right::ResendMany),
        hints: if client.is_some() {
            Vec::new()
        } else {
            hints(pages.address)
        },
        now: pages.clock.now(),
        unfiltered,
        client,
    })
}

fn notes(looked: &Looked) -> Vec<String> {
    let Reach {
        looked_at, sorted, ..
    } = Reach::default();
    let note = looked.bound.map(|bound| match bound {
        Bound::LookedUntil(date) => format!(
            "Looked through {looked_at} entries, up to {}. The next page looks further; a range of \
             dates leads there at once.",
            date.plainly()
        ),
        Bound::NewestSorted => format!(
            "Sorted are the newest entries that match, {sorted} at most. Choose a range of dates, or \
             sort by date, for the others."
        ),
    });
    note.into_iter().collect()
}

fn choice(value: &str, label: &str, chosen: bool) -> Choice {
    Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen,
    }
}

fn form(asked: &Asked, choices: &Choices) -> Form {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let day =
        |it: &Option<super::asked::Day>| it.as_ref().map_or(String::new(), |it| it.text.clone());
    let methods = Method::ALL.iter();
    let statuses = Status::ALL.iter();
    let channels = [Channel::Inbound, Channel::Outbound];
    Form {
        action: asked.path(),
        search: text(&asked.search),
        from: day(&asked.from),
        to: day(&asked.to),
        methods: methods
            .map(|it| choice(it.as_str(), it.label(), asked.method == Some(*it)))
            .collect(),
        contact_types: choices
            .contact_types
            .iter()
            .map(|it| choice(it, it, asked.contact_type.as_ref() == Some(it)))
            .collect(),
        statuses: statuses
            .map(|it| choice(it.as_str(), it.as_str(), asked.statuses.contains(it)))
            .collect(),
        all: asked.all,
        staff: choices
            .staff
            .iter()
            .map(|(id, name)| choice(id, name, asked.staff_id.as_ref() == Some(id)))
            .collect(),
        channels: channels
            .iter()
            .map(|it| choice(it.as_str(), it.as_str(), asked.channel == Some(*it)))
            .collect(),
        causes: asked.causes.iter().map(ToString::to_string).collect(),
        sort: if asked.sort == Sort::default() {
            String::new()
        } else {
            sort_word(asked.sort)
        },
    }
}

fn chips(asked: &Asked, choices: &Choices) -> Vec<Chip> {
    let pairs = asked.pairs();
    let each = pairs.iter().enumerate().map(|(i, (name, value))| {
        let mut others = pairs.clone();
        others.remove(i);
        let staff = || choices.staff.iter().find(|(id, _)| id == value);
        let shown = match *name {
            "method" => Method::parse(value).map(|it| it.label().to_owned()),
            "staff_id" => staff().map(|(_, name)| name.clone()),
            _ => None,
        };
        Chip {
            what: label(name),
            value: shown.unwrap_or_else(|| value.clone()),
            without: asked.address(&others, asked.sort, None),
        }
    });
    each.collect()
}

/// The first click on a heading sorts by it, the second one turns the order.
fn headings(asked: &Asked, hidden: &[Column]) -> Vec<Heading> {
    let of_client = asked.client.is_some();
    let shown = Column::ALL
        .into_iter()
        .filter(|column| !(hidden.contains(column) || of_client && *column == Column::Client));
    let pairs = asked.pairs();
    let heading = |column| {
        let is_sorted = asked.sort.by == column;
        let sort = Sort {
            by: column,
            descending: if is_sorted {
                !asked.sort.descending
            } else {
                column == Column::Date
            },
        };
        let way = if asked.sort.descending {
            "descending"
        } else {
            "ascending"
        };
        Heading {
            column,
            link: asked.address(&pairs, sort, None),
            sorted: is_sorted.then_some(way),
        }
    };
    shown.map(heading).collect()
}

fn columns(hidden: &[Column]) -> Vec<Choice> {
    let all = Column::ALL.into_iter().filter(|it| it.may_be_hidden());
    all.map(|it| choice(it.as_str(), it.label(), !hidden.contains(&it)))
        .collect()
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
        description: entry
            .description
            .as_deref()
            .map(|text| line::bounded(text, DESCRIPTION_SHOWN))
            .filter(|text| !text.is_empty()),
        tags: entry.tags.clone(),
        contact_type: entry.contact_type.clone(),
        statuses: entry
            .statuses()
            .into_iter()
            .map(|status| badge(entry, status))
            .collect(),
        channel: entry.channel,
        resendable: entry.method.is_resendable() && !entry.manual && entry.content_id.is_some(),
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
