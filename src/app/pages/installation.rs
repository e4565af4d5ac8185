//! What of the console belongs to no business: providers, workers, feedback, alarms.

use std::collections::BTreeMap;

use super::Pages;
use super::console::{chart, counted};
use crate::domain::flow::{Kind, Range, Tally};
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::Error;
use crate::store::flow::INSTALLATION;
use crate::store::providers::{Health, Pause, per_second};
use crate::store::shares::Share;
use crate::web::{AlarmLine, Installation, LastLine, PauseLine, ProviderLine, Unit, WorkerLine};

/// Events that wait and messages that are buried are counted up to here: the number is an alarm, not an
/// account.
const COUNTED_MAX: i64 = 10_000;

pub(super) async fn view(pages: &Pages, range: Range) -> Result<Installation, Error> {
    let store = &pages.store;
    let flow = store.flow(INSTALLATION, range).await?;
    let shares = store.flow_shares(INSTALLATION, range).await?;
    let health = store.provider_health().await?;
    let pauses = store.provider_pauses().await?;
    let accepted = |tally: &Tally| {
        let kinds = [
            Kind::FeedbackApplied,
            Kind::FeedbackNoted,
            Kind::FeedbackDuplicate,
        ];
        kinds.into_iter().map(|kind| tally.of(kind)).sum()
    };
    let lines = vec![
        counted(&flow, "Accepted", "sent", accepted),
        counted(&flow, "Unmatched", "awaiting", |tally| {
            tally.of(Kind::FeedbackUnmatched)
        }),
        counted(&flow, "Refused", "failed", |tally| {
            tally.of(Kind::FeedbackRefused)
        }),
    ];
    let last = last(store.last_feedback().await?, &shares, pages.clock.now());
    let refused = shares
        .into_iter()
        .filter(|it| it.kind == Kind::FeedbackRefused);
    let alarms = store.alarms().await?.into_iter().map(|alarm| AlarmLine {
        sentence: alarm.kind.sentence(),
        remedy: alarm.kind.remedy(),
        subject: alarm.subject,
        since: alarm.since,
    });
    Ok(Installation {
        alarms: alarms.collect(),
        providers: providers(&pages.providers, &health, &pauses),
        workers: workers(&health),
        intake: chart(
            &flow,
            ("intake", "Messages of feedback"),
            Unit::Count,
            lines,
        ),
        last,
        refused: refused.map(|it| (it.subject, it.amount)).collect(),
        unmatched: store.count_unmatched(COUNTED_MAX).await?,
        buried: store.count_buried(COUNTED_MAX).await?,
        counted_max: COUNTED_MAX,
    })
}

/// Of those that told something lately, and of those that did in the range.
fn last(latest: Vec<(String, Timestamp)>, shares: &[Share], now: Timestamp) -> Vec<LastLine> {
    let told = shares.iter().filter(|it| {
        matches!(
            it.kind,
            Kind::FeedbackApplied
                | Kind::FeedbackUnmatched
                | Kind::FeedbackNoted
                | Kind::FeedbackDuplicate
        )
    });
    let mut sources: BTreeMap<String, Option<Timestamp>> =
        told.map(|it| (it.subject.clone(), None)).collect();
    sources.extend(latest.into_iter().map(|(source, at)| (source, Some(at))));
    let line = |(source, at)| LastLine { source, at, now };
    sources.into_iter().map(line).collect()
}

/// Those of the settings, and those that workers with other settings have; a method that is paused as a
/// whole first, and one that can be.
fn providers(
    known: &[(Method, Vec<&'static str>)],
    health: &[Health],
    pauses: &[Pause],
) -> Vec<ProviderLine> {
    let mut lines = Vec::new();
    for (method, names) in known {
        let of_method = |pause: &&Pause| pause.method == *method;
        let pause = pauses.iter().filter(of_method);
        let whole = pause.clone().find(|pause| pause.provider.is_none());
        if whole.is_some() || names.len() > 1 {
            lines.push(line(*method, "", whole, &[]));
        }
        let seen: Vec<&Health> = health.iter().filter(|it| it.method == *method).collect();
        let mut all: Vec<&str> = names.clone();
        for health in &seen {
            if !all.contains(&health.provider.as_str()) {
                all.push(&health.provider);
            }
        }
        for name in all {
            let pause = pause
                .clone()
                .find(|it| it.provider.as_deref() == Some(name));
            let own = seen.iter().copied().filter(|it| it.provider == name);
            lines.push(line(*method, name, pause, &own.collect::<Vec<_>>()));
        }
    }
    lines
}

fn line(method: Method, name: &str, pause: Option<&Pause>, seen: &[&Health]) -> ProviderLine {
    let rates = |of: fn(&Health) -> Option<i64>| {
        let all: Option<Vec<i64>> = seen.iter().map(|it| of(it)).collect();
        all.filter(|all| !all.is_empty())
            .map(|all| per_second(all.into_iter().sum()))
    };
    let resting = seen.iter().find(|it| it.state != "closed");
    let error = seen.iter().filter_map(|it| it.error.as_ref());
    let error = error.max_by_key(|error| error.at);
    ProviderLine {
        method: method.as_str(),
        method_label: method.label(),
        provider: name.to_owned(),
        pause: pause.map(|pause| PauseLine {
            by: pause.by.clone(),
            reason: pause.reason.clone(),
            since: pause.at,
        }),
        state: state(name, pause, seen),
        because: resting.and_then(|it| it.rests_because.clone()),
        rate: per_second(seen.iter().map(|it| it.taken_per_minute).sum()),
        allowed: rates(|it| it.allowed_per_minute),
        learnt: rates(|it| it.learnt_per_minute),
        error: error.map(|error| {
            let words = [error.code.as_deref(), error.text.as_deref()];
            let words: Vec<&str> = words.into_iter().flatten().collect();
            (error.at, words.join(" "))
        }),
        workers: seen.len(),
    }
}

fn state(name: &str, pause: Option<&Pause>, seen: &[&Health]) -> (&'static str, &'static str) {
    let is = |word: &str| seen.iter().any(|it| it.state == word);
    if pause.is_some() {
        ("Paused", "awaiting")
    } else if name.is_empty() {
        ("Not paused", "unopened")
    } else if seen.is_empty() {
        ("No worker", "failed")
    } else if is("open") {
        ("Rests", "failed")
    } else if is("half_open") {
        ("On trial", "bounced")
    } else if seen.iter().any(|it| it.active) {
        ("Well", "opened")
    } else {
        ("Well, in reserve", "unopened")
    }
}

/// Each with what it sends by.
fn workers(health: &[Health]) -> Vec<WorkerLine> {
    let mut workers: BTreeMap<&str, WorkerLine> = BTreeMap::new();
    for one in health {
        let serves = format!("{} by {}", one.method.label(), one.provider);
        let worker = workers.entry(&one.worker).or_insert_with(|| WorkerLine {
            name: one.worker.clone(),
            seen_at: one.seen_at,
            serves: String::new(),
        });
        worker.seen_at = worker.seen_at.max(one.seen_at);
        if !worker.serves.is_empty() {
            worker.serves.push_str(", ");
        }
        worker.serves.push_str(&serves);
    }
    workers.into_values().collect()
}
