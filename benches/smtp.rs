//! Email from a ready backlog to the last recorded outcome, beside what Postfix's own generator
//! sends to the same sink.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::process::{Server, Sink};
use crate::report::{Figure, Report, Target, cpu_each, median, per_second};
use crate::rig::Rig;

/// Bytes of text in one message.
const TEXT: usize = 2_000;
const CLIENTS: usize = 1_000;
/// For a whole backlog.
const DRAIN_LIMIT: Duration = Duration::from_mins(5);
const LEAST: f64 = 0.5;

/// One round of ours.
struct Drained {
    took: Duration,
    worker: Duration,
    database: Duration,
    sink: Duration,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let emails = rig.sizes.emails;
    let sink = Sink::start().await?;
    let (mut kept, mut anew, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let mut costs = Vec::new();
    for round in 0..rig.sizes.rounds {
        kept.push(per_second(
            emails,
            sink.source(emails, TEXT, &["-d"]).await?,
        ));
        anew.push(per_second(emails, sink.source(emails, TEXT, &[]).await?));
        let drained = drain(rig, kind, &sink, round).await?;
        ours.push(per_second(emails, drained.took));
        costs.push(drained);
    }
    let (kept, anew, ours) = (median(&kept), median(&anew), median(&ours));
    let mut report = Report::new(format!(
        "smtp, {}: {emails} emails of {TEXT} bytes from the start of a worker to the last record",
        kind.label()
    ));
    let cost = costs.last().map_or_else(String::new, |last| {
        let mut cost = cpu_each("worker", last.worker, emails);
        if kind == Kind::Postgres {
            cost = format!("{cost}, {}", cpu_each("database", last.database, emails));
        }
        format!("{cost}, {}", cpu_each("sink", last.sink, emails))
    });
    report.add(&Figure {
        what: "sendtrail",
        value: ours,
        unit: "emails/s",
        floor: Some(("smtp-source -d", kept)),
        target: Target::TimesFloor(LEAST),
        cost,
    });
    report.plain(
        "floor: smtp-source -s 16 -d, connections kept",
        kept,
        "emails/s",
        "",
    );
    report.add(&Figure {
        what: "sendtrail",
        value: ours,
        unit: "emails/s",
        floor: Some(("smtp-source", anew)),
        target: Target::TimesFloor(LEAST),
        cost: String::new(),
    });
    report.plain(
        "floor: smtp-source -s 16, a connection each",
        anew,
        "emails/s",
        "",
    );
    Ok(report)
}

async fn drain(rig: &Rig, kind: Kind, sink: &Sink, round: usize) -> anyhow::Result<Drained> {
    let emails = rig.sizes.emails;
    let database = Database::fresh(rig, kind, &format!("smtp_{round}")).await?;
    let store = database.store(rig).await?;
    let fill = Fill {
        clients: CLIENTS,
        text_bytes: TEXT,
        send_at: None,
    };
    fill::enqueue(&store, emails, fill).await?;
    store.close().await;
    let mut raw = database.raw().await?;
    let (database_before, sink_before) = (database.server_cpu()?, sink.cpu()?);
    let began = Instant::now();
    let worker = Server::sendtrail(&database.url, "worker", Some(sink.port)).await?;
    raw.until_all_is_done(DRAIN_LIMIT).await?;
    let drained = Drained {
        took: began.elapsed(),
        worker: worker.cpu()?,
        database: database.server_cpu()?.saturating_sub(database_before),
        sink: sink.cpu()?.saturating_sub(sink_before),
    };
    drop(worker);
    let sent = raw.sent().await?;
    ensure!(sent == emails, "{sent} of {emails} are recorded as sent");
    drop(raw);
    database.discard(rig).await?;
    Ok(drained)
}
