//! What causes learn afterwards: that messages were sent again, and what failed before there were causes.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::causes::{self, Causes, Deltas, Entries};
use super::db::Tx;
use super::entries::Staged;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store, facts};
use crate::domain::cause::Told;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// How far back the past is taken in: no page shows more of it.
pub const PAST: Duration = Duration::from_hours(90 * 24);

/// How long old workers may go on beside new ones. They record failures without a cause, of messages of
/// any age: so all is gone through once more when they are gone.
const DEPLOY: Duration = Duration::from_hours(24);

/// Above every id: where the pass begins.
const BEGIN: Uuid = Uuid::max();
/// Below every id: nothing is left.
const END: Uuid = Uuid::nil();

/// Notes what is sent again. Insert-only: an enqueue waits for nobody who looks at causes.
pub(super) async fn leave_marks(tx: &mut Tx, staged: &[Staged<'_>]) -> Result<(), Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("resend_of", Kind::Id)]);
    for it in staged {
        if let Some(first) = it.new.resend_of {
            rows.add([it.id.uuid().into(), first.uuid().into()]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO resent_marks (id, resend_of) SELECT b.id, b.resend_of FROM ");
    tx.execute(stmt.rows(rows)).await?;
    Ok(())
}

/// What is left of the time before there were causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    More,
    /// Another process is at it, and may end before its end.
    Elsewhere,
    /// Once more after this time, when no old worker runs any more.
    Later(Duration),
    Done,
}

impl Store {
    /// Marks some of the messages that were just sent again. Returns how many.
    pub async fn mark_resent(&self, limit: usize) -> Result<usize, Error> {
        super::again(|| self.mark_resent_once(limit)).await
    }

    async fn mark_resent_once(&self, limit: usize) -> Result<usize, Error> {
        let mut tx = self.db.read().await?;
        let any = sql("SELECT 1 AS one FROM resent_marks LIMIT 1");
        if tx.optional(any).await?.is_none() {
            return Ok(0);
        }
        drop(tx);
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "DELETE FROM resent_marks WHERE id IN (SELECT id FROM resent_marks \
             ORDER BY id LIMIT ",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        // Several workers do this; none waits for another.
        .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
        .push(") RETURNING id, resend_of");
        let mut marks: BTreeMap<NotificationId, Timestamp> = BTreeMap::new();
        let rows = tx.all(stmt).await?;
        for row in &rows {
            let at = NotificationId::new(row.id("id")?).date();
            let first = marks.entry(NotificationId::new(row.id("resend_of")?));
            let first = first.or_insert(at);
            *first = (*first).min(at);
        }
        let ids = marks.keys().copied();
        let held = causes::hold(&mut tx, ids, " WHERE e.sent_again_at IS NULL").await?;
        let (mut deltas, mut marked) = (Deltas::default(), causes::mark_rows());
        for it in held {
            let Some(at) = marks.get(&it.id) else {
                continue;
            };
            marked.add([it.cause.into(), it.id.uuid().into(), (*at).into()]);
            if !it.arrived {
                deltas.add(&it.business, it.cause, it.at, (0, 1));
            }
        }
        let update = "UPDATE cause_entries SET sent_again_at = b.at FROM ";
        causes::mark(&mut tx, update, marked).await?;
        causes::count(&mut tx, deltas).await?;
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Takes in what failed of the next messages before there were causes, from the newest on.
    pub async fn take_in_past(&self, limit: usize) -> Result<Past, Error> {
        super::again(|| self.take_in_past_once(limit)).await
    }

    async fn take_in_past_once(&self, limit: usize) -> Result<Past, Error> {
        let mut tx = self.db.write().await?;
        let open = || {
            sql("SELECT p.reached, p.finished_at FROM cause_past p WHERE p.one = 1 AND p.reached <> ")
                .bind(END)
        };
        let stmt = open().push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"));
        let Some(row) = tx.optional(stmt).await? else {
            let is_open = tx.optional(open()).await?.is_some();
            return Ok(if is_open { Past::Elsewhere } else { Past::Done });
        };
        let reached = row.id("reached")?;
        let now = self.clock.now();
        // Of the first time: the second time it stays.
        let finished_at = row.opt_time("finished_at")?;
        if let Some(due) = finished_at.map(|at| at.plus(DEPLOY))
            && now < due
        {
            // At once: one that is only dropped holds the row a little longer.
            tx.commit().await?;
            return Ok(Past::Later(due.since(now)));
        }
        let end = NotificationId::floor(now.minus(PAST)).uuid();
        let stmt = sql("SELECT f.notification_id FROM delivery_facts f WHERE f.notification_id < ")
            .bind(reached)
            .push(" AND f.notification_id >= ")
            .bind(end)
            .push(" ORDER BY f.notification_id DESC LIMIT 1 OFFSET ")
            .bind(i64::try_from(limit.saturating_sub(1)).unwrap_or(i64::MAX));
        let edge = tx.optional(stmt).await?;
        let edge = edge.map(|row| row.id("notification_id")).transpose()?;
        let (found, entries) = past(&mut tx, reached, edge.unwrap_or(end)).await?;
        causes::insert_causes(&mut tx, &found).await?;
        seen_earlier(&mut tx, &found).await?;
        let mut deltas = Deltas::default();
        causes::insert_entries(&mut tx, &found, &entries, &mut deltas).await?;
        let next = match (edge, finished_at) {
            (Some(edge), _) => edge,
            (None, None) => BEGIN,
            (None, Some(_)) => END,
        };
        let first_ends = edge.is_none() && finished_at.is_none();
        let stmt = sql("UPDATE cause_past SET reached = ")
            .bind(next)
            .push(", finished_at = ")
            .bind(if first_ends { Some(now) } else { finished_at })
            .push(" WHERE one = 1");
        tx.execute(stmt).await?;
        causes::count(&mut tx, deltas).await?;
        tx.commit().await?;
        Ok(if edge.is_some() {
            Past::More
        } else if first_ends {
            Past::Later(DEPLOY)
        } else {
            Past::Done
        })
    }
}

/// What failed among the messages below one id and down to another, and is in no cause yet.
async fn past(tx: &mut Tx, below: Uuid, down_to: Uuid) -> Result<(Causes, Entries), Error> {
    let stmt = sql(
        "SELECT f.*, l.id, l.business_id, l.method, l.address, coalesce(f.provider, \
         (SELECT a.provider FROM delivery_attempts a WHERE a.notification_id = l.id \
         ORDER BY a.attempt DESC LIMIT 1)) AS asked_provider, \
         EXISTS (SELECT 1 FROM contact_log r WHERE r.resend_of = l.id) AS again, \
         EXISTS (SELECT 1 FROM cause_entries e JOIN failure_causes c ON c.id = e.cause_id \
         WHERE e.notification_id = l.id AND NOT c.bounced) AS failure_known, \
         EXISTS (SELECT 1 FROM cause_entries e JOIN failure_causes c ON c.id = e.cause_id \
         WHERE e.notification_id = l.id AND c.bounced) AS bounce_known \
         FROM delivery_facts f JOIN contact_log l ON l.id = f.notification_id \
         WHERE (f.failed_at IS NOT NULL OR f.bounced_at IS NOT NULL) AND f.notification_id < ",
    )
    .bind(below)
    .push(" AND f.notification_id >= ")
    .bind(down_to);
    let (mut causes, mut entries) = (Causes::new(), Entries::new());
    for row in tx.all(stmt).await? {
        let (about, facts) = (causes::about(&row)?, facts::read(&row)?);
        let id = NotificationId::new(row.id("id")?);
        let provider = about.provider.as_deref();
        // Known ones may be told of in other words by now: those of a forgotten client are gone.
        if let Some(failed) = &facts.failed
            && !row.bool("failure_known")?
        {
            let told = Told::failed(&failed.failure);
            about.stage(
                (id, failed.at),
                &told,
                provider,
                (&mut causes, &mut entries),
            );
        }
        if let Some(bounced) = &facts.bounced
            && !row.bool("bounce_known")?
        {
            let told = Told::bounced(&bounced.bounce);
            about.stage(
                (id, bounced.at),
                &told,
                provider,
                (&mut causes, &mut entries),
            );
        }
    }
    Ok((causes, entries))
}

/// Causes that were known are older than they seemed.
async fn seen_earlier(tx: &mut Tx, causes: &Causes) -> Result<(), Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("first_at", Kind::Time)]);
    for (id, (_, first_at)) in causes {
        rows.add([(*id).into(), (*first_at).into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("UPDATE failure_causes SET first_at = b.first_at FROM ")
        .rows(rows)
        .push(" WHERE failure_causes.id = b.id AND failure_causes.first_at > b.first_at");
    tx.execute(stmt).await?;
    Ok(())
}
