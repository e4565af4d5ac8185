//! The suppression list: addresses that must not be written to, and why. What is taken off it goes to
//! a table of its own, with who did it, when and why.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Kind, Rows, Stmt, sql, storable};
use super::{Error, Store};
use crate::domain::address::{Address, forgotten};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;

/// One entry of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppression {
    pub id: Uuid,
    pub method: Method,
    /// In the form in which addresses are compared.
    pub address: String,
    /// Holds for this contact type only.
    pub contact_type: Option<String>,
    pub reason: Reason,
    /// Who said so: a provider, `staff`, `application`, `recipient`.
    pub source: String,
    /// The message that taught us.
    pub notification: Option<NotificationId>,
    pub staff_id: Option<String>,
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// It is not on the list any more.
    pub lifted: Option<Lifted>,
}

/// Who took an entry off the list, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    pub at: Timestamp,
    pub source: String,
    pub staff_id: Option<String>,
    pub note: Option<String>,
}

/// An entry to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewSuppression<'a> {
    pub business: &'a str,
    pub address: &'a Address,
    pub contact_type: Option<&'a str>,
    pub reason: Reason,
    pub source: &'a str,
    pub staff_id: Option<&'a str>,
    pub note: Option<&'a str>,
    pub expires_at: Option<Timestamp>,
}

/// What is to be taken off the list.
#[derive(Clone, Copy, Debug)]
pub struct Lift<'a> {
    pub business: &'a str,
    pub address: &'a Address,
    /// None: what holds for every contact type.
    pub contact_type: Option<&'a str>,
    /// None: whatever the reason.
    pub reason: Option<Reason>,
    pub source: &'a str,
    pub staff_id: Option<&'a str>,
    pub note: Option<&'a str>,
}

/// Which entries of the list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub method: Option<Method>,
    /// Forms in which the address may be on the list; empty: all addresses.
    pub addresses: Vec<String>,
    /// Those that were taken off the list, instead of those on it.
    pub lifted: bool,
    /// The last entry of the page before.
    pub after: Option<Uuid>,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub suppressions: Vec<Suppression>,
    /// There are more after the last of these.
    pub more: bool,
}

/// The longest page.
pub const PAGE_MAX: usize = 200;

/// Of both tables.
const COLUMNS: [(&str, Kind); 12] = [
    ("id", Kind::Id),
    ("business_id", Kind::Text),
    ("method", Kind::Text),
    ("address", Kind::Text),
    ("contact_type", Kind::Text),
    ("reason", Kind::Text),
    ("source", Kind::Text),
    ("notification_id", Kind::Id),
    ("staff_id", Kind::Text),
    ("note", Kind::Text),
    ("created_at", Kind::Time),
    ("expires_at", Kind::Time),
];

/// Who takes entries off beside people: recipients, and the time that has run out.
pub(super) const RECIPIENT: &str = "recipient";
const EXPIRY: &str = "expiry";

/// What names an entry: one reason for one recipient, for everything or for one contact type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) business: String,
    pub(super) method: Method,
    pub(super) address: String,
    /// Empty: everything that the reason stops.
    pub(super) contact_type: String,
    pub(super) reason: Reason,
}

/// What an entry says beside its key.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) id: Uuid,
    pub(super) source: String,
    pub(super) notification: Option<NotificationId>,
    pub(super) staff_id: Option<String>,
    pub(super) note: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
}

/// Who takes entries off, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifting<'a> {
    pub(super) source: &'a str,
    pub(super) staff_id: Option<&'a str>,
    pub(super) note: Option<&'a str>,
}

impl Store {
    /// Puts an address on the list. Returns the entry, and whether it is new; one that stands there
    /// already stays as it is.
    pub async fn suppress(&self, new: NewSuppression<'_>) -> Result<(Suppression, bool), Error> {
        super::again(|| self.suppress_once(new)).await
    }

    async fn suppress_once(&self, new: NewSuppression<'_>) -> Result<(Suppression, bool), Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let key = Key {
            business: new.business.to_owned(),
            method: new.address.method(),
            address: new.address.compared(),
            contact_type: contact_type(new.contact_type),
            reason: new.reason,
        };
        let id = self.clock.new_uuid(now);
        let details = Details {
            id,
            source: new.source.to_owned(),
            notification: None,
            staff_id: new.staff_id.map(str::to_owned),
            note: new.note.map(str::to_owned),
            expires_at: new.expires_at,
        };
        add(&mut tx, &BTreeMap::from([(key.clone(), details)]), now).await?;
        // Gone again at once: somebody takes it off at this moment.
        let entry = in_force(&mut tx, &key, now).await?.ok_or(Error::Raced)?;
        tx.commit().await?;
        let is_new = entry.id == id;
        Ok((entry, is_new))
    }

    /// Takes entries off the list and keeps them as history. Returns them; none when there were none.
    pub async fn lift(&self, lift: Lift<'_>) -> Result<Vec<Suppression>, Error> {
        super::again(|| self.lift_once(lift)).await
    }

    async fn lift_once(&self, lift: Lift<'_>) -> Result<Vec<Suppression>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let mut delete = sql("DELETE FROM suppressions WHERE business_id = ")
            .bind(lift.business)
            .push(" AND method = ")
            .bind(lift.address.method().as_str())
            .push(" AND address IN ")
            .bind_list([lift.address.compared(), lift.address.forgotten()])
            .push(" AND contact_type = ")
            .bind(contact_type(lift.contact_type))
            .push(" AND (expires_at IS NULL OR expires_at > ")
            .bind(now)
            .push(")");
        if let Some(reason) = lift.reason {
            delete = delete.push(" AND reason = ").bind(reason.as_str());
        }
        let by = Lifting {
            source: lift.source,
            staff_id: lift.staff_id,
            note: lift.note,
        };
        let lifted = take_off(&mut tx, delete, by, now).await?;
        tx.commit().await?;
        Ok(lifted)
    }

    /// Keeps on record that somebody took an address off a provider's own list.
    pub async fn lifted_at_provider(
        &self,
        provider: &str,
        since: Timestamp,
        lift: Lift<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let key = Key {
            business: lift.business.to_owned(),
            method: lift.address.method(),
            address: lift.address.compared(),
            contact_type: String::new(),
            reason: lift.reason.unwrap_or(Reason::Bounce),
        };
        let details = Details {
            id: self.clock.new_uuid(now),
            source: provider.to_owned(),
            notification: None,
            staff_id: None,
            note: None,
            expires_at: None,
        };
        let by = Lifting {
            source: lift.source,
            staff_id: lift.staff_id,
            note: lift.note,
        };
        let entry = rows(&BTreeMap::from([(key, details)]), since);
        keep_lifted(&mut tx, entry, by, now).await?;
        tx.commit().await
    }

    /// One page of the business's list, newest first.
    pub async fn suppressions(&self, business: &str, filter: &Filter) -> Result<Page, Error> {
        let limit = filter.limit.clamp(1, PAGE_MAX);
        let mut tx = self.db.read().await?;
        let mut suppressions = Vec::new();
        for row in tx
            .all(page(business, filter, limit, self.clock.now()))
            .await?
        {
            suppressions.push(Suppression {
                lifted: filter.lifted.then(|| lifted(&row)).transpose()?,
                ..suppression(&row)?
            });
        }
        let more = suppressions.len() > limit;
        suppressions.truncate(limit);
        Ok(Page { suppressions, more })
    }
}

/// As it is kept and looked up.
fn contact_type(name: Option<&str>) -> String {
    storable(name.unwrap_or_default().to_owned())
}

fn page(business: &str, filter: &Filter, limit: usize, now: Timestamp) -> Stmt {
    let mut stmt = if filter.lifted {
        sql("SELECT * FROM lifted_suppressions WHERE business_id = ").bind(business)
    } else {
        sql("SELECT * FROM suppressions WHERE (expires_at IS NULL OR expires_at > ")
            .bind(now)
            .push(") AND business_id = ")
            .bind(business)
    };
    if let Some(method) = filter.method {
        stmt = stmt.push(" AND method = ").bind(method.as_str());
    } else if !filter.addresses.is_empty() {
        // So that the address is found by the index, which has the method before it.
        stmt = stmt
            .push(" AND method IN ")
            .bind_list(Method::SENT_BY_US.map(Method::as_str));
    }
    if !filter.addresses.is_empty() {
        stmt = stmt.push(" AND address IN ").bind_list(forms(filter));
    }
    if let Some(after) = filter.after {
        stmt = stmt.push(" AND id < ").bind(after);
    }
    stmt.push(" ORDER BY id DESC LIMIT ")
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
}

/// The addresses that are asked for, and their digests where clients were forgotten.
fn forms(filter: &Filter) -> Vec<String> {
    let methods = Method::SENT_BY_US.into_iter();
    let methods = methods.filter(|method| filter.method.is_none_or(|wanted| wanted == *method));
    let digests = methods.flat_map(|method| {
        let digest = move |address: &String| forgotten(method, address);
        filter.addresses.iter().map(digest)
    });
    filter.addresses.iter().cloned().chain(digests).collect()
}

/// The entry of this name, or of its digest where the client was forgotten, unless its time has run out.
pub(super) async fn in_force(
    tx: &mut Tx,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Suppression>, Error> {
    let stmt = sql("SELECT * FROM suppressions WHERE business_id = ")
        .bind(&key.business)
        .push(" AND method = ")
        .bind(key.method.as_str())
        .push(" AND address IN ")
        .bind_list([key.address.clone(), forgotten(key.method, &key.address)])
        .push(" AND contact_type = ")
        .bind(&key.contact_type)
        .push(" AND reason = ")
        .bind(key.reason.as_str())
        .push(" AND (expires_at IS NULL OR expires_at > ")
        .bind(now)
        .push(")");
    tx.optional(stmt)
        .await?
        .as_ref()
        .map(suppression)
        .transpose()
}

/// Puts entries on the list; what stands there stays as it is. In order of their names, as every
/// writer does, so that two of them cannot wait for each other.
pub(super) async fn add(
    tx: &mut Tx,
    entries: &BTreeMap<Key, Details>,
    now: Timestamp,
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    // One whose time has run out would be in the way.
    let delete = sql("DELETE FROM suppressions WHERE id IN (SELECT s.id FROM ")
        .rows(rows(entries, now))
        .push(
            " JOIN suppressions s ON s.business_id = b.business_id AND s.method = b.method \
             AND s.address = b.address AND s.contact_type = b.contact_type \
             AND s.reason = b.reason WHERE s.expires_at <= ",
        )
        .bind(now)
        .push(")");
    let by = Lifting {
        source: EXPIRY,
        staff_id: None,
        note: None,
    };
    take_off(tx, delete, by, now).await?;
    let stmt = sql(
        "INSERT INTO suppressions (id, business_id, method, address, contact_type, reason, \
         source, notification_id, staff_id, note, created_at, expires_at) SELECT b.id, \
         b.business_id, b.method, b.address, b.contact_type, b.reason, b.source, \
         b.notification_id, b.staff_id, b.note, b.created_at, b.expires_at FROM ",
    )
    .rows(rows(entries, now))
    .push(
        " WHERE true ON CONFLICT (business_id, method, address, contact_type, reason) DO NOTHING",
    );
    tx.execute(stmt).await?;
    Ok(())
}

fn rows(entries: &BTreeMap<Key, Details>, now: Timestamp) -> Rows {
    let mut rows = Rows::new(&COLUMNS);
    for (key, details) in entries {
        rows.add([
            details.id.into(),
            (&key.business).into(),
            key.method.as_str().into(),
            (&key.address).into(),
            (&key.contact_type).into(),
            key.reason.as_str().into(),
            (&details.source).into(),
            details.notification.map(NotificationId::uuid).into(),
            details.staff_id.clone().into(),
            details.note.clone().into(),
            now.into(),
            details.expires_at.into(),
        ]);
    }
    rows
}

/// Runs a `DELETE FROM suppressions …` and keeps what it deletes as history.
pub(super) async fn take_off(
    tx: &mut Tx,
    delete: Stmt,
    by: Lifting<'_>,
    now: Timestamp,
) -> Result<Vec<Suppression>, Error> {
    let mut rows = Rows::new(&COLUMNS);
    let mut lifted = Vec::new();
    for row in tx.all(delete.push(" RETURNING *")).await? {
        let entry = suppression(&row)?;
        rows.add([
            entry.id.into(),
            row.text("business_id")?.into(),
            entry.method.as_str().into(),
            (&entry.address).into(),
            row.text("contact_type")?.into(),
            entry.reason.as_str().into(),
            (&entry.source).into(),
            entry.notification.map(NotificationId::uuid).into(),
            entry.staff_id.clone().into(),
            entry.note.clone().into(),
            entry.created_at.into(),
            entry.expires_at.into(),
        ]);
        let how = Lifted {
            at: now,
            source: by.source.to_owned(),
            staff_id: by.staff_id.map(str::to_owned),
            note: by.note.map(str::to_owned),
        };
        lifted.push(Suppression {
            lifted: Some(how),
            ..entry
        });
    }
    if rows.is_empty() {
        return Ok(lifted);
    }
    keep_lifted(tx, rows, by, now).await?;
    lifted.sort_by_key(|entry| entry.id);
    Ok(lifted)
}

/// Keeps as history what is not on a list any more.
async fn keep_lifted(
    tx: &mut Tx,
    rows: Rows,
    by: Lifting<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let stmt = sql(
        "INSERT INTO lifted_suppressions (id, business_id, method, address, contact_type, reason, \
         source, notification_id, staff_id, note, created_at, expires_at, lifted_at, \
         lifted_source, lifted_staff_id, lifted_note) SELECT b.id, b.business_id, b.method, \
         b.address, b.contact_type, b.reason, b.source, b.notification_id, b.staff_id, b.note, \
         b.created_at, b.expires_at, ",
    )
    .bind(now)
    .push(", ")
    .bind(by.source)
    .push(", ")
    .bind(by.staff_id)
    .push(", ")
    .bind(by.note)
    .push(" FROM ")
    .rows(rows);
    tx.execute(stmt).await?;
    Ok(())
}

/// From a row of either table.
pub(super) fn suppression(row: &Row) -> Result<Suppression, Error> {
    Ok(Suppression {
        id: row.id("id")?,
        method: row.word("method", Method::parse)?,
        address: row.text("address")?,
        contact_type: Some(row.text("contact_type")?).filter(|name| !name.is_empty()),
        reason: row.word("reason", Reason::parse)?,
        source: row.text("source")?,
        notification: row.opt_id("notification_id")?.map(NotificationId::new),
        staff_id: row.opt_text("staff_id")?,
        note: row.opt_text("note")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        lifted: None,
    })
}

fn lifted(row: &Row) -> Result<Lifted, Error> {
    Ok(Lifted {
        at: row.time("lifted_at")?,
        source: row.text("lifted_source")?,
        staff_id: row.opt_text("lifted_staff_id")?,
        note: row.opt_text("lifted_note")?,
    })
}
