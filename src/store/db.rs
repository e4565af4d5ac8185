//! The two databases behind four verbs. The only file that knows there are two drivers, and the
//! only one that vouches for dynamic SQL: statements grow from literals alone (see [`Stmt`]).

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, Connection as _, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool,
    Transaction,
};

use super::Error;
use super::row::Row;
use super::stmt::{Dialect, Stmt, sql};
use super::watch::Watch;
use crate::domain::id::NotificationId;
use crate::domain::trace::Step;

/// Where the data is kept.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) pools: Pools,
    pub(crate) watch: Watch,
    /// SQLite's writer overwrites all that is deleted. It does so still after a transaction that failed.
    overwrites: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
pub(crate) enum Pools {
    /// One writer, many readers: SQLite allows no more.
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
    },
    /// Group commits have connections of their own: a connection is served by the runtime that opened it.
    /// Where there are few in all, both are the same pool.
    Postgres { pool: PgPool, commits: PgPool },
}

/// One transaction. Dropped without `commit`, it is rolled back.
#[derive(Debug)]
pub(crate) struct Tx {
    open: Open,
    /// What its commit makes true, for whoever watches.
    told: Vec<Step>,
    watch: Watch,
    overwrites: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Long enough for a burst to drain, short enough that a caller with a dead database gets its 503
/// within the 15 s that Amazon SNS waits for an answer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long SQLite waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(6);
/// After this PostgreSQL itself ends a statement, in milliseconds: a page that takes longer helps
/// nobody, and a batch is a matter of milliseconds.
const STATEMENT_TIMEOUT_MILLIS: &str = "8000";
/// After this PostgreSQL ends a transaction whose program went silent, in milliseconds, so that its
/// locks cannot hold up the others.
const IDLE_TRANSACTION_TIMEOUT_MILLIS: &str = "30000";
/// How long a connection of the pool has to show that it is alive; well within `ACQUIRE_TIMEOUT`, so
/// that there is time for a new one.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// After this a database that does not answer at all is taken for gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of group commits: two kinds, two batches of each at the same time.
const COMMIT_CONNECTIONS: u32 = 4;
/// With fewer connections in all than this, group commits share them with everybody.
const CONNECTIONS_FOR_TWO_POOLS: u32 = 3 * COMMIT_CONNECTIONS;
/// Readers of the embedded database: pages and the API; more gain nothing on few cores.
const SQLITE_READERS: u32 = 8;

/// How long SQLite's write-ahead log may grow before it is copied into the database: a checkpoint
/// flushes both files while every writer waits. In pages of 4 KB; as many as the first block of the
/// log's index holds (sqlite.org/walformat.html).
const WAL_PAGES: &str = "4000";
/// Rows that SQLite's writer hands over without waiting until somebody takes them: those of a batch.
const ROWS_BUFFERED: usize = 1_000;

/// A longer statement is not kept prepared on SQLite: its text varies with the number of its rows, and
/// a hundred of them would hold tens of megabytes.
const KEPT_TEXT_MAX: usize = 4_096;

/// All that is read is of one moment. `READ COMMITTED` would see each statement's own: an entry that is
/// held, and not yet why.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Db {
    /// `sqlite:PATH` (made when it is absent) or `postgres://…`.
    pub(crate) async fn open(url: &str, connections_max: u32) -> Result<Self, Error> {
        if let Some(path) = sqlite_file(url) {
            return Self::open_sqlite(path).await;
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(Error::from)?
            .application_name("sendtrail")
            .options([
                // With the default of 4 the planner prefers a sequential scan of a long queue.
                ("random_page_cost", "1.1"),
                ("timezone", "UTC"),
                ("statement_timeout", STATEMENT_TIMEOUT_MILLIS),
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_TRANSACTION_TIMEOUT_MILLIS,
                ),
            ]);
        let pool = PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Both with a limit of time, which sqlx's own tests do not have: a connection whose
            // line went dead would hold its place in the pool for as long as TCP tries.
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(alive(connection)))
            .after_release(|connection, _| Box::pin(alive(connection)));
        let of = |connections: u32| {
            let pool = pool.clone().max_connections(connections);
            pool.connect_lazy_with(options.clone())
        };
        let pools = if connections_max >= CONNECTIONS_FOR_TWO_POOLS {
            Pools::Postgres {
                pool: of(connections_max - COMMIT_CONNECTIONS),
                commits: of(COMMIT_CONNECTIONS),
            }
        } else {
            let pool = of(connections_max);
            Pools::Postgres {
                commits: pool.clone(),
                pool,
            }
        };
        Ok(Self::of(pools))
    }

    async fn open_sqlite(path: &str) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .pragma("secure_delete", "fast")
            .pragma("temp_store", "memory");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // It is a file: there is no line that could be dead.
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone().row_buffer_size(ROWS_BUFFERED))
            .await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.read_only(true));
        Ok(Self::of(Pools::Sqlite { writer, reader }))
    }

    fn of(pools: Pools) -> Self {
        Self {
            pools,
            watch: Watch::default(),
            overwrites: Arc::default(),
        }
    }

    /// The same database for group commits.
    pub(crate) fn for_commits(&self) -> Self {
        let mut db = self.clone();
        if let Pools::Postgres { pool, commits } = &mut db.pools {
            *pool = commits.clone();
        }
        db
    }

    /// A snapshot to read from.
    pub(crate) async fn read(&self) -> Result<Tx, Error> {
        Ok(self.transaction(match &self.pools {
            Pools::Sqlite { reader, .. } => Open::Sqlite(in_time(reader.begin()).await?),
            Pools::Postgres { pool, .. } => {
                Open::Postgres(in_time(pool.begin_with(SNAPSHOT)).await?)
            }
        }))
    }

    pub(crate) async fn write(&self) -> Result<Tx, Error> {
        let mut tx = self.transaction(match &self.pools {
            Pools::Sqlite { writer, .. } => {
                Open::Sqlite(in_time(writer.begin_with("BEGIN IMMEDIATE")).await?)
            }
            Pools::Postgres { pool, .. } => Open::Postgres(in_time(pool.begin()).await?),
        });
        if self.overwrites.load(Ordering::Relaxed) {
            tx.overwrite(false).await?;
        }
        Ok(tx)
    }

    fn transaction(&self, open: Open) -> Tx {
        Tx {
            open,
            told: Vec::new(),
            watch: self.watch.clone(),
            overwrites: Arc::clone(&self.overwrites),
        }
    }

    /// Copies all that is committed into a new file; SQLite's alone. On a connection of its own: it may take
    /// as long as the database is large.
    pub(crate) async fn copy_to(&self, path: &str) -> Result<(), Error> {
        if let Pools::Sqlite { reader, .. } = &self.pools {
            let options = reader.connect_options();
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let (text, args) = sql("VACUUM INTO ").bind(path).for_sqlite()?;
            let copy = sqlx::query_with(AssertSqlSafe(text), args);
            copy.execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, commits } => {
                tokio::join!(commits.close(), pool.close());
            }
        }
    }
}

impl Tx {
    pub(crate) const fn dialect(&self) -> Dialect {
        match self.open {
            Open::Sqlite(_) => Dialect::Sqlite,
            Open::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What whoever watches learns with the commit. Asked for only where the notification is traced.
    pub(crate) fn tell(&mut self, of: NotificationId, step: impl FnOnce() -> Option<Step>) {
        if self.watch.takes(of) {
            self.told.extend(step());
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self.open {
            Open::Sqlite(tx) => in_time(tx.commit()).await?,
            Open::Postgres(tx) => in_time(tx.commit()).await?,
        }
        self.watch.tell(self.told);
        Ok(())
    }

    /// On SQLite, whether what is deleted is overwritten in the file wherever it stood, or only where that
    /// costs nothing more. Holds for the connection until the next transaction begins, at the latest.
    pub(crate) async fn overwrite(&mut self, everywhere: bool) -> Result<(), Error> {
        if let Open::Sqlite(tx) = &mut self.open {
            let pragma = if everywhere {
                "PRAGMA secure_delete = ON"
            } else {
                "PRAGMA secure_delete = FAST"
            };
            let query =
                sqlx::query_with(AssertSqlSafe(pragma.to_owned()), SqliteArguments::default());
            // Noted before it is so: one that is cut off may be so or not.
            self.overwrites.store(true, Ordering::Relaxed);
            in_time(query.fetch_all(&mut **tx)).await?;
            self.overwrites.store(everywhere, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Runs a statement; gives the number of rows it changed.
    pub(crate) async fn execute(&mut self, stmt: Stmt) -> Result<u64, Error> {
        Ok(match &mut self.open {
            Open::Sqlite(tx) => {
                let (text, args) = stmt.for_sqlite()?;
                let keep = text.len() <= KEPT_TEXT_MAX;
                let query = sqlx::query_with(AssertSqlSafe(text), args).persistent(keep);
                in_time(query.execute(&mut **tx)).await?.rows_affected()
            }
            Open::Postgres(tx) => {
                let (text, args) = stmt.for_postgres()?;
                let query = sqlx::query_with(AssertSqlSafe(text), args);
                in_time(query.execute(&mut **tx)).await?.rows_affected()
            }
        })
    }

    /// All rows; the statement itself must bound their number.
    pub(crate) async fn all(&mut self, stmt: Stmt) -> Result<Vec<Row>, Error> {
        Ok(match &mut self.open {
            Open::Sqlite(tx) => {
                let (text, args) = stmt.for_sqlite()?;
                let keep = text.len() <= KEPT_TEXT_MAX;
                let query = sqlx::query_with(AssertSqlSafe(text), args).persistent(keep);
                let rows = in_time(query.fetch_all(&mut **tx)).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Open::Postgres(tx) => {
                let (text, args) = stmt.for_postgres()?;
                let query = sqlx::query_with(AssertSqlSafe(text), args);
                let rows = in_time(query.fetch_all(&mut **tx)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub(crate) async fn optional(&mut self, stmt: Stmt) -> Result<Option<Row>, Error> {
        Ok(self.all(stmt).await?.into_iter().next())
    }
}

pub(super) fn sqlite_file(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path))
}

/// An error makes the pool drop the connection.
async fn alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ping = tokio::time::timeout(PING_TIMEOUT, connection.ping());
    ping.await
        .unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
        .map(|()| true)
}

/// The driver's answer, or `Unavailable` when there is none within [`ANSWER_TIMEOUT`].
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
        Ok(result) => Ok(result?),
        Err(_elapsed) => Err(Error::silent()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_that_fails_leaves_no_overwriting_behind() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("a.sqlite").display());
        let db = Db::open(&url, 2).await.unwrap();
        let setting = async |tx: &mut Tx| {
            let stmt = sql("SELECT secure_delete AS s FROM pragma_secure_delete");
            let row = tx.optional(stmt).await.unwrap().unwrap();
            row.int("s").unwrap()
        };
        let mut tx = db.write().await.unwrap();
        let usual = setting(&mut tx).await;
        tx.overwrite(true).await.unwrap();
        assert_ne!(setting(&mut tx).await, usual);
        tx.execute(sql("DELETE FROM nowhere")).await.unwrap_err();
        drop(tx);
        let mut tx = db.write().await.unwrap();
        assert_eq!(setting(&mut tx).await, usual);
        drop(tx);
        db.close().await;
    }
}
