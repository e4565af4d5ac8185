//! Pages of the contact history with 100,000 and with 20,000,000 entries side by side, and the search
//! for a client among 1,000,000: what staff wait for must not grow with the history.

use anyhow::{Context as _, ensure};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::role::Sight;
use sendtrail::store::Store;
use sendtrail::store::history::Filter;
use tokio::time::Instant;

use crate::database::{Database, Kind, Raw};
use crate::fill::BUSINESS;
use crate::report::{Figure, Report, Target, percentile};
use crate::rig::Rig;

/// Lines of one page.
const PAGE: usize = 50;
/// Entries of the one client whose history is read, in both databases.
const OF_CLIENT: usize = 10_000;
/// URLs of the small and the large history, where `history.sql` has filled them before.
const GIVEN: &str = "BENCH_HISTORIES";
/// The client whose history is read.
const CLIENT: &str = "C-0";
/// At most this many times the time that the small history takes.
const GROWTH_MAX: f64 = 1.5;

#[derive(Clone, Copy)]
enum Read {
    Client,
    ClientDeep,
    Everybody,
    EverybodyDeep,
    Find,
}

impl Read {
    const ALL: [Self; 5] = [
        Self::Client,
        Self::ClientDeep,
        Self::Everybody,
        Self::EverybodyDeep,
        Self::Find,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Client => "a client's first page",
            Self::ClientDeep => "a client's 100th page",
            Self::Everybody => "the report, first page",
            Self::EverybodyDeep => "the report, 100th page",
            Self::Find => "a client found by two words",
        }
    }
}

/// One filled database, and where its 100th pages begin.
struct Filled {
    database: Database,
    store: Store,
    of_client: NotificationId,
    of_all: NotificationId,
}

pub(crate) async fn measure(rig: &Rig, kind: Kind) -> anyhow::Result<Report> {
    if kind == Kind::Sqlite {
        let mut report = Report::new("pages, SQLite: measured by `history`");
        report.note("twenty million entries are for a server; this one is on PostgreSQL alone");
        return Ok(report);
    }
    let sizes = rig.sizes.histories;
    #[expect(clippy::disallowed_methods, reason = "of this bench alone")]
    let given = std::env::var(GIVEN);
    let (small, large) = match given {
        Ok(urls) => {
            let (small, large) = urls.split_once(' ').context("two URLs, a space between")?;
            let (small, large) = (Database::given(small), Database::given(large));
            (opened(rig, small).await?, opened(rig, large).await?)
        }
        Err(_none) => (
            fill(rig, kind, sizes[0]).await?,
            fill(rig, kind, sizes[1]).await?,
        ),
    };
    let walked = [scans(&small).await?, scans(&large).await?];
    let mut millis = [Read::ALL.map(|_| Vec::new()), Read::ALL.map(|_| Vec::new())];
    // Interleaved, so that a slow second of the machine is everybody's.
    for _ in 0..rig.sizes.pages {
        for (filled, millis) in [&small, &large].into_iter().zip(&mut millis) {
            for (read, millis) in Read::ALL.into_iter().zip(millis) {
                let began = Instant::now();
                one(filled, read).await?;
                millis.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let walks = scans(&small).await? + scans(&large).await? - walked[0] - walked[1];
    let report = told(sizes, &millis, walks);
    for filled in [small, large] {
        filled.store.close().await;
        filled.database.discard(rig).await?;
    }
    Ok(report)
}

fn told(sizes: [usize; 2], millis: &[[Vec<f64>; 5]; 2], walks: i64) -> Report {
    let [few, many] = sizes;
    let mut report = Report::new(format!(
        "pages, PostgreSQL: {PAGE} lines out of {few} and of {many} entries, one page at a time"
    ));
    for (number, read) in Read::ALL.into_iter().enumerate() {
        let [small, large] = millis
            .each_ref()
            .map(|of| of.get(number).map_or(&[][..], Vec::as_slice));
        let (small, median) = (percentile(small, 0.5), percentile(large, 0.5));
        report.add(&Figure {
            what: read.label(),
            value: median,
            unit: "ms p50",
            floor: Some(("the small history", small)),
            target: Target::AtMost(small * GROWTH_MAX),
            cost: format!(
                "p99 {:.3} ms, small p50 {small:.3} ms",
                percentile(large, 0.99)
            ),
        });
    }
    report.note(format!("sequential scans of the tables meanwhile: {walks}"));
    report
}

/// Filled by the server itself, statement by statement: `VACUUM` stands alone.
async fn fill(rig: &Rig, kind: Kind, entries: usize) -> anyhow::Result<Filled> {
    let database = Database::fresh(rig, kind, &format!("pages_{entries}")).await?;
    let mut raw = database.raw().await?;
    let text = include_str!("history.sql")
        .replace(":entries", &entries.to_string())
        .replace(":clients", &(entries / 20).max(100).to_string())
        .replace(":every", &(entries / OF_CLIENT).max(1).to_string());
    for statement in text.split(";\n\n") {
        raw.run(statement).await?;
    }
    drop(raw);
    opened(rig, database).await
}

async fn opened(rig: &Rig, database: Database) -> anyhow::Result<Filled> {
    let store = database.store(rig).await?;
    let of_client = deep(&store, Some(CLIENT)).await?;
    let of_all = deep(&store, None).await?;
    Ok(Filled {
        database,
        store,
        of_client,
        of_all,
    })
}

/// The last entry of the 99th page.
async fn deep(store: &Store, client: Option<&str>) -> anyhow::Result<NotificationId> {
    let mut after = None;
    for _ in 1..100 {
        let filter = Filter {
            client_id: client.map(str::to_owned),
            limit: PAGE,
            after,
            ..Filter::default()
        };
        let page = store.history(BUSINESS, &filter).await?;
        after = page.entries.last().map(|entry| entry.id);
    }
    after.context("no 100th page")
}

/// Of the tables that grow.
async fn scans(filled: &Filled) -> anyhow::Result<i64> {
    let mut raw: Raw = filled.database.raw().await?;
    let text = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname IN \
        ('contact_log', 'delivery_facts', 'clients', 'client_words')";
    // The counters are told of with some delay.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    raw.number(text).await
}

async fn one(filled: &Filled, read: Read) -> anyhow::Result<()> {
    let client = || Some(CLIENT.to_owned());
    let (client_id, after) = match read {
        Read::Client => (client(), None),
        Read::ClientDeep => (client(), Some(filled.of_client)),
        Read::Everybody => (None, None),
        Read::EverybodyDeep => (None, Some(filled.of_all)),
        Read::Find => {
            let found = filled
                .store
                .find_clients(BUSINESS, &Sight::All, "grace c")
                .await?;
            ensure!(!found.clients.is_empty(), "nobody was found");
            return Ok(());
        }
    };
    let filter = Filter {
        client_id,
        after,
        limit: PAGE,
        ..Filter::default()
    };
    let page = filled.store.history(BUSINESS, &filter).await?;
    ensure!(page.entries.len() == PAGE, "not a full page");
    Ok(())
}
