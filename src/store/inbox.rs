//! The inbox of feedback: messages as they came, to be looked at and applied again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::db::Tx;
use super::feedback::{Kept, Report, known, sort};
use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store, facts, unmatched};
use crate::domain::time::Timestamp;

/// A kept message. It is named by its source and the id that the source gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub source: String,
    pub message_id: String,
    pub topic: String,
    pub received_at: Timestamp,
    pub kind: String,
    /// A word of [`Kept::as_str`], or `unparsable`; none: kept by an earlier version.
    pub result: Option<String>,
    /// As it came, with the addresses in it; empty in lists.
    pub body: String,
}

/// Results that lists may ask for: with the others the list would be the inbox.
pub const LISTED: [&str; 3] = ["unmatched", UNPARSABLE, "noted"];
/// The kind and the result of what could not be understood.
pub const UNPARSABLE: &str = "unparsable";

/// Where a list goes on: after the message of this time, source and id.
pub type Position = (Timestamp, String, String);

#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One of [`LISTED`].
    pub result: Option<&'static str>,
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    pub after: Option<Position>,
    pub limit: usize,
}

/// What a kept message says, read anew.
#[derive(Clone, Debug)]
pub struct Reading {
    pub kind: String,
    pub report: Option<Report>,
}

/// Reads kept messages. The store does not know what providers write; who knows gives it this.
#[derive(Clone)]
pub struct Reader(Arc<Read>);

type Read = dyn Fn(&Message) -> Option<Reading> + Send + Sync;

impl Reader {
    pub fn new(read: impl Fn(&Message) -> Option<Reading> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// `None`: nobody here knows what the source of the message writes.
    pub fn read(&self, message: &Message) -> Option<Reading> {
        (self.0)(message)
    }
}

/// Knows no source.
impl Default for Reader {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Message {
    pub fn position(&self) -> Position {
        let (source, id) = (self.source.clone(), self.message_id.clone());
        (self.received_at, source, id)
    }

    /// How operators name it: `SOURCE:MESSAGE_ID`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.source, self.message_id)
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            source: row.text("source")?,
            message_id: row.text("message_id")?,
            topic: row.text("topic")?,
            received_at: row.time("received_at")?,
            kind: row.text("kind")?,
            result: row.opt_text("result")?,
            body: row.text("body")?,
        })
    }
}

const COLUMNS: &str = "SELECT source, message_id, topic, received_at, kind, result, ";

/// The latest messages among which the last of each source is looked for.
const LAST_AMONG: i64 = 5_000;

impl Store {
    /// When the last message of each source came, as far as it is among the latest of all.
    pub async fn last_feedback(&self) -> Result<Vec<(String, Timestamp)>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT source, MAX(received_at) AS last_at FROM (SELECT source, received_at \
             FROM feedback_inbox WHERE received_at >= ",
        )
        .bind(Timestamp::EPOCH)
        .push(" ORDER BY received_at DESC LIMIT ")
        .bind(LAST_AMONG)
        .push(") AS latest GROUP BY source ORDER BY source LIMIT ")
        .bind(LAST_AMONG);
        let rows = tx.all(stmt).await?;
        let last = |row: &Row| Ok((row.text("source")?, row.time("last_at")?));
        rows.iter().map(last).collect()
    }

    /// Messages without their bodies, the oldest first.
    pub async fn feedback_messages(&self, wanted: &Wanted) -> Result<Vec<Message>, Error> {
        self.messages(wanted, "'' AS body").await
    }

    /// The same with their bodies, which may be a megabyte each.
    pub async fn whole_feedback_messages(&self, wanted: &Wanted) -> Result<Vec<Message>, Error> {
        self.messages(wanted, "body").await
    }

    async fn messages(&self, wanted: &Wanted, body: &'static str) -> Result<Vec<Message>, Error> {
        let mut tx = self.db.read().await?;
        let from = wanted.from.unwrap_or(Timestamp::EPOCH);
        let mut stmt = sql(COLUMNS)
            .push(body)
            .push(" FROM feedback_inbox WHERE received_at >= ")
            .bind(from);
        if let Some(to) = wanted.to {
            stmt = stmt.push(" AND received_at < ").bind(to);
        }
        if let Some(result) = wanted.result {
            // The second condition is that of the index.
            stmt = stmt
                .push(" AND result = ")
                .bind(result)
                .push(" AND result <> 'applied'");
        }
        if let Some((at, source, id)) = &wanted.after {
            stmt = stmt
                .push(" AND (received_at, source, message_id) > (")
                .bind(*at)
                .push(", ")
                .bind(source)
                .push(", ")
                .bind(id)
                .push(")");
        }
        let stmt = stmt
            .push(" ORDER BY received_at, source, message_id LIMIT ")
            .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX));
        tx.all(stmt).await?.iter().map(Message::read).collect()
    }

    pub async fn feedback_message(
        &self,
        source: &str,
        message_id: &str,
    ) -> Result<Option<Message>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(COLUMNS)
            .push("body FROM feedback_inbox WHERE source = ")
            .bind(source)
            .push(" AND message_id = ")
            .bind(message_id);
        tx.optional(stmt)
            .await?
            .map(|row| Message::read(&row))
            .transpose()
    }

    /// Applies messages that are kept, as they were read anew. What was applied before changes nothing.
    pub async fn reapply(&self, batch: &[(Message, Reading)]) -> Result<Vec<Kept>, Error> {
        let batch: Vec<(&Message, Reading)> = batch
            .iter()
            .map(|(message, reading)| (message, reading.clone().tidied()))
            .collect();
        super::again(|| self.reapply_once(&batch)).await
    }

    async fn reapply_once(&self, batch: &[(&Message, Reading)]) -> Result<Vec<Kept>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let reports = batch.iter().filter_map(|(_, read)| read.report.as_ref());
        let known = known(&mut tx, reports.map(Report::names)).await?;
        let told = batch.iter().map(|(message, read)| {
            let name = (message.source.as_str(), message.message_id.as_str());
            (name, read.report.as_ref())
        });
        let mut sorted = sort(told, &known);
        // What waited is taken and what waits now is put there before the messages are touched, as
        // who records a send does it.
        unmatched::forget(&mut tx, &sorted.events).await?;
        unmatched::keep(&mut tx, &sorted.unmatched, now).await?;
        let waiting = unmatched::take(&mut tx, &sorted.events).await?;
        sorted.events.extend(waiting);
        mark(&mut tx, batch, &sorted.kept).await?;
        let events = (&sorted.events[..], &known.owners);
        let (new, counted) = facts::merge_known(&mut tx, &self.clock, events, now).await?;
        counted.write(&mut tx, &self.clock, now).await?;
        tx.commit().await?;
        sorted.count_new(new);
        Ok(sorted.kept)
    }
}

impl Reading {
    fn tidied(mut self) -> Self {
        if let Some(report) = &mut self.report {
            report.tidy();
        }
        self
    }
}

/// The column `result` of a message.
pub(super) fn word(kept: Kept, kind: &str) -> &'static str {
    if kept == Kept::Noted && kind == UNPARSABLE {
        UNPARSABLE
    } else {
        kept.as_str()
    }
}

/// Says what became of messages, where it is news.
async fn mark(tx: &mut Tx, batch: &[(&Message, Reading)], kept: &[Kept]) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("source", Kind::Text),
        ("message_id", Kind::Text),
        ("kind", Kind::Text),
        ("result", Kind::Text),
    ]);
    for ((message, read), kept) in batch.iter().zip(kept) {
        rows.add([
            (&message.source).into(),
            (&message.message_id).into(),
            (&read.kind).into(),
            word(*kept, &read.kind).into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("UPDATE feedback_inbox SET kind = b.kind, result = b.result FROM ")
        .rows(rows)
        .push(
            " WHERE feedback_inbox.source = b.source AND feedback_inbox.message_id = b.message_id \
             AND (coalesce(feedback_inbox.result, '') <> b.result OR feedback_inbox.kind <> b.kind)",
        );
    tx.execute(stmt).await?;
    Ok(())
}

/// Says of messages that waited that they are applied.
pub(super) async fn mark_applied(
    tx: &mut Tx,
    messages: BTreeSet<(String, String)>,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[("source", Kind::Text), ("message_id", Kind::Text)]);
    for (source, message_id) in messages {
        rows.add([source.into(), message_id.into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("UPDATE feedback_inbox SET result = 'applied' FROM ")
        .rows(rows)
        .push(
            " WHERE feedback_inbox.source = b.source AND feedback_inbox.message_id = b.message_id \
             AND feedback_inbox.result = 'unmatched'",
        );
    tx.execute(stmt).await?;
    Ok(())
}
