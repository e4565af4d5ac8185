//! A fresh, migrated database for every test, of both kinds.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use sendtrail::clock::Clock;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Row as _, SqliteConnection, SqlitePool};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Makes of each named `async fn(&TestDb)` a test on SQLite and a test on PostgreSQL.
macro_rules! both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::support::db::on_sqlite(super::$test).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::support::db::on_postgres(super::$test).await;
            })+
        }
    };
}
pub(crate) use both;

/// When every test begins.
pub(crate) const START: &str = "2027-01-01T09:00:00Z";

/// Connections of one store: enough for the concurrent tests, few enough for many tests at once.
const CONNECTIONS: u32 = 8;

pub(crate) struct TestDb {
    pub(crate) store: Store,
    /// Stands still at [`START`] until the test moves it.
    pub(crate) clock: Clock,
    pub(crate) url: String,
    raw: Raw,
}

/// Access beside the store, as a dashboard or an operator has it.
enum Raw {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

pub(crate) enum Session {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Session {
    pub(crate) async fn execute(&mut self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => drop(sql.execute(connection).await.unwrap()),
            Self::Postgres(connection) => drop(sql.execute(connection).await.unwrap()),
        }
    }
}

impl TestDb {
    pub(crate) async fn open(url: String) -> Self {
        let clock = Clock::manual(Timestamp::parse(START).unwrap());
        let store = Store::open(&url, CONNECTIONS, clock.clone()).await.unwrap();
        let raw = if let Some(path) = url.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .busy_timeout(Duration::from_secs(10));
            Raw::Sqlite(SqlitePoolOptions::new().connect_lazy_with(options))
        } else {
            let options = PgPoolOptions::new().max_connections(2);
            Raw::Postgres(options.connect_lazy(&url).unwrap())
        };
        Self {
            store,
            clock,
            url,
            raw,
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.raw, Raw::Postgres(_))
    }

    /// Another program on the same database.
    pub(crate) async fn another_store(&self) -> Store {
        Store::open(&self.url, CONNECTIONS, self.clock.clone())
            .await
            .unwrap()
    }

    /// The address of the PostgreSQL server.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server_text().parse().unwrap()
    }

    /// The same database by another way.
    pub(crate) fn url_by(&self, way: SocketAddr) -> String {
        self.url.replacen(self.server_text(), &way.to_string(), 1)
    }

    fn server_text(&self) -> &str {
        let (_, rest) = self.url.rsplit_once('@').expect("a URL with a user");
        rest.split_once('/').expect("a URL with a database").0
    }

    /// Moves the clock on and returns the new time.
    pub(crate) fn pass(&self, span: Duration) -> Timestamp {
        let now = self.clock.now().plus(span);
        self.clock.set(now);
        now
    }

    /// Runs any statements.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.raw {
            Raw::Sqlite(pool) => drop(sql.execute(pool).await.unwrap()),
            Raw::Postgres(pool) => drop(sql.execute(pool).await.unwrap()),
        }
    }

    /// A connection that keeps its transaction between calls.
    pub(crate) async fn session(&self) -> Session {
        match &self.raw {
            Raw::Sqlite(pool) => Session::Sqlite(pool.acquire().await.unwrap().detach()),
            Raw::Postgres(pool) => Session::Postgres(pool.acquire().await.unwrap().detach()),
        }
    }

    /// The rows of any query, every value as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        macro_rules! texts {
            ($pool:expr) => {
                sql.fetch_all($pool)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| {
                        (0..row.len())
                            .map(|i| row.try_get_unchecked(i).unwrap())
                            .collect()
                    })
                    .collect()
            };
        }
        match &self.raw {
            Raw::Sqlite(pool) => texts!(pool),
            Raw::Postgres(pool) => texts!(pool),
        }
    }

    /// The first column of a query's rows.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.rows(sql).await;
        rows.into_iter()
            .map(|row| row.into_iter().next().flatten().unwrap_or_default())
            .collect()
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> usize {
        let counts = self.texts(&format!("SELECT COUNT(*) FROM {table}")).await;
        counts[0].parse().unwrap()
    }

    pub(crate) async fn close(self) {
        self.store.close().await;
        match &self.raw {
            Raw::Sqlite(pool) => pool.close().await,
            Raw::Postgres(pool) => pool.close().await,
        }
    }
}

pub(crate) async fn on_sqlite(body: impl AsyncFnOnce(&TestDb)) {
    sqlite(true, body).await;
}

pub(crate) async fn on_postgres(body: impl AsyncFnOnce(&TestDb)) {
    postgres(true, body).await;
}

/// A database in a new folder.
pub(crate) async fn sqlite(migrated: bool, body: impl AsyncFnOnce(&TestDb)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.sqlite");
    if migrated {
        let template = SQLITE_TEMPLATE.get_or_init(sqlite_template).await;
        std::fs::write(&path, template).unwrap();
    }
    let url = format!("sqlite:{}", path.display());
    run(TestDb::open(url).await, body).await;
}

/// A database of its own in the cluster, dropped when the test ends, well or not.
pub(crate) async fn postgres(migrated: bool, body: impl AsyncFnOnce(&TestDb)) {
    postgres_at(cluster(), migrated, body).await;
}

/// The same in another cluster.
pub(crate) async fn postgres_at(cluster: String, migrated: bool, body: impl AsyncFnOnce(&TestDb)) {
    let name = format!("sendtrail_test_{}", Uuid::new_v7(uuid_now()).simple());
    let template = if migrated && cluster == self::cluster() {
        POSTGRES_TEMPLATE.get_or_init(postgres_template).await
    } else {
        "template1"
    };
    in_cluster(
        &cluster,
        format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await;
    let url = sibling(&cluster, &name);
    if migrated && template == "template1" {
        migrate(&url).await;
    }
    let body = async |db: &TestDb| body(db).await;
    let result = AssertUnwindSafe(async { run(TestDb::open(url).await, body).await })
        .catch_unwind()
        .await;
    in_cluster(&cluster, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// A migrated database, whose copy takes a tenth of the time that the migrations take.
static SQLITE_TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
/// The name of one in the cluster of the tests.
static POSTGRES_TEMPLATE: OnceCell<String> = OnceCell::const_new();

async fn sqlite_template() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.sqlite");
    migrate(&format!("sqlite:{}", path.display())).await;
    std::fs::read(path).unwrap()
}

/// Made by whichever process of tests comes first, and left to the next: it bears the digest of the
/// migrations in its name. It is filled under another name, so that one that was cut off is no template.
async fn postgres_template() -> String {
    let cluster = cluster();
    let name = format!("sendtrail_template_{:016x}", digest_of_migrations());
    let mut admin = PgConnection::connect(&cluster).await.unwrap();
    let mut execute = async |sql: String| {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await;
        done.unwrap().rows_affected()
    };
    execute("SELECT pg_advisory_lock(hashtext('sendtrail_template'))".to_owned()).await;
    let known = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
    if execute(known).await == 0 {
        execute(format!("DROP DATABASE IF EXISTS {name}_begun WITH (FORCE)")).await;
        execute(format!("CREATE DATABASE {name}_begun")).await;
        migrate(&sibling(&cluster, &format!("{name}_begun"))).await;
        execute(format!("ALTER DATABASE {name}_begun RENAME TO {name}")).await;
    }
    admin.close().await.unwrap();
    name
}

fn digest_of_migrations() -> u64 {
    let mut hasher = DefaultHasher::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        std::fs::read(path).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}

async fn migrate(url: &str) {
    let store = Store::open(url, CONNECTIONS, Clock::system())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

async fn run(db: TestDb, body: impl AsyncFnOnce(&TestDb)) {
    let result = AssertUnwindSafe(body(&db)).catch_unwind().await;
    db.close().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[expect(clippy::disallowed_methods, reason = "not a setting of the program")]
fn cluster() -> String {
    std::env::var("TEST_POSTGRES_URL").expect(
        "TEST_POSTGRES_URL names no PostgreSQL for the tests: run scripts/test, which starts one",
    )
}

fn uuid_now() -> uuid::Timestamp {
    let now = Clock::system().now().as_millis().unsigned_abs();
    uuid::Timestamp::from_unix(uuid::NoContext, now / 1000, 0)
}

/// The URL of another database of the same cluster.
fn sibling(url: &str, database: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| {
            (base, format!("?{query}"))
        });
    let (server, _) = base.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}{query}")
}

async fn in_cluster(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
