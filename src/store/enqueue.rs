//! Enqueue: entry, content and job of each notification in one commit, for many requests at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::Error;
use super::clients::{self, Card, CardKey};
use super::db::{Db, Tx};
use super::stmt::{Kind, Rows, sql};
use crate::clock::Clock;
use crate::domain::address::{Address, NotAnAddress};
use crate::domain::id::NotificationId;
use crate::domain::message::Content;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;

pub use super::clients::ClientRef;

/// The notifications of one request; all of them are enqueued, or none.
#[derive(Clone, Debug)]
pub struct Enqueue {
    pub business: String,
    pub notifications: Vec<NewNotification>,
}

/// A notification that passed every check that needs no database.
#[derive(Clone, Debug)]
pub struct NewNotification {
    pub client: ClientRef,
    pub method: Method,
    /// From the client's card when absent.
    pub to: Option<Address>,
    pub type_name: String,
    pub contact_type: String,
    pub content: ContentSource,
    pub staff_id: Option<String>,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub priority: Priority,
    pub idempotency: Option<Idempotency>,
    pub metadata: Option<Map<String, Json>>,
    pub resend_of: Option<NotificationId>,
}

#[derive(Clone, Debug)]
pub enum ContentSource {
    New(Content),
    /// The frozen content of an earlier notification.
    Frozen(Uuid),
}

#[derive(Clone, Debug)]
pub struct Idempotency {
    pub key: String,
    /// The first 128 bits of the SHA-256 of what was asked for.
    pub body_digest: Uuid,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// One per notification, in the order given.
    Done(Vec<Ticket>),
    /// Nothing of the request was enqueued.
    Refused(Vec<Refusal>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub id: NotificationId,
    /// The same key and the same body had been enqueued before; the id is that one's.
    pub duplicate: bool,
}

/// Why a notification cannot be enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Position in the request.
    pub index: usize,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("no `to` was given, and the client has no address of this method on its card")]
    NoAddress,
    #[error("the address on the client's card {0}")]
    CardAddress(NotAnAddress),
    #[error("the key was used before with another body: use a new key for a new notification")]
    KeyConflict,
}

impl Enqueue {
    pub(super) fn len(&self) -> usize {
        self.notifications.len()
    }
}

/// One notification ready to be written.
struct Staged<'a> {
    id: NotificationId,
    business: &'a str,
    client_uid: Uuid,
    to: Address,
    new: &'a NewNotification,
}

#[derive(Default)]
struct Stage<'a> {
    cards: BTreeMap<CardKey, Card>,
    /// Business and key to the digest and id that own it.
    keys: BTreeMap<(String, String), (Uuid, NotificationId)>,
    staged: Vec<Staged<'a>>,
}

/// Writes a batch of requests in one transaction; refused ones leave no trace.
pub(super) async fn commit(
    db: &Db,
    clock: &Clock,
    batch: &[Enqueue],
) -> Result<Vec<Enqueued>, Error> {
    let mut tx = db.write().await?;
    let now = clock.now();
    let mut stage = Stage {
        cards: clients::find(&mut tx, card_keys(batch)).await?,
        keys: find_keys(&mut tx, batch).await?,
        staged: Vec::new(),
    };
    let answers = batch
        .iter()
        .map(|request| stage.admit(request, clock, now))
        .collect();
    if !stage.staged.is_empty() {
        write(&mut tx, &stage, now).await?;
        wake(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(answers)
}

fn card_keys(batch: &[Enqueue]) -> impl Iterator<Item = CardKey> {
    let keys: BTreeSet<CardKey> = batch
        .iter()
        .flat_map(|r| {
            r.notifications
                .iter()
                .map(|n| (r.business.clone(), n.client.id.clone()))
        })
        .collect();
    keys.into_iter()
}

async fn find_keys(
    tx: &mut Tx,
    batch: &[Enqueue],
) -> Result<BTreeMap<(String, String), (Uuid, NotificationId)>, Error> {
    let mut rows = Rows::new(&[("business_id", Kind::Text), ("key", Kind::Text)]);
    for request in batch {
        for idempotency in request
            .notifications
            .iter()
            .filter_map(|n| n.idempotency.as_ref())
        {
            rows.add([(&request.business).into(), (&idempotency.key).into()]);
        }
    }
    let mut keys = BTreeMap::new();
    if rows.is_empty() {
        return Ok(keys);
    }
    let stmt = sql("SELECT k.business_id, k.key, k.body_digest, k.notification_id FROM ")
        .rows(rows)
        .push(" JOIN idempotency_keys k ON k.business_id = b.business_id AND k.key = b.key");
    for row in tx.all(stmt).await? {
        let owner = (
            row.id("body_digest")?,
            NotificationId::new(row.id("notification_id")?),
        );
        keys.insert((row.text("business_id")?, row.text("key")?), owner);
    }
    Ok(keys)
}

impl<'a> Stage<'a> {
    /// Decides one request against what is stored and what this batch has admitted so far.
    fn admit(&mut self, request: &'a Enqueue, clock: &Clock, now: Timestamp) -> Enqueued {
        let (mut tickets, mut refusals, mut staged) = (Vec::new(), Vec::new(), Vec::new());
        let (mut cards, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for (index, new) in request.notifications.iter().enumerate() {
            let key = new
                .idempotency
                .as_ref()
                .map(|i| (request.business.clone(), i.key.clone()));
            let owner = key
                .as_ref()
                .and_then(|key| keys.get(key).or_else(|| self.keys.get(key)));
            if let (Some(idempotency), Some((digest, id))) = (&new.idempotency, owner) {
                if *digest == idempotency.body_digest {
                    tickets.push(Ticket {
                        id: *id,
                        duplicate: true,
                    });
                } else {
                    refusals.push(Refusal {
                        index,
                        why: Why::KeyConflict,
                    });
                }
                continue;
            }
            let card_key = (request.business.clone(), new.client.id.clone());
            let known = cards
                .get(&card_key)
                .or_else(|| self.cards.get(&card_key))
                .cloned();
            let mut card = known.unwrap_or_else(|| Card::new(clock.new_uuid(now), &new.client));
            card.complete(&new.client);
            let to = match address(new, &card) {
                Ok(to) => to,
                Err(why) => {
                    refusals.push(Refusal { index, why });
                    continue;
                }
            };
            let id = NotificationId::new(clock.new_uuid(now));
            if let (Some(key), Some(idempotency)) = (key, &new.idempotency) {
                keys.insert(key, (idempotency.body_digest, id));
            }
            staged.push(Staged {
                id,
                business: &request.business,
                client_uid: card.uid,
                to,
                new,
            });
            cards.insert(card_key, card);
            tickets.push(Ticket {
                id,
                duplicate: false,
            });
        }
        if !refusals.is_empty() {
            return Enqueued::Refused(refusals);
        }
        self.cards.extend(cards);
        self.keys.extend(keys);
        self.staged.extend(staged);
        Enqueued::Done(tickets)
    }
}

/// Where it goes: as asked for, else from the client's card.
fn address(new: &NewNotification, card: &Card) -> Result<Address, Why> {
    if let Some(to) = &new.to {
        return Ok(to.clone());
    }
    let on_card = match new.method {
        Method::Email => &card.email,
        Method::Sms => &card.phone,
        Method::Push | Method::InPerson | Method::Mail | Method::Phone => &None,
    };
    let text = on_card.as_deref().ok_or(Why::NoAddress)?;
    Address::parse(new.method, text).map_err(Why::CardAddress)
}

async fn write(tx: &mut Tx, stage: &Stage<'_>, now: Timestamp) -> Result<(), Error> {
    clients::write(tx, &stage.cards, now).await?;
    write_names(tx, &stage.staged, now).await?;
    write_keys(tx, &stage.staged, now).await?;
    write_content(tx, &stage.staged).await?;
    write_entries(tx, &stage.staged, now).await?;
    let mut jobs = Rows::new(&[
        ("id", Kind::Id),
        ("method", Kind::Text),
        ("lane", Kind::Int),
        ("due_at", Kind::Time),
    ]);
    for Staged { id, new, .. } in &stage.staged {
        let due_at = new.send_at.map_or(now, |at| at.max(now));
        let lane = i64::from(new.priority.lane());
        jobs.add([
            id.uuid().into(),
            new.method.as_str().into(),
            lane.into(),
            due_at.into(),
        ]);
    }
    let stmt = sql(
        "INSERT INTO jobs (id, method, lane, due_at, attempts, failures) \
         SELECT b.id, b.method, b.lane, b.due_at, 0, 0 FROM ",
    )
    .rows(jobs);
    tx.execute(stmt).await?;
    Ok(())
}

/// Contact types and staff that are named for the first time.
async fn write_names(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    let columns = &[
        ("business_id", Kind::Text),
        ("name", Kind::Text),
        ("now", Kind::Time),
    ];
    let types: BTreeSet<(&str, &str)> = staged
        .iter()
        .map(|s| (s.business, s.new.contact_type.as_str()))
        .collect();
    let staff: BTreeSet<(&str, &str)> = staged
        .iter()
        .filter_map(|s| Some((s.business, s.new.staff_id.as_deref()?)))
        .collect();
    let (mut type_rows, mut staff_rows) = (Rows::new(columns), Rows::new(columns));
    for (business, name) in types {
        type_rows.add([business.into(), name.into(), now.into()]);
    }
    for (business, name) in staff {
        staff_rows.add([business.into(), name.into(), now.into()]);
    }
    // The anti-join spares a write attempt for the names that are known, which is nearly always.
    let stmt = sql("INSERT INTO contact_types (business_id, name, created_at) \
         SELECT b.business_id, b.name, b.now FROM ")
    .rows(type_rows)
    .push(
        " WHERE NOT EXISTS (SELECT 1 FROM contact_types t WHERE t.business_id = b.business_id \
         AND t.name = b.name) ON CONFLICT (business_id, name) DO NOTHING",
    );
    tx.execute(stmt).await?;
    if !staff_rows.is_empty() {
        let stmt = sql(
            "INSERT INTO staff (business_id, staff_id, name, created_at) \
             SELECT b.business_id, b.name, b.name, b.now FROM ",
        )
        .rows(staff_rows)
        .push(" WHERE true ON CONFLICT (business_id, staff_id) DO NOTHING");
        tx.execute(stmt).await?;
    }
    Ok(())
}

async fn write_keys(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    let mut sorted: Vec<_> = staged
        .iter()
        .filter_map(|s| Some((s.business, s.new.idempotency.as_ref()?, s.id)))
        .collect();
    if sorted.is_empty() {
        return Ok(());
    }
    // In one order for every writer, so that two of them cannot wait for each other.
    sorted.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    let mut rows = Rows::new(&[
        ("business_id", Kind::Text),
        ("key", Kind::Text),
        ("body_digest", Kind::Id),
        ("notification_id", Kind::Id),
        ("created_at", Kind::Time),
    ]);
    for (business, Idempotency { key, body_digest }, id) in sorted {
        let digest = *body_digest;
        rows.add([
            business.into(),
            key.into(),
            digest.into(),
            id.uuid().into(),
            now.into(),
        ]);
    }
    let expected = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let stmt = sql("INSERT INTO idempotency_keys \
         (business_id, key, body_digest, notification_id, created_at) \
         SELECT b.business_id, b.key, b.body_digest, b.notification_id, b.created_at FROM ")
    .rows(rows)
    .push(" WHERE true ON CONFLICT (business_id, key) DO NOTHING");
    if tx.execute(stmt).await? < expected {
        return Err(Error::Raced);
    }
    Ok(())
}

async fn write_content(tx: &mut Tx, staged: &[Staged<'_>]) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("subject", Kind::Text),
        ("text", Kind::Text),
        ("html", Kind::Text),
        ("data", Kind::Json),
    ]);
    for Staged { id, new, .. } in staged {
        let ContentSource::New(content) = &new.content else {
            continue;
        };
        let (subject, text, html, data) = match content {
            Content::Email {
                subject,
                text,
                html,
            } => (Some(subject), text.as_ref(), html, None),
            Content::Sms { text } => (None, Some(text), &None, None),
            Content::Push { title, text, data } => (
                title.as_ref(),
                Some(text),
                &None,
                Some(Json::Object(data.clone())),
            ),
        };
        rows.add([
            id.uuid().into(),
            subject.cloned().into(),
            text.cloned().into(),
            html.clone().into(),
            data.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO message_content (id, subject, text, html, data) \
         SELECT b.id, b.subject, b.text, b.html, b.data FROM ",
    )
    .rows(rows);
    tx.execute(stmt).await?;
    Ok(())
}

async fn write_entries(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("business_id", Kind::Text),
        ("client_uid", Kind::Id),
        ("date", Kind::Time),
        ("method", Kind::Text),
        ("type", Kind::Text),
        ("contact_type", Kind::Text),
        ("staff_id", Kind::Text),
        ("address", Kind::Text),
        ("content_id", Kind::Id),
        ("resend_of", Kind::Id),
        ("priority", Kind::Text),
        ("send_at", Kind::Time),
        ("expires_at", Kind::Time),
        ("metadata", Kind::Json),
    ]);
    for Staged {
        id,
        business,
        client_uid,
        to,
        new,
    } in staged
    {
        let content_id = match new.content {
            ContentSource::New(_) => id.uuid(),
            ContentSource::Frozen(of) => of,
        };
        rows.add([
            id.uuid().into(),
            (*business).into(),
            (*client_uid).into(),
            now.into(),
            new.method.as_str().into(),
            (&new.type_name).into(),
            (&new.contact_type).into(),
            new.staff_id.clone().into(),
            to.as_str().into(),
            content_id.into(),
            new.resend_of.map(NotificationId::uuid).into(),
            new.priority.as_str().into(),
            new.send_at.into(),
            new.expires_at.into(),
            new.metadata.clone().map(Json::Object).into(),
        ]);
    }
    let stmt = sql(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, \
         type, contact_type, staff_id, manual, address, content_id, resend_of, priority, send_at, \
         expires_at, metadata) SELECT b.id, b.business_id, b.client_uid, b.date, b.method, \
         'Outbound', b.type, b.contact_type, b.staff_id, ",
    )
    .bind(false)
    .push(
        ", b.address, b.content_id, b.resend_of, b.priority, b.send_at, b.expires_at, b.metadata \
         FROM ",
    )
    .rows(rows);
    tx.execute(stmt).await?;
    Ok(())
}

/// Tells the workers of other processes; it is delivered when the transaction commits.
async fn wake(tx: &mut Tx) -> Result<(), Error> {
    if let Tx::Postgres(_) = tx {
        tx.execute(sql("SELECT pg_notify('sendtrail_jobs', '')"))
            .await?;
    }
    Ok(())
}
