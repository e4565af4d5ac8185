//! Feedback: the raw message is kept first, then applied, in one commit for many messages. What
//! belongs to no known message is kept and applied as soon as a send names it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::db::{Db, Tx};
use super::row::Row;
use super::stmt::{Kind, Rows, sql};
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

/// Keeps and applies a batch in one transaction.
pub(super) async fn commit(db: &Db, clock: &Clock, batch: &[Incoming]) -> Result<Vec<Kept>, Error> {
    let mut tx = db.write().await?;
    let now = clock.now();
    let fresh = keep_raw(&mut tx, clock, batch).await?;
    let known = known(&mut tx, batch.iter().filter_map(|m| m.report.as_ref())).await?;
    let (mut events, mut unmatched, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (i, message) in batch.iter().enumerate() {
        answers.push(match &message.report {
            _ if !fresh.contains(&i) => Kept::Duplicate,
            None => Kept::Noted,
            Some(report) => match known.resolve(report) {
                Some(id) => {
                    events.extend(report.happenings.iter().map(|h| h.event(id, report.source)));
                    Kept::Applied {
                        new_events: report.happenings.len(),
                    }
                }
                None => {
                    unmatched.push(report);
                    Kept::Unmatched
                }
            },
        });
    }
    facts::merge(&mut tx, &events, now).await?;
    keep_unmatched(&mut tx, &unmatched, now).await?;
    tx.commit().await?;
    Ok(answers)
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
    let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (i, message) in batch.iter().enumerate() {
        first
            .entry((message.source, &message.message_id))
            .or_insert(i);
    }
    for message in first.values().filter_map(|i| batch.get(*i)) {
        rows.add([
            clock.new_uuid(message.received_at).into(),
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
    .push(" WHERE true ON CONFLICT (source, message_id) DO NOTHING RETURNING source, message_id");
    let mut fresh = BTreeSet::new();
    for row in tx.all(stmt).await? {
        let (source, message_id) = (row.text("source")?, row.text("message_id")?);
        fresh.extend(first.get(&(source.as_str(), message_id.as_str())));
    }
    Ok(fresh)
}

/// Which of the named notifications and provider messages we know.
#[derive(Default)]
struct Known {
    ids: BTreeSet<NotificationId>,
    by_provider_message_id: BTreeMap<String, NotificationId>,
}

impl Known {
    /// Our own id decides; where it is absent or not ours, the provider's.
    fn resolve(&self, report: &Report) -> Option<NotificationId> {
        report
            .notification
            .filter(|id| self.ids.contains(id))
            .or_else(|| {
                self.by_provider_message_id
                    .get(report.provider_message_id.as_ref()?)
                    .copied()
            })
    }
}

async fn known<'a>(tx: &mut Tx, reports: impl Iterator<Item = &'a Report>) -> Result<Known, Error> {
    let mut ids = BTreeSet::new();
    let mut provider_ids = BTreeSet::new();
    for report in reports {
        ids.extend(report.notification);
        provider_ids.extend(report.provider_message_id.as_deref());
    }
    let mut known = Known::default();
    if !ids.is_empty() {
        let stmt = sql("SELECT l.id FROM ")
            .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
            .push(" JOIN contact_log l ON l.id = b.id");
        for row in tx.all(stmt).await? {
            known.ids.insert(NotificationId::new(row.id("id")?));
        }
    }
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

/// Applies the events that waited for these sends to be recorded.
pub(super) async fn apply_unmatched(
    tx: &mut Tx,
    sent: &[Event],
    now: Timestamp,
) -> Result<(), Error> {
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
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("DELETE FROM unmatched_events WHERE provider_message_id IN \
         (SELECT b.provider_message_id FROM ")
    .rows(rows)
    .push(") RETURNING event_key, provider_message_id, kind, occurred_at, source, detail");
    let mut events = Vec::new();
    for row in tx.all(stmt).await? {
        if let Some(id) = ids.get(row.text("provider_message_id")?.as_str()) {
            events.push(event(&row, *id)?);
        }
    }
    facts::merge(tx, &events, now).await?;
    Ok(())
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
    /// Applies unmatched events whose send was recorded at the same moment by another connection,
    /// so that neither saw the other. Returns how many were applied.
    pub async fn sweep_unmatched(&self) -> Result<usize, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "SELECT u.event_key, u.kind, u.occurred_at, u.source, u.detail, \
             f.notification_id FROM unmatched_events u \
             JOIN delivery_facts f ON f.provider_message_id = u.provider_message_id \
             ORDER BY u.event_key LIMIT ",
        )
        .bind(SWEEP_MAX);
        let mut events = Vec::new();
        for row in tx.all(stmt).await? {
            events.push(event(
                &row,
                NotificationId::new(row.id("notification_id")?),
            )?);
        }
        if events.is_empty() {
            return Ok(0);
        }
        facts::merge(&mut tx, &events, self.clock.now()).await?;
        let keys: Vec<Uuid> = events.iter().map(|event| event.key.0).collect();
        let stmt = sql("DELETE FROM unmatched_events WHERE event_key IN (SELECT b.id FROM ")
            .rows(Rows::of_ids(keys))
            .push(")");
        tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(events.len())
    }

    /// How many events wait for their message, up to `limit`.
    pub async fn count_unmatched(&self, limit: i64) -> Result<i64, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT CAST(COUNT(*) AS bigint) AS n FROM \
             (SELECT 1 FROM unmatched_events LIMIT ")
        .bind(limit)
        .push(") AS some");
        tx.optional(stmt).await?.map_or(Ok(0), |row| row.int("n"))
    }
}
