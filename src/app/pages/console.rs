//! The console: what flows and what holds it up, for those who run the deliveries.

use std::cmp::Reverse;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Pages;
use super::installation;
use crate::api::auth::OPERATORS;
use crate::domain::brake::{self, State as BrakeState};
use crate::domain::flow::{Flow, Kind, Range, Tally};
use crate::domain::method::Priority;
use crate::domain::spread::Spread;
use crate::domain::time::Timestamp;
use crate::store::brakes::{Brake, BrakeChange, Lifted};
use crate::store::depths::{DEPTH_COUNTED_MAX, Depth};
use crate::store::providers::Order;
use crate::store::shares::{self, OfProvider, Share};
use crate::web::staff::{Notice, Visitor};
use crate::web::{
    self, BrakeCard, BrakeLine, Chart, Console, ProviderCounts, QueueLine, Series, Tile, TimeLine,
    Unit,
};

/// Changes of the brakes that are shown.
const CHANGES: usize = 20;
/// The longest reason, in characters: a line in a list.
const REASON_LENGTH_MAX: usize = 200;
const NO_REASON: &str =
    "A reason is needed: one line of up to 200 characters. Go back and write why.";

/// Of the chart of the flow, in this order: the last of them lie on top.
const FLOW: [(Kind, &str, &str); 6] = [
    (Kind::Enqueued, "Enqueued", "enqueued"),
    (Kind::Sent, "Sent", "sent"),
    (Kind::Delivered, "Delivered", "delivered"),
    (Kind::Opened, "Opened", "opened"),
    (Kind::Bounced, "Bounced", "bounced"),
    (Kind::Failed, "Failed", "failed"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    range: String,
}

impl Asked {
    /// What is no range is the shortest.
    fn range(&self) -> Range {
        Range::parse(&self.range).unwrap_or_default()
    }
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let page = view(&pages, &visitor, asked.range()).await?;
    Ok(web::html(&request, web::render_console(&page)?))
}

/// What of it changes while it is open.
pub(super) async fn live(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let page = view(&pages, &visitor, asked.range()).await?;
    Ok(web::html(&request, web::render_console_live(&page)?))
}

async fn view(pages: &Pages, visitor: &Visitor, range: Range) -> Result<Console, Notice> {
    let (store, business) = (&pages.store, visitor.account.business.as_str());
    let now = pages.clock.now();
    let minute = store.flow_of_last_minute(business).await?;
    let flow = store.flow(business, range).await?;
    let shares = store.flow_shares(business, range).await?;
    let depths = store.depth_of(business).await?;
    let brakes = store.brakes(Some(business)).await?;
    let changes = store.brake_changes(business).await?;
    let installation = if runs_the_installation(visitor) {
        Some(installation::view(pages, range).await?)
    } else {
        None
    };
    let on = brakes.iter().filter(|brake| brake.state != BrakeState::Ok);
    Ok(Console {
        head: visitor.head("/console"),
        range,
        now,
        tiles: tiles(&minute),
        brakes: on.map(card).collect(),
        changes: changes.iter().take(CHANGES).map(changed).collect(),
        queues: queues(&depths, now),
        times: times(&flow.total),
        time_charts: vec![
            time_chart(&flow, "to-send", "Time until sent", |tally| &tally.to_send),
            time_chart(&flow, "to-deliver", "Time until delivered", |tally| {
                &tally.to_deliver
            }),
        ],
        flow: flow_chart(&flow),
        by_provider: by_provider(&shares),
        installation,
    })
}

/// Providers, workers and feedback belong to no business: those of the one that runs the program see
/// them, as by the API.
fn runs_the_installation(visitor: &Visitor) -> bool {
    visitor.account.business == OPERATORS
}

fn tiles(minute: &Tally) -> Vec<Tile> {
    let tiles = FLOW.map(|(kind, name, class)| Tile {
        name,
        class,
        amount: minute.of(kind),
    });
    tiles.into()
}

fn flow_chart(flow: &Flow) -> Chart {
    let lines = FLOW.map(|(kind, name, class)| counted(flow, name, class, |tally| tally.of(kind)));
    chart(flow, ("flow", "Notifications"), Unit::Count, lines.into())
}

pub(super) fn chart(
    flow: &Flow,
    (id, title): (&'static str, &'static str),
    unit: Unit,
    lines: Vec<Series>,
) -> Chart {
    let (bin, _) = flow.range.bins();
    Chart {
        id,
        title,
        unit,
        bins: flow.bins.iter().map(|(at, _)| *at).collect(),
        bin,
        lines,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for a picture, and far below 2 to the 52nd"
)]
pub(super) fn counted(
    flow: &Flow,
    name: &'static str,
    class: &'static str,
    of: impl Fn(&Tally) -> i64,
) -> Series {
    let values = flow.bins.iter().map(|(_, tally)| Some(of(tally) as f64));
    Series {
        name,
        class,
        values: values.collect(),
        total: of(&flow.total).to_string(),
    }
}

fn time_chart(
    flow: &Flow,
    id: &'static str,
    title: &'static str,
    of: impl Fn(&Tally) -> &Spread,
) -> Chart {
    let quantiles = [
        (0.5, "p50", "sent"),
        (0.95, "p95", "bounced"),
        (0.99, "p99", "failed"),
    ];
    let lines = quantiles.map(|(share, name, class)| {
        let seconds = |tally: &Tally| Some(of(tally).quantile(share)?.as_secs_f64());
        Series {
            name,
            class,
            values: flow.bins.iter().map(|(_, tally)| seconds(tally)).collect(),
            total: of(&flow.total)
                .quantile(share)
                .map_or_else(|| "–".to_owned(), web::took),
        }
    });
    chart(flow, (id, title), Unit::Seconds, lines.into())
}

fn times(total: &Tally) -> Vec<TimeLine> {
    let line = |name, spread: &Spread| TimeLine {
        name,
        quantiles: [0.5, 0.95, 0.99].map(|share| spread.quantile(share)),
        count: spread.total(),
    };
    vec![
        line("A provider took it over", &total.to_send),
        line("It was delivered", &total.to_deliver),
    ]
}

fn queues(depths: &[Depth], now: Timestamp) -> Vec<QueueLine> {
    let line = |depth: &Depth| QueueLine {
        method: depth.method.label(),
        lane: match depth.priority {
            Priority::High => "High",
            Priority::Normal => "Normal",
            Priority::Bulk => "Bulk",
        },
        waiting: depth.waiting,
        bounded: depth.waiting >= DEPTH_COUNTED_MAX,
        oldest: now.since(depth.oldest_due_at),
    };
    depths.iter().map(line).collect()
}

/// By method and provider, those that sent most first.
fn by_provider(shares: &[Share]) -> Vec<ProviderCounts> {
    const SHOWN: [Kind; 6] = [
        Kind::Sent,
        Kind::Delivered,
        Kind::Opened,
        Kind::Bounced,
        Kind::Complained,
        Kind::Failed,
    ];
    let found = shares::by_provider(shares).map(|it| (it, SHOWN.map(|kind| it.amount(kind))));
    let mut found: Vec<_> = found.filter(|(_, amounts)| *amounts != [0; 6]).collect();
    found.sort_by_key(|(it, amounts)| (Reverse(*amounts), it.method));
    let line = |(it, amounts): (OfProvider<'_>, _)| ProviderCounts {
        method: it.method.label(),
        provider: it.provider.to_owned(),
        amounts,
    };
    found.into_iter().map(line).collect()
}

fn card(brake: &Brake) -> BrakeCard {
    BrakeCard {
        kind: brake.kind.as_str(),
        held: brake.state == BrakeState::Held,
        why: brake.why.clone(),
        remedy: brake.kind.remedy(),
        since: brake.changed_at,
    }
}

fn changed(change: &BrakeChange) -> BrakeLine {
    let kind = match change.kind {
        brake::Kind::Bounce => "Bounces",
        brake::Kind::Complaint => "Complaints",
    };
    let what = match (change.state, &change.by) {
        (BrakeState::Held, _) => "held",
        (BrakeState::Warned, _) => "warned",
        (BrakeState::Ok, Some(_)) => "lifted",
        (BrakeState::Ok, None) => "over",
    };
    BrakeLine {
        at: change.at,
        what: format!("{kind}: {what}"),
        by: change.by.clone().unwrap_or_else(|| "the rates".to_owned()),
        reason: change.reason.clone(),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    range: String,
    /// Of a brake.
    kind: String,
    method: String,
    /// Empty: every provider of the method.
    provider: String,
    reason: String,
}

impl Given {
    fn reason(&self) -> Result<&str, Notice> {
        let reason = self.reason.trim();
        let fits = (1..=REASON_LENGTH_MAX).contains(&reason.chars().count());
        if fits && !reason.chars().any(char::is_control) {
            Ok(reason)
        } else {
            Err(Notice::Refused(NO_REASON))
        }
    }

    fn order<'a>(&'a self, pages: &Pages, visitor: &'a Visitor) -> Result<Order<'a>, Notice> {
        if !runs_the_installation(visitor) {
            return Err(Notice::NotFound);
        }
        let provider = Some(self.provider.as_str()).filter(|name| !name.is_empty());
        let mut known = pages.providers.iter();
        let known = known.find(|(method, _)| method.as_str() == self.method);
        let known = known.filter(|(_, names)| provider.is_none_or(|name| names.contains(&name)));
        let (method, _) = known.ok_or(Notice::NotFound)?;
        Ok(Order {
            method: *method,
            provider,
            by: &visitor.account.name,
        })
    }

    fn back(&self, part: &str) -> Response {
        let range = Range::parse(&self.range).unwrap_or_default().as_str();
        Redirect::to(&format!("/console?range={range}#{part}")).into_response()
    }
}

pub(super) async fn pause(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    let order = given.order(&pages, &visitor)?;
    pages.store.pause_provider(order, given.reason()?).await?;
    Ok(given.back("providers"))
}

pub(super) async fn resume(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    // One that is not paused shows so.
    pages
        .store
        .resume_provider(given.order(&pages, &visitor)?)
        .await?;
    Ok(given.back("providers"))
}

/// Of the visitor's own business.
pub(super) async fn lift(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    let lifted = Lifted {
        business: &visitor.account.business,
        kind: brake::Kind::parse(&given.kind).ok_or(Notice::NotFound)?,
        by: &visitor.account.name,
        reason: given.reason()?,
    };
    // One that is off shows so.
    if pages.store.lift_brake(lifted).await? {
        pages.woken.notify_waiters();
    }
    Ok(given.back("brakes"))
}
