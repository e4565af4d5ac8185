//! The schema's versions: pairs of files, one for each database, compiled in.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::Error;
use super::db::Db;
use super::stmt::sql;

/// Version, name, SQLite's text, PostgreSQL's text.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[(
    1,
    "first",
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/postgres/0001_first.sql"),
)];

pub(super) async fn run(db: &Db) -> Result<(), Error> {
    let result = match db {
        Db::Sqlite { writer, .. } => migrator(|m| m.2).run(writer).await,
        Db::Postgres(pool) => migrator(|m| m.3).run(pool).await,
    };
    result.map_err(|e| match e {
        sqlx::migrate::MigrateError::Execute(source) => Error::from(source),
        other => Error::Schema(format!(
            "the schema could not be brought up to date: {other}"
        )),
    })
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
    let known = MIGRATIONS.last().map_or(0, |migration| migration.0);
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
        std::cmp::Ordering::Greater => Err(Error::Schema(format!(
            "the schema is at version {found}, newer than this program's {known}: use the newer program"
        ))),
    }
}
