//! Events whose message is not known: kept, and applied as soon as it is. A send that names them
//! takes them; a sweep finds those that crossed their send on the way to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::db::Tx;
use super::feedback::{Happening, MessageName, Names, Report, event, known};
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql};
use super::{Error, Store, facts, inbox};
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// How long after its arrival an event is looked at by sweeps: longer than the transaction that
/// records a send can last, with the difference between two machines' clocks. Who is sent later
/// takes it without a sweep.
const SWEEP_WINDOW: Duration = Duration::from_mins(5);

/// Events looked at in one sweep, so that a flood of foreign ones costs some milliseconds a sweep
/// and no more.
const SWEEP_MAX: i64 = 5_000;

/// How far sweeps have come. Each goes on where the one before ended. The first walk goes through
/// everything, because nobody may have looked while this program was down; each later one through
/// what was new in the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    looked_at: (Timestamp, Uuid),
    /// When the present walk began.
    began: Option<Timestamp>,
}

/// Keeps what messages tell, each named by its source and id.
pub(super) async fn keep(
    tx: &mut Tx,
    told: &[(MessageName<'_>, &Report)],
    now: Timestamp,
) -> Result<(), Error> {
    let mut distinct: BTreeMap<EventKey, (MessageName<'_>, &Report, &Happening)> = BTreeMap::new();
    for (name, report) in told {
        let happenings = report.happenings.iter();
        distinct.extend(happenings.map(|h| (h.key, (*name, *report, h))));
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
        ("message_source", Kind::Text),
        ("message_id", Kind::Text),
    ]);
    for ((source, message_id), report, happening) in distinct.into_values() {
        rows.add([
            happening.key.0.into(),
            report.notification.map(NotificationId::uuid).into(),
            report.provider_message_id.clone().into(),
            Arg::Word(happening.what.kind()),
            happening.occurred_at.into(),
            now.into(),
            Arg::Word(report.source),
            facts::detail(&happening.what)?,
            source.into(),
            message_id.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO unmatched_events (event_key, notification_id, \
         provider_message_id, kind, occurred_at, recorded_at, source, detail, \
         message_source, message_id) SELECT b.event_key, b.notification_id, \
         b.provider_message_id, b.kind, b.occurred_at, b.recorded_at, b.source, b.detail, \
         b.message_source, b.message_id FROM ")
    .rows(rows)
    .push(" WHERE true ON CONFLICT (event_key) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// Takes the events that waited for these sends to be recorded, whichever id they name them by.
pub(super) async fn take(tx: &mut Tx, sent: &[Event]) -> Result<Vec<Event>, Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("provider_message_id", Kind::Text)]);
    let mut by_provider: BTreeMap<&str, NotificationId> = BTreeMap::new();
    for event in sent {
        if let What::Accepted {
            provider_message_id,
            ..
        } = &event.what
        {
            let id = event.notification;
            by_provider.extend(provider_message_id.as_deref().map(|theirs| (theirs, id)));
            rows.add([id.uuid().into(), provider_message_id.clone().into()]);
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = sql("WITH sent AS MATERIALIZED (SELECT b.id, b.provider_message_id FROM ")
        .rows(rows)
        .push(
            ") DELETE FROM unmatched_events WHERE event_key IN (SELECT u.event_key FROM sent \
             JOIN unmatched_events u ON u.provider_message_id = sent.provider_message_id \
             UNION ALL SELECT u.event_key FROM sent \
             JOIN unmatched_events u ON u.notification_id = sent.id) \
             RETURNING event_key, notification_id, provider_message_id, kind, occurred_at, \
             source, detail, message_source, message_id",
        );
    let own: BTreeSet<NotificationId> = sent.iter().map(|event| event.notification).collect();
    let (mut events, mut messages) = (Vec::new(), BTreeSet::new());
    for row in tx.all(stmt).await? {
        messages.extend(message(&row)?);
        let ours = row.opt_id("notification_id")?.map(NotificationId::new);
        let theirs = row.opt_text("provider_message_id")?;
        let theirs = || by_provider.get(theirs.as_deref()?).copied();
        // One of the two brought it here; our own id decides.
        if let Some(id) = ours.filter(|id| own.contains(id)).or_else(theirs) {
            events.push(event(&row, id)?);
        }
    }
    inbox::mark_applied(tx, messages).await?;
    Ok(events)
}

/// The message that told of a waiting event; events kept by earlier versions do not say.
fn message(row: &Row) -> Result<Option<(String, String)>, Error> {
    let source = row.opt_text("message_source")?;
    Ok(source.zip(row.opt_text("message_id")?))
}

/// Takes away what waits of these events, which are applied now.
pub(super) async fn forget(tx: &mut Tx, events: &[Event]) -> Result<(), Error> {
    let keys: BTreeSet<EventKey> = events.iter().map(|event| event.key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let stmt = sql("DELETE FROM unmatched_events WHERE event_key IN (SELECT b.id FROM ")
        .rows(Rows::of_ids(keys.into_iter().map(|key| key.0)))
        .push(")");
    tx.execute(stmt).await?;
    Ok(())
}

/// A waiting event, by what it names its message.
struct Waiting {
    key: Uuid,
    notification: Option<NotificationId>,
    provider_message_id: Option<String>,
}

impl Waiting {
    fn names(&self) -> Names<'_> {
        (self.notification, self.provider_message_id.as_deref())
    }
}

impl Store {
    /// Applies unmatched events whose message became known since: its send was recorded at the same
    /// moment by another connection, so that neither saw the other. Returns how many were applied.
    pub async fn sweep_unmatched(&self, sweep: &mut Sweep) -> Result<usize, Error> {
        let before = *sweep;
        let applied = async {
            let found = self.look_on(sweep).await?;
            if found.is_empty() {
                return Ok(0);
            }
            super::again(|| self.apply(&found)).await
        };
        let applied = applied.await;
        if applied.as_ref().is_err_and(Error::is_unavailable) {
            *sweep = before;
        }
        applied
    }

    /// The next of the waiting events: those whose message is known by now. Only reads, because as a
    /// rule there are none.
    async fn look_on(&self, sweep: &mut Sweep) -> Result<BTreeMap<Uuid, NotificationId>, Error> {
        let mut tx = self.db.read().await?;
        let began = *sweep.began.get_or_insert(self.clock.now());
        let (at, key) = sweep.looked_at;
        let stmt = sql(
            "SELECT event_key, notification_id, provider_message_id, recorded_at \
             FROM unmatched_events WHERE (recorded_at, event_key) > (",
        )
        .bind(at)
        .push(", ")
        .bind(key)
        .push(") ORDER BY recorded_at, event_key LIMIT ")
        .bind(SWEEP_MAX);
        let mut waiting = Vec::new();
        for row in tx.all(stmt).await? {
            let key = row.id("event_key")?;
            sweep.looked_at = (row.time("recorded_at")?, key);
            waiting.push(Waiting {
                key,
                notification: row.opt_id("notification_id")?.map(NotificationId::new),
                provider_message_id: row.opt_text("provider_message_id")?,
            });
        }
        if i64::try_from(waiting.len()).is_ok_and(|count| count < SWEEP_MAX) {
            sweep.looked_at = (began.minus(SWEEP_WINDOW), Uuid::nil());
            sweep.began = None;
        }
        let known = known(&mut tx, waiting.iter().map(Waiting::names)).await?;
        let found = |event: &Waiting| Some((event.key, known.resolve(event.names())?));
        Ok(waiting.iter().filter_map(found).collect())
    }

    async fn apply(&self, found: &BTreeMap<Uuid, NotificationId>) -> Result<usize, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM unmatched_events WHERE event_key IN (SELECT b.id FROM ")
            .rows(Rows::of_ids(found.keys().copied()))
            .push(") RETURNING event_key, kind, occurred_at, source, detail, message_source, message_id");
        let (mut events, mut messages) = (Vec::new(), BTreeSet::new());
        // Another sweep, or the send itself, may have been faster.
        for row in tx.all(stmt).await? {
            if let Some(id) = found.get(&row.id("event_key")?) {
                events.push(event(&row, *id)?);
                messages.extend(message(&row)?);
            }
        }
        inbox::mark_applied(&mut tx, messages).await?;
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
