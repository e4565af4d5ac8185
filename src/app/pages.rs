//! The pages behind the door: the contact history, and its entries.

use std::net::SocketAddr;

use axum::Extension;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tracing::error;

use super::samples;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::delay::Delay;
use crate::domain::event::{Decision, What};
use crate::domain::id::NotificationId;
use crate::domain::message::Content;
use crate::domain::role::Right;
use crate::domain::status::Status;
use crate::store::history::{Entry, Filter, Story};
use crate::store::story::{Happened, Moment};
use crate::store::{self, Store};
use crate::web::staff::{self, Cookies, Guarded, Hasher, Rule, Staff, Visitor};
use crate::web::{self, Badge, Hint, Line, Page, Reason, Step};

#[derive(Clone)]
pub(super) struct Pages {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) sandbox: bool,
    pub(super) address: SocketAddr,
}

/// Lines of one page: it stays under 100 KB with them.
const LINES: usize = 50;

/// The pages as the settings have them.
pub(super) async fn of(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    address: SocketAddr,
) -> anyhow::Result<(Router, Vec<(&'static str, Rule)>)> {
    let pages = Pages {
        store: store.clone(),
        clock: clock.clone(),
        sandbox: settings.sandbox.enabled,
        address,
    };
    let hasher = Hasher::default();
    let samples = if settings.web.sample_staff {
        samples::make(store, &hasher).await?
    } else {
        Vec::new()
    };
    let staff = Staff {
        store: store.clone(),
        hasher,
        cookies: if settings.is_https() {
            Cookies::Secure
        } else {
            Cookies::Plain
        },
        address_header: settings.client_address_header(),
        samples: samples.into(),
    };
    Ok(router(pages, staff))
}

/// The routes, and the rule of each.
pub(super) fn router(pages: Pages, staff: Staff) -> (Router, Vec<(&'static str, Rule)>) {
    let contacts = Right::SeeContacts;
    let (router, mut rules) = Guarded::new(staff.clone())
        .page("/", Rule::Needs(contacts), get(first_page))
        .page("/live", Rule::Polled(contacts), get(live))
        .page("/entries/{id}", Rule::Needs(contacts), get(entry))
        .finish();
    let (of_staff, more) = staff::router(staff);
    rules.extend(more);
    let router = router
        .with_state(pages)
        .merge(of_staff)
        .merge(web::assets());
    (router.layer(map_response(web::secure_headers)), rules)
}

#[derive(Deserialize)]
struct Older {
    before: Option<String>,
}

/// Why a page cannot be shown.
enum Trouble {
    Store(store::Error),
    Render(askama::Error),
    NotFound,
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Self {
        Self::Render(error)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::Store(failed) => {
                error!(error = %failed, "a page cannot be shown");
                let text = "The history cannot be read at the moment. Reload in a few seconds.\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
            Self::Render(failed) => {
                error!(error = %failed, "a page cannot be written");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page failed; see the log.\n",
                )
                    .into_response()
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such entry. Go back to / .\n",
            )
                .into_response(),
        }
    }
}

async fn first_page(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(older): Query<Older>,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let page = view(&pages, &visitor, &older).await?;
    Ok(web::html(&request, web::render_page(&page)?))
}

async fn live(
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

fn line(entry: &Entry) -> Line {
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

async fn entry(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let id = NotificationId::parse(&id).ok_or(Trouble::NotFound)?;
    let business = &visitor.account.business;
    let entry = pages.store.entry(business, id).await?;
    let entry = entry.ok_or(Trouble::NotFound)?;
    let sight = visitor.account.sight();
    let sees = pages.store.sees_client(business, &sight, &entry.client_id);
    if !sees.await? {
        // As if it were another business's.
        return Err(Trouble::NotFound);
    }
    let story = pages.store.story(id).await?;
    let (subject, text, html) = match pages.store.content(business, id).await? {
        Some(Content::Email {
            subject,
            text,
            html,
            ..
        }) => (Some(subject), text, html),
        Some(Content::Sms { text }) => (None, Some(text), None),
        Some(Content::Push { title, text, .. }) => (title, Some(text), None),
        None => (None, None, None),
    };
    let metadata = entry.metadata.iter().flatten();
    let view = web::Entry {
        head: visitor.head(""),
        line: line(&entry),
        to: entry.to.clone().unwrap_or_default(),
        timeline: story.moments(&entry).into_iter().map(step).collect(),
        subject,
        text,
        html,
        metadata: metadata
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect(),
        reason: reason(&entry).or_else(|| waiting(&story, &entry)),
    };
    Ok(web::entry_html(&request, web::render_entry(&view)?))
}

fn reason(entry: &Entry) -> Option<Reason> {
    let trouble = entry.trouble()?;
    Some(Reason {
        sentence: trouble.sentence.to_owned(),
        remedy: trouble.remedy.map(str::to_owned),
        provider_text: trouble.provider_text.map(str::to_owned),
    })
}

fn waiting(story: &Story, entry: &Entry) -> Option<Reason> {
    let waiting = story.waiting(entry)?;
    Some(Reason {
        sentence: waiting.sentence(),
        remedy: waiting.wait.remedy().map(str::to_owned),
        provider_text: waiting.provider_text().map(str::to_owned),
    })
}

fn step(moment: Moment<'_>) -> Step {
    let (sentence, detail) = match moment.happened {
        Happened::Queued => ("Enqueued".to_owned(), None),
        Happened::Attempt(attempt) => {
            let outcome = attempt.outcome.replace('_', " ");
            let because = attempt.delay().map(Delay::because).unwrap_or_default();
            let next = attempt.next_at.map_or(String::new(), |at| {
                format!("; next try at {}, because {because}", at.plainly())
            });
            let (number, provider) = (attempt.number, &attempt.provider);
            let sentence = format!("Attempt {number} by {provider}: {outcome}{next}");
            (sentence, attempt.text.clone())
        }
        Happened::Event(event) => {
            let link = if let What::Clicked { link, .. } = &event.what {
                link.clone()
            } else {
                None
            };
            (sentence(&event.what, &event.source), link)
        }
    };
    Step {
        at: moment.at,
        sentence,
        detail,
    }
}

/// The source of what applications report.
const APPLICATION: &str = "application";

fn teller(source: &str) -> &str {
    match source {
        APPLICATION => "the application",
        "mail" => "the mail server",
        "tracking" => "our own tracking",
        provider => provider,
    }
}

fn sentence(what: &What, source: &str) -> String {
    match what {
        What::Accepted { provider, .. } => format!("Accepted by {provider}"),
        What::Rejected(f) | What::Undelivered(f) | What::GaveUp(f) => {
            format!("Failed: {}", f.sentence())
        }
        What::Decided { decision, .. } => match decision {
            Decision::Resend => "Decided by staff: send it again".to_owned(),
            Decision::GiveUp => "Decided by staff: give it up".to_owned(),
            Decision::Sent => "Decided by staff: it was sent".to_owned(),
        },
        What::Delivered { .. } => format!("Delivered, says {}", teller(source)),
        What::Delayed { .. } => "Delayed; the provider keeps trying".to_owned(),
        What::Bounced(b) => format!(
            "Bounced ({}): {}",
            b.severity.as_str(),
            b.category.sentence()
        ),
        What::Complained { .. } => "The recipient marked it as spam".to_owned(),
        What::ComplaintWithdrawn => "The recipient said it is not spam".to_owned(),
        What::Opened {
            by_machine: true, ..
        } => format!("Opened by a machine, says {}", teller(source)),
        What::Opened {
            by_machine: false, ..
        } => format!("Opened, says {}", teller(source)),
        What::Clicked { .. } => format!("A link was clicked, says {}", teller(source)),
        What::Unsubscribed { .. } => "The recipient unsubscribed".to_owned(),
        What::Resubscribed => "The recipient subscribed again".to_owned(),
    }
}
