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
    let small = fill(rig, kind, sizes[0]).await?;
    let large = fill(rig, kind, sizes[1]).await?;
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
        let [small, large] = millis.each_ref().map(|of| of.get(number).map_or(&[][..], Vec::as_slice));
        let (small, median) = (percentile(small, 0.5), percentile(large, 0.5));
        report.add(&Figure {
            what: read.label(),
            value: median,
            unit: "ms p50",
            floor: Some(("the small history", small)),
            target: Target::AtMost(small * GROWTH_MAX),
            cost: format!("p99 {:.3} ms, small p50 {small:.3} ms", percentile(large, 0.99)),
        });
    }
    report.note(format!("sequential scans of the tables meanwhile: {walks}"));
    report
}

/// Made by the server itself: through the store, it would take hours.
async fn fill(rig: &Rig, kind: Kind, entries: usize) -> anyhow::Result<Filled> {
    let database = Database::fresh(rig, kind, &format!("pages_{entries}")).await?;
    let mut raw = database.raw().await?;
    let clients = (entries / 20).max(100);
    let every = (entries / OF_CLIENT).max(1);
    raw.run("SET work_mem = '64MB'; SET maintenance_work_mem = '512MB'; SET synchronous_commit = off").await?;
    raw.run(&format!(
        "INSERT INTO clients (uid, business_id, client_id, name, email, phone, created_at) \
         SELECT md5('client ' || n)::uuid, '{BUSINESS}', 'C-' || n, \
         (ARRAY['Ana','Bjorn','Chiara','Dimitri','Ewa','Farid','Grace','Hiroko'])[1 + n % 8] || ' ' || \
         initcap(substr(md5('name ' || n), 1, 6)), 'client-' || n || '@example.com', \
         '+3519' || lpad(n::text, 8, '0'), now() FROM generate_series(0, {clients} - 1) AS n"
    ))
    .await?;
    // Built at the end they take a fraction of the time.
    raw.run("DROP INDEX contact_log_by_client; DROP INDEX contact_log_by_business").await?;
    raw.run(&format!(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, contact_type, \
         manual, address, priority, tags) \
         SELECT e.id, '{BUSINESS}', md5('client ' || e.client)::uuid, e.date, 'email', 'Outbound', \
         'Booking confirmation', 'Client Notifications', false, 'client-' || e.client || '@example.com', \
         'normal', '[\"booking\"]' FROM (SELECT n, \
         CASE WHEN n % {every} = 0 THEN 0 ELSE 1 + (n * 7919) % ({clients} - 1) END AS client, \
         timestamptz '2026-01-01' + n * interval '1 second' AS date, {ID} AS id \
         FROM generate_series(0::bigint, {entries} - 1) AS n) e"
    ))
    .await?;
    raw.run(&format!(
        "INSERT INTO delivery_facts (notification_id, sent_at, provider, opens_tracked, delivered_at, \
         opened_first_at, opened_last_at, opened_count, clicked_count) \
         SELECT {ID}, timestamptz '2026-01-01' + n * interval '1 second', 'ses', true, \
         timestamptz '2026-01-01' + n * interval '1 second', \
         CASE WHEN n % 3 = 0 THEN timestamptz '2026-01-02' + n * interval '1 second' END, \
         CASE WHEN n % 3 = 0 THEN timestamptz '2026-01-02' + n * interval '1 second' END, \
         CASE WHEN n % 3 = 0 THEN 1 ELSE 0 END, 0 FROM generate_series(0::bigint, {entries} - 1) AS n"
    ))
    .await?;
    raw.run("CREATE INDEX contact_log_by_client ON contact_log (client_uid, id DESC)").await?;
    raw.run("CREATE INDEX contact_log_by_business ON contact_log (business_id, id DESC)").await?;
    raw.run("VACUUM ANALYZE").await?;
    drop(raw);
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

/// A UUIDv7 (RFC 9562) of the second `n`.
const ID: &str = "(lpad(to_hex((extract(epoch FROM timestamptz '2026-01-01')::bigint + n) * 1000), 12, '0') \
    || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid";

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
            let found = filled.store.find_clients(BUSINESS, &Sight::All, "grace c").await?;
            ensure!(!found.is_empty(), "nobody was found");
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
