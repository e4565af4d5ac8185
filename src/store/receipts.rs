//! Receipts that are still to come, of providers that can be asked for them: a report that was lost
//! leaves a message Sent for ever otherwise.

use std::time::Duration;

use super::db::Tx;
use super::feedback::indexed;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::{Error, Store};
use crate::domain::event::{Event, What};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// The providers that can be asked.
const ASKABLE: [&str; 1] = ["twilio"];
/// After this nothing more is to be expected: carriers report within hours, or not at all.
const EXPECTED_FOR: Duration = Duration::from_hours(24);
/// Rows looked at for one message that is asked for: the end of most is known by then.
const LOOKED_AT: usize = 50;
/// A row that nobody asked for in this time belongs to a program that does not ask.
const ABANDONED_AFTER: Duration = Duration::from_hours(48);

/// A message to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub notification: NotificationId,
    pub provider_message_id: String,
}

/// The rows of what these new events leave to be expected.
pub(super) fn of<'a>(new: impl Iterator<Item = &'a Event>) -> Rows {
    let mut rows = Rows::new(&[
        ("notification_id", Kind::Id),
        ("provider_message_id", Kind::Text),
        ("sent_at", Kind::Time),
    ]);
    let mut last = None;
    for event in new {
        if let What::Accepted {
            provider,
            provider_message_id: Some(id),
            ..
        } = &event.what
            && ASKABLE.contains(&provider.as_str())
            // Our own record and the provider's report of one send come one after the other.
            && last.replace(event.notification) != Some(event.notification)
        {
            let at = event.occurred_at.into();
            rows.add([event.notification.uuid().into(), indexed(id).into(), at]);
        }
    }
    rows
}

pub(super) async fn expect(tx: &mut Tx, rows: Rows) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO awaited_receipts (notification_id, provider_message_id, sent_at, due_at) \
         SELECT b.notification_id, b.provider_message_id, b.sent_at, b.sent_at FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (notification_id) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// Those that nobody asks for.
pub(super) fn old(now: Timestamp) -> Stmt {
    sql(
        "DELETE FROM awaited_receipts WHERE notification_id IN (SELECT notification_id \
         FROM awaited_receipts WHERE due_at < ",
    )
    .bind(now.minus(ABANDONED_AFTER))
    .push(" ORDER BY due_at LIMIT ")
}

impl Store {
    /// Messages to ask for now: `after` their send, and then each time when twice as much time has
    /// passed. No other process is given them. Those whose end is known are forgotten.
    pub async fn claim_receipts(
        &self,
        after: Duration,
        limit: usize,
    ) -> Result<Vec<Awaited>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql(
            "SELECT r.notification_id, r.provider_message_id, r.sent_at, \
             coalesce(f.delivered_at, f.failed_at, f.opened_first_at) AS known_at \
             FROM awaited_receipts r \
             LEFT JOIN delivery_facts f ON f.notification_id = r.notification_id \
             WHERE r.due_at <= ",
        )
        .bind(now.minus(after))
        .push(" ORDER BY r.due_at LIMIT ")
        .bind(i64::try_from(limit.saturating_mul(LOOKED_AT)).unwrap_or(i64::MAX))
        .push(tx.dialect().lock(" FOR UPDATE OF r SKIP LOCKED"));
        let (mut awaited, mut over) = (Vec::new(), Vec::new());
        let mut again = Rows::new(&[("id", Kind::Id), ("due_at", Kind::Time)]);
        for row in tx.all(stmt).await? {
            let id = row.id("notification_id")?;
            let age = now.since(row.time("sent_at")?);
            if row.opt_time("known_at")?.is_some() || age > EXPECTED_FOR {
                over.push(id);
                continue;
            }
            if awaited.len() == limit {
                break;
            }
            // Asked again after as long as it has waited by now.
            again.add([id.into(), now.plus(age.saturating_sub(after)).into()]);
            awaited.push(Awaited {
                notification: NotificationId::new(id),
                provider_message_id: row.text("provider_message_id")?,
            });
        }
        if !again.is_empty() {
            let stmt = sql("UPDATE awaited_receipts SET due_at = b.due_at FROM ")
                .rows(again)
                .push(" WHERE awaited_receipts.notification_id = b.id");
            tx.execute(stmt).await?;
        }
        if !over.is_empty() {
            let stmt =
                sql("DELETE FROM awaited_receipts WHERE notification_id IN (SELECT b.id FROM ")
                    .rows(Rows::of_ids(over))
                    .push(")");
            tx.execute(stmt).await?;
        }
        tx.commit().await?;
        Ok(awaited)
    }
}
