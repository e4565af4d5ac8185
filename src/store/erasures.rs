//! Clients whose personal data is taken away: batch by batch, in every table, from where the last batch
//! ended. What is left are lines with dates, methods and statuses, so that counts stay what they were.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Stmt, sql, storable};
use super::{Error, Store, erased_entries, erased_traces};
use crate::domain::footprint::Footprint;
use crate::domain::time::Timestamp;

/// Who wants a client to be forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub business: &'a str,
    /// The application's id of the client.
    pub client_id: &'a str,
    /// A member of staff, an API key, a command on the machine.
    pub asked_by: &'a str,
    pub reason: Option<&'a str>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    Begun(Erasure),
    /// The client was forgotten before.
    Before(Erasure),
    /// The law wants the client kept (`hold`).
    OnHold,
    NoClient,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub id: Uuid,
    /// Our own key of the client.
    pub client: Uuid,
    pub asked_by: String,
    pub reason: Option<String>,
    pub asked_at: Timestamp,
    pub round: i64,
    /// Entries whose personal data is gone.
    pub entries: i64,
    pub finished_at: Option<Timestamp>,
}

impl Erasure {
    /// In a word.
    pub const fn state(&self) -> &'static str {
        match (self.finished_at, self.round) {
            (Some(_), _) => "finished",
            (None, 1) => "running",
            (None, _) => "checking",
        }
    }
}

/// What stands on the card of a client who was forgotten.
pub const ERASED_NAME: &str = "Erased client";

/// After the first round, what was under way when it began may still be written by others: a transaction
/// that is open, a message in a worker's hands, with the difference between two machines' clocks. So
/// everything is gone through once more this much later.
const SECOND_ROUND: std::time::Duration = std::time::Duration::from_mins(5);

/// The parts of the work, in their order.
const STEPS: [&str; 9] = [
    "entries",
    "tasks",
    "exports",
    "runs",
    "buried",
    "keys",
    "inbox",
    "unmatched",
    "files",
];

/// One that is at work, its row locked.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: Uuid,
    pub(super) business: String,
    pub(super) client: Uuid,
    pub(super) reached: Json,
    pub(super) traces: Footprint,
    pub(super) entries: i64,
    round: i64,
    step: usize,
}

/// What a batch of a part that names no client found, outside of any transaction that writes.
pub(super) struct Found {
    pub(super) moved: Moved,
    pub(super) write: Option<Stmt>,
    /// Files that nobody else was seen to have.
    pub(super) files: Option<BTreeSet<String>>,
}

/// How far a batch came.
pub(super) enum Moved {
    /// There may be more after this.
    To(Json),
    /// The part is done.
    End,
}

macro_rules! columns {
    () => {
        "SELECT e.id, e.business_id, e.client_uid, e.asked_by, e.reason, e.asked_at, e.round, e.step, \
         e.reached, e.traces, e.entries, e.finished_at FROM erasures e WHERE "
    };
}

impl Store {
    /// Begins to forget a client. From now on the client's id is free: who comes by it anew is a new
    /// client, and of this one nothing is sent and nothing personal kept any more.
    pub async fn erase_client(&self, order: Order<'_>) -> Result<Ordered, Error> {
        super::again(|| self.erase_client_once(order)).await
    }

    async fn erase_client_once(&self, order: Order<'_>) -> Result<Ordered, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql(
            "SELECT c.uid, c.client_id, c.name, c.email, c.phone, c.hold, c.erased_at \
             FROM clients c WHERE c.business_id = ",
        )
        .bind(order.business)
        .push(" AND c.client_id = ")
        .bind(storable(order.client_id.to_owned()))
        .push(tx.dialect().lock(" FOR UPDATE OF c"));
        let Some(card) = tx.optional(stmt).await? else {
            return Ok(Ordered::NoClient);
        };
        let client = card.id("uid")?;
        if card.opt_time("erased_at")?.is_some() {
            let stmt = sql(concat!(columns!(), "e.business_id = "))
                .bind(order.business)
                .push(" AND e.client_uid = ")
                .bind(client)
                .push(" ORDER BY e.id DESC LIMIT 1");
            let before = tx.optional(stmt).await?;
            let before = before.as_ref().map(erasure).transpose()?;
            return Ok(before.map_or(Ordered::NoClient, Ordered::Before));
        }
        if card.bool("hold")? {
            return Ok(Ordered::OnHold);
        }
        let mut traces = Footprint::default();
        traces.add_word(&card.text("client_id")?);
        traces.add_word(&card.opt_text("name")?.unwrap_or_default());
        for column in ["email", "phone"] {
            traces.add_address(&card.opt_text(column)?.unwrap_or_default());
        }
        let id = self.clock.new_uuid(now);
        tx.execute(begin(id, client, order, &traces, now)?).await?;
        tx.execute(blank(client, now)).await?;
        let stmt = sql(concat!(columns!(), "e.id = ")).bind(id);
        let begun = tx.optional(stmt).await?.ok_or(Error::Raced)?;
        let begun = erasure(&begun)?;
        tx.commit().await?;
        Ok(Ordered::Begun(begun))
    }

    pub async fn erasure(&self, business: &str, id: Uuid) -> Result<Option<Erasure>, Error> {
        let stmt = sql(concat!(columns!(), "e.id = "))
            .bind(id)
            .push(" AND e.business_id = ")
            .bind(business);
        let mut tx = self.db.read().await?;
        tx.optional(stmt).await?.as_ref().map(erasure).transpose()
    }

    /// The latest of a business: who was asked to be forgotten, by whom and why.
    pub async fn erasures(&self, business: &str, limit: i64) -> Result<Vec<Erasure>, Error> {
        let stmt = sql(concat!(columns!(), "e.business_id = "))
            .bind(business)
            .push(" ORDER BY e.id DESC LIMIT ")
            .bind(limit);
        let mut tx = self.db.read().await?;
        tx.all(stmt).await?.iter().map(erasure).collect()
    }

    /// Those that are to be worked at now, of all businesses.
    pub async fn open_erasures(&self, limit: i64) -> Result<Vec<Uuid>, Error> {
        let stmt = sql("SELECT e.id FROM erasures e WHERE e.due_at <= ")
            .bind(self.clock.now())
            .push(" ORDER BY e.due_at LIMIT ")
            .bind(limit);
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        rows.iter().map(|row| row.id("id")).collect()
    }

    /// The next batch of an erasure, a matter of milliseconds. `false`: there is nothing to do now, or
    /// another is at it.
    pub async fn erase_on(&self, id: Uuid) -> Result<bool, Error> {
        super::again(|| self.erase_on_once(id)).await
    }

    async fn erase_on_once(&self, id: Uuid) -> Result<bool, Error> {
        let Some((place, found)) = self.look(id).await? else {
            return Ok(false);
        };
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        // What is deleted is overwritten: it is not to be read from the file either.
        tx.overwrite(true).await?;
        let stmt = sql(concat!(columns!(), "e.id = "))
            .bind(id)
            .push(" AND e.due_at <= ")
            .bind(now)
            .push(tx.dialect().lock(" FOR UPDATE OF e SKIP LOCKED"));
        let Some(row) = tx.optional(stmt).await? else {
            tx.overwrite(false).await?;
            return Ok(false);
        };
        let mut work = work(&row)?;
        if work.place() != place {
            // Another process was faster.
            tx.overwrite(false).await?;
            return Ok(true);
        }
        let moved = match found {
            Some(found) => apply(&mut tx, &mut work, found).await?,
            None => self.one_batch(&mut tx, &mut work, now).await?,
        };
        tx.execute(go_on(&work, moved, now)?).await?;
        tx.overwrite(false).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Where an erasure is, and what the next batch of it has to write, where that is known beforehand: large
    /// texts are read while nobody waits. `None`: there is nothing to do now.
    async fn look(&self, id: Uuid) -> Result<Option<(Place, Option<Found>)>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(columns!(), "e.id = "))
            .bind(id)
            .push(" AND e.due_at <= ")
            .bind(now);
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        let work = work(&row)?;
        let found = match STEPS.get(work.step).copied().unwrap_or_default() {
            "entries" | "tasks" | "exports" => None,
            "runs" => Some(erased_traces::runs(&mut tx, &work, now).await?),
            "buried" => Some(erased_traces::buried(&mut tx, &work).await?),
            "keys" => Some(erased_traces::keys(&mut tx, &work).await?),
            "inbox" => Some(erased_traces::inbox(&mut tx, &work).await?),
            "unmatched" => Some(erased_traces::unmatched(&mut tx, &work).await?),
            _ => Some(erased_traces::files(&mut tx, &work).await?),
        };
        Ok(Some((work.place(), found)))
    }

    async fn one_batch(
        &self,
        tx: &mut Tx,
        work: &mut Work,
        now: Timestamp,
    ) -> Result<Moved, Error> {
        match STEPS.get(work.step).copied().unwrap_or_default() {
            "entries" => erased_entries::batch(tx, &self.clock, work, now).await,
            "tasks" => erased_traces::tasks(tx, work).await,
            _ => erased_traces::exports(tx, work, now).await,
        }
    }
}

async fn apply(tx: &mut Tx, work: &mut Work, found: Found) -> Result<Moved, Error> {
    if let Some(stmt) = found.write {
        tx.execute(stmt).await?;
    }
    if let Some(files) = found.files {
        work.traces.files = files;
        if matches!(found.moved, Moved::End) {
            erased_traces::drop_files(tx, work).await?;
        }
    }
    Ok(found.moved)
}

fn begin(
    id: Uuid,
    client: Uuid,
    order: Order<'_>,
    traces: &Footprint,
    now: Timestamp,
) -> Result<Stmt, Error> {
    Ok(sql(
        "INSERT INTO erasures (id, business_id, client_uid, asked_by, reason, asked_at, round, step, \
         reached, traces, entries, due_at) VALUES (",
    )
    .bind(id)
    .push(", ")
    .bind(order.business)
    .push(", ")
    .bind(client)
    .push(", ")
    .bind(order.asked_by)
    .push(", ")
    .bind(order.reason)
    .push(", ")
    .bind(now)
    .push(", 1, ")
    .bind(STEPS[0])
    .push(", ")
    .bind(Json::Array(Vec::new()))
    .push(", ")
    .bind(serde_json::to_value(traces).map_err(Error::encode)?)
    .push(", 0, ")
    .bind(now)
    .push(")"))
}

/// The card keeps where the client belongs, so that who saw its lines sees them still.
fn blank(client: Uuid, now: Timestamp) -> Stmt {
    sql("UPDATE clients SET client_id = ")
        .bind(format!("erased-{client}"))
        .push(", name = ")
        .bind(ERASED_NAME)
        .push(", email = NULL, phone = NULL, deactivated_at = coalesce(deactivated_at, ")
        .bind(now)
        .push("), erased_at = ")
        .bind(now)
        .push(" WHERE uid = ")
        .bind(client)
}

/// Writes down how far it has come.
fn go_on(work: &Work, moved: Moved, now: Timestamp) -> Result<Stmt, Error> {
    let traces = serde_json::to_value(&work.traces).map_err(Error::encode)?;
    let (mut round, mut step, mut reached) = (work.round, work.step, Json::Array(Vec::new()));
    let (mut traces, mut due_at, mut finished_at) = (Some(traces), Some(now), None);
    match moved {
        Moved::To(place) => reached = place,
        Moved::End => step += 1,
    }
    if step >= STEPS.len() {
        (round, step) = (round + 1, 0);
        due_at = Some(now.plus(SECOND_ROUND));
        if round > 2 {
            (round, traces, due_at, finished_at) = (2, None, None, Some(now));
        }
    }
    let stmt = sql("UPDATE erasures SET round = ")
        .bind(round)
        .push(", step = ")
        .bind(STEPS.get(step).copied().unwrap_or_default())
        .push(", reached = ")
        .bind(reached)
        .push(", traces = ")
        .bind(traces)
        .push(", entries = ")
        .bind(work.entries)
        .push(", due_at = ")
        .bind(due_at)
        .push(", finished_at = ")
        .bind(finished_at)
        .push(" WHERE id = ")
        .bind(work.id);
    Ok(stmt)
}

/// Round, part, and the last row that was dealt with.
type Place = (i64, usize, Json);

impl Work {
    fn place(&self) -> Place {
        (self.round, self.step, self.reached.clone())
    }

    /// In the first round each entry is counted once.
    pub(super) fn count(&mut self, entries: usize) {
        if self.round == 1 {
            self.entries += i64::try_from(entries).unwrap_or(i64::MAX);
        }
    }

    /// Where the last batch of this part ended; none: it begins.
    pub(super) fn reached_id(&self) -> Uuid {
        let text = self.reached.get(0).and_then(Json::as_str);
        text.and_then(|text| Uuid::try_parse(text).ok())
            .unwrap_or(Uuid::nil())
    }
}

fn work(row: &Row) -> Result<Work, Error> {
    let step = row.text("step")?;
    let traces = row.opt_json("traces")?.unwrap_or_default();
    Ok(Work {
        id: row.id("id")?,
        business: row.text("business_id")?,
        client: row.id("client_uid")?,
        reached: row.opt_json("reached")?.unwrap_or_default(),
        traces: serde_json::from_value(traces).map_err(|e| Error::corrupt("traces", e))?,
        entries: row.int("entries")?,
        round: row.int("round")?,
        step: STEPS
            .iter()
            .position(|known| *known == step)
            .ok_or_else(|| Error::corrupt("step", format!("no such part: {step:?}")))?,
    })
}

fn erasure(row: &Row) -> Result<Erasure, Error> {
    Ok(Erasure {
        id: row.id("id")?,
        client: row.id("client_uid")?,
        asked_by: row.text("asked_by")?,
        reason: row.opt_text("reason")?,
        asked_at: row.time("asked_at")?,
        round: row.int("round")?,
        entries: row.int("entries")?,
        finished_at: row.opt_time("finished_at")?,
    })
}
