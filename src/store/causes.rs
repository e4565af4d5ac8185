//! Failures kept by their causes: with each new event that is a failure, or that shows that a message
//! arrived nevertheless.
//!
//! Causes and entries are insert-only where writers meet. The counts are added to in place, in the order
//! of their keys and as the last step of a commit that waits for anybody: whoever waits there holds
//! nothing that anybody before it waits for, and a batch of hundreds waits once. Counts that are only
//! inserted would need a job that folds them, and a page would lag behind it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::flow::Changed;
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql};
use crate::domain::cause::{Cause, Told};
use crate::domain::event::{Event, What};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// Milliseconds.
const HOUR: i64 = 3_600_000;

/// A cause, and when it was first seen.
pub(super) type Causes = BTreeMap<Uuid, (Cause, Timestamp)>;
/// By cause and message, in the order in which rows are locked.
pub(super) type Entries = BTreeMap<(NotificationId, Uuid), Failed>;

/// One message of a cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) at: Timestamp,
    pub(super) arrived_at: Option<Timestamp>,
    pub(super) sent_again_at: Option<Timestamp>,
}

/// What is to be added to the counts of an hour.
#[derive(Clone, Copy, Debug)]
struct Delta {
    failed: i64,
    resolved: i64,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// By business, hour and cause.
#[derive(Debug, Default)]
pub(super) struct Deltas(BTreeMap<(String, i64, Uuid), Delta>);

impl Deltas {
    pub(super) fn add(&mut self, business: &str, cause: Uuid, at: Timestamp, of: (i64, i64)) {
        let key = (business.to_owned(), hour(at), cause);
        let delta = self.0.entry(key).or_insert(Delta {
            failed: 0,
            resolved: 0,
            first_at: at,
            last_at: at,
        });
        delta.failed += of.0;
        delta.resolved += of.1;
        delta.first_at = delta.first_at.min(at);
        delta.last_at = delta.last_at.max(at);
    }
}

/// Whole hours since 1970.
pub(super) fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(HOUR)
}

/// When an hour begins.
pub(super) fn beginning(hour: i64) -> Timestamp {
    Timestamp::from_millis(hour.saturating_mul(HOUR))
}

/// The events that matter to causes. An acceptance does not, so that sending costs nothing more.
pub(super) fn concerning<'a>(new: impl Iterator<Item = &'a Event>) -> Vec<&'a Event> {
    new.filter(|event| Told::of(event).is_some() || is_evidence(&event.what))
        .collect()
}

/// It shows that the message arrived.
const fn is_evidence(what: &What) -> bool {
    matches!(
        what,
        What::Delivered { .. }
            | What::Opened { .. }
            | What::Clicked { .. }
            | What::Complained { .. }
    )
}

/// Notes new events, whose facts are written and locked by this transaction.
pub(super) async fn note(
    tx: &mut Tx,
    concerning: &[&Event],
    changed: &[Changed],
) -> Result<(), Error> {
    let mut deltas = Deltas::default();
    let failing = concerning
        .iter()
        .filter_map(|event| Some((*event, Told::of(event)?)));
    let failing: Vec<(&Event, Told<'_>)> = failing.collect();
    if !failing.is_empty() {
        let (causes, entries) = stage(tx, &failing).await?;
        insert_causes(tx, &causes).await?;
        reopen(tx, causes.keys().copied()).await?;
        insert_entries(tx, &causes, &entries, &mut deltas).await?;
    }
    // Only what failed has a cause.
    let healthy = changed.iter().filter(|change| !change.failed);
    let healthy: BTreeSet<NotificationId> = healthy.map(|change| change.id).collect();
    let arrived = concerning.iter().copied();
    let arrived = arrived.filter(|event| !healthy.contains(&event.notification));
    arrivals(tx, arrived, &mut deltas).await?;
    count(tx, deltas).await
}

/// The causes of failures, and their messages as the facts have them now.
async fn stage(tx: &mut Tx, failing: &[(&Event, Told<'_>)]) -> Result<(Causes, Entries), Error> {
    let ids: BTreeSet<NotificationId> = failing
        .iter()
        .map(|(event, _)| event.notification)
        .collect();
    let stmt = sql(
        "SELECT l.id, l.business_id, l.method, l.address, coalesce(f.provider, \
         (SELECT a.provider FROM delivery_attempts a WHERE a.notification_id = l.id \
         ORDER BY a.attempt DESC LIMIT 1)) AS asked_provider, f.delivered_at, f.opened_first_at, \
         f.opened_last_at, f.clicked_first_at, f.clicked_last_at, f.complained_at, f.bounced_at, \
         EXISTS (SELECT 1 FROM contact_log r WHERE r.resend_of = l.id) AS again FROM ",
    )
    .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
    .push(
        " JOIN contact_log l ON l.id = b.id \
         LEFT JOIN delivery_facts f ON f.notification_id = l.id",
    );
    let mut known = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let about = about(&row)?;
        known.insert(NotificationId::new(row.id("id")?), about);
    }
    let (mut causes, mut entries) = (Causes::new(), Entries::new());
    for (event, told) in failing {
        if let Some(about) = known.get(&event.notification) {
            let case = (event.notification, event.occurred_at);
            let provider = about.provider.as_deref().or(Told::provider_of(event));
            about.stage(case, told, provider, (&mut causes, &mut entries));
        }
    }
    Ok((causes, entries))
}

/// What its entry and its facts say of a message.
pub(super) struct About {
    business: String,
    method: Method,
    pub(super) provider: Option<String>,
    address: String,
    /// Whatever shows that it arrived, and that it went.
    evidence: Option<Timestamp>,
    bounced_at: Option<Timestamp>,
    /// The last that shows that it arrived.
    last: Option<Timestamp>,
    again: bool,
}

/// Reads the columns that [`stage`] and the pass over the past select.
pub(super) fn about(row: &Row) -> Result<About, Error> {
    let time = |column| row.opt_time(column);
    let firsts = [
        time("delivered_at")?,
        time("opened_first_at")?,
        time("clicked_first_at")?,
        time("complained_at")?,
    ];
    let lasts = [
        time("delivered_at")?,
        time("opened_last_at")?,
        time("clicked_last_at")?,
        time("complained_at")?,
    ];
    Ok(About {
        business: row.text("business_id")?,
        method: row.word("method", Method::parse)?,
        provider: row.opt_text("asked_provider")?,
        address: row.opt_text("address")?.unwrap_or_default(),
        evidence: firsts.into_iter().flatten().min(),
        bounced_at: time("bounced_at")?,
        last: lasts.into_iter().flatten().max(),
        again: row.bool("again")?,
    })
}

impl About {
    pub(super) fn stage(
        &self,
        (id, at): (NotificationId, Timestamp),
        told: &Told<'_>,
        provider: Option<&str>,
        (causes, entries): (&mut Causes, &mut Entries),
    ) {
        let cause = told.cause(&self.business, self.method, provider, &self.address);
        let key = cause.id();
        let known = causes.entry(key).or_insert((cause, at));
        known.1 = known.1.min(at);
        let arrived_at = if told.bounced {
            // What was delivered may come back; what shows up after that arrived.
            self.last.filter(|last| *last > at)
        } else {
            // One that bounced went, and is a case of the bounce's cause.
            [self.evidence, self.bounced_at].into_iter().flatten().min()
        };
        entries.entry((id, key)).or_insert(Failed {
            at,
            arrived_at,
            sent_again_at: self.again.then_some(at),
        });
    }
}

pub(super) async fn insert_causes(tx: &mut Tx, causes: &Causes) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("business_id", Kind::Text),
        ("method", Kind::Text),
        ("provider", Kind::Text),
        ("bounced", Kind::Bool),
        ("category", Kind::Text),
        ("code", Kind::Text),
        ("text", Kind::Text),
        ("first_at", Kind::Time),
    ]);
    for (id, (cause, first_at)) in causes {
        rows.add([
            (*id).into(),
            (&cause.business).into(),
            Arg::Word(cause.method.as_str()),
            cause.provider.clone().into(),
            cause.bounced.into(),
            Arg::Word(cause.category.as_str()),
            cause.code.clone().into(),
            (&cause.text).into(),
            (*first_at).into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO failure_causes \
         (id, business_id, method, provider, bounced, category, code, text, first_at) \
         SELECT b.id, b.business_id, b.method, b.provider, b.bounced, b.category, b.code, b.text, \
         b.first_at FROM ")
    .rows(rows)
    // Words that went with a forgotten client come back with the next one that they are said of.
    .push(
        " WHERE true ON CONFLICT (id) DO UPDATE SET text = excluded.text \
         WHERE failure_causes.text = '' AND excluded.text <> ''",
    );
    tx.execute(stmt).await?;
    Ok(())
}

/// A failure after a dismissal opens the cause again. No row is locked but those of dismissed causes.
async fn reopen(tx: &mut Tx, causes: impl Iterator<Item = Uuid>) -> Result<(), Error> {
    let stmt = sql(
        "UPDATE failure_causes SET dismissed_at = NULL, dismissed_by = NULL \
         WHERE id IN (SELECT c.id FROM failure_causes c WHERE c.dismissed_at IS NOT NULL \
         AND c.id IN (SELECT b.id FROM ",
    )
    .rows(Rows::of_ids(causes))
    .push(")")
    .push(tx.dialect().lock(" ORDER BY c.id FOR UPDATE"))
    .push(")");
    tx.execute(stmt).await?;
    Ok(())
}

pub(super) async fn insert_entries(
    tx: &mut Tx,
    causes: &Causes,
    entries: &Entries,
    deltas: &mut Deltas,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("cause_id", Kind::Id),
        ("notification_id", Kind::Id),
        ("at", Kind::Time),
        ("arrived_at", Kind::Time),
        ("sent_again_at", Kind::Time),
    ]);
    for ((id, cause), failed) in entries {
        rows.add([
            (*cause).into(),
            id.uuid().into(),
            failed.at.into(),
            failed.arrived_at.into(),
            failed.sent_again_at.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO cause_entries \
         (cause_id, notification_id, at, arrived_at, sent_again_at) \
         SELECT b.cause_id, b.notification_id, b.at, b.arrived_at, b.sent_again_at FROM ")
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (cause_id, notification_id) DO NOTHING \
         RETURNING cause_id, notification_id",
    );
    for row in tx.all(stmt).await? {
        let cause = row.id("cause_id")?;
        let key = (NotificationId::new(row.id("notification_id")?), cause);
        if let (Some(failed), Some((of, _))) = (entries.get(&key), causes.get(&cause)) {
            let resolved = failed.arrived_at.is_some() || failed.sent_again_at.is_some();
            deltas.add(&of.business, cause, failed.at, (1, i64::from(resolved)));
        }
    }
    Ok(())
}

/// Marks what failed before and is now shown to have arrived.
async fn arrivals(
    tx: &mut Tx,
    events: impl Iterator<Item = &Event>,
    deltas: &mut Deltas,
) -> Result<(), Error> {
    // When each message first showed up at all, and when last other than by coming back.
    let mut seen: BTreeMap<NotificationId, (Timestamp, Option<Timestamp>)> = BTreeMap::new();
    for event in events {
        let arrived = is_evidence(&event.what).then_some(event.occurred_at);
        if arrived.is_none() && !matches!(event.what, What::Bounced(_)) {
            continue;
        }
        let seen = seen
            .entry(event.notification)
            .or_insert((event.occurred_at, None));
        seen.0 = seen.0.min(event.occurred_at);
        seen.1 = seen.1.max(arrived);
    }
    if seen.is_empty() {
        return Ok(());
    }
    let open = hold(tx, seen.keys().copied(), " WHERE e.arrived_at IS NULL").await?;
    let mut rows = mark_rows();
    for held in open {
        let Some((first, last)) = seen.get(&held.id) else {
            continue;
        };
        let arrived = if held.bounced {
            last.filter(|last| *last > held.at)
        } else {
            Some(*first)
        };
        let Some(arrived) = arrived else { continue };
        rows.add([held.cause.into(), held.id.uuid().into(), arrived.into()]);
        if !held.sent_again {
            deltas.add(&held.business, held.cause, held.at, (0, 1));
        }
    }
    mark(tx, "UPDATE cause_entries SET arrived_at = b.at FROM ", rows).await
}

/// A message of a cause that this transaction holds.
pub(super) struct Held {
    pub(super) business: String,
    pub(super) cause: Uuid,
    pub(super) bounced: bool,
    pub(super) id: NotificationId,
    pub(super) at: Timestamp,
    pub(super) arrived: bool,
    pub(super) sent_again: bool,
}

/// The rows of these messages that are so, locked in one order.
pub(super) async fn hold(
    tx: &mut Tx,
    ids: impl Iterator<Item = NotificationId>,
    that_are: &'static str,
) -> Result<Vec<Held>, Error> {
    let stmt = sql(
        "SELECT c.business_id, c.bounced, e.cause_id, e.notification_id, e.at, \
         e.arrived_at IS NOT NULL AS arrived, e.sent_again_at IS NOT NULL AS sent_again FROM ",
    )
    .rows(Rows::of_ids(ids.map(NotificationId::uuid)))
    .push(
        " JOIN cause_entries e ON e.notification_id = b.id \
         JOIN failure_causes c ON c.id = e.cause_id",
    )
    .push(that_are)
    .push(
        tx.dialect()
            .lock(" ORDER BY e.notification_id, e.cause_id FOR UPDATE OF e"),
    );
    let rows = tx.all(stmt).await?;
    rows.iter()
        .map(|row| {
            Ok(Held {
                business: row.text("business_id")?,
                cause: row.id("cause_id")?,
                bounced: row.bool("bounced")?,
                id: NotificationId::new(row.id("notification_id")?),
                at: row.time("at")?,
                arrived: row.bool("arrived")?,
                sent_again: row.bool("sent_again")?,
            })
        })
        .collect()
}

pub(super) fn mark_rows() -> Rows {
    Rows::new(&[
        ("cause_id", Kind::Id),
        ("notification_id", Kind::Id),
        ("at", Kind::Time),
    ])
}

/// Marks messages whose rows are held.
pub(super) async fn mark(tx: &mut Tx, update: &'static str, rows: Rows) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(update).rows(rows).push(
        " WHERE cause_entries.cause_id = b.cause_id \
         AND cause_entries.notification_id = b.notification_id",
    );
    tx.execute(stmt).await?;
    Ok(())
}

/// Adds to the counts, in the order of their keys.
pub(super) async fn count(tx: &mut Tx, deltas: Deltas) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("business_id", Kind::Text),
        ("hour", Kind::Int),
        ("cause_id", Kind::Id),
        ("failed", Kind::Int),
        ("resolved", Kind::Int),
        ("first_at", Kind::Time),
        ("last_at", Kind::Time),
    ]);
    for ((business, hour, cause), delta) in deltas.0 {
        rows.add([
            business.into(),
            hour.into(),
            cause.into(),
            delta.failed.into(),
            delta.resolved.into(),
            delta.first_at.into(),
            delta.last_at.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO cause_counts \
         (business_id, hour, cause_id, failed, resolved, first_at, last_at) \
         SELECT b.business_id, b.hour, b.cause_id, b.failed, b.resolved, b.first_at, b.last_at FROM ")
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (business_id, hour, cause_id) DO UPDATE SET \
         failed = cause_counts.failed + excluded.failed, \
         resolved = cause_counts.resolved + excluded.resolved, \
         first_at = CASE WHEN excluded.first_at < cause_counts.first_at THEN excluded.first_at \
         ELSE cause_counts.first_at END, \
         last_at = CASE WHEN excluded.last_at > cause_counts.last_at THEN excluded.last_at \
         ELSE cause_counts.last_at END",
    );
    tx.execute(stmt).await?;
    Ok(())
}
