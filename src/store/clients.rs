//! Client cards: found, made for a new client, completed where they were blank.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::stmt::{Kind, Rows, sql};
use crate::domain::time::Timestamp;

/// What an application tells us of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRef {
    /// The application's own id.
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

/// A card as it is stored or about to be.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) uid: Uuid,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) state: CardState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CardState {
    /// Not in the database yet.
    New,
    /// In the database, with blanks that were filled since.
    Completed,
    Stored,
}

/// Business and client id: what names a card.
pub(super) type CardKey = (String, String);

impl Card {
    pub(super) fn new(uid: Uuid, client: &ClientRef) -> Self {
        Self {
            uid,
            name: client.name.clone(),
            email: client.email.clone(),
            phone: client.phone.clone(),
            state: CardState::New,
        }
    }

    /// Fills what is blank; never overwrites what staff or an earlier call wrote.
    pub(super) fn complete(&mut self, client: &ClientRef) {
        let mut changed = false;
        let pairs = [
            (&mut self.name, &client.name),
            (&mut self.email, &client.email),
            (&mut self.phone, &client.phone),
        ];
        for (stored, told) in pairs {
            if stored.is_none() && told.is_some() {
                stored.clone_from(told);
                changed = true;
            }
        }
        if changed && self.state == CardState::Stored {
            self.state = CardState::Completed;
        }
    }
}

/// The cards of these keys that exist.
pub(super) async fn find(
    tx: &mut Tx,
    keys: impl Iterator<Item = CardKey>,
) -> Result<BTreeMap<CardKey, Card>, Error> {
    let mut rows = Rows::new(&[("business_id", Kind::Text), ("client_id", Kind::Text)]);
    for (business, client) in keys {
        rows.add([business.into(), client.into()]);
    }
    let stmt = sql("SELECT c.uid, c.business_id, c.client_id, c.name, c.email, c.phone FROM ")
        .rows(rows)
        .push(" JOIN clients c ON c.business_id = b.business_id AND c.client_id = b.client_id");
    let mut cards = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let card = Card {
            uid: row.id("uid")?,
            name: row.opt_text("name")?,
            email: row.opt_text("email")?,
            phone: row.opt_text("phone")?,
            state: CardState::Stored,
        };
        cards.insert((row.text("business_id")?, row.text("client_id")?), card);
    }
    Ok(cards)
}

/// Writes new and completed cards. `Raced` when another writer made one of them meanwhile.
pub(super) async fn write(
    tx: &mut Tx,
    cards: &BTreeMap<CardKey, Card>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut new = Rows::new(&[
        ("uid", Kind::Id),
        ("business_id", Kind::Text),
        ("client_id", Kind::Text),
        ("name", Kind::Text),
        ("email", Kind::Text),
        ("phone", Kind::Text),
        ("created_at", Kind::Time),
    ]);
    let mut completed = Rows::new(&[
        ("uid", Kind::Id),
        ("name", Kind::Text),
        ("email", Kind::Text),
        ("phone", Kind::Text),
    ]);
    for ((business, client), card) in cards {
        let Card {
            uid,
            name,
            email,
            phone,
            state,
        } = card.clone();
        match state {
            CardState::New => new.add([
                uid.into(),
                business.into(),
                client.into(),
                name.into(),
                email.into(),
                phone.into(),
                now.into(),
            ]),
            CardState::Completed => {
                completed.add([uid.into(), name.into(), email.into(), phone.into()]);
            }
            CardState::Stored => {}
        }
    }
    if !new.is_empty() {
        let expected = new.len();
        let stmt = sql(
            "INSERT INTO clients (uid, business_id, client_id, name, email, phone, \
             created_at) SELECT b.uid, b.business_id, b.client_id, b.name, b.email, b.phone, \
             b.created_at FROM ",
        )
        .rows(new)
        .push(" WHERE true ON CONFLICT (business_id, client_id) DO NOTHING");
        if tx.execute(stmt).await? < u64::try_from(expected).unwrap_or(u64::MAX) {
            return Err(Error::Raced);
        }
    }
    if !completed.is_empty() {
        let stmt = sql("UPDATE clients SET name = coalesce(clients.name, b.name), \
             email = coalesce(clients.email, b.email), phone = coalesce(clients.phone, b.phone) \
             FROM ")
        .rows(completed)
        .push(" WHERE clients.uid = b.uid");
        tx.execute(stmt).await?;
    }
    Ok(())
}
