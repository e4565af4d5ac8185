//! A database of its own for each test, and plain SQL to look at what the program left in it.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::Store;
use sendtrail::store::enqueue::{ClientRef, ContentSource, Enqueue, Enqueued, NewNotification};
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) struct Database {
    kind: Kind,
    url: String,
    _folder: tempfile::TempDir,
}

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Connections of a store that a test opens itself.
const CONNECTIONS: u32 = 4;
/// Notifications in one call to the store.
const ENQUEUE_BATCH: usize = 1_000;

impl Database {
    /// Empty. PostgreSQL's goes with the throw-away server, SQLite's with this value.
    pub(crate) async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("test.sqlite").display()),
            Kind::Postgres => create_in_cluster().await,
        };
        Self {
            kind,
            url,
            _folder: folder,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The store on this database, its schema in place.
    pub(crate) async fn store(&self) -> Store {
        let store = Store::open(&self.url, CONNECTIONS, Clock::system());
        let store = store.await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// Enqueues that many emails, as a program did that has ended since. Returns their ids.
    pub(crate) async fn fill(&self, count: usize) -> BTreeSet<String> {
        let store = self.store().await;
        let mut ids = BTreeSet::new();
        for from in (0..count).step_by(ENQUEUE_BATCH) {
            let numbers = from..count.min(from + ENQUEUE_BATCH);
            let request = Enqueue {
                business: "default".to_owned(),
                notifications: numbers.map(email).collect(),
            };
            let Enqueued::Done(tickets) = store.enqueue(request).await.unwrap() else {
                panic!("refused")
            };
            ids.extend(tickets.iter().map(|ticket| ticket.id.to_string()));
        }
        store.close().await;
        ids
    }

    /// The first column of every row; the statement casts it to text.
    pub(crate) async fn column(&self, statement: &'static str) -> Vec<String> {
        match self.kind {
            Kind::Sqlite => {
                let path = self.url.trim_start_matches("sqlite:");
                let url = format!("sqlite:{path}?mode=ro");
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let rows = sqlx::raw_sql(statement).fetch_all(&mut connection).await;
                rows.unwrap().iter().map(|row| row.get(0)).collect()
            }
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let rows = sqlx::raw_sql(statement).fetch_all(&mut connection).await;
                rows.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    pub(crate) async fn set(&self, statement: &'static str) -> BTreeSet<String> {
        self.column(statement).await.into_iter().collect()
    }

    /// The number that the statement counts.
    pub(crate) async fn count(&self, statement: &'static str) -> usize {
        let rows = self.column(statement).await;
        rows.first().unwrap().parse().unwrap()
    }

    /// Waits until no job waits and none is in a worker's hands.
    pub(crate) async fn all_done(&self, at_most: Duration) {
        const LEFT: &str = "SELECT CAST((SELECT COUNT(*) FROM jobs) + \
                            (SELECT COUNT(*) FROM claims) AS TEXT)";
        let started = Instant::now();
        loop {
            let left = self.count(LEFT).await;
            if left == 0 {
                return;
            }
            assert!(
                started.elapsed() < at_most,
                "{left} jobs and claims are left"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ids of the notifications that are recorded as sent.
    pub(crate) async fn sent(&self) -> BTreeSet<String> {
        const SENT: &str = "SELECT CAST(notification_id AS TEXT) FROM delivery_facts \
                            WHERE sent_at IS NOT NULL";
        self.set(SENT).await
    }

    /// Ids of the notifications with an attempt whose outcome is not known.
    pub(crate) async fn unknown(&self) -> BTreeSet<String> {
        const UNKNOWN: &str = "SELECT CAST(notification_id AS TEXT) FROM delivery_attempts \
                               WHERE outcome = 'unknown'";
        self.set(UNKNOWN).await
    }

    /// Each status in the contact history with its number of entries, as `Sent 10`.
    pub(crate) async fn statuses(&self) -> Vec<String> {
        const STATUSES: &str = "SELECT status || ' ' || CAST(COUNT(*) AS TEXT) \
                                FROM contact_history GROUP BY status ORDER BY status";
        self.column(STATUSES).await
    }
}

fn email(number: usize) -> NewNotification {
    let to = format!("client-{number}@example.com");
    NewNotification {
        client: ClientRef {
            id: format!("C-{}", number % 100),
            ..ClientRef::default()
        },
        method: Method::Email,
        to: Some(Address::parse(Method::Email, &to).unwrap()),
        type_name: "Booking confirmation".to_owned(),
        contact_type: "Client Notifications".to_owned(),
        content: ContentSource::New(Content::Email {
            subject: format!("Booking {number}"),
            text: Some("See you on Monday.".to_owned()),
            html: None,
        }),
        staff_id: None,
        send_at: None,
        expires_at: None,
        priority: Priority::Normal,
        idempotency: None,
        metadata: None,
        resend_of: None,
    }
}

/// A new database in the cluster that `scripts/test` started; its URL.
async fn create_in_cluster() -> String {
    let cluster = std::env::var_os("TEST_POSTGRES_URL");
    let cluster = cluster.expect("TEST_POSTGRES_URL is not set: run scripts/test");
    let cluster = cluster.into_string().unwrap();
    let (server, _postgres) = cluster.rsplit_once('/').unwrap();
    let clock = Clock::system();
    let name = format!("system_{}", clock.new_uuid(clock.now()).simple());
    let mut connection = PgConnection::connect(&cluster).await.unwrap();
    let statement = format!("CREATE DATABASE {name}");
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
    statement.execute(&mut connection).await.unwrap();
    format!("{server}/{name}")
}
