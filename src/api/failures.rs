//! `/v1/failures`: what fails and why, and where feedback does not come that would tell of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::Errors;
use super::history::{DayEdge, Pairs, instant};
use super::intake::{METHODS, sent_by_us};
use super::problem::Problem;
use crate::domain::alarm::Alarm;
use crate::domain::time::Timestamp;
use crate::store::failures::{Asked, Failures, Group, Trend};

/// The failures of a business, by their causes. The time is in whole hours: from the beginning of the
/// first to the end of the last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failures)]
pub(super) struct FailuresJson {
    from: String,
    to: String,
    /// The most frequent first, up to 100.
    groups: Vec<GroupJson>,
    /// All that failed in this time, of whichever cause.
    failed: i64,
    /// Entries of this time, failed or not; of more than 20,000 so many.
    looked_at: usize,
    /// There are more entries, or more causes, than were looked at: ask for a shorter time.
    more: bool,
    /// Trouble of the whole installation because of which feedback may be missing.
    alarms: Vec<AlarmJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureGroup)]
struct GroupJson {
    /// Of the cause: what `POST /v1/failures/resend` and `dismiss` take.
    id: String,
    /// `open`, `resolved` when all arrived or were sent again, or `dismissed`.
    #[schema(example = "open")]
    state: &'static str,
    dismissed: Option<DismissedJson>,
    #[schema(example = "email")]
    method: &'static str,
    /// Absent: no provider was asked.
    provider: Option<String>,
    /// `Failed`, or `Bounced` after a provider had taken the messages over.
    #[schema(example = "Bounced")]
    status: &'static str,
    #[schema(example = "mailbox_full")]
    category: &'static str,
    /// The provider's own code or subtype.
    code: Option<String>,
    /// What the provider says, with placeholders for what belongs to one message; may be empty.
    provider_text: String,
    text: &'static str,
    remedy: Option<&'static str>,
    count: i64,
    /// Of them, those that have neither arrived since nor been sent again.
    open: i64,
    /// Of all that failed in this time, 0 to 1.
    share: f64,
    /// When the cause was first seen at all.
    since: String,
    first_at: String,
    last_at: String,
    /// The latest of them.
    latest: Option<String>,
    /// The latest of them, up to 5.
    samples: Vec<String>,
    trend: TrendJson,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DismissedCause)]
struct DismissedJson {
    at: String,
    by: String,
}

/// By the hour up to two days, else by the day, the last 30 of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureTrend)]
struct TrendJson {
    /// `hour` or `day`.
    #[schema(example = "hour")]
    per: &'static str,
    points: Vec<PointJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailurePoint)]
struct PointJson {
    at: String,
    count: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alarm)]
struct AlarmJson {
    #[schema(example = "feedback_silent")]
    alarm: &'static str,
    /// A provider, or the ARN of a topic.
    #[schema(example = "ses")]
    subject: String,
    since: String,
    text: &'static str,
    remedy: &'static str,
}

/// The longest time that is asked for: older causes are told by nobody.
const SPAN_MAX: Duration = Duration::from_hours(90 * 24);
/// Names of providers are short words.
const VALUE_LENGTH_MAX: usize = 64;
/// Without `from`.
const SPAN: Duration = Duration::from_hours(24);

/// What failed and bounced, by cause, with what can be done.
#[utoipa::path(
    get, path = "/v1/failures", tag = "failures",
    params(
        ("from" = Option<String>, Query, description = "From this time (RFC 3339) or day (UTC) on; 24 hours before `to` when absent."),
        ("to" = Option<String>, Query, description = "Before this time (RFC 3339), or to the end of this day (UTC); now when absent. Up to 90 days."),
        ("open" = Option<bool>, Query, description = "Causes that are open, or those that are resolved or dismissed; all when absent."),
        ("method" = Option<String>, Query, description = "`email`, `sms` or `push`."),
        ("provider" = Option<String>, Query, description = "Of this provider only."),
    ),
    responses(
        (status = 200, description = "Causes, and alarms.", body = FailuresJson),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
) -> Result<Json<FailuresJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let asked = read(pairs, shared.api.clock.now())?;
    let turn = shared.histories.acquire().await;
    let failures = shared.api.store.failures(business, &asked).await?;
    drop(turn);
    let alarms = shared.api.store.alarms().await?;
    Ok(Json(json(failures, alarms)))
}

fn read(pairs: Vec<(String, String)>, now: Timestamp) -> Result<Asked, Problem> {
    let (mut from, mut to, mut open, mut method, mut provider) = (None, None, None, None, None);
    let mut errors = Errors::default();
    let mut slots = [
        ("from", &mut from),
        ("to", &mut to),
        ("open", &mut open),
        ("method", &mut method),
        ("provider", &mut provider),
    ];
    Pairs(pairs).fill(&mut slots, VALUE_LENGTH_MAX, &mut errors);
    let since = instant("from", from.as_deref(), DayEdge::Begin, &mut errors);
    let until = instant("to", to.as_deref(), DayEdge::End, &mut errors).unwrap_or(now);
    let since = since.unwrap_or_else(|| until.minus(SPAN));
    if until.since(since) > SPAN_MAX {
        errors.add("/from", "is more than 90 days before `to`");
    }
    let open = open.and_then(|text| {
        let flag = text.parse::<bool>();
        if flag.is_err() {
            errors.add("/open", "must be true or false");
        }
        flag.ok()
    });
    let method = method.and_then(|text| {
        let found = sent_by_us(&text);
        if found.is_none() {
            let allowed = METHODS.join(", ");
            errors.add("/method", format!("must be one of: {allowed}"));
        }
        found
    });
    let asked = Asked {
        open,
        method,
        provider,
        ..Asked::all(since, until)
    };
    errors.unless_any(Some(asked)).map_err(Problem::invalid)
}

fn json(failures: Failures, alarms: Vec<Alarm>) -> FailuresJson {
    let failed = failures.failed;
    let groups = failures.groups.into_iter();
    let alarms = alarms.into_iter().map(|alarm| AlarmJson {
        alarm: alarm.kind.as_str(),
        subject: alarm.subject,
        since: alarm.since.to_string(),
        text: alarm.kind.sentence(),
        remedy: alarm.kind.remedy(),
    });
    FailuresJson {
        from: failures.from.to_string(),
        to: failures.to.to_string(),
        groups: groups.map(|group| group_json(group, failed)).collect(),
        failed,
        looked_at: failures.looked_at,
        more: failures.more,
        alarms: alarms.collect(),
    }
}

/// A cause as `groups` has it, for the command line.
pub fn cause_json(group: Group, failed: i64) -> serde_json::Value {
    serde_json::to_value(group_json(group, failed)).expect("plain values can be written")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share, of which two digits are read"
)]
fn group_json(group: Group, failed: i64) -> GroupJson {
    let state = group.state().as_str();
    let failure = group.cause.failure();
    let samples: Vec<String> = group.samples.iter().map(ToString::to_string).collect();
    GroupJson {
        id: group.id.to_string(),
        state,
        dismissed: group.dismissed.map(|(at, by)| DismissedJson {
            at: at.to_string(),
            by,
        }),
        method: group.cause.method.as_str(),
        provider: group.cause.provider,
        status: if group.cause.bounced {
            "Bounced"
        } else {
            "Failed"
        },
        category: failure.category.as_str(),
        text: failure.sentence(),
        remedy: failure.remedy(),
        code: failure.code,
        provider_text: group.cause.text,
        count: group.count,
        open: (group.count - group.resolved).max(0),
        share: group.count as f64 / failed.max(1) as f64,
        since: group.since.to_string(),
        first_at: group.first_at.to_string(),
        last_at: group.last_at.to_string(),
        latest: samples.first().cloned(),
        samples,
        trend: trend_json(&group.trend),
    }
}

fn trend_json(trend: &Trend) -> TrendJson {
    let points = trend.points.iter().map(|(at, count)| PointJson {
        at: at.to_string(),
        count: *count,
    });
    TrendJson {
        per: if trend.by_day { "day" } else { "hour" },
        points: points.collect(),
    }
}
