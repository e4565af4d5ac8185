//! The queue: jobs are claimed in batches, and a claim is one row.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bars::{self, Asked};
use super::db::Tx;
use super::facts::HAS_GONE;
use super::history;
use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql};
use super::turns::{self, Lane, Taken};
use super::{Error, Store, facts, tracking};
use crate::domain::address::Address;
use crate::domain::event::{Event, EventKey, Failure, What};
use crate::domain::form::Form;
use crate::domain::id::{ClaimId, NotificationId};
use crate::domain::message::Outgoing;
use crate::domain::method::{Method, Priority};
use crate::domain::reason::Category;
use crate::domain::suppression::{Bar, is_bulk};
use crate::domain::time::Timestamp;
use crate::fault::{self, Step};

/// A batch of jobs in one worker's hands.
#[derive(Debug)]
pub struct Claim {
    pub id: ClaimId,
    pub jobs: Vec<Claimed>,
}

/// One claimed job with what is needed to send it.
#[derive(Debug)]
pub struct Claimed {
    pub job: Job,
    /// When it was first due.
    pub since: Timestamp,
    /// When its first attempt began, or when somebody decided last that it is to be tried again.
    pub tried_since: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Of its content.
    pub bytes: u64,
    /// A provider or its feedback already shows that the message went: an earlier attempt of
    /// unknown outcome is resolved, and nothing is to be sent.
    pub has_gone: bool,
    /// It must not be sent to its recipient.
    pub bar: Option<Bar>,
    /// Its recipient may end messages like it.
    pub is_bulk: bool,
    /// `None` when the stored message cannot be read any more. Without the bytes of its attachments.
    pub message: Option<Outgoing>,
}

/// A job row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: NotificationId,
    pub method: Method,
    /// Of its recipient's form and its priority.
    pub lane: u8,
    /// Attempts made so far.
    pub attempts: u32,
    /// Attempts that count against the limit.
    pub failures: u32,
}

/// What to claim.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub worker: &'a str,
    pub provider: &'a str,
    pub method: Method,
    /// Of their recipients.
    pub forms: &'a [Form],
    pub limit: usize,
    /// Of content: what is more stays in the queue, but for a first message that is larger alone.
    pub bytes_max: u64,
    pub lease: Duration,
}

impl Store {
    /// Takes up to `limit` due jobs, higher priorities first. The claim is committed, and with it the
    /// record that an attempt may begin, before any provider is called.
    pub async fn claim(&self, wanted: Wanted<'_>) -> Result<Option<Claim>, Error> {
        super::again(|| self.claim_once(wanted)).await
    }

    async fn claim_once(&self, wanted: Wanted<'_>) -> Result<Option<Claim>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let readied = self.turns.make_ready(&mut tx, now).await?;
        let (mut taken, mut shares) = (Vec::new(), Vec::new());
        for number in lanes(wanted.forms) {
            let left = wanted.limit.saturating_sub(taken.len());
            if left > 0 {
                let lane = Lane {
                    method: wanted.method,
                    number,
                };
                let mut share = self.turns.take(&mut tx, lane, left).await?;
                taken.append(&mut share.taken);
                shares.push(share);
            }
        }
        if taken.is_empty() {
            if readied > 0 {
                tx.commit().await?;
            }
            self.turns.go_on(&shares, &[]);
            return Ok(None);
        }
        let over = turns::cut(&mut taken, wanted.bytes_max);
        if !over.is_empty() {
            tx.execute(insert(over.iter().map(queued))).await?;
        }
        let id = ClaimId::new(self.clock.new_uuid(now));
        let stmt = sql(
            "INSERT INTO claims (id, worker, provider, claimed_at, beats, lease_ms, jobs) VALUES (",
        )
        .bind(id.uuid())
        .push(", ")
        .bind(wanted.worker)
        .push(", ")
        .bind(wanted.provider)
        .push(", ")
        .bind(now)
        .push(", ")
        .bind(0_i64)
        .push(", ")
        .bind(i64::try_from(wanted.lease.as_millis()).unwrap_or(i64::MAX))
        .push(", ")
        .bind(as_json(taken.iter().map(|taken| taken.job)))
        .push(")");
        tx.execute(stmt).await?;
        let jobs = load(&mut tx, &taken, now).await?;
        fault::at(Step::Claiming);
        tx.commit().await?;
        fault::at(Step::Claimed);
        self.turns.go_on(&shares, &taken);
        Ok(Some(Claim { id, jobs }))
    }

    /// Takes a job that waits or is held, and records the cancellation. `false` when there is
    /// nothing to cancel: it is in a worker's hands, it is done, or it is known to have gone.
    pub async fn cancel(&self, business: &str, id: NotificationId) -> Result<bool, Error> {
        super::again(|| self.cancel_once(business, id)).await
    }

    async fn cancel_once(&self, business: &str, id: NotificationId) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let take = |stmt: Stmt| {
            stmt.bind(id.uuid())
                .push(" AND business_id = ")
                .bind(business)
                .push(" AND NOT EXISTS (SELECT 1 FROM delivery_facts f WHERE f.notification_id = ")
                .bind(id.uuid())
                .push(" AND ")
                .push(HAS_GONE)
                .push(" IS NOT NULL)")
        };
        let waiting = take(sql("DELETE FROM jobs WHERE id = "));
        if tx.execute(waiting).await? == 0 {
            let held = take(sql("DELETE FROM held_jobs WHERE id = "));
            if tx.execute(held).await? == 0 {
                return Ok(false);
            }
        }
        let now = self.clock.now();
        facts::merge(&mut tx, &self.clock, &[cancellation(id, now)], now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The lanes of these forms, those of a higher priority first.
pub(super) fn lanes(forms: &[Form]) -> Vec<u8> {
    let priorities = Priority::ALL.into_iter();
    let lanes = priorities.flat_map(|priority| forms.iter().map(move |form| form.lane(priority)));
    lanes.collect()
}

pub(super) fn cancellation(id: NotificationId, now: Timestamp) -> Event {
    let failure = Failure {
        category: Category::Cancelled,
        code: None,
        provider_text: None,
    };
    Event {
        notification: id,
        key: EventKey::of_giving_up(),
        occurred_at: now,
        source: "application".to_owned(),
        what: What::GaveUp(failure),
    }
}

/// A counter that never reaches the limit of its type in practice.
pub(super) fn small<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

/// A message as it is stored, with what decides whether it may be sent.
struct Loaded {
    business: String,
    contact_type: String,
    is_bulk: bool,
    client_is_deactivated: bool,
    since: Timestamp,
    tried_since: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    has_gone: bool,
    message: Option<Outgoing>,
}

/// The messages of claimed jobs, in the order of the jobs.
async fn load(tx: &mut Tx, taken: &[Taken], now: Timestamp) -> Result<Vec<Claimed>, Error> {
    let mut rows = Rows::new(&[("id", Kind::Id), ("attempts", Kind::Int)]);
    for Taken { job, .. } in taken {
        rows.add([job.id.uuid().into(), i64::from(job.attempts).into()]);
    }
    let stmt = sql(
        "SELECT l.id, l.business_id, l.method, l.address, l.contact_type, l.priority, \
         l.send_at, l.expires_at, c.deactivated_at, m.subject, m.text, m.html, m.data, m.reply_to, \
         m.attachments, l.sender, l.reply_to AS business_reply_to, f.sent_at, \
         coalesce(f.delivered_at, f.opened_first_at, f.clicked_first_at, f.complained_at, \
         f.bounced_at) AS evidence_at, coalesce(t.track_opens, false) AS track_opens, \
         coalesce(t.track_clicks, false) AS track_clicks, \
         CASE WHEN b.attempts > 0 THEN coalesce((SELECT MAX(e.occurred_at) FROM delivery_events e \
         WHERE e.notification_id = l.id AND e.kind = 'decided'), \
         (SELECT MIN(a.started_at) FROM delivery_attempts a WHERE a.notification_id = l.id)) \
         END AS tried_since FROM ",
    )
    .rows(rows)
    .push(
        " JOIN contact_log l ON l.id = b.id \
         LEFT JOIN clients c ON c.uid = l.client_uid \
         LEFT JOIN contact_types t ON t.business_id = l.business_id AND t.name = l.contact_type \
         LEFT JOIN message_content m ON m.id = l.content_id \
         LEFT JOIN delivery_facts f ON f.notification_id = l.id",
    );
    let mut found = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("id")?);
        found.insert(id, loaded(&row, id)?);
    }
    let asked = found.iter().filter_map(|(id, loaded)| {
        Some(Asked {
            id: *id,
            business: &loaded.business,
            to: &loaded.message.as_ref()?.to,
            contact_type: &loaded.contact_type,
            is_bulk: loaded.is_bulk,
        })
    });
    let reasons = bars::find(tx, asked, now).await?;
    let claimed = taken.iter().map(|Taken { job, bytes, .. }| {
        let loaded = found.remove(&job.id);
        let deactivated = loaded.as_ref().is_some_and(|it| it.client_is_deactivated);
        let suppressed = || reasons.get(&job.id).copied().map(Bar::Suppressed);
        Claimed {
            job: *job,
            since: loaded.as_ref().map_or_else(|| job.id.date(), |it| it.since),
            tried_since: loaded.as_ref().and_then(|it| it.tried_since),
            bytes: bytes.unsigned_abs(),
            expires_at: loaded.as_ref().and_then(|it| it.expires_at),
            has_gone: loaded.as_ref().is_some_and(|it| it.has_gone),
            bar: deactivated
                .then_some(Bar::ClientDeactivated)
                .or_else(suppressed),
            is_bulk: loaded.as_ref().is_some_and(|it| it.is_bulk),
            message: loaded.and_then(|it| it.message),
        }
    });
    Ok(claimed.collect())
}

fn loaded(row: &Row, id: NotificationId) -> Result<Loaded, Error> {
    let method = row.word("method", Method::parse)?;
    let contact_type = row.text("contact_type")?;
    Ok(Loaded {
        business: row.text("business_id")?,
        is_bulk: is_bulk(row.word("priority", Priority::parse)?, &contact_type),
        contact_type,
        client_is_deactivated: row.opt_time("deactivated_at")?.is_some(),
        since: row.opt_time("send_at")?.unwrap_or(id.date()).max(id.date()),
        tried_since: row.opt_time("tried_since")?,
        expires_at: row.opt_time("expires_at")?,
        has_gone: row.opt_time("sent_at")?.is_some() || row.opt_time("evidence_at")?.is_some(),
        // What cannot be read must not hold up the rest of the batch.
        message: outgoing(row, id, method).unwrap_or(None),
    })
}

/// The message of an entry; `None` when it has no content or its address is none.
fn outgoing(row: &Row, id: NotificationId, method: Method) -> Result<Option<Outgoing>, Error> {
    let to = Address::parse(method, &row.opt_text("address")?.unwrap_or_default()).ok();
    let (Some(to), Some(content)) = (to, history::content(row, method)?) else {
        return Ok(None);
    };
    Ok(Some(Outgoing {
        id,
        to,
        content,
        unsubscribe: None,
        tracking: tracking::opt_in(row)?,
        tracking_links: None,
        expires_at: row.opt_time("expires_at")?,
        sender: row.opt_text("sender")?,
        reply_to: history::mailbox(row, "business_reply_to")?,
        files: Vec::new(),
    }))
}

fn queued(taken: &Taken) -> Queued<'_> {
    Queued {
        job: taken.job,
        business: &taken.business,
        due_at: taken.due_at,
        ready: true,
        bytes: taken.bytes,
    }
}

/// A job as it is put into the queue.
pub(super) struct Queued<'a> {
    pub(super) job: Job,
    pub(super) business: &'a str,
    pub(super) due_at: Timestamp,
    pub(super) ready: bool,
    pub(super) bytes: i64,
}

/// Puts jobs into the queue.
pub(super) fn insert<'a>(jobs: impl IntoIterator<Item = Queued<'a>>) -> Stmt {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("business_id", Kind::Text),
        ("method", Kind::Text),
        ("lane", Kind::Int),
        ("due_at", Kind::Time),
        ("ready", Kind::Bool),
        ("attempts", Kind::Int),
        ("failures", Kind::Int),
        ("bytes", Kind::Int),
    ]);
    for queued in jobs {
        let job = queued.job;
        rows.add([
            job.id.uuid().into(),
            queued.business.into(),
            job.method.as_str().into(),
            i64::from(job.lane).into(),
            queued.due_at.into(),
            queued.ready.into(),
            i64::from(job.attempts).into(),
            i64::from(job.failures).into(),
            queued.bytes.into(),
        ]);
    }
    sql(
        "INSERT INTO jobs (id, business_id, method, lane, due_at, ready, attempts, failures, bytes) \
         SELECT b.id, b.business_id, b.method, b.lane, b.due_at, b.ready, b.attempts, b.failures, \
         b.bytes FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (id) DO NOTHING")
}

/// Puts jobs into the queue whose entries are written: what else is to be known of them is looked
/// up there.
pub(super) fn put_back(jobs: impl IntoIterator<Item = (Job, Timestamp)>, now: Timestamp) -> Stmt {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("method", Kind::Text),
        ("lane", Kind::Int),
        ("due_at", Kind::Time),
        ("ready", Kind::Bool),
        ("attempts", Kind::Int),
        ("failures", Kind::Int),
    ]);
    for (job, due_at) in jobs {
        rows.add([
            job.id.uuid().into(),
            job.method.as_str().into(),
            i64::from(job.lane).into(),
            due_at.into(),
            (due_at <= now).into(),
            i64::from(job.attempts).into(),
            i64::from(job.failures).into(),
        ]);
    }
    sql(
        "INSERT INTO jobs (id, business_id, method, lane, due_at, ready, attempts, failures, bytes) \
         SELECT b.id, l.business_id, b.method, b.lane, b.due_at, b.ready, b.attempts, b.failures, \
         coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.html), 0) FROM ",
    )
    .rows(rows)
    .push(
        " JOIN contact_log l ON l.id = b.id LEFT JOIN message_content m ON m.id = l.content_id \
         WHERE true ON CONFLICT (id) DO NOTHING",
    )
}

pub(super) fn as_json(jobs: impl IntoIterator<Item = Job>) -> Json {
    jobs.into_iter()
        .map(|job| {
            json!([
                job.id.to_string(),
                job.method.as_str(),
                job.lane,
                job.attempts,
                job.failures
            ])
        })
        .collect()
}

pub(super) fn from_json(jobs: &Json) -> Result<Vec<Job>, Error> {
    type Fields = (Uuid, String, u8, u32, u32);
    let jobs: Vec<Fields> =
        serde::Deserialize::deserialize(jobs).map_err(|e| Error::corrupt("jobs", e))?;
    jobs.into_iter()
        .map(|(id, method, lane, attempts, failures)| {
            let method = Method::parse(&method)
                .ok_or_else(|| Error::corrupt("jobs", format!("unknown method {method:?}")))?;
            Ok(Job {
                id: NotificationId::new(id),
                method,
                lane,
                attempts,
                failures,
            })
        })
        .collect()
}
