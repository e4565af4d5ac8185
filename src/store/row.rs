//! A row of either database, read by column name into plain values.

use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::Error;
use super::pg_time::PgTime;
use crate::domain::time::Timestamp;

#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! get {
    ($row:expr, $column:expr, $ty:ty) => {{
        use sqlx::Row as _;
        let value: Result<$ty, sqlx::Error> = match $row {
            Row::Sqlite(row) => row.try_get($column),
            Row::Postgres(row) => row.try_get($column),
        };
        value.map_err(|source| Error::column($column, source))
    }};
}

impl Row {
    pub(crate) fn text(&self, column: &'static str) -> Result<String, Error> {
        get!(self, column, String)
    }

    pub(crate) fn opt_text(&self, column: &'static str) -> Result<Option<String>, Error> {
        get!(self, column, Option<String>)
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<i64, Error> {
        get!(self, column, i64)
    }

    pub(crate) fn opt_int(&self, column: &'static str) -> Result<Option<i64>, Error> {
        get!(self, column, Option<i64>)
    }

    pub(crate) fn bool(&self, column: &'static str) -> Result<bool, Error> {
        get!(self, column, bool)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error> {
        get!(self, column, Vec<u8>)
    }

    pub(crate) fn id(&self, column: &'static str) -> Result<Uuid, Error> {
        self.opt_id(column)?
            .ok_or_else(|| Error::corrupt(column, "no value"))
    }

    pub(crate) fn opt_id(&self, column: &'static str) -> Result<Option<Uuid>, Error> {
        use sqlx::Row as _;
        match self {
            Self::Postgres(row) => row
                .try_get(column)
                .map_err(|source| Error::column(column, source)),
            Self::Sqlite(_) => self
                .opt_text(column)?
                .map(|text| Uuid::try_parse(&text).map_err(|e| Error::corrupt(column, e)))
                .transpose(),
        }
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, Error> {
        self.opt_time(column)?
            .ok_or_else(|| Error::corrupt(column, "no value"))
    }

    pub(crate) fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        use sqlx::Row as _;
        match self {
            Self::Postgres(row) => row
                .try_get::<Option<PgTime>, _>(column)
                .map(|time| time.map(|PgTime(at)| at))
                .map_err(|source| Error::column(column, source)),
            Self::Sqlite(_) => Ok(self.opt_int(column)?.map(Timestamp::from_millis)),
        }
    }

    pub(crate) fn opt_json(&self, column: &'static str) -> Result<Option<Json>, Error> {
        use sqlx::Row as _;
        match self {
            Self::Postgres(row) => row
                .try_get(column)
                .map_err(|source| Error::column(column, source)),
            Self::Sqlite(_) => self
                .opt_text(column)?
                .map(|text| serde_json::from_str(&text).map_err(|e| Error::corrupt(column, e)))
                .transpose(),
        }
    }

    /// A word of one of our closed vocabularies.
    pub(crate) fn word<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| Error::corrupt(column, format!("unknown word {text:?}")))
    }
}
