//! What fails and why: causes with what can be done about each, and one cause with its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::Pages;
use super::history::line;
use crate::domain::cause::Cause;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::cause_actions::{Action, Did};
use crate::store::cause_entries::{CauseEntry, Known};
use crate::store::failures::{Asked as Wanted, Group, State as Standing, Trend};
use crate::store::history::Entry;
use crate::web::staff::{Notice, Visitor};
use crate::web::{
    self, Case, CausePage, Choice, Deed, FailureGroup, FailuresPage, Outcome, Standing as Shown,
    TrendView,
};

/// In the address, as people read it, and in hours.
const PERIODS: [(&str, &str, u64); 4] = [
    ("24h", "24 hours", 24),
    ("7d", "7 days", 7 * 24),
    ("30d", "30 days", 30 * 24),
    ("90d", "90 days", 90 * 24),
];
const SHOWS: [(&str, &str); 3] = [
    ("open", "Open"),
    ("closed", "Resolved or dismissed"),
    ("all", "All"),
];
/// How far back the trend of one cause goes.
const TREND: Duration = Duration::from_hours(30 * 24);
/// Messages of one page: it stays under 100 KB with them.
const CASES: usize = 50;
/// Actions that are told, the latest first.
const ACTIONS: usize = 20;
/// Causes that the page shows, the most frequent first: it stays under 100 KB with them.
const GROUPS: usize = 25;
/// Different texts of providers that are quoted.
const QUOTES: usize = 3;
/// A sentence or two, in characters.
const NOTE_MAX: usize = 500;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    period: String,
    method: String,
    provider: String,
    show: String,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let now = pages.clock.now();
    let period = PERIODS.iter().find(|(word, ..)| *word == asked.period);
    let (period, span, hours) = *period.unwrap_or(&PERIODS[0]);
    let shown = SHOWS.iter().find(|(word, _)| *word == asked.show);
    let shown = shown.unwrap_or(&SHOWS[0]).0;
    let method = Method::parse(&asked.method).filter(|method| method.is_sent_by_us());
    let wanted = Wanted {
        open: match shown {
            "open" => Some(true),
            "closed" => Some(false),
            _ => None,
        },
        method,
        provider: Some(asked.provider.clone()).filter(|name| !name.is_empty()),
        ..Wanted::all(now.minus(Duration::from_hours(hours)), now)
    };
    let business = &visitor.account.business;
    let found = pages.store.failures(business, &wanted).await?;
    let mut providers: BTreeSet<&str> = found
        .groups
        .iter()
        .filter_map(|group| group.cause.provider.as_deref())
        .collect();
    providers.extend(wanted.provider.as_deref());
    let methods = [Method::Email, Method::Sms, Method::Push];
    let page = FailuresPage {
        head: visitor.head("/failures"),
        groups: found
            .groups
            .iter()
            .take(GROUPS)
            .map(|it| group(it, found.failed))
            .collect(),
        failed: found.failed,
        span,
        more: found.more || found.groups.len() > GROUPS,
        is_narrow: method.is_some() || wanted.provider.is_some() || shown != "all",
        periods: PERIODS
            .iter()
            .map(|(word, label, _)| choice(word, label, *word == period))
            .collect(),
        shows: SHOWS
            .iter()
            .map(|(word, label)| choice(word, label, *word == shown))
            .collect(),
        methods: methods
            .iter()
            .map(|it| choice(it.as_str(), it.label(), method == Some(*it)))
            .collect(),
        providers: providers
            .iter()
            .map(|it| choice(it, it, asked.provider == *it))
            .collect(),
    };
    Ok(web::html(&request, web::render_failures(&page)?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// The last message of the page before.
    after: String,
}

pub(super) async fn cause(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(place): Query<Place>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let known = find(&pages, &visitor, &id).await?;
    let page = of_cause(&pages, &visitor, known, &place, None).await?;
    Ok(web::html(&request, web::render_cause(&page)?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Dismissal {
    note: String,
}

pub(super) async fn dismiss(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(given): Form<Dismissal>,
) -> Result<Response, Notice> {
    let known = find(&pages, &visitor, &id).await?;
    let note = given.note.trim();
    let fits =
        (1..=NOTE_MAX).contains(&note.chars().count()) && !note.chars().any(char::is_control);
    if !fits {
        let refused = format!("Say why, in one line of 1 to {NOTE_MAX} characters.");
        let place = Place::default();
        let page = of_cause(&pages, &visitor, known, &place, Some(refused)).await?;
        let page = web::html(&HeaderMap::new(), web::render_cause(&page)?);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let account = &visitor.account;
    let (business, by) = (&account.business, &account.name);
    let causes = [known.id];
    let dismissed = pages.store.dismiss_causes(business, &causes, by, note);
    dismissed.await?;
    Ok(Redirect::to(&format!("/failures/{}", known.id)).into_response())
}

async fn find(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Known, Notice> {
    let id = Uuid::try_parse(id).map_err(|_no_id| Notice::NotFound)?;
    let known = pages.store.cause(&visitor.account.business, id).await?;
    known.ok_or(Notice::NotFound)
}

async fn of_cause(
    pages: &Pages,
    visitor: &Visitor,
    known: Known,
    place: &Place,
    refused: Option<String>,
) -> Result<CausePage, Notice> {
    let (store, business) = (&pages.store, &visitor.account.business);
    let after = NotificationId::parse(&place.after);
    let mut cases = store
        .cause_entries(business, known.id, after, CASES + 1)
        .await?;
    let more = cases.len() > CASES;
    cases.truncate(CASES);
    let ids: Vec<_> = cases.iter().map(|case| case.id).collect();
    let entries = store.entries(business, &ids).await?;
    let actions = store.cause_actions(business, known.id, ACTIONS).await?;
    let now = pages.clock.now();
    let wanted = Wanted {
        cause: Some(known.id),
        ..Wanted::all(now.minus(TREND), now)
    };
    let lately = store.failures(business, &wanted).await?.groups;
    let failure = known.cause.failure();
    let last = cases.last().filter(|_| more).map(|case| case.id);
    Ok(CausePage {
        head: visitor.head("/failures"),
        id: known.id.to_string(),
        sentence: failure.sentence(),
        remedy: failure.remedy(),
        kind: kind(&known.cause),
        code: failure.code,
        bounced: known.cause.bounced,
        text: known.cause.text.clone(),
        standing: standing(known.dismissed.clone(), known.resolved >= known.count),
        count: known.count,
        open: (known.count - known.resolved).max(0),
        since: known.since,
        last_at: known.last_at,
        quotes: quotes(&entries, known.cause.bounced),
        trend: lately.first().map(|group| trend(&group.trend)),
        cases: shown(&cases, entries),
        next: last.map(|id| format!("/failures/{}?after={id}", known.id)),
        is_first: after.is_none(),
        deeds: actions.into_iter().map(deed).collect(),
        refused,
        note_max: NOTE_MAX,
    })
}

/// What the provider said of these messages, word for word.
fn quotes(entries: &[Entry], bounced: bool) -> Vec<String> {
    let mut quotes = Vec::new();
    for entry in entries {
        let said = if bounced {
            let bounced = entry.facts.bounced.as_ref();
            bounced.and_then(|it| it.bounce.diagnostic.clone())
        } else {
            let failed = entry.facts.failed.as_ref();
            failed.and_then(|it| it.failure.provider_text.clone())
        };
        if let Some(said) = said.filter(|said| !quotes.contains(said)) {
            quotes.push(said);
        }
        if quotes.len() >= QUOTES {
            break;
        }
    }
    quotes
}

fn shown(cases: &[CauseEntry], entries: Vec<Entry>) -> Vec<Case> {
    let mut entries: BTreeMap<_, _> = entries.into_iter().map(|it| (it.id, it)).collect();
    let case = |case: &CauseEntry| {
        let entry = entries.remove(&case.id)?;
        Some(Case {
            line: line(&entry),
            failed_at: case.at,
            outcome: match (case.arrived_at, case.sent_again_at) {
                (Some(at), _) => Outcome::Arrived(at),
                (None, Some(at)) => Outcome::SentAgain(at),
                (None, None) => Outcome::Open,
            },
        })
    };
    cases.iter().filter_map(case).collect()
}

fn deed(action: Action) -> Deed {
    let (what, run) = match action.what {
        Did::Dismissed { note } => (format!("Dismissed: {note}"), None),
        Did::Resent { run, sent } => {
            let sent = sent.map_or_else(String::new, |sent| format!(", {sent} so far"));
            (format!("Sent again{sent}"), Some(run.to_string()))
        }
    };
    Deed {
        at: action.at,
        by: action.by,
        what,
        run,
    }
}

fn standing(dismissed: Option<(Timestamp, String)>, is_resolved: bool) -> Shown {
    match dismissed {
        Some((at, by)) => Shown::Dismissed(at, by),
        None if is_resolved => Shown::Resolved,
        None => Shown::Open,
    }
}

fn kind(cause: &Cause) -> String {
    match &cause.provider {
        Some(provider) => format!("{} by {provider}", cause.method.label()),
        None => format!("{}, no provider was asked", cause.method.label()),
    }
}

fn group(group: &Group, failed: i64) -> FailureGroup {
    let failure = group.cause.failure();
    FailureGroup {
        id: group.id.to_string(),
        sentence: failure.sentence(),
        remedy: failure.remedy(),
        kind: kind(&group.cause),
        bounced: group.cause.bounced,
        code: failure.code,
        text: group.cause.text.clone(),
        count: group.count,
        open: (group.count - group.resolved).max(0),
        percent: group.count.saturating_mul(100) / failed.max(1),
        since: group.since,
        last_at: group.last_at,
        standing: standing(group.dismissed.clone(), group.state() == Standing::Resolved),
        trend: trend(&group.trend),
        samples: group.samples.clone(),
    }
}

fn trend(trend: &Trend) -> TrendView {
    TrendView {
        by_day: trend.by_day,
        points: trend.points.clone(),
    }
}

fn choice(value: &str, label: &str, chosen: bool) -> Choice {
    Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen,
    }
}
