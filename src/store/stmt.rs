//! A statement: literal pieces of SQL and bound values. Written once, rendered per dialect; text
//! can only grow from `&'static str`, so no value can become SQL.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use sqlx::Arguments;
use sqlx::postgres::{PgArguments, PgBindIterExt as _};
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use super::Error;
use super::pg_json::PgJson;
use super::pg_time::PgTime;
use crate::domain::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The locking clause of a statement. SQLite needs none: its write transactions run one by one.
    pub(crate) const fn lock(self, clause: &'static str) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => clause,
        }
    }

    /// After a text that is compared byte by byte, as SQLite compares all.
    pub(crate) const fn bytewise(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " COLLATE \"C\"",
        }
    }
}

/// A value of one of the column types that both databases have. SQLite keeps ids as hyphenated
/// text, times as whole milliseconds and JSON as text; PostgreSQL has its native types.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Text(Option<String>),
    /// A text of our own.
    Word(&'static str),
    /// A long text that others hold too.
    Shared(Arc<str>),
    Int(Option<i64>),
    Bool(bool),
    Id(Option<Uuid>),
    Time(Option<Timestamp>),
    /// As text.
    Json(Option<String>),
    /// Files. Never in more than [`VALUES_MAX`] values: the JSON form cannot hold them.
    Bytes(Bytes),
}

/// The column types of [`Rows`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    Id,
    Time,
    Json,
    Bytes,
}

/// Many rows of values as one table named `b`: `UNNEST` of arrays on PostgreSQL, whose text does not
/// depend on the number of rows, so that it is prepared once; `VALUES` on SQLite.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    columns: &'static [(&'static str, Kind)],
    /// Row after row.
    values: Vec<Arg>,
}

impl Rows {
    pub(crate) fn new(columns: &'static [(&'static str, Kind)]) -> Self {
        Self {
            columns,
            values: Vec::new(),
        }
    }

    /// Values in the order of the columns.
    pub(crate) fn add<const N: usize>(&mut self, values: [Arg; N]) {
        debug_assert_eq!(N, self.columns.len(), "one value a column");
        self.values.extend(values);
    }

    /// The same, where the columns are known only at run time.
    pub(crate) fn push(&mut self, values: impl IntoIterator<Item = Arg>) {
        self.values.extend(values);
        debug_assert_eq!(
            self.values.len() % self.columns.len(),
            0,
            "one value a column"
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    fn rows(&self) -> std::slice::Chunks<'_, Arg> {
        self.values.chunks(self.columns.len())
    }

    fn column(&self, index: usize) -> impl Iterator<Item = &Arg> {
        self.values.iter().skip(index).step_by(self.columns.len())
    }

    pub(crate) fn of_ids(ids: impl IntoIterator<Item = Uuid>) -> Self {
        let mut rows = Self::new(&[("id", Kind::Id)]);
        for id in ids {
            rows.add([id.into()]);
        }
        rows
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Arg(Arg),
    Rows(Rows),
}

#[derive(Clone, Debug)]
pub(crate) struct Stmt {
    pieces: Vec<Piece>,
}

/// Begins a statement.
pub(crate) fn sql(text: &'static str) -> Stmt {
    Stmt {
        pieces: vec![Piece::Text(text)],
    }
}

impl Stmt {
    pub(crate) fn push(mut self, text: &'static str) -> Self {
        self.pieces.push(Piece::Text(text));
        self
    }

    pub(crate) fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.pieces.push(Piece::Arg(value.into()));
        self
    }

    /// A source of rows named `b`, for `FROM`.
    pub(crate) fn rows(mut self, rows: Rows) -> Self {
        self.pieces.push(Piece::Rows(rows));
        self
    }

    /// `(…, …)` of bound values, for `IN`. An empty list matches nothing.
    pub(crate) fn bind_list<A: Into<Arg>>(self, values: impl IntoIterator<Item = A>) -> Self {
        let mut stmt = self.push("(");
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                stmt = stmt.push(", ");
            }
            stmt = stmt.bind(value);
        }
        if matches!(stmt.pieces.last(), Some(Piece::Text("("))) {
            stmt = stmt.push("NULL");
        }
        stmt.push(")")
    }

    /// Every parameter is a bare `?`, bound in the order of the text. SQLite keeps numbered ones in a
    /// list that it goes through for each: for the values of 1,000 rows that takes seconds.
    pub(super) fn for_sqlite(self) -> Result<(String, SqliteArguments), Error> {
        let mut text = String::new();
        let mut args = SqliteArguments::default();
        for piece in self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Arg(arg) => {
                    add_sqlite(&mut args, arg)?;
                    text.push('?');
                }
                Piece::Rows(rows) if (1..=VALUES_MAX).contains(&rows.values.len()) => {
                    push_values(&mut text, &mut args, rows)?;
                }
                Piece::Rows(rows) => {
                    let json = serde_json::to_string(&rows).map_err(Error::encode)?;
                    args.add(json).map_err(Error::encode)?;
                    push_json_each(&mut text, rows.columns);
                }
            }
        }
        tracing::trace!(text, "statement");
        Ok((text, args))
    }

    pub(super) fn for_postgres(self) -> Result<(String, PgArguments), Error> {
        let mut text = String::new();
        let mut args = PgArguments::default();
        for piece in self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Arg(arg) => {
                    add_postgres(&mut args, arg)?;
                    push_number(&mut text, args.len());
                }
                Piece::Rows(rows) => push_unnest(&mut text, &mut args, &rows)?,
            }
        }
        tracing::trace!(text, "statement");
        Ok((text, args))
    }
}

fn push_number(text: &mut String, number: usize) {
    text.push('$');
    text.push_str(&number.to_string());
}

fn add_sqlite(args: &mut SqliteArguments, arg: Arg) -> Result<(), Error> {
    match arg {
        Arg::Text(v) | Arg::Json(v) => args.add(v),
        Arg::Word(v) => args.add(v),
        Arg::Shared(v) => args.add(v),
        Arg::Int(v) => args.add(v),
        Arg::Bool(v) => args.add(v),
        Arg::Id(v) => args.add(v.map(|id| id.as_hyphenated().to_string())),
        Arg::Time(v) => args.add(v.map(Timestamp::as_millis)),
        Arg::Bytes(v) => args.add(Vec::from(v)),
    }
    .map_err(Error::encode)
}

fn add_postgres(args: &mut PgArguments, arg: Arg) -> Result<(), Error> {
    match arg {
        Arg::Text(v) => args.add(v),
        Arg::Word(v) => args.add(v),
        Arg::Shared(v) => args.add(v.as_ref()),
        Arg::Int(v) => args.add(v),
        Arg::Bool(v) => args.add(v),
        Arg::Id(v) => args.add(v),
        Arg::Time(v) => args.add(v.map(PgTime)),
        Arg::Json(v) => args.add(v.as_deref().map(PgJson)),
        Arg::Bytes(v) => args.add(Vec::from(v)),
    }
    .map_err(Error::encode)
}

/// Above it rows go to SQLite as JSON: it binds at most 32,766 values (sqlite.org/limits, item 9),
/// and a statement has some beside its rows.
const VALUES_MAX: usize = 30_000;

/// `(SELECT column1 AS id, column2 AS due_at FROM (VALUES (?, ?), (?, ?))) AS b`. For rows with
/// long texts it takes less than half the time of the JSON form.
fn push_values(text: &mut String, args: &mut SqliteArguments, rows: Rows) -> Result<(), Error> {
    text.push_str("(SELECT ");
    for (i, (name, _)) in rows.columns.iter().enumerate() {
        text.push_str(if i == 0 { "column" } else { ", column" });
        text.push_str(&(i + 1).to_string());
        text.push_str(" AS ");
        text.push_str(name);
    }
    text.push_str(" FROM (VALUES ");
    let row = format!("({}?)", "?, ".repeat(rows.columns.len() - 1));
    for i in 0..rows.len() {
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(&row);
    }
    text.push_str(")) AS b");
    args.reserve(rows.values.len(), 0);
    for value in rows.values {
        add_sqlite(args, value)?;
    }
    Ok(())
}

/// `(SELECT value->>0 AS id, value->>1 AS due_at FROM json_each(?)) AS b`: one array a row.
fn push_json_each(text: &mut String, columns: &[(&str, Kind)]) {
    text.push_str("(SELECT ");
    for (i, (name, _)) in columns.iter().enumerate() {
        text.push_str(if i == 0 { "value->>" } else { ", value->>" });
        text.push_str(&i.to_string());
        text.push_str(" AS ");
        text.push_str(name);
    }
    text.push_str(" FROM json_each(?)) AS b");
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows())
    }
}

/// As SQLite keeps it, inside the JSON of [`Rows`].
impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(v) | Self::Json(v) => v.serialize(serializer),
            Self::Word(v) => v.serialize(serializer),
            Self::Shared(v) => v.as_ref().serialize(serializer),
            Self::Int(v) => v.serialize(serializer),
            Self::Bool(v) => i64::from(*v).serialize(serializer),
            Self::Id(v) => v.serialize(serializer),
            Self::Time(v) => v.map(Timestamp::as_millis).serialize(serializer),
            Self::Bytes(_) => Err(S::Error::custom("bytes in too many rows")),
        }
    }
}

/// `UNNEST($1, $2) AS b(id, due_at)`: one array a column.
fn push_unnest(text: &mut String, args: &mut PgArguments, rows: &Rows) -> Result<(), Error> {
    text.push_str("UNNEST(");
    for (i, (_, kind)) in rows.columns.iter().enumerate() {
        add_array(args, *kind, || rows.column(i))?;
        text.push_str(if i == 0 { "" } else { ", " });
        push_number(text, args.len());
    }
    text.push_str(") AS b(");
    for (i, (name, _)) in rows.columns.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(name);
    }
    text.push(')');
    Ok(())
}

fn add_array<'a, C: Iterator<Item = &'a Arg>>(
    args: &mut PgArguments,
    kind: Kind,
    column: impl Fn() -> C,
) -> Result<(), Error> {
    if column().any(|value| !value.is_of(kind)) {
        return Err(Error::encode("a value in a column of another type"));
    }
    macro_rules! array {
        ($variant:pat => $value:expr) => {{
            let values = column().map(|arg| if let $variant = arg { $value } else { None });
            args.add(values.bind_iter())
        }};
    }
    match kind {
        Kind::Text => args.add(column().map(Arg::text).bind_iter()),
        Kind::Int => array!(Arg::Int(v) => *v),
        Kind::Bool => array!(Arg::Bool(v) => Some(*v)),
        Kind::Id => array!(Arg::Id(v) => *v),
        Kind::Time => array!(Arg::Time(v) => v.map(PgTime)),
        Kind::Json => array!(Arg::Json(v) => v.as_deref().map(PgJson)),
        Kind::Bytes => array!(Arg::Bytes(v) => Some(v.as_ref())),
    }
    .map_err(Error::encode)
}

/// NUL is the one character that PostgreSQL cannot keep in a text. Providers quote what hostile
/// servers say, so it becomes the replacement character, on both databases alike.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}")
    } else {
        text
    }
}

impl Arg {
    const fn is_of(&self, kind: Kind) -> bool {
        match self {
            Self::Text(_) | Self::Word(_) | Self::Shared(_) => matches!(kind, Kind::Text),
            Self::Int(_) => matches!(kind, Kind::Int),
            Self::Bool(_) => matches!(kind, Kind::Bool),
            Self::Id(_) => matches!(kind, Kind::Id),
            Self::Time(_) => matches!(kind, Kind::Time),
            Self::Json(_) => matches!(kind, Kind::Json),
            Self::Bytes(_) => matches!(kind, Kind::Bytes),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            Self::Word(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Int(_)
            | Self::Bool(_)
            | Self::Id(_)
            | Self::Time(_)
            | Self::Json(_)
            | Self::Bytes(_) => None,
        }
    }

    /// JSON that is text already.
    pub(super) fn json(text: String) -> Result<Self, Error> {
        // So a NUL is written; and so ends a backslash before the same letters, which is as rare.
        if text.contains("\\u0000") {
            let value: Json = serde_json::from_str(&text).map_err(Error::encode)?;
            return Ok(value.into());
        }
        Ok(Self::Json(Some(text)))
    }
}

fn storable_json(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(storable(text)),
        Json::Array(values) => values.into_iter().map(storable_json).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (storable(name), storable_json(value)))
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => value,
    }
}

macro_rules! into_arg {
    ($($from:ty => |$v:ident| $arg:expr;)*) => {
        $(impl From<$from> for Arg { fn from($v: $from) -> Self { $arg } })*
    };
}

into_arg! {
    &str => |v| v.to_owned().into();
    &String => |v| v.clone().into();
    String => |v| Arg::Text(Some(storable(v)));
    Option<&str> => |v| v.map(str::to_owned).into();
    Option<String> => |v| Arg::Text(v.map(storable));
    i64 => |v| Arg::Int(Some(v));
    Option<i64> => |v| Arg::Int(v);
    bool => |v| Arg::Bool(v);
    Uuid => |v| Arg::Id(Some(v));
    Option<Uuid> => |v| Arg::Id(v);
    Timestamp => |v| Arg::Time(Some(v));
    Option<Timestamp> => |v| Arg::Time(v);
    Json => |v| Arg::Json(Some(storable_json(v).to_string()));
    Option<Json> => |v| Arg::Json(v.map(|v| storable_json(v).to_string()));
    Bytes => |v| Arg::Bytes(v);
}
