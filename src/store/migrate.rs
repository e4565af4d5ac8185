//! The schema's versions: pairs of files, one for each database, compiled in.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, SqlSafeStr as _};

use super::Error;
use super::db::{Db, in_time};
use super::stmt::sql;

/// Version, name, SQLite's text, PostgreSQL's text.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "first",
        include_str!("../../migrations/sqlite/0001_first.sql"),
        include_str!("../../migrations/postgres/0001_first.sql"),
    ),
    (
        2,
        "queue",
        include_str!("../../migrations/sqlite/0002_queue.sql"),
        include_str!("../../migrations/postgres/0002_queue.sql"),
    ),
    (
        3,
        "providers",
        include_str!("../../migrations/sqlite/0003_providers.sql"),
        include_str!("../../migrations/postgres/0003_providers.sql"),
    ),
    (
        4,
        "suppressions",
        include_str!("../../migrations/sqlite/0004_suppressions.sql"),
        include_str!("../../migrations/postgres/0004_suppressions.sql"),
    ),
    (
        5,
        "content",
        include_str!("../../migrations/sqlite/0005_content.sql"),
        include_str!("../../migrations/postgres/0005_content.sql"),
    ),
    (
        6,
        "ways in",
        include_str!("../../migrations/sqlite/0006_ways_in.sql"),
        include_str!("../../migrations/postgres/0006_ways_in.sql"),
    ),
    (
        7,
        "feedback",
        include_str!("../../migrations/sqlite/0007_feedback.sql"),
        include_str!("../../migrations/postgres/0007_feedback.sql"),
    ),
    (
        8,
        "consequences",
        include_str!("../../migrations/sqlite/0008_consequences.sql"),
        include_str!("../../migrations/postgres/0008_consequences.sql"),
    ),
    (
        9,
        "webhooks",
        include_str!("../../migrations/sqlite/0009_webhooks.sql"),
        include_str!("../../migrations/postgres/0009_webhooks.sql"),
    ),
    (
        10,
        "texts",
        include_str!("../../migrations/sqlite/0010_texts.sql"),
        include_str!("../../migrations/postgres/0010_texts.sql"),
    ),
    (
        11,
        "feedback result",
        include_str!("../../migrations/sqlite/0011_feedback_result.sql"),
        include_str!("../../migrations/postgres/0011_feedback_result.sql"),
    ),
    (
        12,
        "tracking",
        include_str!("../../migrations/sqlite/0012_tracking.sql"),
        include_str!("../../migrations/postgres/0012_tracking.sql"),
    ),
    (
        13,
        "staff accounts",
        include_str!("../../migrations/sqlite/0013_staff_accounts.sql"),
        include_str!("../../migrations/postgres/0013_staff_accounts.sql"),
    ),
    (
        14,
        "pages",
        include_str!("../../migrations/sqlite/0014_pages.sql"),
        include_str!("../../migrations/postgres/0014_pages.sql"),
    ),
    (
        19,
        "operations",
        include_str!("../../migrations/sqlite/0019_operations.sql"),
        include_str!("../../migrations/postgres/0019_operations.sql"),
    ),
];

/// Several processes may do this at once: PostgreSQL's runs under an advisory lock, SQLite's in one
/// transaction that holds the write lock from its start.
pub(super) async fn run(db: &Db) -> Result<(), Error> {
    match db {
        Db::Sqlite { writer, .. } => {
            let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
            let migrator = migrator(|m| m.2);
            migrator.run(&mut *tx).await.map_err(failed)?;
            tx.commit().await?;
        }
        Db::Postgres(pool) => {
            // On a connection of its own: a step may take longer than a statement may elsewhere.
            let options = pool.connect_options();
            let options = (*options).clone().options([("statement_timeout", "0")]);
            let mut connection = in_time(PgConnection::connect_with(&options)).await?;
            let result = migrator(|m| m.3).run(&mut connection).await;
            connection.close().await?;
            result.map_err(failed)?;
        }
    }
    Ok(())
}

fn failed(error: MigrateError) -> Error {
    if let MigrateError::Execute(source) = error {
        Error::from(source)
    } else if let MigrateError::VersionMissing(found) = error {
        // Applied by a program that knows more steps than this one.
        newer(found)
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
        "the schema is at version {found}, newer than this program's {known}: use the newer program"
    ))
}

fn migrator(
    text: impl Fn(&(i64, &'static str, &'static str, &'static str)) -> &'static str,
) -> Migrator {
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

/// The newest version that was applied is the newest that this program knows.
pub(super) async fn check(db: &Db) -> Result<(), Error> {
    let mut tx = db.read().await?;
    let known = newest();
    let found = tx
        .optional(sql(
            "SELECT CAST(MAX(version) AS bigint) AS v FROM _sqlx_migrations",
        ))
        .await;
    let found = match found {
        Ok(row) => row
            .map(|row| row.opt_int("v"))
            .transpose()?
            .flatten()
            .unwrap_or(0),
        // No such table: nothing was ever applied.
        Err(Error::Statement(_)) => 0,
        Err(other) => return Err(other),
    };
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Error::Schema(format!(
            "the schema is at version {found}, this program needs {known}: run `sendtrail migrate`"
        ))),
        std::cmp::Ordering::Greater => Err(newer(found)),
    }
}
