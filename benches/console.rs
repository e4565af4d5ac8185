//! The console of operators with 30 days of history, 50,000,000 events summarised: from the request to the
//! last byte of the page, by HTTP from the program itself.

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::header::COOKIE;
use sendtrail::domain::flow::{Range, Step};
use sendtrail::domain::role::Role;
use sendtrail::store::Store;
use sendtrail::store::staff::NewAccount;
use tokio::time::Instant;

use crate::database::{Database, Kind, Raw};
use crate::fill::{self, BUSINESS, Fill};
use crate::process::Server;
use crate::report::{Figure, Report, Target, percentile};
use crate::rig::Rig;

/// Of the 30 days.
const EVENTS: i64 = 50_000_000;
const DAYS: i64 = 30;
/// What the page may take.
const MILLIS_MAX: f64 = 50.0;
/// Jobs that wait meanwhile.
const WAITING: usize = 10_000;
/// The secret of the session, of the length that it has.
const TOKEN: &str = "bench-bench-bench-bench-bench-bench-bench-b";
/// Counts of a step: kinds by their buckets, for each method and provider; and those of feedback.
const ROWS: &str = "\
    WITH RECURSIVE steps (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM steps WHERE n + 1 < :steps), \
    buckets (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM buckets WHERE n < 50), \
    kinds (kind, low, high) AS (VALUES ('enqueued', 0, 0), ('sent', 2, 25), ('delivered', 6, 33), \
    ('failed', 0, 0), ('bounced', 11, 25), ('bounced_for_good', 11, 25), ('opened', 0, 0), \
    ('clicked', 0, 0), ('complained', 17, 31), ('unsubscribed', 0, 0)), \
    providers (method, subject) AS (VALUES ('email', 'ses'), ('email', 'smtp'), ('sms', 'twilio'), \
    ('sms', 'sns'), ('push', 'fcm')), \
    feedback (kind, subject) AS (VALUES ('feedback_applied', 'sns'), ('feedback_applied', 'twilio'), \
    ('feedback_duplicate', 'sns'), ('feedback_unmatched', 'sns'), ('feedback_noted', 'sns'), \
    ('feedback_refused', 'signature'), ('feedback_refused', 'foreign_topic')), \
    counts (business_id, kind, method, subject, bucket) AS (\
    SELECT 'default', k.kind, p.method, p.subject, b.n FROM kinds k JOIN buckets b \
    ON b.n BETWEEN k.low AND k.high AND (b.n % 2 = 1 OR b.n = 0 OR k.kind IN ('sent', 'delivered')) JOIN providers p ON true \
    UNION ALL SELECT '', f.kind, '', f.subject, 0 FROM feedback f) \
    INSERT INTO flow_counts (step_seconds, business_id, at, kind, method, subject, bucket, amount) \
    SELECT :length, r.business_id, :at, r.kind, r.method, r.subject, r.bucket, :amount \
    FROM counts r JOIN steps s ON true";

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let database = Database::fresh(rig, kind, "console").await?;
    let store = database.store(rig).await?;
    let rows = count(rig, &database).await?;
    let waiting = Fill {
        clients: 1_000,
        text_bytes: 200,
        send_at: None,
    };
    fill::enqueue(&store, WAITING, waiting).await?;
    while store.fold_flow().await? {}
    let cookie = sign_in(&store).await?;
    store.close().await;
    if kind == Kind::Postgres {
        // As autovacuum will have done where so much is.
        database.raw().await?.run("VACUUM ANALYZE").await?;
    }
    let server = Server::sendtrail(&database.url, "web", None).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let before = scans(&database).await?;
    let mut report = Report::new(format!(
        "console, {}: {EVENTS} events of {DAYS} days in {rows} sums, one page at a time",
        kind.label()
    ));
    let mut millis = Range::ALL.map(|_| Vec::new());
    let mut bytes = [0; Range::ALL.len()];
    // Interleaved, so that a slow second of the machine is everybody's.
    for _ in 0..rig.sizes.pages / 20 {
        for ((range, millis), bytes) in Range::ALL.into_iter().zip(&mut millis).zip(&mut bytes) {
            let url = format!("http://{}/console?range={}", server.address, range.as_str());
            let began = Instant::now();
            let answer = client.get(url).header(COOKIE, &cookie).send().await?;
            let status = answer.status();
            let page = answer.text().await?;
            millis.push(began.elapsed().as_secs_f64() * 1e3);
            ensure!(
                status.is_success() && page.contains("figures-flow"),
                "{status}"
            );
            *bytes = page.len();
        }
    }
    for ((range, millis), bytes) in Range::ALL.into_iter().zip(&millis).zip(bytes) {
        report.add(&Figure {
            what: range.label(),
            value: percentile(millis, 0.95),
            unit: "ms p95",
            floor: None,
            target: Target::AtMost(MILLIS_MAX),
            cost: format!(
                "p50 {:.1} ms, {} KB",
                percentile(millis, 0.5),
                bytes / 1_000
            ),
        });
    }
    if kind == Kind::Postgres {
        let after = scans(&database).await?;
        report.note(format!(
            "sequential scans of the counts meanwhile: {}",
            after - before
        ));
    }
    drop(server);
    database.discard(rig).await?;
    Ok(report)
}

/// Writes the sums of as many steps as are kept of each, and returns how many there are.
async fn count(rig: &Rig, database: &Database) -> anyhow::Result<i64> {
    let mut raw = database.raw().await?;
    let of_step = raw.number(&of_one_step()).await?;
    let now = rig.clock.now();
    for step in Step::ALL {
        let kept = match step {
            Step::Minute => 2 * 24 * 60,
            Step::Hour => 100 * 24,
            Step::Day => 90,
        };
        let begin = step.floor(now).as_millis() / 1_000;
        let length = step.seconds();
        let at = match database.kind {
            Kind::Postgres => format!("to_timestamp({begin} - s.n * {length})"),
            Kind::Sqlite => format!("({begin} - s.n * {length}) * 1000"),
        };
        let amount = (EVENTS / DAYS / of_step * length / Step::Day.seconds()).max(1);
        let text = ROWS
            .replace(":steps", &kept.to_string())
            .replace(":length", &length.to_string())
            .replace(":at", &at)
            .replace(":amount", &amount.to_string());
        raw.run(&text).await.with_context(|| format!("{step:?}"))?;
    }
    raw.number("SELECT COUNT(*) FROM flow_counts").await
}

/// How many sums a step has.
fn of_one_step() -> String {
    let (rows, _) = ROWS.split_once("INSERT INTO").unwrap_or_default();
    let rows = rows.replace(":steps", "1");
    format!("{rows} SELECT CAST(COUNT(*) AS bigint) FROM counts")
}

/// An admin's session; the cookie that holds it.
async fn sign_in(store: &Store) -> anyhow::Result<String> {
    let new = NewAccount {
        business: BUSINESS,
        staff_id: None,
        name: "Operator",
        email: "operator@example.com",
        role: Role::Admin,
        locations: &[],
        password: "nobody signs in with it",
    };
    let account = store.add_staff(new).await?;
    let account = account.context("the account cannot be made")?;
    let secret = hex::encode(digest(&SHA256, TOKEN.as_bytes()));
    let begun = store.begin_staff_session(account.id, &secret, None).await?;
    ensure!(begun, "no session");
    Ok(format!("sendtrail={TOKEN}"))
}

/// Of the tables of counts.
async fn scans(database: &Database) -> anyhow::Result<i64> {
    if database.kind == Kind::Sqlite {
        return Ok(0);
    }
    let mut raw: Raw = database.raw().await?;
    // The counters are told of with some delay.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    raw.number(
        "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables \
         WHERE relname = 'flow_counts'",
    )
    .await
}
