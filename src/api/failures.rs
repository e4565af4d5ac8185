//! `/v1/failures`: what fails and why, and where feedback does not come that would tell of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::{Errors, step};
use super::history::{DayEdge, Pairs, instant};
use super::problem::Problem;
use crate::domain::alarm::Alarm;
use crate::domain::time::Timestamp;
use crate::store::failures::{Failures, Group};

/// The failures of a business, by their causes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failures)]
pub(super) struct FailuresJson {
    from: String,
    to: String,
    /// The most frequent first.
    groups: Vec<GroupJson>,
    /// How many entries were looked at, failed or not; the share of a group is of these.
    looked_at: usize,
    /// There are older entries within this time, at which nobody looked: ask for a shorter time.
    more: bool,
    /// Trouble of the whole installation because of which feedback may be missing.
    alarms: Vec<AlarmJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureGroup)]
struct GroupJson {
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
    text: &'static str,
    remedy: Option<&'static str>,
    count: i64,
    /// Of the entries that were looked at, 0 to 1.
    share: f64,
    first_at: String,
    last_at: String,
    /// The latest of them.
    latest: String,
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

/// Without `from`.
const SPAN: Duration = Duration::from_hours(24);

/// What failed and bounced, by cause, with what can be done.
#[utoipa::path(
    get, path = "/v1/failures", tag = "failures",
    params(
        ("from" = Option<String>, Query, description = "From this time (RFC 3339) or day (UTC) on; 24 hours before `to` when absent."),
        ("to" = Option<String>, Query, description = "Before this time (RFC 3339), or to the end of this day (UTC); now when absent."),
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
    let (since, until) = span(&pairs, shared.api.clock.now())?;
    let turn = shared.histories.acquire().await;
    let failures = shared.api.store.failures(business, since, until).await?;
    drop(turn);
    let alarms = shared.api.store.alarms().await?;
    Ok(Json(json(since, until, failures, alarms)))
}

fn span(pairs: &[(String, String)], now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let (mut errors, mut since, mut until) = (Errors::default(), None, None);
    for (name, value) in pairs {
        match name.as_str() {
            "from" => since = instant(name, Some(value), DayEdge::Begin, &mut errors),
            "to" => until = instant(name, Some(value), DayEdge::End, &mut errors),
            _ => {
                let detail = "is not known here; the names known here are: from, to";
                errors.add(step("", name), detail);
            }
        }
    }
    let until = until.unwrap_or(now);
    let since = since.unwrap_or_else(|| until.minus(SPAN));
    errors
        .unless_any(Some((since, until)))
        .map_err(Problem::invalid)
}

fn json(
    since: Timestamp,
    until: Timestamp,
    failures: Failures,
    alarms: Vec<Alarm>,
) -> FailuresJson {
    let Failures {
        groups,
        looked_at,
        more,
    } = failures;
    let groups = groups.into_iter().map(|group| group_json(group, looked_at));
    let alarms = alarms.into_iter().map(|alarm| AlarmJson {
        alarm: alarm.kind.as_str(),
        subject: alarm.subject,
        since: alarm.since.to_string(),
        text: alarm.kind.sentence(),
        remedy: alarm.kind.remedy(),
    });
    FailuresJson {
        from: since.to_string(),
        to: until.to_string(),
        groups: groups.collect(),
        looked_at,
        more,
        alarms: alarms.collect(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of some ten thousand entries"
)]
fn group_json(group: Group, looked_at: usize) -> GroupJson {
    GroupJson {
        method: group.method.as_str(),
        provider: group.provider,
        status: if group.bounced { "Bounced" } else { "Failed" },
        category: group.failure.category.as_str(),
        text: group.failure.sentence(),
        remedy: group.failure.remedy(),
        code: group.failure.code,
        count: group.count,
        share: group.count as f64 / looked_at.max(1) as f64,
        first_at: group.first_at.to_string(),
        last_at: group.last_at.to_string(),
        latest: group.latest.to_string(),
    }
}
