//! Events that wait for webhook endpoints: written in the commit of the events themselves, handed out
//! endpoint by endpoint, so that none waits for another.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::db::Tx;
use super::history::Entry;
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql};
use super::{Error, Store, feedback};
use crate::clock::Clock;
use crate::domain::event::Event;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Secret, event};

/// An endpoint in one worker's hands.
#[derive(Clone, Debug)]
pub struct HeldEndpoint {
    pub id: Uuid,
    pub business: String,
    pub url: String,
    /// All that sign now, the newest first.
    pub secrets: Vec<Secret>,
    /// Rounds in a row in which nothing was taken.
    pub failures: u32,
}

/// One event on its way to one endpoint.
#[derive(Clone, Debug)]
pub struct WebhookDelivery {
    /// The `webhook-id`.
    pub id: Uuid,
    /// The word of the field `type`.
    pub word: String,
    /// Attempts made so far.
    pub attempts: u32,
    pub queued_at: Timestamp,
    pub event: Event,
    /// As it is now.
    pub entry: Entry,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookOutcome {
    pub id: Uuid,
    pub end: WebhookEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEnd {
    Taken,
    Again { at: Timestamp },
    GivenUp,
}

/// What a round says of the endpoint itself.
#[derive(Clone, Debug)]
pub struct Round {
    /// Nothing is sent to it before.
    pub next_at: Timestamp,
    /// What was wrong, where something was.
    pub error: Option<String>,
    /// It is switched off when it has taken nothing for so long,
    pub give_up_after: Duration,
    /// or when it said that it is gone for good.
    pub gone: bool,
}

/// Old events deleted in one transaction.
const PRUNED_MAX: i64 = 1_000;

/// Writes the new events for the endpoints of their businesses. Without any endpoint this is one look
/// at an empty table for each commit.
pub(super) async fn queue<'a>(
    tx: &mut Tx,
    clock: &Clock,
    new: impl Iterator<Item = &'a Event>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut told: Vec<(&Event, &'static str)> =
        new.filter_map(|it| Some((it, event(&it.what)?))).collect();
    if told.is_empty() {
        return Ok(());
    }
    let any = sql("SELECT 1 AS one FROM webhook_endpoints LIMIT 1");
    if tx.optional(any).await?.is_none() {
        return Ok(());
    }
    told.sort_by_key(|(event, _)| (event.notification, event.occurred_at));
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("notification_id", Kind::Id),
        ("event_key", Kind::Id),
        ("event", Kind::Text),
    ]);
    for (event, word) in told {
        rows.add([
            clock.new_uuid(now).into(),
            event.notification.uuid().into(),
            event.key.0.into(),
            Arg::Word(word),
        ]);
    }
    // In this order of tables: SQLite would begin with the endpoints.
    let stmt = sql(
        "INSERT INTO webhook_deliveries (endpoint_id, id, notification_id, event_key, event, \
         queued_at, due_at, attempts) \
         SELECT e.id, b.id, b.notification_id, b.event_key, b.event, ",
    )
    .bind(now)
    .push(", ")
    .bind(now)
    .push(", 0 FROM ")
    .rows(rows)
    .push(
        " CROSS JOIN contact_log l CROSS JOIN webhook_endpoints e \
         WHERE l.id = b.notification_id AND e.business_id = l.business_id \
         AND (e.events = '' OR e.events LIKE '%,' || b.event || ',%')",
    );
    tx.execute(stmt).await?;
    Ok(())
}

impl Store {
    /// Takes up to `limit` endpoints for which something is due, those that were served last at the
    /// end. Each is ours alone for the length of the lease, by the clocks of the machines: if these
    /// differ by more, an event may be sent twice, which may happen anyway.
    pub async fn claim_webhooks(
        &self,
        holder: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<HeldEndpoint>, Error> {
        let now = self.clock.now();
        let due = {
            let mut tx = self.db.read().await?;
            let stmt = sql(
                "SELECT e.id FROM webhook_endpoints e WHERE e.disabled_at IS NULL \
                 AND e.next_at <= ",
            )
            .bind(now)
            .push(" AND (e.lease_until IS NULL OR e.lease_until <= ")
            .bind(now)
            .push(
                // Of an entry that is not kept any more there is nothing to tell.
                ") AND EXISTS (SELECT 1 FROM webhook_deliveries d JOIN delivery_events v \
                 ON v.notification_id = d.notification_id AND v.event_key = d.event_key \
                 WHERE d.endpoint_id = e.id AND d.due_at <= ",
            )
            .bind(now)
            .push(") ORDER BY e.next_at, e.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = tx.all(stmt).await?;
            let ids: Result<Vec<Uuid>, Error> = rows.iter().map(|row| row.id("id")).collect();
            ids?
        };
        if due.is_empty() {
            return Ok(Vec::new());
        }
        // Most looks find nothing and write nothing. Another worker may have been faster since.
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE webhook_endpoints SET holder = ")
            .bind(holder)
            .push(", lease_until = ")
            .bind(now.plus(lease))
            .push(" WHERE id IN ")
            .bind_list(due)
            .push(" AND disabled_at IS NULL AND (lease_until IS NULL OR lease_until <= ")
            .bind(now)
            .push(
                ") RETURNING id, business_id, url, secret, previous_secret, previous_ends_at, \
                 failures",
            );
        let rows = tx.all(stmt).await?;
        let held: Result<Vec<_>, Error> = rows.iter().map(|row| held(row, now)).collect();
        tx.commit().await?;
        held
    }

    /// What is due for the endpoint, in the order in which it was recorded.
    pub async fn due_webhooks(
        &self,
        held: &HeldEndpoint,
        limit: usize,
    ) -> Result<Vec<WebhookDelivery>, Error> {
        let mut found = Vec::new();
        {
            let mut tx = self.db.read().await?;
            let stmt = sql(
                "SELECT d.id, d.notification_id, d.event, d.attempts, d.queued_at, \
                 v.event_key, v.kind, v.occurred_at, v.source, v.detail FROM webhook_deliveries d \
                 JOIN delivery_events v ON v.notification_id = d.notification_id \
                 AND v.event_key = d.event_key WHERE d.endpoint_id = ",
            )
            .bind(held.id)
            .push(" AND d.due_at <= ")
            .bind(self.clock.now())
            .push(" ORDER BY d.due_at, d.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
            for row in tx.all(stmt).await? {
                found.push(due(&row)?);
            }
        }
        let mut ids: Vec<NotificationId> = found.iter().map(|d| d.event.notification).collect();
        ids.sort_unstable();
        ids.dedup();
        let entries = self.entries(&held.business, &ids).await?;
        let entries: BTreeMap<NotificationId, Entry> =
            entries.into_iter().map(|entry| (entry.id, entry)).collect();
        let deliveries = found.into_iter().filter_map(|due| {
            Some(WebhookDelivery {
                entry: entries.get(&due.event.notification)?.clone(),
                id: due.id,
                word: due.word,
                attempts: due.attempts,
                queued_at: due.queued_at,
                event: due.event,
            })
        });
        Ok(deliveries.collect())
    }

    /// Keeps what became of the events and lets go of the endpoint. Returns whether it was switched
    /// off by this.
    pub async fn record_webhooks(
        &self,
        holder: &str,
        endpoint: Uuid,
        outcomes: &[WebhookOutcome],
        round: &Round,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        ends(&mut tx, endpoint, outcomes, now).await?;
        let taken = outcomes.iter().any(|it| it.end == WebhookEnd::Taken);
        let mut stmt =
            sql("UPDATE webhook_endpoints SET holder = NULL, lease_until = NULL, next_at = ")
                .bind(round.next_at)
                .push(", last_error = ")
                .bind(round.error.as_deref());
        stmt = if taken {
            stmt.push(", failures = 0, failing_since_at = NULL, last_delivered_at = ")
                .bind(now)
        } else if round.error.is_some() {
            stmt.push(", failures = failures + 1, failing_since_at = coalesce(failing_since_at, ")
                .bind(now)
                .push("), disabled_at = CASE WHEN failing_since_at <= ")
                .bind(now.minus(round.give_up_after))
                .push(" OR ")
                .bind(i64::from(round.gone))
                .push(" = 1 THEN ")
                .bind(now)
                .push(" ELSE disabled_at END")
        } else {
            stmt
        };
        let stmt = stmt
            .push(" WHERE id = ")
            .bind(endpoint)
            .push(" AND holder = ")
            .bind(holder)
            .push(" RETURNING disabled_at");
        let row = tx.optional(stmt).await?;
        let disabled = row.map(|row| row.opt_time("disabled_at")).transpose()?;
        tx.commit().await?;
        Ok(disabled.flatten() == Some(now))
    }

    /// Deletes some of what is older than it is kept. Returns whether there may be more.
    pub async fn prune_webhooks(&self, keep: Duration) -> Result<bool, Error> {
        let before = NotificationId::floor(self.clock.now().minus(keep)).uuid();
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "DELETE FROM webhook_deliveries WHERE (endpoint_id, id) IN (SELECT endpoint_id, id \
             FROM webhook_deliveries WHERE id < ",
        )
        .bind(before)
        .push(" ORDER BY id LIMIT ")
        .bind(PRUNED_MAX)
        // Several workers prune; none waits for another.
        .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
        .push(")");
        let deleted = tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted >= PRUNED_MAX))
    }
}

/// What has been taken meanwhile, by whomever it was sent, stays taken.
async fn ends(
    tx: &mut Tx,
    endpoint: Uuid,
    outcomes: &[WebhookOutcome],
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("due_at", Kind::Time),
        ("delivered_at", Kind::Time),
    ]);
    for outcome in outcomes {
        let (due_at, delivered_at) = match outcome.end {
            WebhookEnd::Taken => (None, Some(now)),
            WebhookEnd::Again { at } => (Some(at), None),
            WebhookEnd::GivenUp => (None, None),
        };
        rows.add([outcome.id.into(), due_at.into(), delivered_at.into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("UPDATE webhook_deliveries SET due_at = b.due_at, \
         delivered_at = b.delivered_at, attempts = webhook_deliveries.attempts + 1 FROM ")
    .rows(rows)
    .push(
        " WHERE webhook_deliveries.id = b.id AND webhook_deliveries.due_at IS NOT NULL \
         AND webhook_deliveries.endpoint_id = ",
    )
    .bind(endpoint);
    tx.execute(stmt).await?;
    Ok(())
}

fn held(row: &Row, now: Timestamp) -> Result<HeldEndpoint, Error> {
    let secret = |column| -> Result<Option<Secret>, Error> {
        let Some(text) = row.opt_text(column)? else {
            return Ok(None);
        };
        let secret = Secret::parse(&text);
        secret
            .map(Some)
            .ok_or_else(|| Error::corrupt(column, "no secret of Standard Webhooks"))
    };
    let ends_at = row.opt_time("previous_ends_at")?;
    let previous = secret("previous_secret")?.filter(|_| ends_at.is_some_and(|at| now < at));
    Ok(HeldEndpoint {
        id: row.id("id")?,
        business: row.text("business_id")?,
        url: row.text("url")?,
        secrets: secret("secret")?.into_iter().chain(previous).collect(),
        failures: u32::try_from(row.int("failures")?).unwrap_or(u32::MAX),
    })
}

struct Due {
    id: Uuid,
    word: String,
    attempts: u32,
    queued_at: Timestamp,
    event: Event,
}

fn due(row: &Row) -> Result<Due, Error> {
    let notification = NotificationId::new(row.id("notification_id")?);
    Ok(Due {
        id: row.id("id")?,
        word: row.text("event")?,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        queued_at: row.time("queued_at")?,
        event: feedback::event(row, notification)?,
    })
}
