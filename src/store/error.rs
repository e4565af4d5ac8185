//! What can go wrong with the store, and what the caller can do about it.

use std::fmt;
use std::sync::Arc;

/// Cheap to clone: a group of callers whose commit failed all receive it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached or is overloaded: try again. Nothing was written, unless the
    /// connection was lost while it answered a commit: then it is not known.
    #[error("the database is not available at the moment, try again")]
    Unavailable(#[source] Cause),
    /// Another transaction holds what this one needs, and does not end: try again. Nothing was written.
    #[error(
        "another transaction, which is still open, holds what this needs; try again when it has ended"
    )]
    Blocked,
    /// Another writer was faster; the whole operation can be repeated at once.
    #[error("another writer was faster; repeat the operation")]
    Raced,
    /// A statement failed for another cause: a mistake of ours or a damaged schema.
    #[error("a statement failed; see the log for the cause")]
    Statement(#[source] Cause),
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

/// What the driver said, without the database's details: those quote rows, and rows hold addresses.
#[derive(Clone)]
pub struct Cause(Arc<str>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Cause {}

impl Error {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that it can be given to map_err"
    )]
    pub(super) fn encode(why: impl ToString) -> Self {
        Self::Encode(why.to_string())
    }

    pub(super) fn corrupt(column: &'static str, why: impl fmt::Display) -> Self {
        let why = why.to_string();
        Self::Corrupt { column, why }
    }

    pub(super) fn column(column: &'static str, source: sqlx::Error) -> Self {
        if let sqlx::Error::ColumnDecode { source, .. } = source {
            Self::corrupt(column, source)
        } else {
            Self::from(source)
        }
    }

    /// The database did not answer within the time that it has.
    pub(super) fn silent() -> Self {
        Self::Unavailable(Cause("the database did not answer in time".into()))
    }

    /// Trying again later can help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Blocked | Self::Raced | Self::Closed
        )
    }

    /// What was to be written may be the reason: others can still succeed.
    pub const fn may_lie_in_the_content(&self) -> bool {
        matches!(
            self,
            Self::Statement(_) | Self::Corrupt { .. } | Self::Encode(_) | Self::Blocked
        )
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        let cause = || {
            let text = source.as_database_error().map_or_else(
                || source.to_string(),
                |e| format!("{} ({})", e.message(), e.code().unwrap_or_default()),
            );
            Cause(text.into())
        };
        match class(&source) {
            Class::Blocked => Self::Blocked,
            Class::Raced => Self::Raced,
            Class::Unavailable => Self::Unavailable(cause()),
            Class::Statement => Self::Statement(cause()),
        }
    }
}

enum Class {
    Blocked,
    Raced,
    Unavailable,
    Statement,
}

fn class(error: &sqlx::Error) -> Class {
    let Some(database) = error.as_database_error() else {
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
    if database
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        sqlite_class(&code)
    } else {
        postgres_class(&code)
    }
}

/// 5 BUSY (after the whole time-out), 6 LOCKED, 7 NOMEM, 10 IOERR, 13 FULL, 14 CANTOPEN,
/// 15 PROTOCOL, in the low byte (sqlite.org/rescode.html).
fn sqlite_class(code: &str) -> Class {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6 | 7 | 10 | 13 | 14 | 15) => Class::Unavailable,
        _ => Class::Statement,
    }
}

/// Class 08 connection, 25 transaction state (a standby is read-only), 28 authorization, 3D no such
/// database, 40 transaction rollback (serialization, deadlock), 53 resources, 55 not in the right
/// state, 55P03 a lock timed out, 57 operator intervention, 58 system error (PostgreSQL
/// documentation, appendix A).
fn postgres_class(code: &str) -> Class {
    match code.get(..2) {
        _ if code == "55P03" => Class::Blocked,
        Some("40") => Class::Raced,
        Some("08" | "25" | "28" | "3D" | "53" | "55" | "57" | "58") => Class::Unavailable,
        _ => Class::Statement,
    }
}
