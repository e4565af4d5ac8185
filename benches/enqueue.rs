//! `POST /v1/notifications`, one by one and 1,000 at a time, beside bare HTTP and bare commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::database::{Database, Kind};
use crate::fill;
use crate::http_load;
use crate::process::{self, Server};
use crate::report::{Figure, Report, Target, median, per_second};
use crate::rig::{Rig, Sizes};
use crate::rounds::{Load, Rounds};

/// Notifications of one batch: the most that the API takes.
const BATCH: usize = 1_000;
const SINGLE_CONNECTIONS: usize = 64;
const BATCH_CONNECTIONS: usize = 4;
const CLIENTS: usize = 10_000;
/// Bytes of text in one notification.
const TEXT: usize = 2_000;
/// Notifications a second in batches of 1,000.
const LEAST: f64 = 10_000.0;
/// Connections that commit side by side; SQLite has one writer.
const COMMITTERS: usize = 20;
/// For how long bare commits are counted.
const COMMIT_FOR: Duration = Duration::from_secs(2);

/// One kind of request, at our server and at the bare one.
#[derive(Default)]
struct Beside {
    ours: Rounds,
    echo: Rounds,
}

/// Rows a second in bare commits.
#[derive(Default)]
struct Commits {
    /// Of one row, one after the other.
    alone: Vec<f64>,
    /// Of one row, many connections at once.
    abreast: Vec<f64>,
    /// Of 1,000 rows, one after the other.
    batches: Vec<f64>,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let sizes = rig.sizes;
    let database = Database::fresh(rig, kind, "enqueue").await?;
    let words = ["keys", "add", "--name", "bench", "--scopes", "enqueue"];
    let key = process::sendtrail(&database.url, &words)?;
    let (single, batch) = loads(&key, sizes);
    let api = Server::sendtrail(&database.url, "api", None).await?;
    let echo = Server::floor(&["echo", "202"]).await?;
    let (mut singles, mut batches) = (Beside::default(), Beside::default());
    let mut commits = Commits::default();
    for _ in 0..sizes.rounds {
        for (load, measured) in [(&single, &mut singles), (&batch, &mut batches)] {
            measured.echo.run(&echo, &database, load).await?;
            measured.ours.run(&api, &database, load).await?;
        }
        commits.run(&database).await?;
    }
    let memory = process::Memory::of(api.pid)?;
    drop([api, echo]);
    let entries = "SELECT CAST(COUNT(*) AS bigint) FROM contact_log";
    let entries = usize::try_from(database.raw().await?.number(entries).await?)?;
    let expected = (sizes.singles + sizes.batches * BATCH) * sizes.rounds;
    ensure!(entries == expected, "{entries} entries of {expected}");
    database.discard(rig).await?;
    let mut report = Report::new(format!(
        "enqueue over HTTP, {}: emails of {TEXT} bytes of text to {CLIENTS} clients",
        kind.label()
    ));
    let abreast = match kind {
        Kind::Sqlite => &commits.alone,
        Kind::Postgres => &commits.abreast,
    };
    let one_row = median(abreast);
    singles.show(
        &mut report,
        kind,
        ("one by one, 64 connections", Target::None),
        one_row,
    );
    let rows = median(&commits.batches);
    let asked = ("1,000 at a time, 4 connections", Target::AtLeast(LEAST));
    batches.show(&mut report, kind, asked, rows);
    report.plain(
        "floor: commits of one row, one by one",
        median(&commits.alone),
        "rows/s",
        "",
    );
    if kind == Kind::Postgres {
        report.plain(
            "floor: commits of one row, 20 connections",
            one_row,
            "rows/s",
            "",
        );
    }
    report.plain(
        "floor: commits of 1,000 rows, one by one",
        rows,
        "rows/s",
        "",
    );
    report.note(format!(
        "the server's memory peaked at {:.0} MB",
        memory.peak
    ));
    Ok(report)
}

impl Beside {
    fn show(&self, report: &mut Report, kind: Kind, what: (&str, Target), commits: f64) {
        let (what, target) = what;
        let figure = |floor, target, cost| Figure {
            what,
            value: self.ours.median(),
            unit: "notifications/s",
            floor: Some(floor),
            target,
            cost,
        };
        let commits = ("bare commits", commits);
        report.add(&figure(commits, target, self.ours.cost(Some(kind))));
        let echo = ("bare HTTP", self.echo.median());
        report.add(&figure(echo, Target::None, String::new()));
        let (rate, cost) = (self.echo.median(), self.echo.cost(None));
        report.plain(
            "floor: bare HTTP with the same bodies",
            rate,
            "notifications/s",
            cost,
        );
    }
}

impl Commits {
    async fn run(&mut self, database: &Database) -> anyhow::Result<()> {
        self.alone.push(bare_commits(database, 1, 1).await?);
        if database.kind == Kind::Postgres {
            self.abreast
                .push(bare_commits(database, 1, COMMITTERS).await?);
        }
        self.batches.push(bare_commits(database, BATCH, 1).await?);
        Ok(())
    }
}

/// The singles and the batches of one round.
fn loads(key: &str, sizes: Sizes) -> (Load, Load) {
    let load = |requests: Vec<Vec<u8>>, each, connections| Load {
        requests: Arc::new(requests),
        each,
        connections,
        expected: 202,
    };
    let singles = (0..sizes.singles).map(|n| single(key, n)).collect();
    let batches = (0..sizes.batches).map(|n| batch(key, n)).collect();
    (
        load(singles, 1, SINGLE_CONNECTIONS),
        load(batches, BATCH, BATCH_CONNECTIONS),
    )
}

fn notification(number: usize) -> Value {
    let client = number % CLIENTS;
    json!({
        "client": {"id": format!("C-{client}"), "name": format!("Client {client}")},
        "method": "email", "to": format!("client-{client}@example.com"),
        "type": "Booking confirmation", "contact_type": "Client Notifications",
        "content": {"subject": "See you on Monday", "text": fill::text(TEXT)},
    })
}

fn single(key: &str, number: usize) -> Vec<u8> {
    post(key, &notification(number))
}

fn batch(key: &str, number: usize) -> Vec<u8> {
    let notifications: Vec<Value> = (0..BATCH)
        .map(|n| notification(number * BATCH + n))
        .collect();
    post(key, &json!({ "notifications": notifications }))
}

fn post(key: &str, body: &Value) -> Vec<u8> {
    let authorization = format!("Authorization: Bearer {key}\r\n");
    http_load::post(
        "/v1/notifications",
        &authorization,
        body.to_string().as_bytes(),
    )
}

/// Rows a second into a table without indexes, so many rows a commit, on so many connections.
async fn bare_commits(database: &Database, rows: usize, connections: usize) -> anyhow::Result<f64> {
    let mut raw = database.raw().await?;
    raw.run("CREATE TABLE IF NOT EXISTS bare (text text)")
        .await?;
    let insert = match (rows, database.kind) {
        (1, _) => "INSERT INTO bare VALUES ($1)",
        (_, Kind::Sqlite) => "INSERT INTO bare SELECT value FROM json_each($1)",
        (_, Kind::Postgres) => "INSERT INTO bare SELECT json_array_elements_text($1::json)",
    };
    let text = fill::text(TEXT);
    let value = if rows == 1 {
        text
    } else {
        json!(vec![text; rows]).to_string()
    };
    let value = Arc::new(value);
    let committed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let mut lines = Vec::new();
    for _ in 0..connections {
        lines.push(database.raw().await?);
    }
    let began = Instant::now();
    for mut line in lines {
        let (value, committed) = (Arc::clone(&value), Arc::clone(&committed));
        tasks.spawn(async move {
            while began.elapsed() < COMMIT_FOR {
                line.put(insert, &value).await?;
                committed.fetch_add(rows, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let rate = per_second(committed.load(Ordering::Relaxed), began.elapsed());
    raw.run("DROP TABLE bare").await?;
    Ok(rate)
}
