//! What can go wrong with the store, and what the caller can do about it.

use std::sync::Arc;

/// Cheap to clone: a group of callers whose commit failed all receive it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached or is overloaded: try again; nothing was written.
    #[error("the database is not available at the moment; nothing was written, try again")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// Another writer was faster; the whole operation can be repeated at once.
    #[error("another writer was faster; repeat the operation")]
    Raced,
    /// A statement failed for another cause: a mistake of ours or a damaged schema.
    #[error("a statement failed; see the log for the cause")]
    Statement(#[source] Arc<sqlx::Error>),
    /// A stored value is not what this version writes.
    #[error("column {column} holds a value that this version cannot read: {why}")]
    Corrupt { column: &'static str, why: String },
    /// A value could not be turned into a bound argument.
    #[error("a value cannot be bound: {0}")]
    Encode(String),
    /// The schema is older or newer than this program.
    #[error("{0}")]
    Schema(String),
    /// The store was closed while the operation waited for its turn.
    #[error("the store is closed; nothing was written")]
    Closed,
}

impl Error {
    pub(super) fn encode(why: impl ToString) -> Self {
        Self::Encode(why.to_string())
    }

    pub(super) fn corrupt(column: &'static str, why: impl ToString) -> Self {
        Self::Corrupt {
            column,
            why: why.to_string(),
        }
    }

    pub(super) fn column(column: &'static str, source: sqlx::Error) -> Self {
        match source {
            sqlx::Error::ColumnDecode { source, .. } => Self::corrupt(column, source),
            other => Self::from(other),
        }
    }

    /// Trying again later can help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Raced | Self::Closed)
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        match class(&source) {
            Class::Raced => Self::Raced,
            Class::Unavailable => Self::Unavailable(Arc::new(source)),
            Class::Statement => Self::Statement(Arc::new(source)),
        }
    }
}

enum Class {
    Raced,
    Unavailable,
    Statement,
}

/// PostgreSQL: class 08 connection, 40 transaction rollback (serialization, deadlock), 53 resources,
/// 57 operator intervention, 58 system error (PostgreSQL documentation, appendix A).
/// SQLite: 5 BUSY, 6 LOCKED, 10 IOERR, 13 FULL, 14 CANTOPEN, in the low byte (sqlite.org/rescode).
fn class(error: &sqlx::Error) -> Class {
    let sqlx::Error::Database(database) = error else {
        let lost = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed
        );
        return if lost {
            Class::Unavailable
        } else {
            Class::Statement
        };
    };
    let code = database.code().unwrap_or_default();
    if let Some(code) = code.parse::<u32>().ok().filter(|_| code.len() < 5) {
        return match code & 0xff {
            5 | 6 => Class::Raced,
            10 | 13 | 14 => Class::Unavailable,
            _ => Class::Statement,
        };
    }
    match code.get(..2) {
        Some("40") => Class::Raced,
        Some("08" | "53" | "57" | "58" | "25" | "3D" | "28") => Class::Unavailable,
        _ => Class::Statement,
    }
}
