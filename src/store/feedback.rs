//! Feedback: the raw message is kept first, then applied, in one commit for many messages. What
//! belongs to no known message is kept and applied as soon as a send names it.

use std::collections::{BTreeMap, BTreeSet};

use super::db::{Db, Tx};
use super::row::Row;
use super::stmt::{Kind, Rows, sql, storable};
use super::{Error, Store, facts};
use crate::clock::Clock;
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// One verified feedback message.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Who delivered it: `sns`.
    pub source: &'static str,
    /// Unique per source: a repeated delivery is recognised by it.
    pub message_id: String,
    pub topic: String,
    pub received_at: Timestamp,
    /// What was found in it, for operators.
    pub kind: String,
    /// As it came.
    pub body: String,
    pub report: Option<Report>,
}

/// What a message says of one notification.
#[derive(Clone, Debug)]
pub struct Report {
    /// Our own id, where the message carries it.
    pub notification: Option<NotificationId>,
    pub provider_message_id: Option<String>,
    /// The source of the events: `ses`, `sns`.
    pub source: &'static str,
    pub happenings: Vec<Happening>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    pub key: EventKey,
    pub occurred_at: Timestamp,
    pub what: What,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Kept; that many of its events were new.
    Applied { new_events: usize },
    /// Kept; its message is not known yet.
    Unmatched,
    /// Kept; it says nothing of any notification.
    Noted,
    /// It had been kept before.
    Duplicate,
}

/// Unmatched events looked at in one sweep.
const SWEEP_MAX: i64 = 1_000;

/// Characters of a text that is looked up by an index. PostgreSQL refuses an index entry of more
/// than 2,704 bytes; no provider's message id comes near.
const INDEXED_LENGTH_MAX: usize = 500;

/// A message weighs one more for each of these bytes, so that a burst of large ones is kept in
/// smaller commits.
const BYTES_PER_WEIGHT: usize = 8 * 1024;

/// A provider's message id as it is kept and looked up.
pub(super) fn indexed(text: &str) -> String {
    storable(text.chars().take(INDEXED_LENGTH_MAX).collect())
}

impl Incoming {
    pub(super) fn weight(&self) -> usize {
        1 + self.body.len() / BYTES_PER_WEIGHT
    }

    /// What rows are looked up by must read the same here and in the database.
    pub(super) fn tidied(mut self) -> Self {
        if let Some(report) = &mut self.report {
            report.provider_message_id = report.provider_message_id.as_deref().map(indexed);
        }
        self
    }
}

/// Keeps and applies a batch in one transaction.
pub(super) async fn commit(db: &Db, clock: &Clock, batch: &[Incoming]) -> Result<Vec<Kept>, Error> {
    let mut tx = db.write().await?;
    let now = clock.now();
    let fresh = keep_raw(&mut tx, clock, batch).await?;
    let reports = batch.iter().filter_map(|message| message.report.as_ref());
    let known = known(&mut tx, reports.map(Report::names)).await?;
    let resolved = |i: usize, message: &Incoming| match &message.report {
        Some(report) if fresh.contains(&i) => known.resolve(report.names()),
        _ => None,
    };
    let (mut events, mut unmatched) = (Vec::new(), Vec::new());
    for (i, message) in batch.iter().enumerate() {
        let Some(report) = &message.report else {
            continue;
        };
        if let Some(id) = resolved(i, message) {
            events.extend(report.happenings.iter().map(|h| h.event(id, report.source)));
        } else if fresh.contains(&i) {
            unmatched.push(report);
        }
    }
    keep_unmatched(&mut tx, &unmatched, now).await?;
    let mut new = facts::merge(&mut tx, clock, &events, now).await?;
    tx.commit().await?;
    let answers = batch.iter().enumerate().map(|(i, message)| {
        match (&message.report, resolved(i, message)) {
            _ if !fresh.contains(&i) => Kept::Duplicate,
            (None, _) => Kept::Noted,
            (Some(_), None) => Kept::Unmatched,
            (Some(report), Some(id)) => {
                let happened = report.happenings.iter();
                let new_events = happened.filter(|h| new.remove(&(id, h.key))).count();
                Kept::Applied { new_events }
            }
        }
    });
    Ok(answers.collect())
}

impl Happening {
    fn event(&self, notification: NotificationId, source: &str) -> Event {
        Event {
            notification,
            key: self.key,
            occurred_at: self.occurred_at,
            source: source.to_owned(),
            what: self.what.clone(),
        }
    }
}

/// Puts the messages into the inbox; returns the positions of those that were not there.
async fn keep_raw(
    tx: &mut Tx,
    clock: &Clock,
    batch: &[Incoming],
) -> Result<BTreeSet<usize>, Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("source", Kind::Text),
        ("message_id", Kind::Text),
        ("topic", Kind::Text),
        ("received_at", Kind::Time),
        ("kind", Kind::Text),
        ("body", Kind::Text),
    ]);
    // One order for every writer; of two alike in one batch the first is kept.
    let mut sorted: Vec<(usize, &Incoming)> = batch.iter().enumerate().collect();
    sorted.sort_by_key(|(i, message)| (message.source, message.message_id.as_str(), *i));
    let mut positions = BTreeMap::new();
    for (i, message) in sorted {
        let id = clock.new_uuid(clock.now());
        positions.insert(id, i);
        rows.add([
            id.into(),
            message.source.into(),
            (&message.message_id).into(),
            (&message.topic).into(),
            message.received_at.into(),
            (&message.kind).into(),
            (&message.body).into(),
        ]);
    }
    let stmt = sql("INSERT INTO feedback_inbox \
         (id, source, message_id, topic, received_at, kind, body) SELECT b.id, b.source, \
         b.message_id, b.topic, b.received_at, b.kind, b.body FROM ")
    .rows(rows)
    .push(" WHERE true ON CONFLICT (source, message_id) DO NOTHING RETURNING id");
    let mut fresh = BTreeSet::new();
    for row in tx.all(stmt).await? {
        fresh.extend(positions.get(&row.id("id")?));
    }
    Ok(fresh)
}

/// How a report or a kept event names its message: by our own id, by the provider's.
type Names<'a> = (Option<NotificationId>, Option<&'a str>);

impl Report {
    fn names(&self) -> Names<'_> {
        (self.notification, self.provider_message_id.as_deref())
    }
}

/// Which of the named notifications and provider messages we know.
#[derive(Default)]
struct Known {
    ids: BTreeSet<NotificationId>,
    by_provider_message_id: BTreeMap<String, NotificationId>,
}

impl Known {
    /// Our own id decides; where it is absent or not ours, the provider's.
    fn resolve(&self, (notification, provider_message_id): Names<'_>) -> Option<NotificationId> {
        notification.filter(|id| self.ids.contains(id)).or_else(|| {
            self.by_provider_message_id
                .get(provider_message_id?)
                .copied()
        })
    }
}

async fn known<'a>(
    tx: &mut Tx,
    named: impl Iterator<Item = Names<'a>> + Clone,
) -> Result<Known, Error> {
    let mut known = Known::default();
    let ids: BTreeSet<NotificationId> = named.clone().filter_map(|(id, _)| id).collect();
    if !ids.is_empty() {
        let stmt = sql("SELECT l.id FROM ")
            .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
            .push(" JOIN contact_log l ON l.id = b.id");
        for row in tx.all(stmt).await? {
            known.ids.insert(NotificationId::new(row.id("id")?));
        }
    }
    // The provider's id is looked up only where ours did not decide.
    let provider_ids: BTreeSet<&str> = named
        .filter(|names| known.resolve(*names).is_none())
        .filter_map(|(_, provider_message_id)| provider_message_id)
        .collect();
    let mut rows = Rows::new(&[("provider_message_id", Kind::Text)]);
    for id in provider_ids {
        rows.add([id.into()]);
    }
    if !rows.is_empty() {
        let stmt = sql("SELECT f.provider_message_id, f.notification_id FROM ")
            .rows(rows)
            .push(" JOIN delivery_facts f ON f.provider_message_id = b.provider_message_id");
        for row in tx.all(stmt).await? {
            let id = NotificationId::new(row.id("notification_id")?);
            known
                .by_provider_message_id
                .insert(row.text("provider_message_id")?, id);
        }
    }
    Ok(known)
}

async fn keep_unmatched(tx: &mut Tx, reports: &[&Report], now: Timestamp) -> Result<(), Error> {
    let mut distinct: BTreeMap<EventKey, (&Report, &Happening)> = BTreeMap::new();
    for report in reports {
        distinct.extend(report.happenings.iter().map(|h| (h.key, (*report, h))));
    }
    let mut rows = Rows::new(&[
        ("event_key", Kind::Id),
        ("notification_id", Kind::Id),
        ("provider_message_id", Kind::Text),
        ("kind", Kind::Text),
        ("occurred_at", Kind::Time),
        ("recorded_at", Kind::Time),
        ("source", Kind::Text),
        ("detail", Kind::Json),
    ]);
    for (report, happening) in distinct.into_values() {
        rows.add([
            happening.key.0.into(),
            report.notification.map(NotificationId::uuid).into(),
            report.provider_message_id.clone().into(),
            happening.what.kind().into(),
            happening.occurred_at.into(),
            now.into(),
            report.source.into(),
            facts::detail(&happening.what)?.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO unmatched_events (event_key, notification_id, \
         provider_message_id, kind, occurred_at, recorded_at, source, detail) SELECT b.event_key, \
         b.notification_id, b.provider_message_id, b.kind, b.occurred_at, b.recorded_at, \
         b.source, b.detail FROM ")
    .rows(rows)
    .push(" WHERE true ON CONFLICT (event_key) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// Takes the events that waited for these sends to be recorded.
pub(super) async fn take_unmatched(tx: &mut Tx, sent: &[Event]) -> Result<Vec<Event>, Error> {
    let mut ids: BTreeMap<&str, NotificationId> = BTreeMap::new();
    let mut rows = Rows::new(&[("provider_message_id", Kind::Text)]);
    for event in sent {
        if let What::Accepted {
            provider_message_id: Some(id),
            ..
        } = &event.what
        {
            ids.insert(id, event.notification);
            rows.add([id.into()]);
        }
    }
    let mut events = Vec::new();
    if rows.is_empty() {
        return Ok(events);
    }
    let stmt = sql("DELETE FROM unmatched_events WHERE provider_message_id IN \
         (SELECT b.provider_message_id FROM ")
    .rows(rows)
    .push(") RETURNING event_key, provider_message_id, kind, occurred_at, source, detail");
    for row in tx.all(stmt).await? {
        if let Some(id) = ids.get(row.text("provider_message_id")?.as_str()) {
            events.push(event(&row, *id)?);
        }
    }
    Ok(events)
}

/// The event that a row with the ledger's columns holds.
pub(super) fn event(row: &Row, notification: NotificationId) -> Result<Event, Error> {
    Ok(Event {
        notification,
        key: EventKey(row.id("event_key")?),
        occurred_at: row.time("occurred_at")?,
        source: row.text("source")?,
        what: facts::what(row)?,
    })
}

impl Store {
    /// Applies unmatched events whose message became known since: its send was recorded at the same
    /// moment by another connection, so that neither saw the other. Returns how many were applied.
    pub async fn sweep_unmatched(&self) -> Result<usize, Error> {
        super::again(|| self.sweep_once()).await
    }

    async fn sweep_once(&self) -> Result<usize, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "DELETE FROM unmatched_events WHERE event_key IN (SELECT u.event_key \
             FROM unmatched_events u WHERE EXISTS (SELECT 1 FROM delivery_facts f \
             WHERE f.provider_message_id = u.provider_message_id) \
             OR EXISTS (SELECT 1 FROM contact_log l WHERE l.id = u.notification_id) \
             ORDER BY u.event_key LIMIT ",
        )
        .bind(SWEEP_MAX)
        .push(
            ") RETURNING event_key, notification_id, provider_message_id, kind, occurred_at, \
             source, detail",
        );
        let mut found = Vec::new();
        for row in tx.all(stmt).await? {
            let notification = row.opt_id("notification_id")?.map(NotificationId::new);
            found.push((notification, row.opt_text("provider_message_id")?, row));
        }
        let names = found.iter().map(|(id, text, _)| (*id, text.as_deref()));
        let known = known(&mut tx, names).await?;
        let mut events = Vec::new();
        for (notification, provider_message_id, row) in &found {
            // Taken out because it was known; if it is not any more, look again.
            let id = known.resolve((*notification, provider_message_id.as_deref()));
            events.push(event(row, id.ok_or(Error::Raced)?)?);
        }
        if events.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        facts::merge(&mut tx, &self.clock, &events, now).await?;
        tx.commit().await?;
        Ok(events.len())
    }

    /// How many events wait for their message, up to `limit`.
    pub async fn count_unmatched(&self, limit: i64) -> Result<i64, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT CAST(COUNT(*) AS bigint) AS n FROM \
             (SELECT 1 FROM unmatched_events LIMIT ")
        .bind(limit)
        .push(") AS waiting");
        tx.optional(stmt).await?.map_or(Ok(0), |row| row.int("n"))
    }
}
