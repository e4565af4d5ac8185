//! The schema's versions: pairs of files, one for each database, compiled in.

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, SqlSafeStr as _};
use tracing::warn;

use super::Error;
use super::db::{Db, Pools, in_time};
use super::stmt::sql;

/// Version, name, SQLite's text, PostgreSQL's text.
type Pair = (i64, &'static str, &'static str, &'static str);

/// A pair of files by their common name. The name begins with the version.
macro_rules! migration {
    ($version:literal, $name:literal) => {
        (
            $version,
            $name,
            include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        )
    };
}

const MIGRATIONS: &[Pair] = &[
    migration!(1, "0001_first"),
    migration!(2, "0002_queue"),
    migration!(3, "0003_providers"),
    migration!(4, "0004_suppressions"),
    migration!(5, "0005_content"),
    migration!(6, "0006_ways_in"),
    migration!(7, "0007_feedback"),
    migration!(8, "0008_consequences"),
    migration!(9, "0009_webhooks"),
    migration!(10, "0010_texts"),
    migration!(11, "0011_feedback_result"),
    migration!(12, "0012_tracking"),
    migration!(13, "0013_staff_accounts"),
    migration!(14, "0014_pages"),
    migration!(15, "0015_who"),
    migration!(16, "0016_counts"),
    migration!(17, "0017_causes"),
    migration!(18, "0018_privacy"),
    migration!(19, "0019_operations"),
    migration!(20, "0020_keeping"),
    migration!(21, "0021_clicks"),
    migration!(22, "0022_signals"),
    migration!(23, "0023_floor"),
];

/// How long a step waits for a table that a transaction holds: whoever comes after a step that waits, waits
/// with it, and this is well within what a statement of theirs may take.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";
/// PostgreSQL's `lock_not_available`.
const LOCKED: &str = "55P03";

/// Several processes may do this at once: PostgreSQL's runs under an advisory lock, SQLite's in one
/// transaction that holds the write lock from its start. A schema that is newer than this program, and that
/// it can work with, stays as it is.
pub(super) async fn run(db: &Db) -> Result<(), Error> {
    let done = match &db.pools {
        Pools::Sqlite { writer, .. } => {
            let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
            let done = migrator(|m| m.2).run(&mut *tx).await;
            if done.is_ok() {
                tx.commit().await?;
            }
            done
        }
        Pools::Postgres { pool, .. } => {
            // On a connection of its own: a step may take longer than a statement may elsewhere.
            let options = pool.connect_options();
            let options = (*options).clone().options([("statement_timeout", "0")]);
            let mut connection = in_time(PgConnection::connect_with(&options)).await?;
            let done = migrate(&mut connection).await;
            connection.close().await?;
            done
        }
    };
    match done {
        // Found before the first step: applied by a program that knows more steps than this one.
        Err(MigrateError::VersionMissing(found)) => {
            if is_newer_and_fit(db).await? {
                return Ok(());
            }
            Err(newer(found))
        }
        other => other.map_err(failed),
    }
}

/// Another process that migrates is waited for as long as it takes; a transaction that holds a table is not.
async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    connection.lock().await?;
    connection.execute(LOCK_TIMEOUT).await?;
    let mut migrator = migrator(|m| m.3);
    migrator.set_locking(false).run(&mut *connection).await?;
    connection.unlock().await
}

fn failed(error: MigrateError) -> Error {
    if let MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) = &error
        && let Some(database) = source.as_database_error()
        && database.code().as_deref() == Some(LOCKED)
    {
        return Error::Schema(
            "a transaction that has been open for a while holds a table that the schema's next step changes, \
             and the step did not wait for longer than 3 seconds, because all others would have waited behind \
             it. Nothing of the step was done. Find the transaction (SELECT pid, xact_start, application_name \
             FROM pg_stat_activity WHERE xact_start < now() - interval '3 seconds'), let it end, and run \
             `sendtrail migrate` again"
                .to_owned(),
        );
    }
    if let MigrateError::Execute(source) = error {
        Error::from(source)
    } else {
        Error::Schema(format!(
            "the schema could not be brought up to date: {error}"
        ))
    }
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.0)
}

fn newer(found: i64) -> Error {
    let known = newest();
    Error::Schema(format!(
        "the schema is at version {found}, newer than this program's {known}, and has no more what this \
         program uses: use the newer program"
    ))
}

fn migrator(text: impl Fn(&Pair) -> &'static str) -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|migration| {
            let sql = text(migration).into_sql_str();
            Migration::new(
                migration.0,
                migration.1.into(),
                MigrationType::Simple,
                sql,
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

/// The newest version that was applied is the newest that this program knows, or a later one that it can
/// work with.
pub(super) async fn check(db: &Db) -> Result<(), Error> {
    let found = applied(db).await?;
    if found > newest() {
        if !is_fit(db).await? {
            return Err(newer(found));
        }
        warn!(
            schema = found,
            known = newest(),
            "the schema is newer than this program, which works with it for the time of a deploy: \
             replace the program by the newer one"
        );
    }
    at_least(found)
}

/// A later program brought the schema on, and left what this one uses.
pub(super) async fn is_newer_and_fit(db: &Db) -> Result<bool, Error> {
    Ok(applied(db).await? > newest() && is_fit(db).await?)
}

/// Of a newer schema: it has all that this program uses.
async fn is_fit(db: &Db) -> Result<bool, Error> {
    let mut tx = db.read().await?;
    let floor = tx
        .optional(sql("SELECT MAX(oldest) AS oldest FROM schema_floor"))
        .await?;
    let floor = floor.map(|row| row.opt_int("oldest")).transpose()?;
    // Without one nobody knows.
    Ok(floor.flatten().is_some_and(|oldest| oldest <= newest()))
}

/// It is that or a newer one.
pub(super) async fn check_at_least(db: &Db) -> Result<(), Error> {
    at_least(applied(db).await?)
}

fn at_least(found: i64) -> Result<(), Error> {
    let known = newest();
    if found < known {
        return Err(Error::Schema(format!(
            "the schema is at version {found}, this program needs {known}: run `sendtrail migrate`"
        )));
    }
    Ok(())
}

/// The newest version that was applied; 0: none.
async fn applied(db: &Db) -> Result<i64, Error> {
    let mut tx = db.read().await?;
    let found = tx
        .optional(sql(
            "SELECT CAST(MAX(version) AS bigint) AS v FROM _sqlx_migrations",
        ))
        .await;
    match found {
        Ok(row) => Ok(row
            .map(|row| row.opt_int("v"))
            .transpose()?
            .flatten()
            .unwrap_or(0)),
        // No such table: nothing was ever applied.
        Err(Error::Statement(_)) => Ok(0),
        Err(other) => Err(other),
    }
}
