//! Pages of the contact history as the store reads them, beside a look-up of one row.

use anyhow::{Context as _, ensure};
use sendtrail::domain::id::NotificationId;
use sendtrail::store::Store;
use sendtrail::store::history::Filter;
use tokio::time::Instant;

use crate::database::{Database, Kind};
use crate::fill::{self, BUSINESS, Fill};
use crate::report::{Figure, Report, Target, percentile};
use crate::rig::Rig;

/// Lines of one page.
const PAGE: usize = 50;
const CLIENTS: usize = 1_000;
const TEXT: usize = 200;

/// Which page is read.
#[derive(Clone, Copy)]
enum Read {
    Row,
    Client,
    Everybody,
    Deep,
}

impl Read {
    const ALL: [Self; 4] = [Self::Row, Self::Client, Self::Everybody, Self::Deep];

    const fn label(self) -> &'static str {
        match self {
            Self::Row => "floor: one row by its key",
            Self::Client => "a client's newest page",
            Self::Everybody => "all clients, newest page",
            Self::Deep => "all clients, a page in the middle",
        }
    }
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    let entries = rig.sizes.entries;
    let database = Database::fresh(rig, kind, "history").await?;
    let store = database.store(rig).await?;
    let fill = Fill {
        clients: CLIENTS,
        text_bytes: TEXT,
        send_at: None,
    };
    let ids = fill::enqueue(&store, entries, fill).await?;
    fill::mark_sent(&store, &rig.clock).await?;
    if kind == Kind::Postgres {
        // As autovacuum will have done where so many entries are.
        database.raw().await?.run("VACUUM ANALYZE").await?;
    }
    let middle = *ids.get(ids.len() / 2).context("no entries")?;
    let mut millis = Read::ALL.map(|_| Vec::new());
    // Interleaved, so that a slow second of the machine is everybody's.
    for n in 0..rig.sizes.pages {
        for (read, millis) in Read::ALL.into_iter().zip(&mut millis) {
            let began = Instant::now();
            one(&store, read, n % CLIENTS, middle).await?;
            millis.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    store.close().await;
    database.discard(rig).await?;
    let mut report = Report::new(format!(
        "history, {}: pages of {PAGE} out of {entries} entries of {CLIENTS} clients, one at a time",
        kind.label()
    ));
    let floor = percentile(millis.first().context("no floor")?, 0.5);
    for (read, millis) in Read::ALL.into_iter().zip(&millis) {
        report.add(&Figure {
            what: read.label(),
            value: percentile(millis, 0.5),
            unit: "ms p50",
            floor: (!matches!(read, Read::Row)).then_some(("one row", floor)),
            target: Target::None,
            cost: format!("p99 {:.3} ms", percentile(millis, 0.99)),
        });
    }
    Ok(report)
}

async fn one(
    store: &Store,
    read: Read,
    client: usize,
    middle: NotificationId,
) -> anyhow::Result<()> {
    let client = format!("C-{client}");
    let filter = Filter {
        limit: PAGE,
        ..Filter::default()
    };
    let filter = match read {
        Read::Row => {
            ensure!(
                store.client_exists(BUSINESS, &client).await?,
                "no client {client}"
            );
            return Ok(());
        }
        Read::Client => Filter {
            client_id: Some(client),
            ..filter
        },
        Read::Everybody => filter,
        Read::Deep => Filter {
            after: Some(middle),
            ..filter
        },
    };
    let page = store.history(BUSINESS, &filter).await?;
    ensure!(!page.entries.is_empty(), "an empty page");
    Ok(())
}
