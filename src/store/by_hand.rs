//! Contacts that staff enter by hand (W13), with the task that follows them (W14), in one commit.

use serde_json::json;
use uuid::Uuid;

use super::db::Tx;
use super::stmt::{sql, storable};
use super::tasks::{self, FollowUp};
use super::{Error, Store, choices};
use crate::domain::by_hand::name_of;
use crate::domain::event_key;
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method, Priority};
use crate::domain::time::Timestamp;

/// A contact to be entered.
#[derive(Clone, Debug)]
pub struct Contact<'a> {
    pub business: &'a str,
    /// The application's id of the client.
    pub client_id: &'a str,
    /// Now when absent.
    pub date: Option<Timestamp>,
    pub method: Method,
    pub channel: Channel,
    /// What it is called; by its method when absent.
    pub type_name: Option<&'a str>,
    /// One of the business's; a new one is made on the spot.
    pub contact_type: &'a str,
    /// Who made the contact; none: No Staff.
    pub staff_id: Option<&'a str>,
    pub description: Option<&'a str>,
    /// The member who enters it, where it comes from a page.
    pub entered_by: Option<&'a str>,
    /// The same key and the same contact are entered once.
    pub key: Option<&'a str>,
    pub follow_up: Option<FollowUp<'a>>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    New(NotificationId),
    /// The same had been entered before under this key.
    Before(NotificationId),
    /// Something else was entered before under this key.
    KeyTaken(NotificationId),
    NoClient,
}

/// A member of staff as one chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub staff_id: String,
    pub name: String,
}

/// The longest list from which staff choose.
const CHOICES_MAX: i64 = 1_000;

impl Contact<'_> {
    fn digest(&self) -> Uuid {
        let date = self
            .date
            .map_or(String::new(), |at| at.as_millis().to_string());
        let task = self.follow_up.as_ref();
        let due = task.map_or(String::new(), |task| task.due_at.as_millis().to_string());
        let task = task.map(|task| [task.assignee, task.title, task.description.unwrap_or("")]);
        let [assignee, title, more] = task.unwrap_or_default();
        let mut parts = vec![
            "contact by hand",
            self.client_id,
            &date,
            self.method.as_str(),
            self.channel.as_str(),
            self.contact_type,
            self.staff_id.unwrap_or(""),
            self.description.unwrap_or(""),
            &due,
            assignee,
            title,
            more,
        ];
        parts.extend(self.type_name);
        event_key::of(&parts).0
    }
}

impl Store {
    /// Enters a contact that was made outside the program.
    pub async fn enter_contact(&self, new: &Contact<'_>) -> Result<Entered, Error> {
        let now = self.clock.now();
        let id = NotificationId::new(self.clock.uuid_of(new.date.unwrap_or(now)));
        let mut tx = self.db.write().await?;
        let Some(client) = client_uid(&mut tx, new.business, new.client_id).await? else {
            return Ok(Entered::NoClient);
        };
        if let Some(key) = new.key
            && let Some(before) = take_key(&mut tx, new, key, id, now).await?
        {
            return Ok(before);
        }
        name(&mut tx, new.business, new.contact_type, now).await?;
        let assignee = new.follow_up.as_ref().map(|task| task.assignee);
        for staff_id in [new.staff_id, assignee].into_iter().flatten() {
            know(&mut tx, new.business, staff_id, now).await?;
        }
        write(&mut tx, new, id, client).await?;
        if let Some(task) = &new.follow_up {
            let of = tasks::Of {
                business: new.business,
                client,
                entry: Some(id),
                created_by: new.entered_by,
            };
            tasks::insert(&mut tx, self.clock.new_uuid(now), &of, task, now).await?;
        }
        tx.commit().await?;
        Ok(Entered::New(id))
    }

    /// The contact types of the business, its own and those of every business, by name.
    pub async fn contact_types(&self, business: &str) -> Result<Vec<String>, Error> {
        let mut tx = self.db.read().await?;
        choices::contact_types(&mut tx, business, CHOICES_MAX).await
    }

    /// The staff of the business whose account, if they have one, is active; by name.
    pub async fn staff_members(&self, business: &str) -> Result<Vec<Member>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT s.staff_id, s.name FROM staff s \
             LEFT JOIN staff_accounts a ON a.business_id = s.business_id AND a.staff_id = s.staff_id \
             WHERE s.deactivated_at IS NULL AND a.deactivated_at IS NULL AND s.business_id = ")
        .bind(business)
        .push(" ORDER BY s.name, s.staff_id LIMIT ")
        .bind(CHOICES_MAX);
        let rows = tx.all(stmt).await?;
        let members = rows.iter().map(|row| {
            Ok(Member {
                staff_id: row.text("staff_id")?,
                name: row.text("name")?,
            })
        });
        members.collect()
    }
}

pub(super) async fn client_uid(
    tx: &mut Tx,
    business: &str,
    client_id: &str,
) -> Result<Option<Uuid>, Error> {
    // Nothing is written of who was forgotten.
    let stmt = sql("SELECT uid FROM clients WHERE erased_at IS NULL AND business_id = ")
        .bind(business)
        .push(" AND client_id = ")
        .bind(client_id);
    let row = tx.optional(stmt).await?;
    row.map(|row| row.id("uid")).transpose()
}

/// What had been entered under the key before; none: it is taken now.
async fn take_key(
    tx: &mut Tx,
    new: &Contact<'_>,
    key: &str,
    id: NotificationId,
    now: Timestamp,
) -> Result<Option<Entered>, Error> {
    let digest = new.digest();
    let stmt = sql("INSERT INTO idempotency_keys \
         (business_id, key, body_digest, notification_id, created_at) VALUES (")
    .bind(new.business)
    .push(", ")
    .bind(key)
    .push(", ")
    .bind(digest)
    .push(", ")
    .bind(id.uuid())
    .push(", ")
    .bind(now)
    .push(") ON CONFLICT (business_id, key) DO NOTHING");
    if tx.execute(stmt).await? > 0 {
        return Ok(None);
    }
    let stmt =
        sql("SELECT body_digest, notification_id FROM idempotency_keys WHERE business_id = ")
            .bind(new.business)
            .push(" AND key = ")
            .bind(key);
    let row = tx.optional(stmt).await?.ok_or(Error::Raced)?;
    let before = NotificationId::new(row.id("notification_id")?);
    Ok(Some(if row.id("body_digest")? == digest {
        Entered::Before(before)
    } else {
        Entered::KeyTaken(before)
    }))
}

async fn name(
    tx: &mut Tx,
    business: &str,
    contact_type: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let stmt = sql("INSERT INTO contact_types (business_id, name, created_at) VALUES (")
        .bind(business)
        .push(", ")
        .bind(contact_type)
        .push(", ")
        .bind(now)
        .push(") ON CONFLICT (business_id, name) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// A member whom an application names first has its id as name.
pub(super) async fn know(
    tx: &mut Tx,
    business: &str,
    staff_id: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let stmt = sql("INSERT INTO staff (business_id, staff_id, name, created_at) VALUES (")
        .bind(business)
        .push(", ")
        .bind(staff_id)
        .push(", ")
        .bind(staff_id)
        .push(", ")
        .bind(now)
        .push(") ON CONFLICT (business_id, staff_id) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

async fn write(
    tx: &mut Tx,
    new: &Contact<'_>,
    id: NotificationId,
    client: Uuid,
) -> Result<(), Error> {
    // Who made the contact is often not who enters it.
    let metadata = new.entered_by.map(|by| json!({"entered_by": by}));
    let stmt = sql(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, \
         contact_type, staff_id, manual, description, priority, metadata, tags) VALUES (",
    )
    .bind(id.uuid())
    .push(", ")
    .bind(new.business)
    .push(", ")
    .bind(client)
    .push(", ")
    .bind(id.date())
    .push(", ")
    .bind(new.method.as_str())
    .push(", ")
    .bind(new.channel.as_str())
    .push(", ")
    .bind(new.type_name.unwrap_or(name_of(new.method)))
    .push(", ")
    .bind(new.contact_type)
    .push(", ")
    .bind(new.staff_id.map(|id| storable(id.to_owned())))
    .push(", ")
    .bind(true)
    .push(", ")
    .bind(new.description)
    .push(", ")
    .bind(Priority::Normal.as_str())
    .push(", ")
    .bind(metadata)
    // Not looked for yet.
    .push(", NULL)");
    tx.execute(stmt).await?;
    Ok(())
}
