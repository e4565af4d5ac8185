//! What people change of an entry: its description, its tags, and, when they send it again, the card of
//! its client and what stands in the way. What was before is kept, with who changed it and when (M2, M8).

use serde_json::Value as Json;

use super::history::Entry;
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store, tags};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// A change as somebody asks for it. `before` is what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    Description {
        before: Option<String>,
        after: Option<String>,
    },
    Tags {
        before: Vec<String>,
        after: Vec<String>,
    },
    /// Of the address on the card of the entry's client.
    Card {
        method: Method,
        before: Option<String>,
        after: Option<String>,
    },
    /// It was sent again to an address that had to be taken off the suppression list for it.
    Override { why: String },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    Done,
    /// It was so already.
    Same,
    /// Somebody else was faster: what was shown is not there any more.
    Meanwhile,
    /// The business has no such entry.
    Nothing,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Changed {
    pub at: Timestamp,
    /// The staff member's name.
    pub user: String,
    pub edit: Edit,
}

/// Changes of one entry that its page shows, the latest.
pub const CHANGES_MAX: i64 = 100;
/// Entries by which one was sent again that its page names, the latest.
pub const RESENDS_MAX: i64 = 50;

impl Edit {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Description { .. } => "description",
            Self::Tags { .. } => "tags",
            Self::Card { .. } => "card",
            Self::Override { .. } => "override",
        }
    }

    /// Before and after, as they are kept.
    fn texts(&self) -> (Option<String>, Option<String>) {
        let json = |tags: &Vec<String>| Some(Json::from(tags.clone()).to_string());
        match self {
            Self::Description { before, after } | Self::Card { before, after, .. } => {
                (before.clone(), after.clone())
            }
            Self::Tags { before, after } => (json(before), json(after)),
            Self::Override { why } => (None, Some(why.clone())),
        }
    }
}

impl Store {
    /// Changes an entry, unless it is not as it was shown.
    pub async fn edit_entry(
        &self,
        business: &str,
        id: NotificationId,
        staff_id: &str,
        edit: &Edit,
    ) -> Result<Edited, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql(
            "SELECT l.description, l.tags, c.email, c.phone FROM contact_log l \
             JOIN clients c ON c.uid = l.client_uid WHERE c.erased_at IS NULL AND l.id = ",
        )
        .bind(id.uuid())
        .push(" AND l.business_id = ")
        .bind(business)
        .push(tx.dialect().lock(" FOR UPDATE"));
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(Edited::Nothing);
        };
        if let Some(answer) = obstacle(&row, edit)? {
            return Ok(answer);
        }
        let (before, after) = edit.texts();
        let stmt = sql(
            "INSERT INTO entry_changes (id, business_id, notification_id, staff_id, changed_at, \
             kind, before, after) VALUES (",
        )
        .bind(self.clock.new_uuid(now))
        .push(", ")
        .bind(business)
        .push(", ")
        .bind(id.uuid())
        .push(", ")
        .bind(staff_id)
        .push(", ")
        .bind(now)
        .push(", ")
        .bind(edit.kind())
        .push(", ")
        .bind(before)
        .push(", ")
        .bind(after)
        .push(")");
        tx.execute(stmt).await?;
        if let Some(stmt) = set(edit, id) {
            tx.execute(stmt).await?;
        }
        tx.commit().await?;
        Ok(Edited::Done)
    }

    /// What people changed of an entry of the business, by time.
    pub async fn entry_changes(
        &self,
        business: &str,
        id: NotificationId,
    ) -> Result<Vec<Changed>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT e.changed_at, e.kind, e.before, e.after, coalesce(s.name, e.staff_id) AS name \
             FROM entry_changes e LEFT JOIN staff s ON s.business_id = e.business_id \
             AND s.staff_id = e.staff_id WHERE e.notification_id = ",
        )
        .bind(id.uuid())
        .push(" AND e.business_id = ")
        .bind(business)
        .push(" ORDER BY e.id DESC LIMIT ")
        .bind(CHANGES_MAX);
        let rows = tx.all(stmt).await?;
        let latest_first: Result<Vec<_>, _> = rows.iter().map(changed).collect();
        let mut changes = latest_first?;
        changes.reverse();
        Ok(changes)
    }

    /// The entries by which one was sent again, by time.
    pub async fn resends(&self, business: &str, id: NotificationId) -> Result<Vec<Entry>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT id FROM contact_log WHERE resend_of = ")
            .bind(id.uuid())
            .push(" ORDER BY id DESC LIMIT ")
            .bind(RESENDS_MAX);
        let mut ids = Vec::new();
        for row in tx.all(stmt).await? {
            ids.push(NotificationId::new(row.id("id")?));
        }
        drop(tx);
        ids.reverse();
        self.entries(business, &ids).await
    }
}

/// Why there is nothing to change.
fn obstacle(row: &Row, edit: &Edit) -> Result<Option<Edited>, Error> {
    let (is_so, was_shown) = match edit {
        Edit::Description { before, after } => {
            let now = row.opt_text("description")?;
            (now == *after, now == *before)
        }
        Edit::Tags { before, after } => {
            let now = tags::read(row)?;
            (now == *after, now == *before)
        }
        Edit::Card {
            method,
            before,
            after,
        } => {
            let now = row.opt_text(on_card(*method))?;
            (now == *after, now == *before)
        }
        Edit::Override { .. } => return Ok(None),
    };
    Ok(match (is_so, was_shown) {
        (true, _) => Some(Edited::Same),
        (false, false) => Some(Edited::Meanwhile),
        (false, true) => None,
    })
}

/// Where the card has an address of this method.
const fn on_card(method: Method) -> &'static str {
    match method {
        Method::Email => "email",
        Method::Sms | Method::Push | Method::InPerson | Method::Mail | Method::Phone => "phone",
    }
}

/// What is to be written beside the record of the change.
fn set(edit: &Edit, id: NotificationId) -> Option<Stmt> {
    let entry = |stmt: Stmt| stmt.push(" WHERE id = ").bind(id.uuid());
    Some(match edit {
        Edit::Description { after, .. } => {
            entry(sql("UPDATE contact_log SET description = ").bind(after.clone()))
        }
        Edit::Tags { after, .. } => {
            entry(sql("UPDATE contact_log SET tags = ").bind(Json::from(after.clone())))
        }
        Edit::Card { method, after, .. } => sql("UPDATE clients SET ")
            .push(on_card(*method))
            .push(" = ")
            .bind(after.clone())
            .push(" WHERE uid = (SELECT client_uid FROM contact_log WHERE id = ")
            .bind(id.uuid())
            .push(")"),
        Edit::Override { .. } => return None,
    })
}

fn changed(row: &Row) -> Result<Changed, Error> {
    let (before, after) = (row.opt_text("before")?, row.opt_text("after")?);
    let edit = match row.text("kind")?.as_str() {
        "tags" => Edit::Tags {
            before: list(before)?,
            after: list(after)?,
        },
        "card" => Edit::Card {
            method: match &after {
                Some(after) if after.contains('@') => Method::Email,
                _ => Method::Sms,
            },
            before,
            after,
        },
        "override" => Edit::Override {
            why: after.unwrap_or_default(),
        },
        _ => Edit::Description { before, after },
    };
    Ok(Changed {
        at: row.time("changed_at")?,
        user: row.text("name")?,
        edit,
    })
}

fn list(text: Option<String>) -> Result<Vec<String>, Error> {
    let text = text.unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&text).map_err(|why| Error::corrupt("entry_changes", why))
}
