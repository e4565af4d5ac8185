//! Text messages of clients: kept as they came, entered into the contact history, and heeded where
//! they end text messages or ask for them again. All in one commit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use uuid::Uuid;

use super::db::Tx;
use super::feedback::{Incoming, Kept, Known, indexed, keep_raw};
use super::flow::{self, Counted};
use super::row::Row;
use super::stmt::sql;
use super::suppressions::{self, Details, Key, Lifting, RECIPIENT};
use super::{Error, Store, facts};
use crate::domain::address::Address;
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method, Priority};
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;

/// What a client wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The provider that received it.
    pub source: &'static str,
    pub provider_message_id: String,
    /// Of the events that it brings about.
    pub key: EventKey,
    pub from: Address,
    /// The number that it was sent to.
    pub to: String,
    pub sharing: Sharing,
    pub text: String,
    pub wish: Option<Wish>,
}

/// Whether businesses without a number of their own write from that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Shared,
    NotShared,
    /// The provider picks numbers for them: any that is nobody's own.
    UnlessOwned,
}

/// What a client asks for by a word of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more text messages.
    Stop,
    /// Text messages again.
    Start,
}

/// Messages to a number that are looked at to find out who writes to it, the newest.
const LOOKED_AT_MAX: i64 = 200;

/// The name of such an entry, and its contact type (W5).
const TYPE: &str = "Text message";
const CONTACT_TYPE: &str = "Message Center";

/// One whom the client may be answering.
#[derive(Clone, Debug)]
struct Correspondent {
    business: String,
    client_uid: Uuid,
    /// The last message to the client; none: there is a card with the number, and nothing more.
    notification: Option<NotificationId>,
    /// The business's own number; none: that of the settings.
    sender: Option<String>,
    /// It writes from the number that the text came to.
    came_to: bool,
}

impl Store {
    /// Keeps a text message of a client and does what it asks for.
    pub async fn keep_text(&self, message: Incoming, text: &Text) -> Result<Kept, Error> {
        let message = message.tidied();
        super::again(|| self.keep_text_once(&message, text)).await
    }

    async fn keep_text_once(&self, message: &Incoming, text: &Text) -> Result<Kept, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let kept = self.take_text(&mut tx, message, text, now).await?;
        let told = std::iter::once((message, kept));
        let mut counted = Counted::default();
        flow::taken_in(&mut counted, told);
        counted.write(&mut tx, &self.clock, now).await?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn take_text(
        &self,
        tx: &mut Tx,
        message: &Incoming,
        text: &Text,
        now: Timestamp,
    ) -> Result<Kept, Error> {
        let names_nobody = Known::default();
        let batch = std::slice::from_ref(message);
        let fresh = keep_raw(tx, batch, &names_nobody).await?;
        if fresh.is_empty() {
            return Ok(Kept::Duplicate);
        }
        let answered = correspondents(tx, text).await?;
        let entry = NotificationId::new(self.clock.new_uuid(now));
        let entry_id = answered.first().map(|_| entry.uuid());
        if !is_new(tx, text, entry_id, now).await? {
            return Ok(Kept::Duplicate);
        }
        let Some(last) = answered.first() else {
            return Ok(Kept::Unmatched);
        };
        enter(tx, entry, last, text).await?;
        let new_events = match text.wish {
            Some(Wish::Stop) => self.stop(tx, &answered, text, now).await?,
            Some(Wish::Start) => self.start(tx, &answered, text, now).await?,
            None => 0,
        };
        Ok(Kept::Applied { new_events })
    }

    /// No more text messages from any of them. What is in the ledger teaches the list; where there is
    /// no message to put it to, the list is told directly.
    async fn stop(
        &self,
        tx: &mut Tx,
        answered: &[Correspondent],
        text: &Text,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let what = What::Unsubscribed {
            how: Some("text message".to_owned()),
        };
        let events = answered
            .iter()
            .filter_map(|one| text.event(one, &what, now));
        let events: Vec<Event> = events.collect();
        let new = facts::merge(tx, &self.clock, &events, now).await?;
        let mut entries = BTreeMap::new();
        for one in answered.iter().filter(|one| one.notification.is_none()) {
            let details = Details {
                id: self.clock.new_uuid(now),
                source: text.source.to_owned(),
                notification: None,
                staff_id: None,
                note: None,
                expires_at: None,
            };
            entries.insert(text.suppression(one), details);
        }
        suppressions::add(tx, &entries, now).await?;
        Ok(new.len())
    }

    /// Takes back what an opt-out put on the list, of those alone whose number it came to; other
    /// reasons against the client's number stay. Who had not opted out has only written a word.
    async fn start(
        &self,
        tx: &mut Tx,
        answered: &[Correspondent],
        text: &Text,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let mut lifted = Vec::new();
        for one in answered.iter().filter(|one| one.came_to) {
            let key = text.suppression(one);
            if let Some(entry) = suppressions::in_force(tx, &key, now).await? {
                lifted.push((one, entry.id));
            }
        }
        let taken_back = lifted.iter();
        let taken_back =
            taken_back.filter_map(|(one, _)| text.event(one, &What::Resubscribed, now));
        let events: Vec<Event> = taken_back.collect();
        let new = facts::merge(tx, &self.clock, &events, now).await?;
        if !lifted.is_empty() {
            let ids = lifted.iter().map(|(_, id)| *id);
            let delete = sql("DELETE FROM suppressions WHERE id IN ").bind_list(ids);
            let by = Lifting {
                source: RECIPIENT,
                staff_id: None,
                note: Some("asked for text messages again by a text message"),
            };
            suppressions::take_off(tx, delete, by, now).await?;
        }
        Ok(new.len())
    }
}

impl Text {
    /// `is_owned`: the number that it came to is some business's own.
    fn came_to(&self, sender: Option<&str>, is_owned: bool) -> bool {
        match (sender, self.sharing) {
            (Some(own), _) => own == self.to,
            (None, Sharing::Shared) => true,
            (None, Sharing::NotShared) => false,
            (None, Sharing::UnlessOwned) => !is_owned,
        }
    }

    fn event(&self, of: &Correspondent, what: &What, now: Timestamp) -> Option<Event> {
        Some(Event {
            notification: of.notification?,
            key: self.key,
            occurred_at: now,
            source: self.source.to_owned(),
            what: what.clone(),
        })
    }

    fn suppression(&self, of: &Correspondent) -> Key {
        Key {
            business: of.business.clone(),
            method: Method::Sms,
            address: self.from.compared(),
            contact_type: String::new(),
            reason: Reason::Stop,
        }
    }
}

/// Whom the client answers, each business once, the one that wrote last first: those that write from
/// the number that the text came to, else all that wrote to the client, else all that have a card with
/// the client's number.
async fn correspondents(tx: &mut Tx, text: &Text) -> Result<Vec<Correspondent>, Error> {
    let is_owned = text.sharing == Sharing::UnlessOwned && is_owned(tx, &text.to).await?;
    let mut found = written(tx, text).await?;
    let owner_wrote = found
        .iter()
        .any(|one| one.sender.as_ref() == Some(&text.to));
    if found.is_empty() || (is_owned && !owner_wrote) {
        found.append(&mut cards(tx, text).await?);
    }
    for one in &mut found {
        one.came_to = text.came_to(one.sender.as_deref(), is_owned);
    }
    // What somebody wrote to one business is not for another.
    if is_owned || found.iter().any(|one| one.came_to) {
        found.retain(|one| one.came_to);
    }
    let mut seen = BTreeSet::new();
    found.retain(|one| seen.insert(one.business.clone()));
    Ok(found)
}

async fn is_owned(tx: &mut Tx, number: &str) -> Result<bool, Error> {
    let stmt = sql("SELECT id FROM businesses WHERE sms_from = ")
        .bind(number)
        .push(" LIMIT 1");
    Ok(tx.optional(stmt).await?.is_some())
}

async fn written(tx: &mut Tx, text: &Text) -> Result<Vec<Correspondent>, Error> {
    let stmt = sql(
        "SELECT l.id, l.business_id, l.client_uid, l.sender FROM contact_log l \
         WHERE l.method = 'sms' AND l.channel = 'Outbound' AND l.address = ",
    )
    .bind(text.from.as_str())
    .push(" ORDER BY l.id DESC LIMIT ")
    .bind(LOOKED_AT_MAX);
    let rows = tx.all(stmt).await?;
    let one = |row: &Row| correspondent(row, Some(NotificationId::new(row.id("id")?)));
    rows.iter().map(one).collect()
}

async fn cards(tx: &mut Tx, text: &Text) -> Result<Vec<Correspondent>, Error> {
    let stmt = sql(
        "SELECT c.business_id, c.uid AS client_uid, o.sms_from AS sender FROM clients c \
         JOIN businesses o ON o.id = c.business_id WHERE c.phone = ",
    )
    .bind(text.from.as_str())
    .push(" ORDER BY c.uid DESC LIMIT ")
    .bind(LOOKED_AT_MAX);
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| correspondent(row, None)).collect()
}

fn correspondent(row: &Row, notification: Option<NotificationId>) -> Result<Correspondent, Error> {
    Ok(Correspondent {
        business: row.text("business_id")?,
        client_uid: row.id("client_uid")?,
        notification,
        sender: row.opt_text("sender")?,
        came_to: false,
    })
}

/// Remembers the message for ever; `false` when it had come before.
async fn is_new(
    tx: &mut Tx,
    text: &Text,
    entry: Option<Uuid>,
    now: Timestamp,
) -> Result<bool, Error> {
    let stmt = sql(
        "INSERT INTO inbound_messages (source, provider_message_id, entry_id, received_at) VALUES (",
    )
    .bind(text.source)
    .push(", ")
    .bind(indexed(&text.provider_message_id))
    .push(", ")
    .bind(entry)
    .push(", ")
    .bind(now)
    .push(") ON CONFLICT (source, provider_message_id) DO NOTHING");
    Ok(tx.execute(stmt).await? > 0)
}

/// Among the entries that are not ours to send, which have no status.
async fn enter(
    tx: &mut Tx,
    id: NotificationId,
    of: &Correspondent,
    text: &Text,
) -> Result<(), Error> {
    let metadata = json!({
        "provider": text.source,
        "provider_message_id": text.provider_message_id,
        "received_at_number": text.to,
    });
    let stmt = sql(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, \
         contact_type, manual, address, description, priority, metadata, tags) VALUES (",
    )
    .bind(id.uuid())
    .push(", ")
    .bind(&of.business)
    .push(", ")
    .bind(of.client_uid)
    .push(", ")
    .bind(id.date())
    .push(", ")
    .bind(Method::Sms.as_str())
    .push(", ")
    .bind(Channel::Inbound.as_str())
    .push(", ")
    .bind(TYPE)
    .push(", ")
    .bind(CONTACT_TYPE)
    .push(", ")
    .bind(true)
    .push(", ")
    .bind(text.from.as_str())
    .push(", ")
    .bind(&text.text)
    .push(", ")
    .bind(Priority::Normal.as_str())
    .push(", ")
    .bind(metadata)
    .push(", NULL)");
    tx.execute(stmt).await?;
    Ok(())
}
