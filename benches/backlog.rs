//! What it costs to claim and record a message while few and while very many wait, and after a long
//! time of coming and going.

use std::time::Duration;

use anyhow::ensure;
use sendtrail::store::Store;
use tokio::time::Instant;

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::process;
use crate::report::{Figure, Report, Target, count, number};
use crate::rig::Rig;

const FILL: Fill = Fill {
    clients: 10_000,
    text_bytes: 200,
    send_at: None,
};
/// Jobs of one claim, as a worker makes them by default.
const CLAIM: usize = 200;
/// Claims between two refills, so that the backlog keeps its length.
const CLAIMS: usize = 5;
/// CPU time for a message with the longer backlog, and after the churn, beside the first.
const MOST: f64 = 1.3;

/// CPU and wall time of many messages.
#[derive(Default)]
struct Cost {
    messages: usize,
    program: Duration,
    database: Duration,
    wall: Duration,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let database = Database::fresh(rig, kind, "backlog").await?;
    let store = database.store(rig).await?;
    let [short, long] = rig.sizes.claim_backlogs;
    let mut report = Report::new(format!(
        "backlog, {}: claim and record, {CLAIM} messages at a time, without sending them",
        kind.label()
    ));
    fill::enqueue(&store, short, FILL).await?;
    let first = rounds(rig, &database, &store, rig.sizes.claim_rounds).await?;
    let base = first.micros();
    report.plain(&waiting(short), base, "µs CPU", first.parts(kind));

    let until = Instant::now() + Duration::from_secs(rig.sizes.churn_seconds);
    let mut churned = 0;
    while Instant::now() < until {
        churned += rounds(rig, &database, &store, 1).await?.messages;
    }
    let after = rounds(rig, &database, &store, rig.sizes.claim_rounds).await?;
    let seconds = rig.sizes.churn_seconds;
    let what = format!(
        "the same after {} came and went in {seconds} s",
        number(count(churned))
    );
    report.add(&compared(&what, &after, base, kind));

    fill::enqueue(&store, long - short, FILL).await?;
    let last = rounds(rig, &database, &store, rig.sizes.claim_rounds).await?;
    report.add(&compared(&waiting(long), &last, base, kind));
    store.close().await;
    database.discard(rig).await?;
    Ok(report)
}

fn waiting(backlog: usize) -> String {
    format!("{} due jobs waiting", number(count(backlog)))
}

fn compared<'a>(what: &'a str, cost: &Cost, base: f64, kind: Kind) -> Figure<'a> {
    Figure {
        what,
        value: cost.micros(),
        unit: "µs CPU",
        floor: Some(("the first", base)),
        target: Target::AtMost(base * MOST),
        cost: cost.parts(kind),
    }
}

/// Claims and records, and enqueues as many again; only the former is counted.
async fn rounds(
    rig: &Rig,
    database: &Database,
    store: &Store,
    rounds: usize,
) -> anyhow::Result<Cost> {
    let mut cost = Cost::default();
    for _ in 0..rounds {
        let (program, server) = (process::own_cpu()?, database.server_cpu()?);
        let began = Instant::now();
        let mut sent = 0;
        for _ in 0..CLAIMS {
            sent += fill::mark_batch_sent(store, &rig.clock, CLAIM).await?;
        }
        cost.wall += began.elapsed();
        cost.program += process::own_cpu()?.saturating_sub(program);
        cost.database += database.server_cpu()?.saturating_sub(server);
        ensure!(sent == CLAIM * CLAIMS, "{sent} jobs in {CLAIMS} claims");
        cost.messages += sent;
        fill::enqueue(store, sent, FILL).await?;
    }
    Ok(cost)
}

impl Cost {
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / count(self.messages)
    }

    /// Of both processes, for a message.
    fn micros(&self) -> f64 {
        self.each(self.program + self.database)
    }

    fn parts(&self, kind: Kind) -> String {
        let wall = self.each(self.wall);
        match kind {
            Kind::Sqlite => format!("{wall:.0} µs wall"),
            Kind::Postgres => format!(
                "program {:.0}, database {:.0}, {wall:.0} µs wall",
                self.each(self.program),
                self.each(self.database)
            ),
        }
    }
}
