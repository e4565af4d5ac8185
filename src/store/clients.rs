//! Client cards: found, made for a new client, completed where they were blank.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql, storable};
use super::{Error, Store};
use crate::domain::tags;
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

/// A card as people and programs read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Our own key.
    pub uid: Uuid,
    /// The one that the application uses.
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    /// Where the client belongs.
    pub location: Option<String>,
    /// The staff member whose client it is.
    pub staff_id: Option<String>,
    pub created_at: Timestamp,
    /// Since when nothing is sent to the client.
    pub deactivated_at: Option<Timestamp>,
    /// The law wants it kept: it is neither pruned nor erased.
    pub hold: bool,
    /// Since when nothing personal is kept of the client.
    pub erased_at: Option<Timestamp>,
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub name: Change,
    pub email: Change,
    pub phone: Change,
    pub location: Change,
    pub staff_id: Change,
    pub deactivated: Option<bool>,
    pub hold: Option<bool>,
}

/// Of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    #[default]
    Keep,
    Empty,
    To(String),
}

impl Change {
    /// What the field is then, where it was empty before.
    fn value(&self) -> Option<&str> {
        match self {
            Self::Keep | Self::Empty => None,
            Self::To(value) => Some(value),
        }
    }
}

macro_rules! columns {
    () => {
        "SELECT c.uid, c.client_id, c.name, c.email, c.phone, c.location, c.staff_id, c.created_at, \
         c.deactivated_at, c.hold, c.erased_at"
    };
}
pub(super) use columns;

impl Store {
    pub async fn client(&self, business: &str, id: &str) -> Result<Option<Client>, Error> {
        let mut tx = self.db.read().await?;
        read(&mut tx, business, id).await
    }

    /// Up to so many of the business in the order of their ids, after one of them. Who was erased has no
    /// card.
    pub async fn clients(
        &self,
        business: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Client>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(columns!())
            .push(" FROM clients c WHERE c.erased_at IS NULL AND c.business_id = ")
            .bind(business)
            .push(" AND c.client_id > ")
            .bind(after)
            .push(" ORDER BY c.client_id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        tx.all(stmt).await?.iter().map(client).collect()
    }

    /// `None` when there is a client with this id. Of the changes those count that set something.
    pub async fn add_client(
        &self,
        business: &str,
        id: &str,
        card: &Changes,
    ) -> Result<Option<Client>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let id = storable(id.to_owned());
        let stmt = sql(
            "INSERT INTO clients (uid, business_id, client_id, name, email, phone, location, \
             staff_id, created_at, deactivated_at) VALUES (",
        )
        .bind(self.clock.new_uuid(now))
        .push(", ")
        .bind(business)
        .push(", ")
        .bind(&id)
        .push(", ")
        .bind(card.name.value())
        .push(", ")
        .bind(card.email.value())
        .push(", ")
        .bind(card.phone.value())
        .push(", ")
        .bind(card.location.value())
        .push(", ")
        .bind(card.staff_id.value())
        .push(", ")
        .bind(now)
        .push(", ")
        .bind((card.deactivated == Some(true)).then_some(now))
        .push(") ON CONFLICT (business_id, client_id) DO NOTHING");
        if tx.execute(stmt).await? == 0 {
            return Ok(None);
        }
        let client = read(&mut tx, business, &id).await?;
        tx.commit().await?;
        Ok(client)
    }

    /// The card as it is afterwards; `None` when there is no such client.
    pub async fn change_client(
        &self,
        business: &str,
        id: &str,
        changes: &Changes,
    ) -> Result<Option<Client>, Error> {
        let mut tx = self.db.write().await?;
        // In one statement and without a look before, so that no other change is undone.
        let stmt =
            set(sql("UPDATE clients SET name = "), &changes.name).push(" ELSE name END, email = ");
        let stmt = set(stmt, &changes.email).push(" ELSE email END, phone = ");
        let stmt = set(stmt, &changes.phone).push(" ELSE phone END, location = ");
        let stmt = set(stmt, &changes.location).push(" ELSE location END, staff_id = ");
        let stmt = set(stmt, &changes.staff_id)
            // Who is deactivated already has been so since then.
            .push(" ELSE staff_id END, deactivated_at = CASE WHEN ")
            .bind(changes.deactivated == Some(true))
            .push(" THEN coalesce(deactivated_at, ")
            .bind(self.clock.now())
            .push(") WHEN ")
            .bind(changes.deactivated == Some(false))
            .push(" THEN NULL ELSE deactivated_at END, hold = CASE WHEN ")
            .bind(changes.hold.is_some())
            .push(" THEN ")
            .bind(changes.hold == Some(true))
            // What is forgotten does not come back by a change.
            .push(" ELSE hold END WHERE erased_at IS NULL AND business_id = ")
            .bind(business)
            .push(" AND client_id = ")
            .bind(storable(id.to_owned()));
        tx.execute(stmt).await?;
        let client = read(&mut tx, business, id).await?;
        tx.commit().await?;
        Ok(client)
    }
}

/// The new value where there is one.
fn set(stmt: Stmt, change: &Change) -> Stmt {
    stmt.push("CASE WHEN ")
        .bind(*change != Change::Keep)
        .push(" THEN ")
        .bind(change.value())
}

async fn read(tx: &mut Tx, business: &str, id: &str) -> Result<Option<Client>, Error> {
    let stmt = sql(concat!(
        columns!(),
        " FROM clients c WHERE c.business_id = "
    ))
    .bind(business)
    .push(" AND c.client_id = ")
    .bind(storable(id.to_owned()));
    tx.optional(stmt).await?.as_ref().map(client).transpose()
}

pub(super) fn client(row: &Row) -> Result<Client, Error> {
    Ok(Client {
        uid: row.id("uid")?,
        id: row.text("client_id")?,
        name: row.opt_text("name")?,
        email: row.opt_text("email")?,
        phone: row.opt_text("phone")?,
        location: row.opt_text("location")?,
        staff_id: row.opt_text("staff_id")?,
        created_at: row.time("created_at")?,
        deactivated_at: row.opt_time("deactivated_at")?,
        hold: row.bool("hold")?,
        erased_at: row.opt_time("erased_at")?,
    })
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
    /// Of a client who was forgotten: nothing is written of it any more.
    Erased,
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

    /// Of these words those that are no part of the client's own name and addresses.
    pub(super) fn tags(&self, words: &[String]) -> Vec<String> {
        let own = [&self.name, &self.email, &self.phone];
        tags::without(words, own.into_iter().flatten())
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
    let stmt = sql(
        "SELECT c.uid, c.business_id, c.client_id, c.name, c.email, c.phone, c.erased_at FROM ",
    )
    .rows(rows)
    .push(" JOIN clients c ON c.business_id = b.business_id AND c.client_id = b.client_id");
    let mut cards = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let card = Card {
            uid: row.id("uid")?,
            name: row.opt_text("name")?,
            email: row.opt_text("email")?,
            phone: row.opt_text("phone")?,
            state: if row.opt_time("erased_at")?.is_some() {
                CardState::Erased
            } else {
                CardState::Stored
            },
        };
        cards.insert((row.text("business_id")?, row.text("client_id")?), card);
    }
    Ok(cards)
}

/// Writes new and completed cards. `Raced` when another writer made or completed one of them
/// meanwhile.
pub(super) async fn write(
    tx: &mut Tx,
    cards: &BTreeMap<CardKey, Card>,
    now: Timestamp,
) -> Result<(), Error> {
    let of = |wanted| cards.iter().filter(move |(_, card)| card.state == wanted);
    insert(tx, of(CardState::New), now).await?;
    let completed: BTreeMap<Uuid, &Card> = of(CardState::Completed)
        .map(|(_, card)| (card.uid, card))
        .collect();
    complete(tx, &completed).await
}

async fn insert(
    tx: &mut Tx,
    cards: impl Iterator<Item = (&CardKey, &Card)>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("uid", Kind::Id),
        ("business_id", Kind::Text),
        ("client_id", Kind::Text),
        ("name", Kind::Text),
        ("email", Kind::Text),
        ("phone", Kind::Text),
        ("created_at", Kind::Time),
    ]);
    for ((business, client), card) in cards {
        rows.add([
            card.uid.into(),
            business.into(),
            client.into(),
            card.name.clone().into(),
            card.email.clone().into(),
            card.phone.clone().into(),
            now.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let expected = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let stmt = sql(
        "INSERT INTO clients (uid, business_id, client_id, name, email, phone, \
         created_at) SELECT b.uid, b.business_id, b.client_id, b.name, b.email, b.phone, \
         b.created_at FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (business_id, client_id) DO NOTHING");
    if tx.execute(stmt).await? < expected {
        return Err(Error::Raced);
    }
    Ok(())
}

async fn complete(tx: &mut Tx, cards: &BTreeMap<Uuid, &Card>) -> Result<(), Error> {
    if cards.is_empty() {
        return Ok(());
    }
    // Locked in one order for every writer, and read again: what was blank may be filled by now.
    let stmt = sql("SELECT c.uid, c.name, c.email, c.phone FROM ")
        .rows(Rows::of_ids(cards.keys().copied()))
        .push(" JOIN clients c ON c.uid = b.id")
        .push(tx.dialect().lock(" ORDER BY c.uid FOR UPDATE OF c"));
    for row in tx.all(stmt).await? {
        let Some(card) = cards.get(&row.id("uid")?) else {
            continue;
        };
        for (column, ours) in [
            ("name", &card.name),
            ("email", &card.email),
            ("phone", &card.phone),
        ] {
            let stored = row.opt_text(column)?;
            if stored.is_some() && stored != *ours {
                return Err(Error::Raced);
            }
        }
    }
    let mut rows = Rows::new(&[
        ("uid", Kind::Id),
        ("name", Kind::Text),
        ("email", Kind::Text),
        ("phone", Kind::Text),
    ]);
    for card in cards.values() {
        rows.add([
            card.uid.into(),
            card.name.clone().into(),
            card.email.clone().into(),
            card.phone.clone().into(),
        ]);
    }
    let stmt = sql("UPDATE clients SET name = b.name, email = b.email, phone = b.phone FROM ")
        .rows(rows)
        .push(" WHERE clients.uid = b.uid");
    tx.execute(stmt).await?;
    Ok(())
}
