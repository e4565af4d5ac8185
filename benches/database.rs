//! Fresh databases of both kinds, and a plain connection beside the store's own.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sendtrail::store::Store;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tokio::time::Instant;

use crate::process;
use crate::rig::Rig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// One database with our schema.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    name: String,
    /// The process whose children serve it.
    server: Option<u32>,
}

/// Connections of a store opened here.
const CONNECTIONS: u32 = 20;
/// Between looks at a condition: a look costs the measured database a little.
const POLL: Duration = Duration::from_millis(20);

impl Database {
    pub(crate) async fn fresh(rig: &Rig, kind: Kind, name: &str) -> anyhow::Result<Self> {
        let (url, server) = match (kind, &rig.postgres) {
            (Kind::Sqlite, _) => {
                let path = rig.folder().join(format!("{name}.sqlite"));
                (format!("sqlite:{}", path.display()), None)
            }
            (Kind::Postgres, Some(server)) => {
                let mut admin = Raw::open(&server.url).await?;
                admin.run(&format!("CREATE DATABASE {name}")).await?;
                let base = server
                    .url
                    .trim_end_matches("postgres")
                    .trim_end_matches('/');
                (format!("{base}/{name}"), Some(server.pid))
            }
            (Kind::Postgres, None) => bail!("no PostgreSQL server was started"),
        };
        let database = Self {
            kind,
            url,
            name: name.to_owned(),
            server,
        };
        let store = database.store(rig).await?;
        store.migrate().await?;
        store.close().await;
        Ok(database)
    }

    /// One that somebody else has filled, and will drop.
    pub(crate) fn given(url: &str) -> Self {
        Self {
            kind: Kind::Postgres,
            url: url.to_owned(),
            name: String::new(),
            server: None,
        }
    }

    pub(crate) async fn store(&self, rig: &Rig) -> anyhow::Result<Store> {
        Ok(Store::open(&self.url, CONNECTIONS, rig.clock.clone()).await?)
    }

    pub(crate) async fn raw(&self) -> anyhow::Result<Raw> {
        Raw::open(&self.url).await
    }

    /// CPU time that a database server of its own has used so far; none where the database is part
    /// of our process.
    pub(crate) fn server_cpu(&self) -> anyhow::Result<Duration> {
        self.server
            .map_or(Ok(Duration::ZERO), process::cpu_of_family)
    }

    /// Gives its disk space back.
    pub(crate) async fn discard(self, rig: &Rig) -> anyhow::Result<()> {
        match (self.kind, &rig.postgres) {
            _ if self.name.is_empty() => Ok(()),
            (Kind::Postgres, Some(server)) => {
                let mut admin = Raw::open(&server.url).await?;
                admin
                    .run(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
                    .await?;
                // Else the next measure would pay for what this one has left to be written.
                admin.run("CHECKPOINT").await
            }
            (Kind::Postgres, None) => Ok(()),
            (Kind::Sqlite, _) => {
                for end in ["", "-wal", "-shm"] {
                    let path = rig.folder().join(format!("{}.sqlite{end}", self.name));
                    if path.exists() {
                        std::fs::remove_file(path)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// One plain connection. The texts given to it are literals of the benches.
#[derive(Debug)]
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    async fn open(url: &str) -> anyhow::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
            return Ok(Self::Sqlite(
                SqliteConnection::connect_with(&options).await?,
            ));
        }
        Ok(Self::Postgres(PgConnection::connect(url).await?))
    }

    pub(crate) async fn run(&mut self, text: &str) -> anyhow::Result<()> {
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        match self {
            Self::Sqlite(connection) => query.execute(connection).await.map(drop)?,
            Self::Postgres(connection) => query.execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    pub(crate) async fn number(&mut self, text: &str) -> anyhow::Result<i64> {
        let text = AssertSqlSafe(text.to_owned());
        Ok(match self {
            Self::Sqlite(connection) => sqlx::query_scalar(text).fetch_one(connection).await?,
            Self::Postgres(connection) => sqlx::query_scalar(text).fetch_one(connection).await?,
        })
    }

    /// Runs a statement with one text value, prepared once.
    pub(crate) async fn put(&mut self, text: &'static str, value: &str) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut args = sqlx::sqlite::SqliteArguments::default();
                add(&mut args, value)?;
                sqlx::query_with(text, args).execute(connection).await?;
            }
            Self::Postgres(connection) => {
                let mut args = sqlx::postgres::PgArguments::default();
                add(&mut args, value)?;
                sqlx::query_with(text, args).execute(connection).await?;
            }
        }
        Ok(())
    }

    /// Waits until nothing waits in the queue and nothing is in a worker's hands.
    pub(crate) async fn until_all_is_done(&mut self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let busy = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM jobs) \
                    OR EXISTS (SELECT 1 FROM claims) THEN 1 ELSE 0 END AS bigint)";
        while self.number(busy).await? != 0 {
            ensure!(
                Instant::now() < deadline,
                "the queue was not empty after {limit:?}"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(crate) async fn sent(&mut self) -> anyhow::Result<usize> {
        let sent = "SELECT CAST(COUNT(*) AS bigint) FROM delivery_facts WHERE sent_at IS NOT NULL";
        Ok(usize::try_from(self.number(sent).await?)?)
    }
}

fn add<'q, A: sqlx::Arguments>(args: &mut A, value: &str) -> anyhow::Result<()>
where
    String: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database> + 'q,
{
    args.add(value.to_owned())
        .map_err(anyhow::Error::from_boxed)
        .context("a value cannot be bound")
}
