//! The entries of a client who is forgotten, and all that hangs on them.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use super::db::Tx;
use super::erasures::{Moved, Work};
use super::facts::HAS_GONE;
use super::forgotten::{self, Forgotten};
use super::row::Row;
use super::stmt::{Dialect, Kind, Rows, Stmt, sql};
use super::{Error, facts, files, jobs};
use crate::clock::Clock;
use crate::domain::address::{Address, forgotten as digest};
use crate::domain::event::Event;
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method};
use crate::domain::time::Timestamp;

/// Entries of one batch: with some ten statements for what hangs on them a matter of milliseconds.
const BATCH: i64 = 50;

/// The entries of one batch, and what is looked for by what stands in them.
struct Lines {
    ids: BTreeSet<NotificationId>,
    contents: BTreeSet<Uuid>,
    /// Method and compared form.
    addresses: BTreeSet<(Method, String)>,
    recipients: Vec<Forgotten>,
}

pub(super) async fn batch(
    tx: &mut Tx,
    clock: &Clock,
    work: &mut Work,
    now: Timestamp,
) -> Result<Moved, Error> {
    let mut lines = lines(tx, work).await?;
    let Some(last) = lines.ids.last().copied() else {
        // The addresses of the card, which no entry may have.
        let addresses = work.traces.addresses.iter();
        let addresses = addresses.flat_map(|text| compared(text)).collect();
        let cards = Lines {
            ids: BTreeSet::new(),
            contents: BTreeSet::new(),
            addresses,
            recipients: Vec::new(),
        };
        suppressions(tx, work, &cards).await?;
        return Ok(Moved::End);
    };
    let cancelled = cancel(tx, clock, &lines, now).await?;
    lines.recipients.retain(|it| !cancelled.contains(&it.id));
    forgotten::keep(tx, &lines.recipients, now).await?;
    for stmt in of_notifications(tx.dialect()) {
        let ids = Rows::of_ids(lines.ids.iter().map(|id| id.uuid()));
        tx.execute(stmt.rows(ids).push(")")).await?;
    }
    tx.execute(causes(&lines)).await?;
    work.traces
        .files
        .extend(contents(tx, &lines.contents).await?);
    suppressions(tx, work, &lines).await?;
    work.count(lines.ids.len());
    Ok(Moved::To(Json::Array(vec![last.to_string().into()])))
}

async fn lines(tx: &mut Tx, work: &mut Work) -> Result<Lines, Error> {
    let stmt = sql(
        "SELECT l.id, l.method, l.channel, l.address, l.content_id, l.send_at, f.sent_at \
         FROM contact_log l LEFT JOIN delivery_facts f ON f.notification_id = l.id \
         WHERE l.client_uid = ",
    )
    .bind(work.client)
    .push(" AND l.id > ")
    .bind(work.reached_id())
    .push(" ORDER BY l.id LIMIT ")
    .bind(BATCH);
    let mut lines = Lines {
        ids: BTreeSet::new(),
        contents: BTreeSet::new(),
        addresses: BTreeSet::new(),
        recipients: Vec::new(),
    };
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("id")?);
        lines.ids.insert(id);
        lines.contents.extend(row.opt_id("content_id")?);
        if let Some(text) = row.opt_text("address")? {
            work.traces.add_address(&text);
            let method = row.word("method", Method::parse)?;
            if let Ok(address) = Address::parse(method, &text) {
                lines.addresses.insert((method, address.compared()));
                // Nobody complains of a push message, nor of what came in.
                let may_complain = matches!(method, Method::Email | Method::Sms)
                    && row.word("channel", Channel::parse)? == Channel::Outbound;
                if may_complain {
                    let later = row.opt_time("sent_at")?.max(row.opt_time("send_at")?);
                    lines.recipients.push(Forgotten {
                        id,
                        method,
                        digest: address.forgotten(),
                        went_at: later.map_or(id.date(), |at| at.max(id.date())),
                    });
                }
            }
        }
    }
    Ok(lines)
}

/// An address of unknown method.
fn compared(text: &str) -> impl Iterator<Item = (Method, String)> {
    Method::SENT_BY_US
        .into_iter()
        .filter_map(move |method| Some((method, Address::parse(method, text).ok()?.compared())))
}

/// What waits is not sent any more. What is in a worker's hands goes; what comes of it is kept without
/// what is personal. Returns what is cancelled.
async fn cancel(
    tx: &mut Tx,
    clock: &Clock,
    lines: &Lines,
    now: Timestamp,
) -> Result<BTreeSet<NotificationId>, Error> {
    let mut waiting = Vec::new();
    for table in [
        "DELETE FROM jobs WHERE id IN (SELECT b.id FROM ",
        "DELETE FROM held_jobs WHERE id IN (SELECT b.id FROM ",
    ] {
        let stmt = sql(table)
            .rows(Rows::of_ids(lines.ids.iter().map(|id| id.uuid())))
            .push(") RETURNING id");
        for row in tx.all(stmt).await? {
            waiting.push(row.id("id")?);
        }
    }
    if waiting.is_empty() {
        return Ok(BTreeSet::new());
    }
    let stmt = sql("SELECT b.id FROM ")
        .rows(Rows::of_ids(waiting))
        .push(
            " WHERE NOT EXISTS (SELECT 1 FROM delivery_facts f WHERE f.notification_id = b.id AND ",
        )
        .push(HAS_GONE)
        .push(" IS NOT NULL)");
    let rows = tx.all(stmt).await?;
    let id = |row: &Row| Ok(NotificationId::new(row.id("id")?));
    let cancelled = rows
        .iter()
        .map(id)
        .collect::<Result<BTreeSet<_>, Error>>()?;
    let events = cancelled.iter().map(|id| jobs::cancellation(*id, now));
    facts::merge(tx, clock, &events.collect::<Vec<Event>>(), now).await?;
    Ok(cancelled)
}

/// A provider's words in a cause are about nobody once several clients share them. Those that it said of
/// forgotten ones alone go.
fn causes(lines: &Lines) -> Stmt {
    sql(
        "UPDATE failure_causes SET text = '' WHERE text <> '' AND NOT EXISTS (SELECT 1 \
         FROM cause_entries o JOIN contact_log l ON l.id = o.notification_id \
         JOIN clients c ON c.uid = l.client_uid WHERE o.cause_id = failure_causes.id \
         AND c.erased_at IS NULL) AND id IN (SELECT e.cause_id FROM cause_entries e \
         WHERE e.notification_id IN (SELECT b.id FROM ",
    )
    .rows(Rows::of_ids(lines.ids.iter().map(|id| id.uuid())))
    .push("))")
}

/// What `PERSONAL` of the ledger's details is, in the words of each database.
const OF_SQLITE: &str = "json_remove(detail, '$.response', '$.diagnostic', '$.user_agent', '$.link', '$.how', \
    '$.provider_text')";
const OF_POSTGRES: &str =
    "detail - ARRAY['response', 'diagnostic', 'user_agent', 'link', 'how', 'provider_text']";

/// What goes of the rows of some notifications: statements that end where their ids follow.
fn of_notifications(dialect: Dialect) -> Vec<Stmt> {
    let without = match dialect {
        Dialect::Sqlite => OF_SQLITE,
        Dialect::Postgres => OF_POSTGRES,
    };
    let ledger = sql("UPDATE delivery_events SET detail = ")
        .push(without)
        .push(" WHERE detail <> ")
        .push(without)
        .push(" AND notification_id IN (SELECT b.id FROM ");
    let others = [
        // What a provider said of an attempt.
        "UPDATE delivery_attempts SET text = NULL WHERE text IS NOT NULL \
         AND notification_id IN (SELECT b.id FROM ",
        "UPDATE delivery_facts SET failed_text = NULL, bounced_text = NULL \
         WHERE (failed_text IS NOT NULL OR bounced_text IS NOT NULL) \
         AND notification_id IN (SELECT b.id FROM ",
        "UPDATE entry_changes SET before = NULL, after = NULL \
         WHERE (before IS NOT NULL OR after IS NOT NULL) \
         AND notification_id IN (SELECT b.id FROM ",
        "DELETE FROM unmatched_events WHERE notification_id IN (SELECT b.id FROM ",
        "DELETE FROM awaited_receipts WHERE notification_id IN (SELECT b.id FROM ",
        // How many there were, of which method and type, by whom and when: that stays.
        "UPDATE contact_log SET address = NULL, description = NULL, metadata = NULL, tags = '[]' \
         WHERE id IN (SELECT b.id FROM ",
    ];
    let others = others.map(sql);
    [ledger].into_iter().chain(others).collect()
}

/// Takes the contents away. Returns the digests of the files that they carried.
async fn contents(tx: &mut Tx, ids: &BTreeSet<Uuid>) -> Result<Vec<String>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = sql("DELETE FROM message_content WHERE id IN (SELECT b.id FROM ")
        .rows(Rows::of_ids(ids.iter().copied()))
        .push(") RETURNING attachments");
    let mut carried = Vec::new();
    for row in tx.all(stmt).await? {
        carried.extend(files::digests(&row)?);
    }
    Ok(carried)
}

/// Who asked to be left alone is left alone still: of such an entry a digest of the address stays. Entries
/// that say only that an address does not work go, and so does what was taken off the list.
async fn suppressions(tx: &mut Tx, work: &Work, lines: &Lines) -> Result<(), Error> {
    if lines.addresses.is_empty() {
        return Ok(());
    }
    let rows = || {
        let mut rows = Rows::new(&[
            ("business_id", Kind::Text),
            ("method", Kind::Text),
            ("address", Kind::Text),
            ("forgotten", Kind::Text),
        ]);
        for (method, address) in &lines.addresses {
            rows.add([
                (&work.business).into(),
                method.as_str().into(),
                address.into(),
                digest(*method, address).into(),
            ]);
        }
        rows
    };
    // Another client may have had the same address.
    let double = sql("DELETE FROM suppressions WHERE id IN (SELECT s.id FROM ")
        .rows(rows())
        .push(
            " JOIN suppressions s ON s.business_id = b.business_id AND s.method = b.method \
             AND s.address = b.address WHERE s.reason NOT IN ('complaint', 'stop', 'staff', 'unsubscribe') \
             OR EXISTS (SELECT 1 FROM suppressions d WHERE d.business_id = b.business_id \
             AND d.method = b.method AND d.address = b.forgotten AND d.contact_type = s.contact_type \
             AND d.reason = s.reason))",
        );
    tx.execute(double).await?;
    let kept = sql("UPDATE suppressions SET note = NULL, address = b.forgotten FROM ")
        .rows(rows())
        .push(
            " WHERE suppressions.business_id = b.business_id AND suppressions.method = b.method \
             AND suppressions.address = b.address",
        );
    tx.execute(kept).await?;
    let lifted = sql("DELETE FROM lifted_suppressions WHERE id IN (SELECT s.id FROM ")
        .rows(rows())
        .push(
            " JOIN lifted_suppressions s ON s.business_id = b.business_id AND s.address = b.address)",
        );
    tx.execute(lifted).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::PERSONAL;

    #[test]
    fn both_databases_forget_what_is_personal() {
        for text in [OF_SQLITE, OF_POSTGRES] {
            let named: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
            let named: Vec<&str> = named
                .iter()
                .map(|name| name.trim_start_matches("$."))
                .collect();
            assert_eq!(named, PERSONAL, "{text}");
        }
    }
}
