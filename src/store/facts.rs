//! The facts rows: the fold of the ledger, kept beside it. Always written through
//! [`merge`], which keeps a new event only once and holds the row while it merges.

use std::collections::{BTreeMap, BTreeSet};

use super::db::Tx;
use super::fact_parts::{self, PARTS, Part};
use super::flow::{Changed, Counted};
use super::owners::{self, Owners};
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql};
use super::{Error, causes, erased, flow, lessons, receipts, webhook_queue};
use crate::clock::Clock;
use crate::domain::event::{Event, EventKey, What};
use crate::domain::facts::{Facts, Sent};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::domain::trace::Step;

/// When it was first shown that a message went, or null, from its facts row `f`.
pub(super) const HAS_GONE: &str = "coalesce(f.sent_at, f.delivered_at, f.opened_first_at, \
    f.clicked_first_at, f.complained_at, f.bounced_at)";

/// What names a happening: it is in the ledger once.
pub(super) type Happened = (NotificationId, EventKey);

/// Appends events to the ledger, merges those that are new into the facts, counts what they make known,
/// keeps what they teach of their recipients' addresses and of causes, and writes them out for webhooks.
/// Returns which were new. The notifications must exist. A transaction calls this once, so that every
/// writer locks the ledger before the facts and these before the suppression list, each in one order.
pub(super) async fn merge(
    tx: &mut Tx,
    clock: &Clock,
    events: &[Event],
    now: Timestamp,
) -> Result<BTreeSet<Happened>, Error> {
    let owners = owners::of_events(tx, events).await?;
    let (new, counted) = merge_known(tx, clock, (events, &owners), now).await?;
    counted.write(tx, clock, now).await?;
    Ok(new)
}

/// The same for who knows already whose the notifications are, and writes the counts with those of its
/// own.
pub(super) async fn merge_known(
    tx: &mut Tx,
    clock: &Clock,
    (events, owners): (&[Event], &Owners),
    now: Timestamp,
) -> Result<(BTreeSet<Happened>, Counted), Error> {
    let events = erased::forget(events, owners);
    let mut new = append(tx, &events, now).await?;
    for event in new.values().flatten() {
        tx.tell(event.notification, || Step::of_event(event, now));
    }
    let happened = new
        .values()
        .flatten()
        .map(|event| (event.notification, event.key))
        .collect();
    let teaching = lessons::teaching(new.values().flatten().copied());
    webhook_queue::queue(tx, clock, new.values().flatten().copied(), now).await?;
    let concerning = causes::concerning(new.values().flatten().copied());
    let awaited = receipts::of(new.values().flatten().copied());
    let mut changed = insert(tx, &new, owners).await?;
    for whole in &changed {
        new.remove(&whole.id);
    }
    changed.append(&mut update(tx, &new).await?);
    receipts::expect(tx, awaited).await?;
    lessons::learn(tx, clock, &teaching, now).await?;
    causes::note(tx, &concerning, &changed).await?;
    Ok((happened, flow::changed(&changed, owners, now)))
}

/// The events that were not in the ledger yet, by notification in ascending order.
async fn append<'a>(
    tx: &mut Tx,
    events: &'a [Event],
    now: Timestamp,
) -> Result<BTreeMap<NotificationId, Vec<&'a Event>>, Error> {
    // In one order for every writer, so that two of them cannot wait for each other.
    let distinct: BTreeMap<(NotificationId, EventKey), &Event> = events
        .iter()
        .map(|event| ((event.notification, event.key), event))
        .collect();
    let mut rows = Rows::new(&[
        ("notification_id", Kind::Id),
        ("event_key", Kind::Id),
        ("kind", Kind::Text),
        ("occurred_at", Kind::Time),
        ("recorded_at", Kind::Time),
        ("source", Kind::Text),
        ("detail", Kind::Json),
    ]);
    for event in distinct.values() {
        rows.add([
            event.notification.uuid().into(),
            event.key.0.into(),
            Arg::Word(event.what.kind()),
            event.occurred_at.into(),
            now.into(),
            (&event.source).into(),
            detail(&event.what)?,
        ]);
    }
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let stmt = sql("INSERT INTO delivery_events \
         (notification_id, event_key, kind, occurred_at, recorded_at, source, detail) \
         SELECT b.notification_id, b.event_key, b.kind, b.occurred_at, b.recorded_at, b.source, \
         b.detail FROM ")
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (notification_id, event_key) DO NOTHING \
         RETURNING notification_id, event_key",
    );
    let mut new: BTreeMap<NotificationId, Vec<&Event>> = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("notification_id")?);
        let key = EventKey(row.id("event_key")?);
        if let Some(event) = distinct.get(&(id, key)) {
            new.entry(id).or_default().push(event);
        }
    }
    Ok(new)
}

/// Makes the facts rows that are missing, and returns those that need no more. An acceptance that is
/// the first thing known of its message is the hot path: its row is written whole. Other new rows are
/// blank.
///
/// All of them in one statement and before any row is locked: two writers that wait for rows of each
/// other, the one for a new row and the other for an old one, would wait in a circle.
async fn insert(
    tx: &mut Tx,
    new: &BTreeMap<NotificationId, Vec<&Event>>,
    owners: &Owners,
) -> Result<Vec<Changed>, Error> {
    let mut accepted: BTreeMap<NotificationId, Sent> = new
        .iter()
        .filter_map(|(id, events)| match events.as_slice() {
            [event] => Some((*id, Facts::fold([*event]).sent?)),
            _ => None,
        })
        .collect();
    let mut rows = Rows::new(&[
        ("notification_id", Kind::Id),
        ("sent_at", Kind::Time),
        ("sent_key", Kind::Id),
        ("provider", Kind::Text),
        ("provider_message_id", Kind::Text),
        ("opens_tracked", Kind::Bool),
    ]);
    let is_there = |id: &&NotificationId| owners.get(id).is_some_and(|owner| owner.has_facts);
    for id in new.keys().filter(|id| !is_there(id)) {
        let sent = accepted.get(id);
        rows.add([
            id.uuid().into(),
            sent.map(|s| s.at).into(),
            sent.map(|s| s.key.0).into(),
            sent.map(|s| s.provider.as_str()).into(),
            sent.and_then(|s| s.provider_message_id.as_deref()).into(),
            sent.is_some_and(|s| s.opens_tracked).into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = sql(
        "INSERT INTO delivery_facts (notification_id, sent_at, sent_key, provider, \
         provider_message_id, opens_tracked, opened_count, clicked_count) \
         SELECT b.notification_id, b.sent_at, b.sent_key, b.provider, b.provider_message_id, \
         b.opens_tracked, 0, 0 FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (notification_id) DO NOTHING RETURNING notification_id");
    let mut whole = Vec::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("notification_id")?);
        if let Some(sent) = accepted.remove(&id) {
            whole.push(Changed {
                id,
                source: sent.provider.clone(),
                failed: false,
                before: Facts::default(),
                after: Facts {
                    sent: Some(sent),
                    ..Facts::default()
                },
            });
        }
    }
    Ok(whole)
}

const SELECT: &str = "SELECT f.notification_id, \
    (f.failed_at IS NOT NULL OR f.bounced_at IS NOT NULL) AS has_failed";

/// Merges events that were just appended into rows that are there; each is merged exactly once. The rows
/// are locked whether the events change them or not: what events teach is learned one after the other.
async fn update(
    tx: &mut Tx,
    new: &BTreeMap<NotificationId, Vec<&Event>>,
) -> Result<Vec<Changed>, Error> {
    let touch = |part: &&Part, events: &[&Event]| {
        let mut parts = events
            .iter()
            .filter_map(|event| fact_parts::of(&event.what));
        parts.any(|found| found == *part)
    };
    let parts = PARTS.into_iter();
    let parts: Vec<&Part> = parts
        .filter(|part| new.values().any(|events| touch(part, events)))
        .collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let read = fact_parts::to_count_by(&parts);
    let selected = read
        .iter()
        .fold(sql(SELECT), |stmt, part| stmt.push(part.select));
    let stmt = selected
        .push(" FROM ")
        .rows(Rows::of_ids(new.keys().map(|id| id.uuid())))
        .push(" JOIN delivery_facts f ON f.notification_id = b.id")
        .push(
            tx.dialect()
                .lock(" ORDER BY f.notification_id FOR UPDATE OF f"),
        );
    let mut merged = Vec::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("notification_id")?);
        let mut before = Facts::default();
        for part in &read {
            (part.read)(&row, &mut before)?;
        }
        let mut after = before.clone();
        let events = new.get(&id).into_iter().flatten();
        let source = events.clone().next().map(|event| event.source.clone());
        for event in events {
            after.apply(event);
        }
        let fails = after.failed.is_some() || after.bounced.is_some();
        merged.push(Changed {
            id,
            before,
            after,
            source: source.unwrap_or_default(),
            failed: fails || row.bool("has_failed")?,
        });
    }
    for part in parts {
        let mut rows = Rows::new(part.columns);
        let changed = merged
            .iter()
            .filter(|it| (part.changed)(&it.before, &it.after));
        for Changed { id, after, .. } in changed {
            let key = std::iter::once(id.uuid().into());
            rows.push(key.chain((part.values)(after)));
        }
        write(tx, part, rows).await?;
    }
    Ok(merged)
}

/// Writes one part of rows that are held.
pub(super) async fn write(tx: &mut Tx, part: &Part, rows: Rows) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(part.update)
        .rows(rows)
        .push(" WHERE delivery_facts.notification_id = b.notification_id");
    tx.execute(stmt).await?;
    Ok(())
}

/// The `detail` column: what the event says beside its kind, which is written first.
pub(super) fn detail(what: &What) -> Result<Arg, Error> {
    let text = serde_json::to_string(what).map_err(Error::encode)?;
    let rest = text
        .strip_prefix("{\"kind\":\"")
        .and_then(|rest| rest.strip_prefix(what.kind())?.strip_prefix('"'))
        .ok_or_else(|| Error::encode("an event that does not begin with its kind"))?;
    Arg::json(format!("{{{}", rest.trim_start_matches(',')))
}

/// The event that a ledger row holds.
pub(super) fn what(row: &Row) -> Result<What, Error> {
    let kind = row.text("kind")?;
    let mut detail = row.opt_json("detail")?.unwrap_or_default();
    if let Some(object) = detail.as_object_mut() {
        object.insert("kind".to_owned(), kind.into());
    }
    serde_json::from_value(detail).map_err(|e| Error::corrupt("detail", e))
}

/// Facts from a row that holds the columns of `delivery_facts`, all null when there is none.
pub(super) fn read(row: &Row) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for part in PARTS {
        (part.read)(row, &mut facts)?;
    }
    Ok(facts)
}
