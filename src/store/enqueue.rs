//! Enqueue: entry, content and job of each notification in one commit, for many requests at once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::clients::{self, Card, CardKey, CardState};
use super::db::{Db, Tx};
use super::entries::{self, Staged};
use super::stmt::{Dialect, Kind, Rows, sql, storable};
use super::{Error, Store, WAKE_CHANNEL, flow, frozen};
use crate::clock::Clock;
use crate::domain::address::{Address, NotAnAddress};
use crate::domain::id::NotificationId;
use crate::domain::message::{Content, TemplateRef};
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;
use crate::domain::trace::{Stage as Traced, Step};

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
    /// The bytes of the content's attachments, in their order.
    pub files: Vec<Bytes>,
    /// What the content was made from.
    pub template: Option<TemplateRef>,
    pub staff_id: Option<String>,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub priority: Priority,
    pub idempotency: Option<Idempotency>,
    pub metadata: Option<Map<String, Json>>,
    pub resend_of: Option<NotificationId>,
    /// The weightiest words of the content, the best first; none: not looked for yet.
    pub tags: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub enum ContentSource {
    New(Content),
    /// The frozen content of an earlier notification.
    Frozen(Uuid),
    /// None, because the same was enqueued before under the same key: its template may have changed
    /// since then.
    AsBefore,
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
    /// Unless it is a repetition: that was in time.
    #[error("must be in the future")]
    Expired,
    #[error("the key was used before with another body: use a new key for a new notification")]
    KeyConflict,
    #[error(
        "is that of a client who was erased: use the application's own id, which makes a new client"
    )]
    Erased,
    #[error("what this key had enqueued is not there any more")]
    NotAsBefore,
    #[error("the content of this notification is not kept any more; enqueue a new one")]
    NotKept,
}

/// What one more notification weighs in a gathered commit, in bytes of content: a batch of large
/// messages is cut shorter, so that a burst of them cannot fill the memory.
const BYTES_PER_ROW: usize = 8 * 1024;

/// How long a commit waits for another transaction: far longer than any of ours takes, and short enough
/// that an application's own one, which may stay open with a new client or key in it
/// (`sendtrail_enqueue`), holds up nobody but who asks for the same.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '500ms'";

impl Enqueue {
    /// In rows of usual size.
    pub(super) fn weight(&self) -> usize {
        self.notifications
            .iter()
            .map(|new| 1 + (new.content_bytes() + new.file_bytes()) / BYTES_PER_ROW)
            .sum()
    }

    /// What rows are looked up by must read the same here and in the database.
    pub(super) fn tidied(mut self) -> Self {
        self.business = storable(self.business);
        for new in &mut self.notifications {
            new.client.id = storable(std::mem::take(&mut new.client.id));
            if let Some(idempotency) = &mut new.idempotency {
                idempotency.key = storable(std::mem::take(&mut idempotency.key));
            }
        }
        self
    }
}

impl NewNotification {
    /// Of its texts: its files are loaded only when it is sent. 0 where they are an earlier
    /// notification's.
    pub(super) fn content_bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match &self.content {
            ContentSource::New(Content::Email { text, html, .. }) => length(text) + length(html),
            ContentSource::New(Content::Sms { text } | Content::Push { text, .. }) => text.len(),
            ContentSource::Frozen(_) | ContentSource::AsBefore => 0,
        }
    }

    fn file_bytes(&self) -> usize {
        self.files.iter().map(Bytes::len).sum()
    }
}

#[derive(Default)]
struct Stage<'a> {
    cards: BTreeMap<CardKey, Card>,
    /// Business and key to the digest and id that own it.
    keys: BTreeMap<(String, String), (Uuid, NotificationId)>,
    /// What is sent again.
    kept: frozen::Kept,
    staged: Vec<Staged<'a>>,
}

/// Writes a batch of requests in one transaction; refused ones leave no trace.
pub(super) async fn commit(
    db: &Db,
    clock: &Clock,
    batch: &[Enqueue],
) -> Result<Vec<Enqueued>, Error> {
    let mut tx = db.write().await?;
    if tx.dialect() == Dialect::Postgres {
        tx.execute(sql(LOCK_WAIT)).await?;
    }
    let now = clock.now();
    let mut stage = Stage {
        cards: clients::find(&mut tx, card_keys(batch)).await?,
        keys: find_keys(&mut tx, batch).await?,
        kept: frozen::hold(&mut tx, batch).await?,
        staged: Vec::new(),
    };
    let answers = batch
        .iter()
        .map(|request| stage.admit(request, clock, now))
        .collect();
    if !stage.staged.is_empty() {
        clients::write(&mut tx, &stage.cards, now).await?;
        entries::write(&mut tx, &stage.staged, now).await?;
        flow::enqueued(&mut tx, clock, &stage.staged, now).await?;
        super::notify(&mut tx, WAKE_CHANNEL).await?;
        for staged in &stage.staged {
            tx.tell(staged.id, || {
                Some(Step {
                    notification: staged.id,
                    began_at: now,
                    ended_at: clock.now(),
                    what: Traced::Enqueued {
                        method: staged.new.method,
                    },
                })
            });
        }
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

impl Store {
    /// Which of these were enqueued before: the same keys with the same bodies.
    pub async fn enqueued_before(
        &self,
        business: &str,
        asked: &[&Idempotency],
    ) -> Result<Vec<bool>, Error> {
        let mut rows = key_rows();
        for asked in asked {
            rows.add([business.into(), (&asked.key).into()]);
        }
        let mut tx = self.db.read().await?;
        let owners = owners(&mut tx, rows).await?;
        let before = asked.iter().map(|asked| {
            let owner = owners.get(&(business.to_owned(), storable(asked.key.clone())));
            owner.is_some_and(|(digest, _)| *digest == asked.body_digest)
        });
        Ok(before.collect())
    }
}

async fn find_keys(
    tx: &mut Tx,
    batch: &[Enqueue],
) -> Result<BTreeMap<(String, String), (Uuid, NotificationId)>, Error> {
    let mut rows = key_rows();
    for request in batch {
        for idempotency in request
            .notifications
            .iter()
            .filter_map(|n| n.idempotency.as_ref())
        {
            rows.add([(&request.business).into(), (&idempotency.key).into()]);
        }
    }
    owners(tx, rows).await
}

fn key_rows() -> Rows {
    Rows::new(&[("business_id", Kind::Text), ("key", Kind::Text)])
}

/// Digest and id that each of these keys belongs to, if it belongs to one.
async fn owners(
    tx: &mut Tx,
    rows: Rows,
) -> Result<BTreeMap<(String, String), (Uuid, NotificationId)>, Error> {
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
            if let Some(why) = fault_of_new(new, now) {
                refusals.push(Refusal { index, why });
                continue;
            }
            let card_key = (request.business.clone(), new.client.id.clone());
            let known = cards
                .get(&card_key)
                .or_else(|| self.cards.get(&card_key))
                .cloned();
            let mut card = known.unwrap_or_else(|| Card::new(clock.new_uuid(now), &new.client));
            card.complete(&new.client);
            let kept = |to| self.kept.has(new).then_some(to).ok_or(Why::NotKept);
            let to = match address(new, &card).and_then(kept) {
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
                tags: new.tags.as_deref().map(|words| card.tags(words)),
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

/// What is wrong with one that is no repetition, whoever its client is.
fn fault_of_new(new: &NewNotification, now: Timestamp) -> Option<Why> {
    if matches!(new.content, ContentSource::AsBefore) {
        return Some(Why::NotAsBefore);
    }
    let is_late = new.expires_at.is_some_and(|expires_at| expires_at <= now);
    is_late.then_some(Why::Expired)
}

/// Where it goes: as asked for, else from the client's card.
fn address(new: &NewNotification, card: &Card) -> Result<Address, Why> {
    if card.state == CardState::Erased {
        return Err(Why::Erased);
    }
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
