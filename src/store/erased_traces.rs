//! What names a client who is forgotten without belonging to it: tasks, files, filters, messages that came
//! in, keys. Where nothing leads from the client there, all of it is gone through, a few rows at a time.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::db::Tx;
use super::erasures::{Found, Moved, Work};
use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, files};
use crate::domain::footprint::{Footprint, Ids, ids_in};
use crate::domain::time::Timestamp;

/// Rows of one batch.
const BATCH: i64 = 500;
/// Of those that may have a megabyte each.
const LARGE_BATCH: i64 = 50;
/// Pieces of files, of some hundred kilobytes each.
const PIECES_BATCH: i64 = 8;

/// Its follow-up tasks: what is to be done when, and by whom, stays.
pub(super) async fn tasks(tx: &mut Tx, work: &Work) -> Result<Moved, Error> {
    let stmt = sql(
        "UPDATE follow_up_tasks SET title = 'Erased', description = NULL \
         WHERE id IN (SELECT t.id FROM follow_up_tasks t WHERE t.client_uid = ",
    )
    .bind(work.client)
    .push(" AND t.id > ")
    .bind(work.reached_id())
    .push(" ORDER BY t.id LIMIT ")
    .bind(BATCH)
    .push(") RETURNING id");
    let rows = tx.all(stmt).await?;
    after_ids(&rows)
}

/// Files that staff may fetch: whose lines stand in them is not known. Those that were asked for while the
/// first round went on may hold lines that it had not reached, and go in the second.
pub(super) async fn exports(tx: &mut Tx, work: &Work, now: Timestamp) -> Result<Moved, Error> {
    let made_before = |stmt: super::stmt::Stmt| {
        stmt.bind(&work.business)
            .push(" AND e.created_at <= ")
            .bind(now)
    };
    let pieces = made_before(sql(
        "DELETE FROM export_chunks WHERE (export_id, number) IN (SELECT p.export_id, p.number \
         FROM exports e JOIN export_chunks p ON p.export_id = e.id WHERE e.business_id = ",
    ))
    .push(" LIMIT ")
    .bind(PIECES_BATCH)
    .push(")");
    if tx.execute(pieces).await? > 0 {
        return Ok(Moved::To(json!([])));
    }
    let rest = made_before(sql(
        "DELETE FROM exports WHERE id IN (SELECT e.id FROM exports e WHERE e.business_id = ",
    ));
    tx.execute(rest.push(")")).await?;
    Ok(Moved::End)
}

/// What somebody searched for and had sent again.
pub(super) async fn runs(tx: &mut Tx, work: &Work, now: Timestamp) -> Result<Found, Error> {
    let stmt = sql("SELECT r.id, r.filter FROM resend_runs r WHERE r.business_id = ")
        .bind(&work.business)
        .push(" AND r.id > ")
        .bind(work.reached_id())
        .push(" ORDER BY r.id LIMIT ")
        .bind(BATCH);
    let rows = tx.all(stmt).await?;
    let mut named = Vec::new();
    for row in &rows {
        let filter = row.opt_json("filter")?.unwrap_or_default();
        if is_sought(&filter, &work.traces) {
            named.push(row.id("id")?);
        }
    }
    let moved = after_ids(&rows)?;
    let write = (!named.is_empty()).then(|| {
        sql("UPDATE resend_runs SET filter = ")
            .bind(json!({}))
            .push(", stopped_at = CASE WHEN finished_at IS NULL THEN coalesce(stopped_at, ")
            .bind(now)
            .push(") ELSE stopped_at END, finished_at = coalesce(finished_at, ")
            .bind(now)
            .push(") WHERE id IN ")
            .bind_list(named)
    });
    Ok(Found {
        write,
        ..Found::to(moved)
    })
}

/// Whether the run was of the client, or of what was searched for.
fn is_sought(filter: &Json, traces: &Footprint) -> bool {
    let query = filter.get("query").and_then(Json::as_str);
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| matches!(&*name, "client" | "search") && traces.any_in(&value))
}

/// Whether a message from a queue is for the client: by its address anywhere, by its id or name only where
/// these stand for a client. A bare `42` may be anything.
fn is_for(body: &str, traces: &Footprint) -> bool {
    let named = |value: &Json| {
        let names = [value.as_str(), text_of(value, "id"), text_of(value, "name")];
        names.into_iter().flatten().any(|text| traces.any_in(text))
    };
    let is_named = |one: &Json| one.get("client").is_some_and(named);
    traces.address_in(body)
        || serde_json::from_str(body).is_ok_and(|message: Json| {
            let many = message.get("notifications").and_then(Json::as_array);
            is_named(&message) || many.into_iter().flatten().any(is_named)
        })
}

fn text_of<'a>(value: &'a Json, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Json::as_str)
}

/// Events that wait for their message, and know it by the provider's id alone.
pub(super) async fn unmatched(tx: &mut Tx, work: &Work) -> Result<Found, Error> {
    let since = work.reached.get(0).and_then(Json::as_i64);
    let after = work.reached.get(1).and_then(Json::as_str);
    let after = after.and_then(|text| Uuid::try_parse(text).ok());
    let stmt = sql(
        "SELECT u.recorded_at, u.event_key, u.detail FROM unmatched_events u \
         WHERE (u.recorded_at, u.event_key) > (",
    )
    .bind(since.map_or(Timestamp::EPOCH, Timestamp::from_millis))
    .push(", ")
    .bind(after.unwrap_or_default())
    .push(") ORDER BY u.recorded_at, u.event_key LIMIT ")
    .bind(BATCH);
    let rows = tx.all(stmt).await?;
    let Some(last) = rows.last() else {
        return Ok(Found::to(Moved::End));
    };
    let mut named = Vec::new();
    for row in &rows {
        let detail = row.opt_json("detail")?.unwrap_or_default().to_string();
        if work.traces.address_in(&detail) {
            named.push(row.id("event_key")?);
        }
    }
    let moved = Moved::To(json!([
        last.time("recorded_at")?.as_millis(),
        last.id("event_key")?.to_string()
    ]));
    let write = (!named.is_empty())
        .then(|| sql("DELETE FROM unmatched_events WHERE event_key IN ").bind_list(named));
    Ok(Found {
        write,
        ..Found::to(moved)
    })
}

/// Messages from queues that could not be enqueued.
pub(super) async fn buried(tx: &mut Tx, work: &Work) -> Result<Found, Error> {
    let stmt = sql("SELECT m.id, m.business_id, m.body FROM buried_messages m WHERE m.id > ")
        .bind(work.reached_id())
        .push(" ORDER BY m.id LIMIT ")
        .bind(LARGE_BATCH);
    let rows = tx.all(stmt).await?;
    let mut named = Vec::new();
    for row in &rows {
        if row.text("business_id")? == work.business && is_for(&row.text("body")?, &work.traces) {
            named.push(row.id("id")?);
        }
    }
    let moved = after_ids(&rows)?;
    let write = (!named.is_empty())
        .then(|| sql("DELETE FROM buried_messages WHERE id IN ").bind_list(named));
    Ok(Found {
        write,
        ..Found::to(moved)
    })
}

/// Idempotency keys of its entries: an application may have made them of names and addresses.
pub(super) async fn keys(tx: &mut Tx, work: &Work) -> Result<Found, Error> {
    let reached = work.reached.get(0).and_then(Json::as_str).unwrap_or("");
    let stmt = sql(
        "SELECT recent.key, l.client_uid FROM (SELECT i.key, i.notification_id \
         FROM idempotency_keys i WHERE i.business_id = ",
    )
    .bind(&work.business)
    .push(" AND i.key > ")
    .bind(reached)
    .push(" ORDER BY i.key LIMIT ")
    .bind(BATCH)
    .push(
        ") AS recent LEFT JOIN contact_log l ON l.id = recent.notification_id ORDER BY recent.key",
    );
    let rows = tx.all(stmt).await?;
    let Some(last) = rows.last() else {
        return Ok(Found::to(Moved::End));
    };
    let mut own = Rows::new(&[("business_id", Kind::Text), ("key", Kind::Text)]);
    for row in &rows {
        if row.opt_id("client_uid")? == Some(work.client) {
            own.add([(&work.business).into(), row.text("key")?.into()]);
        }
    }
    let moved = Moved::To(json!([last.text("key")?]));
    let write = (!own.is_empty()).then(|| {
        sql("DELETE FROM idempotency_keys WHERE (business_id, key) IN \
             (SELECT b.business_id, b.key FROM ")
        .rows(own)
        .push(")")
    });
    Ok(Found {
        write,
        ..Found::to(moved)
    })
}

/// Feedback as it came. The row stays, so that a message that comes again is known.
pub(super) async fn inbox(tx: &mut Tx, work: &Work) -> Result<Found, Error> {
    let text = |at: usize| work.reached.get(at).and_then(Json::as_str).unwrap_or("");
    let since = work.reached.get(0).and_then(Json::as_i64);
    let stmt = sql(
        "SELECT source, message_id, received_at, topic, body FROM feedback_inbox \
         WHERE received_at >= ",
    )
    .bind(since.map_or(Timestamp::EPOCH, Timestamp::from_millis))
    .push(" AND (received_at, source, message_id) > (")
    .bind(since.map_or(Timestamp::EPOCH, Timestamp::from_millis))
    .push(", ")
    .bind(text(1))
    .push(", ")
    .bind(text(2))
    .push(") ORDER BY received_at, source, message_id LIMIT ")
    .bind(LARGE_BATCH);
    let rows = tx.all(stmt).await?;
    let Some(last) = rows.last() else {
        return Ok(Found::to(Moved::End));
    };
    let mut found = Vec::new();
    for row in &rows {
        let mut ids = ids_in(&row.text("body")?);
        let of_topic = ids_in(&row.text("topic")?);
        ids.ours.extend(of_topic.ours);
        ids.theirs.extend(of_topic.theirs);
        found.push(ids);
    }
    let (ours, theirs) = own(tx, work, &found).await?;
    let mut named = Rows::new(&[("source", Kind::Text), ("message_id", Kind::Text)]);
    for (row, ids) in rows.iter().zip(&found) {
        let is_named = !ids.ours.is_disjoint(&ours)
            || !ids.theirs.is_disjoint(&theirs)
            || work.traces.address_in(&row.text("body")?);
        if is_named {
            named.add([row.text("source")?.into(), row.text("message_id")?.into()]);
        }
    }
    let moved = Moved::To(json!([
        last.time("received_at")?.as_millis(),
        last.text("source")?,
        last.text("message_id")?
    ]));
    let write = (!named.is_empty()).then(|| {
        sql(
            "UPDATE feedback_inbox SET body = '', result = CASE WHEN result = 'applied' \
             THEN result ELSE 'noted' END FROM ",
        )
        .rows(named)
        .push(
            " WHERE feedback_inbox.source = b.source AND feedback_inbox.message_id = b.message_id",
        )
    });
    Ok(Found {
        write,
        ..Found::to(moved)
    })
}

/// Of the ids in some texts those of the client's messages: our own, and the providers'.
async fn own(
    tx: &mut Tx,
    work: &Work,
    found: &[Ids],
) -> Result<(BTreeSet<Uuid>, BTreeSet<String>), Error> {
    let ours: BTreeSet<Uuid> = found
        .iter()
        .flat_map(|ids| ids.ours.iter().copied())
        .collect();
    let theirs: BTreeSet<&String> = found.iter().flat_map(|ids| &ids.theirs).collect();
    let (mut own, mut own_theirs) = (BTreeSet::new(), BTreeSet::new());
    if !ours.is_empty() {
        let stmt = sql("SELECT b.id FROM ")
            .rows(Rows::of_ids(ours))
            .push(" JOIN contact_log l ON l.id = b.id WHERE l.client_uid = ")
            .bind(work.client);
        for row in tx.all(stmt).await? {
            own.insert(row.id("id")?);
        }
    }
    let mut rows = Rows::new(&[("provider_message_id", Kind::Text)]);
    for id in theirs {
        rows.add([id.into()]);
    }
    if !rows.is_empty() {
        let stmt = sql("SELECT f.provider_message_id FROM ")
            .rows(rows)
            .push(
                " JOIN delivery_facts f ON f.provider_message_id = b.provider_message_id \
                 JOIN contact_log l ON l.id = f.notification_id WHERE l.client_uid = ",
            )
            .bind(work.client);
        for row in tx.all(stmt).await? {
            own_theirs.insert(row.text("provider_message_id")?);
        }
    }
    Ok((own, own_theirs))
}

/// Attached files that no other message has.
pub(super) async fn files(tx: &mut Tx, work: &Work) -> Result<Found, Error> {
    if work.traces.files.is_empty() {
        return Ok(Found::to(Moved::End));
    }
    let used = files::used_after(tx, work.reached_id()).await?;
    let mut unused = work.traces.files.clone();
    unused.retain(|sha256| {
        !used
            .files
            .contains(&(work.business.clone(), sha256.clone()))
    });
    let moved = used
        .last
        .map_or(Moved::End, |last| Moved::To(json!([last.to_string()])));
    Ok(Found {
        files: Some(unused),
        ..Found::to(moved)
    })
}

/// Drops them, once all contents were looked at.
pub(super) async fn drop_files(tx: &mut Tx, work: &Work) -> Result<(), Error> {
    let unused = work.traces.files.iter();
    let unused = unused.map(|sha256| (work.business.clone(), sha256.clone()));
    files::drop_unused(tx, &unused.collect(), work.reached_id()).await?;
    Ok(())
}

impl Found {
    const fn to(moved: Moved) -> Self {
        Self {
            moved,
            write: None,
            files: None,
        }
    }
}

fn after_ids(rows: &[Row]) -> Result<Moved, Error> {
    let mut last = Uuid::nil();
    for row in rows {
        last = last.max(row.id("id")?);
    }
    Ok(if rows.is_empty() {
        Moved::End
    } else {
        Moved::To(json!([last.to_string()]))
    })
}
