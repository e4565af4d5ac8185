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
use crate::report::{Figure, Report, Target, cpu_each, median, per_second};
use crate::rig::Rig;

/// Notifications of one batch: the most that the API takes.
const BATCH: usize = 1_000;
const SINGLE_CONNECTIONS: usize = 64;
const BATCH_CONNECTIONS: usize = 4;
const CLIENTS: usize = 10_000;
/// Bytes of text in one notification.
const TEXT: usize = 500;
/// Notifications a second in batches of 1,000.
const LEAST: f64 = 10_000.0;
/// Connections that commit side by side; SQLite has one writer.
const COMMITTERS: usize = 20;
/// For how long bare commits are counted.
const COMMIT_FOR: Duration = Duration::from_secs(2);

/// The rounds of one kind of request at one server.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    server: Duration,
    database: Duration,
    items: usize,
}

impl Rounds {
    async fn run(
        &mut self,
        server: &Server,
        database: &Database,
        load: &Load,
    ) -> anyhow::Result<()> {
        let (server_before, database_before) = (server.cpu()?, database.server_cpu()?);
        let took = http_load::run(server.address, load.connections, &load.requests, 202).await?;
        self.items = load.requests.len() * load.each;
        self.rates.push(per_second(self.items, took));
        self.server = server.cpu()?.saturating_sub(server_before);
        self.database = database.server_cpu()?.saturating_sub(database_before);
        Ok(())
    }
}

struct Load {
    requests: Arc<Vec<Vec<u8>>>,
    /// Notifications in one request.
    each: usize,
    connections: usize,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let sizes = rig.sizes;
    let database = Database::fresh(rig, kind, "enqueue").await?;
    let words = ["keys", "add", "--name", "bench", "--scopes", "enqueue"];
    let key = process::sendtrail(&database.url, &words)?;
    let singles = Load {
        requests: Arc::new((0..sizes.singles).map(|n| single(&key, n)).collect()),
        each: 1,
        connections: SINGLE_CONNECTIONS,
    };
    let batches = Load {
        requests: Arc::new((0..sizes.batches).map(|n| batch(&key, n)).collect()),
        each: BATCH,
        connections: BATCH_CONNECTIONS,
    };
    let api = Server::sendtrail(&database.url, "api", None).await?;
    let echo = Server::floor(&["echo", "202"]).await?;
    let mut ours = [Rounds::default(), Rounds::default()];
    let mut floor = [Rounds::default(), Rounds::default()];
    let mut commits = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..sizes.rounds {
        for ((load, ours), floor) in [&singles, &batches]
            .into_iter()
            .zip(&mut ours)
            .zip(&mut floor)
        {
            floor.run(&echo, &database, load).await?;
            ours.run(&api, &database, load).await?;
        }
        let [one, many, rows] = &mut commits;
        one.push(bare_commits(&database, 1, 1).await?);
        if kind == Kind::Postgres {
            many.push(bare_commits(&database, 1, COMMITTERS).await?);
        }
        rows.push(bare_commits(&database, BATCH, 1).await?);
    }
    let memory = process::Memory::of(api.pid)?;
    drop([api, echo]);
    let entries = "SELECT CAST(COUNT(*) AS bigint) FROM contact_log";
    let entries = usize::try_from(database.raw().await?.number(entries).await?)?;
    let expected = (sizes.singles + sizes.batches * BATCH) * sizes.rounds;
    ensure!(entries == expected, "{entries} entries of {expected}");
    database.discard(rig).await?;
    let [one, many, rows] = commits.map(|rates| median(&rates));
    let mut report = Report::new(format!(
        "enqueue over HTTP, {}: emails of {TEXT} bytes of text to {CLIENTS} clients",
        kind.label()
    ));
    let commits = if kind == Kind::Postgres { many } else { one };
    show(
        &mut report,
        kind,
        ("one by one, 64 connections", &ours[0], &floor[0]),
        commits,
    );
    show(
        &mut report,
        kind,
        ("1,000 at a time, 4 connections", &ours[1], &floor[1]),
        rows,
    );
    report.plain(
        "floor: bare commits of one row, 1 connection",
        one,
        "rows/s",
        "",
    );
    if kind == Kind::Postgres {
        report.plain(
            "floor: bare commits of one row, 20 connections",
            many,
            "rows/s",
            "",
        );
    }
    report.plain(
        "floor: bare commits of 1,000 rows, 1 connection",
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

fn show(report: &mut Report, kind: Kind, measured: (&str, &Rounds, &Rounds), commits: f64) {
    let (what, ours, floor) = measured;
    let mut cost = cpu_each("server", ours.server, ours.items);
    if kind == Kind::Postgres {
        cost = format!(
            "{cost}, {}",
            cpu_each("database", ours.database, ours.items)
        );
    }
    let is_batch = ours.items > 0 && what.starts_with("1,000");
    let (rate, bare) = (median(&ours.rates), median(&floor.rates));
    report.add(&Figure {
        what,
        value: rate,
        unit: "notifications/s",
        floor: Some(("bare commits", commits)),
        target: if is_batch {
            Target::AtLeast(LEAST)
        } else {
            Target::None
        },
        cost,
    });
    report.add(&Figure {
        what: "  floor: bare HTTP with the same bodies",
        value: bare,
        unit: "notifications/s",
        floor: None,
        target: Target::None,
        cost: format!("sendtrail is {:.2} × of it", rate / bare),
    });
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
