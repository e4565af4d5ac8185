//! How the database is set, as far as that decides whether what was acknowledged is kept.

use super::db::{Pools, Tx};
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::time::Timestamp;

/// What `doctor` looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Sqlite {
        /// `wal`, or another.
        journal_mode: String,
        /// As the database itself has it.
        path: String,
    },
    Postgres(PostgresSettings),
}

/// What decides whether what PostgreSQL acknowledged is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is on or off by itself, as the server has them"
)]
pub struct PostgresSettings {
    /// As a number: 170002 is 17.2.
    pub version: i64,
    pub fsync: bool,
    pub full_page_writes: bool,
    /// A commit is on disk before it is answered.
    pub synchronous_commit: bool,
    pub autovacuum: bool,
    /// Copies of the log are kept, from which any moment can be restored.
    pub archive_mode: bool,
}

impl Store {
    /// The time that the database's own machine has; none: it is this one.
    pub async fn time_of_server(&self) -> Result<Option<Timestamp>, Error> {
        if let Pools::Sqlite { .. } = self.db.pools {
            return Ok(None);
        }
        let mut tx = self.db.read().await?;
        let row = tx.optional(sql("SELECT clock_timestamp() AS at")).await?;
        row.map(|row| row.time("at")).transpose()
    }

    pub async fn condition(&self) -> Result<Condition, Error> {
        let mut tx = self.db.read().await?;
        match self.db.pools {
            Pools::Sqlite { .. } => {
                let mode = sql("SELECT journal_mode AS mode FROM pragma_journal_mode()");
                let file = sql("SELECT file FROM pragma_database_list() WHERE name = 'main'");
                Ok(Condition::Sqlite {
                    journal_mode: text(&mut tx, mode, "mode").await?,
                    path: text(&mut tx, file, "file").await?,
                })
            }
            Pools::Postgres { .. } => {
                let stmt = sql(
                    "SELECT CAST(current_setting('server_version_num') AS bigint) AS version, \
                     current_setting('fsync') AS fsync, \
                     current_setting('full_page_writes') AS full_page_writes, \
                     current_setting('synchronous_commit') AS synchronous_commit, \
                     current_setting('autovacuum') AS autovacuum, \
                     current_setting('archive_mode') AS archive_mode",
                );
                let row = tx.optional(stmt).await?.ok_or(Error::Raced)?;
                let on = |column| Ok::<_, Error>(row.text(column)? != "off");
                Ok(Condition::Postgres(PostgresSettings {
                    version: row.int("version")?,
                    fsync: on("fsync")?,
                    full_page_writes: on("full_page_writes")?,
                    synchronous_commit: on("synchronous_commit")?,
                    autovacuum: on("autovacuum")?,
                    archive_mode: on("archive_mode")?,
                }))
            }
        }
    }
}

async fn text(tx: &mut Tx, stmt: super::stmt::Stmt, column: &'static str) -> Result<String, Error> {
    tx.optional(stmt).await?.ok_or(Error::Raced)?.text(column)
}
