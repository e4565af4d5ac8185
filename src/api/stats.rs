//! `/v1/stats`: how much was enqueued, sent and came back, how long it took, and what waits.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::{Errors, step};
use super::history::Pairs;
use super::problem::Problem;
use crate::domain::flow::{Kind, Range, Tally};
use crate::domain::spread::Spread;
use crate::domain::time::Timestamp;
use crate::store::depths::Depth;
use crate::store::shares::{self, Share};

/// The counts of a business up to this moment. Each notification counts once in each, in the bin in
/// which it became known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct StatsJson {
    #[schema(example = "24h")]
    range: &'static str,
    /// The length of a bin.
    bin_seconds: u64,
    /// Every bin, the oldest first; the last one is not over yet.
    series: Vec<BinJson>,
    totals: CountsJson,
    /// The same by method and provider.
    by_provider: Vec<ProviderCountsJson>,
    /// Seconds from when a message was due until a provider took it over.
    time_to_send: QuantilesJson,
    /// Seconds from when a message was due until it arrived.
    time_to_deliver: QuantilesJson,
    /// What is due and waits; lanes in which nothing does are left out.
    queues: Vec<QueueJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsBin)]
struct BinJson {
    /// Where it begins.
    at: String,
    #[serde(flatten)]
    counts: CountsJson,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsCounts)]
struct CountsJson {
    enqueued: i64,
    sent: i64,
    failed: i64,
    bounced: i64,
    /// Those of the bounced whose address does not work.
    bounced_for_good: i64,
    delivered: i64,
    /// Opened or clicked.
    opened: i64,
    clicked: i64,
    complained: i64,
    unsubscribed: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsProvider)]
struct ProviderCountsJson {
    #[schema(example = "email")]
    method: &'static str,
    /// Absent: no provider had to do with it.
    #[schema(example = "ses")]
    provider: Option<String>,
    #[serde(flatten)]
    counts: CountsJson,
}

/// Right to two fifths at worst; absent: there were none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsQuantiles)]
struct QuantilesJson {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsQueue)]
struct QueueJson {
    #[schema(example = "email")]
    method: &'static str,
    #[schema(example = "normal")]
    priority: &'static str,
    /// 100,000 means at least.
    waiting: i64,
    oldest_due_at: String,
    oldest_age_seconds: u64,
}

/// How much was enqueued, sent and came back, how long it took, and what waits.
#[utoipa::path(
    get, path = "/v1/stats", tag = "stats",
    params(
        ("range" = Option<String>, Query, description = "1h, 6h, 24h, 7d, 30d or 90d, up to now; 24h when absent."),
    ),
    responses(
        (status = 200, description = "Counts.", body = StatsJson),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
) -> Result<Json<StatsJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let range = range(&pairs)?;
    let store = &shared.api.store;
    let flow = store.flow(business, range).await?;
    let by_subject = store.flow_shares(business, range).await?;
    let depths = store.depth_of(business).await?;
    let now = shared.api.clock.now();
    let series = flow.bins.iter().map(|(at, tally)| BinJson {
        at: at.to_string(),
        counts: counts(|kind| tally.of(kind)),
    });
    let (bin, _) = range.bins();
    Ok(Json(StatsJson {
        range: range.as_str(),
        bin_seconds: bin.as_secs(),
        series: series.collect(),
        totals: counts(|kind| flow.total.of(kind)),
        by_provider: by_provider(&by_subject),
        time_to_send: quantiles(&flow.total, |tally| &tally.to_send),
        time_to_deliver: quantiles(&flow.total, |tally| &tally.to_deliver),
        queues: depths.iter().map(|depth| queue(depth, now)).collect(),
    }))
}

fn range(pairs: &[(String, String)]) -> Result<Range, Problem> {
    let (mut errors, mut range) = (Errors::default(), Range::Day);
    for (name, value) in pairs {
        if name != "range" {
            let detail = "is not known here; the name known here is: range";
            errors.add(step("", name), detail);
        } else if let Some(found) = Range::parse(value) {
            range = found;
        } else {
            let known = Range::ALL.map(Range::as_str).join(", ");
            errors.add(step("", name), format!("must be one of: {known}"));
        }
    }
    errors.unless_any(Some(range)).map_err(Problem::invalid)
}

fn counts(of: impl Fn(Kind) -> i64) -> CountsJson {
    CountsJson {
        enqueued: of(Kind::Enqueued),
        sent: of(Kind::Sent),
        failed: of(Kind::Failed),
        bounced: of(Kind::Bounced),
        bounced_for_good: of(Kind::BouncedForGood),
        delivered: of(Kind::Delivered),
        opened: of(Kind::Opened),
        clicked: of(Kind::Clicked),
        complained: of(Kind::Complained),
        unsubscribed: of(Kind::Unsubscribed),
    }
}

fn by_provider(shares: &[Share]) -> Vec<ProviderCountsJson> {
    let providers = shares::by_provider(shares).map(|it| ProviderCountsJson {
        method: it.method.as_str(),
        provider: (!it.provider.is_empty()).then(|| it.provider.to_owned()),
        counts: counts(|kind| it.amount(kind)),
    });
    providers.collect()
}

fn quantiles(tally: &Tally, of: impl Fn(&Tally) -> &Spread) -> QuantilesJson {
    let seconds = |share| {
        let took = of(tally).quantile(share)?.as_secs_f64();
        Some((took * 1_000.0).round() / 1_000.0)
    };
    QuantilesJson {
        p50: seconds(0.5),
        p95: seconds(0.95),
        p99: seconds(0.99),
    }
}

fn queue(depth: &Depth, now: Timestamp) -> QueueJson {
    QueueJson {
        method: depth.method.as_str(),
        priority: depth.priority.as_str(),
        waiting: depth.waiting,
        oldest_due_at: depth.oldest_due_at.to_string(),
        oldest_age_seconds: now.since(depth.oldest_due_at).as_secs(),
    }
}
