//! The resident set of a worker with a short and with a long backlog: waiting, with a trickle of
//! mail going out, and with everything due at once.

use std::time::Duration;

use sendtrail::domain::time::Timestamp;
use tokio::time::Instant;

use crate::database::{Database, Kind};
use crate::fill::{self, Fill};
use crate::process::{Memory, Server, Sink};
use crate::report::{Figure, Report, Target, count};
use crate::rig::Rig;

const CLIENTS: usize = 10_000;
/// Short: bodies wait in their own table and are read a batch at a time.
const TEXT: usize = 200;
const MOST_MEGABYTES: f64 = 150.0;
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// Notifications enqueued beside each sample of the trickle.
const TRICKLE: usize = 50;
/// Long after the measurement.
const WAIT: Duration = Duration::from_hours(24 * 30);

/// What a worker's memory was while it was watched.
struct Watched {
    highest: f64,
    peak: f64,
    sent: usize,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let sink = Sink::start().await?;
    let database = Database::fresh(rig, kind, "memory").await?;
    let mut report = Report::new(format!(
        "memory, {}: resident set of a worker",
        kind.label()
    ));
    let mut shortest = None;
    let mut waiting = 0;
    for backlog in rig.sizes.backlogs {
        let store = database.store(rig).await?;
        let send_at = Some(rig.clock.now().plus(WAIT));
        let fill = Fill {
            clients: CLIENTS,
            text_bytes: TEXT,
            send_at,
        };
        fill::enqueue(&store, backlog - waiting, fill).await?;
        store.close().await;
        waiting = backlog;
        for due in [false, true] {
            let watched = watch(rig, &database, &sink, due).await?;
            // What was sent of the backlog is missing from the next one; it is few.
            let what = if due {
                "all due, draining"
            } else {
                "waiting, a trickle goes out"
            };
            let first = *shortest.get_or_insert(watched.highest);
            report.add(&Figure {
                what: &format!("{} jobs {what}", crate::report::number(count(backlog))),
                value: watched.highest,
                unit: "MB",
                floor: Some(("the first", first)),
                target: Target::AtMost(MOST_MEGABYTES),
                cost: format!(
                    "peak {:.0} MB, {} sent meanwhile",
                    watched.peak, watched.sent
                ),
            });
        }
    }
    database.discard(rig).await?;
    Ok(report)
}

/// Watches a fresh worker. With `due`, all waiting jobs are made due for it, and what is left of
/// them waits again afterwards.
async fn watch(rig: &Rig, database: &Database, sink: &Sink, due: bool) -> anyhow::Result<Watched> {
    let mut raw = database.raw().await?;
    if due {
        set_due(&mut raw, database.kind, rig.clock.now()).await?;
    }
    let before = raw.sent().await?;
    let worker = Server::sendtrail(&database.url, "worker", Some(sink.port)).await?;
    let store = database.store(rig).await?;
    let until = Instant::now() + Duration::from_secs(rig.sizes.watch_seconds);
    let (mut highest, mut peak) = (0.0_f64, 0.0_f64);
    while Instant::now() < until {
        if !due {
            let fill = Fill {
                clients: CLIENTS,
                text_bytes: TEXT,
                send_at: None,
            };
            fill::enqueue(&store, TRICKLE, fill).await?;
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
        let memory = Memory::of(worker.pid)?;
        highest = highest.max(memory.now);
        peak = peak.max(memory.peak);
    }
    drop(worker);
    store.close().await;
    let sent = raw.sent().await? - before;
    if due {
        set_due(&mut raw, database.kind, rig.clock.now().plus(WAIT)).await?;
    }
    Ok(Watched {
        highest,
        peak,
        sent,
    })
}

async fn set_due(raw: &mut crate::database::Raw, kind: Kind, at: Timestamp) -> anyhow::Result<()> {
    let at = match kind {
        Kind::Sqlite => at.as_millis().to_string(),
        Kind::Postgres => format!("'{at}'"),
    };
    raw.run(&format!("UPDATE jobs SET due_at = {at}")).await?;
    if kind == Kind::Postgres {
        raw.run("VACUUM ANALYZE jobs").await?;
    }
    Ok(())
}
