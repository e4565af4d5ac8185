//! Feedback: the raw message is kept first, then applied, in one commit for many messages. What
//! belongs to no known message is kept and applied as soon as a send names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::db::{Db, Tx};
use super::facts::Happened;
use super::owners::Owners;
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql, storable};
use super::{Error, facts, flow, inbox, owners, unmatched};
use crate::clock::Clock;
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// One verified feedback message.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Who delivered it: `sns`, `twilio`.
    pub source: &'static str,
    /// Unique per source: a repeated delivery is recognised by it.
    pub message_id: String,
    /// Of SNS the topic; of Twilio where it was posted to, which names the notification.
    pub topic: String,
    pub received_at: Timestamp,
    /// What was found in it, for operators.
    pub kind: String,
    /// As it came.
    pub body: Arc<str>,
    pub report: Option<Report>,
}

/// What a message says of one notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Our own id, where the message carried it and the provider gave it back.
    pub notification: Option<NotificationId>,
    /// The provider's id, unique within `source`.
    pub provider_message_id: Option<String>,
    /// Whose words these are: the source of the events, `ses`, `sns` or `twilio`.
    pub source: &'static str,
    /// Often one; none when the message changes nothing that we keep.
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

impl Kept {
    /// For the column `result` and for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Unmatched => "unmatched",
            Self::Noted => "noted",
            Self::Duplicate => "duplicate",
        }
    }
}

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

    /// What rows are looked up by must read the same here and in the database; and what can be kept.
    pub(super) fn tidied(mut self) -> Self {
        self.message_id = storable(self.message_id);
        if self.body.contains('\0') {
            self.body = storable(self.body.to_string()).into();
        }
        if let Some(report) = &mut self.report {
            report.tidy();
        }
        self
    }

    fn name(&self) -> MessageName<'_> {
        (self.source, &self.message_id)
    }
}

/// Keeps and applies a batch in one transaction.
pub(super) async fn commit(db: &Db, clock: &Clock, batch: &[Incoming]) -> Result<Vec<Kept>, Error> {
    let mut tx = db.write().await?;
    let now = clock.now();
    let reports = batch.iter().filter_map(|message| message.report.as_ref());
    let known = known(&mut tx, reports.map(Report::names)).await?;
    let fresh = keep_raw(&mut tx, batch, &known).await?;
    let told = batch.iter().enumerate().filter(|(i, _)| fresh.contains(i));
    let told = told.map(|(_, message)| (message.name(), message.report.as_ref()));
    let mut sorted = sort(told, &known);
    unmatched::keep(&mut tx, &sorted.unmatched, now).await?;
    // A provider's word that it took a message over is a send that some may have waited for.
    let waiting = unmatched::take(&mut tx, &sorted.events).await?;
    sorted.events.extend(waiting);
    // What waited is about messages that are named here.
    let events = (&sorted.events[..], &known.owners);
    let (new, mut counted) = facts::merge_known(&mut tx, clock, events, now).await?;
    sorted.count_new(new);
    let mut kept = sorted.kept.into_iter();
    let answers = (0..batch.len()).map(|i| {
        let of_fresh = fresh.contains(&i).then(|| kept.next()).flatten();
        of_fresh.unwrap_or(Kept::Duplicate)
    });
    let answers: Vec<Kept> = answers.collect();
    let told = batch.iter().zip(answers.iter().copied());
    flow::taken_in(&mut counted, told);
    counted.write(&mut tx, clock, now).await?;
    tx.commit().await?;
    Ok(answers)
}

/// What messages say, sorted by whether their notifications are known.
pub(super) struct Sorted<'a> {
    pub(super) events: Vec<Event>,
    pub(super) unmatched: Vec<(MessageName<'a>, &'a Report)>,
    /// One for each message.
    pub(super) kept: Vec<Kept>,
    /// The events of each message.
    happened: Vec<Vec<Happened>>,
}

/// Source and id of a message.
pub(super) type MessageName<'a> = (&'a str, &'a str);

pub(super) fn sort<'a>(
    told: impl Iterator<Item = (MessageName<'a>, Option<&'a Report>)>,
    known: &Known,
) -> Sorted<'a> {
    let (mut events, mut unmatched) = (Vec::new(), Vec::new());
    let (mut kept, mut happened) = (Vec::new(), Vec::new());
    for (name, report) in told {
        kept.push(known.outcome(report));
        happened.push(Vec::new());
        let Some(report) = report else {
            continue;
        };
        let Some(id) = known.resolve(report.names()) else {
            unmatched.push((name, report));
            continue;
        };
        events.extend(report.happenings.iter().map(|h| h.event(id, report.source)));
        if let Some(last) = happened.last_mut() {
            last.extend(report.happenings.iter().map(|h| (id, h.key)));
        }
    }
    Sorted {
        events,
        unmatched,
        kept,
        happened,
    }
}

impl Sorted<'_> {
    /// Of two messages that tell of one new event the first has it.
    pub(super) fn count_new(&mut self, mut new: BTreeSet<Happened>) {
        for (kept, happened) in self.kept.iter_mut().zip(&self.happened) {
            if let Kept::Applied { new_events } = kept {
                *new_events = happened.iter().filter(|event| new.remove(event)).count();
            }
        }
    }
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

/// Puts the messages into the inbox, without their bodies where these are about clients who were
/// forgotten; returns the positions of those that were not there.
pub(super) async fn keep_raw(
    tx: &mut Tx,
    batch: &[Incoming],
    known: &Known,
) -> Result<BTreeSet<usize>, Error> {
    let mut rows = Rows::new(&[
        ("source", Kind::Text),
        ("message_id", Kind::Text),
        ("topic", Kind::Text),
        ("received_at", Kind::Time),
        ("kind", Kind::Text),
        ("body", Kind::Text),
        ("result", Kind::Text),
    ]);
    // One order for every writer; of two alike in one batch the first is kept.
    let mut positions: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (i, message) in batch.iter().enumerate() {
        positions.entry(message.name()).or_insert(i);
    }
    let of_erased = |message: &Incoming| {
        let report = message.report.as_ref();
        let of = report.and_then(|report| known.resolve(report.names()));
        let owner = of.and_then(|id| known.owners.get(&id));
        owner.is_some_and(|owner| owner.erased)
    };
    for message in positions.values().filter_map(|i| batch.get(*i)) {
        rows.add([
            Arg::Word(message.source),
            (&message.message_id).into(),
            (&message.topic).into(),
            message.received_at.into(),
            (&message.kind).into(),
            Arg::Shared(if of_erased(message) {
                Arc::from("")
            } else {
                Arc::clone(&message.body)
            }),
            Arg::Word(inbox::word(
                known.outcome(message.report.as_ref()),
                &message.kind,
            )),
        ]);
    }
    let stmt = sql(
        "INSERT INTO feedback_inbox (source, message_id, topic, received_at, kind, body, \
         result) SELECT b.source, b.message_id, b.topic, b.received_at, b.kind, b.body, b.result \
         FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (source, message_id) DO NOTHING RETURNING source, message_id");
    let mut fresh = BTreeSet::new();
    for row in tx.all(stmt).await? {
        let (source, message_id) = (row.text("source")?, row.text("message_id")?);
        fresh.extend(positions.get(&(source.as_str(), message_id.as_str())));
    }
    Ok(fresh)
}

/// How a report or a kept event names its message: by our own id, by the provider's.
pub(super) type Names<'a> = (Option<NotificationId>, Option<&'a str>);

impl Report {
    pub(super) fn names(&self) -> Names<'_> {
        (self.notification, self.provider_message_id.as_deref())
    }

    pub(super) fn tidy(&mut self) {
        self.provider_message_id = self.provider_message_id.as_deref().map(indexed);
        for happening in &mut self.happenings {
            if let What::Accepted {
                provider_message_id,
                ..
            } = &mut happening.what
            {
                *provider_message_id = provider_message_id.as_deref().map(indexed);
            }
        }
    }
}

/// Which of the named notifications and provider messages we know.
#[derive(Default)]
pub(super) struct Known {
    pub(super) owners: Owners,
    by_provider_message_id: BTreeMap<String, NotificationId>,
}

impl Known {
    /// What becomes of a message that is kept; how many of its events are new shows itself later.
    fn outcome(&self, report: Option<&Report>) -> Kept {
        match report.map(|report| self.resolve(report.names())) {
            None => Kept::Noted,
            Some(None) => Kept::Unmatched,
            Some(Some(_)) => Kept::Applied { new_events: 0 },
        }
    }

    /// Our own id decides; where it is absent or not ours, the provider's.
    pub(super) fn resolve(
        &self,
        (notification, provider_message_id): Names<'_>,
    ) -> Option<NotificationId> {
        let ours = notification.filter(|id| self.owners.contains_key(id));
        ours.or_else(|| {
            self.by_provider_message_id
                .get(provider_message_id?)
                .copied()
        })
    }
}

pub(super) async fn known<'a>(
    tx: &mut Tx,
    named: impl Iterator<Item = Names<'a>> + Clone,
) -> Result<Known, Error> {
    let ids = named.clone().filter_map(|(id, _)| id).collect();
    let mut known = Known {
        owners: owners::of(tx, ids).await?,
        by_provider_message_id: BTreeMap::new(),
    };
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
        let stmt = sql("SELECT f.provider_message_id, ")
            .push(owners::COLUMNS)
            .push(" FROM ")
            .rows(rows)
            .push(
                " JOIN delivery_facts f ON f.provider_message_id = b.provider_message_id \
                 JOIN contact_log l ON l.id = f.notification_id",
            )
            .push(owners::CLIENT);
        for row in tx.all(stmt).await? {
            let (id, owner) = owners::read(&row)?;
            known.owners.insert(id, owner);
            known
                .by_provider_message_id
                .insert(row.text("provider_message_id")?, id);
        }
    }
    Ok(known)
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
