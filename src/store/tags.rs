//! Tags of entries: read, and filled in where nobody has looked for them yet.

use serde_json::Value as Json;

use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store};
use crate::domain::id::NotificationId;

/// An entry without tags: what they are made from.
#[derive(Clone, Debug)]
pub struct Untagged {
    pub id: NotificationId,
    pub subject: Option<String>,
    /// The beginning of it; of an entry without content its description.
    pub text: Option<String>,
    pub html: Option<String>,
    /// The client's name and addresses, which are no tags.
    pub own: Vec<String>,
}

/// Tags found for an entry.
#[derive(Clone, Debug)]
pub struct Tagged {
    pub id: NotificationId,
    pub tags: Vec<String>,
}

impl Store {
    /// Some entries that were never looked at, the oldest first: those that came by SQL and those that
    /// clients wrote.
    pub async fn untagged(&self, limit: usize) -> Result<Vec<Untagged>, Error> {
        let mut tx = self.db.read().await?;
        // The beginnings of texts alone, so that a batch of long messages does not fill the memory. Which
        // entries first: after a load of many PostgreSQL would join all of them, and sort the texts.
        let stmt = sql(
            "SELECT l.id, m.subject, substr(coalesce(m.text, l.description), 1, 4096) AS text, \
             substr(m.html, 1, 16384) AS html, c.name, c.email, c.phone \
             FROM (SELECT id FROM contact_log WHERE tags IS NULL ORDER BY id LIMIT ",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(
            ") AS few CROSS JOIN contact_log l JOIN clients c ON c.uid = l.client_uid \
             LEFT JOIN message_content m ON m.id = l.content_id WHERE l.id = few.id \
             ORDER BY few.id",
        );
        let rows = tx.all(stmt).await?;
        rows.iter().map(untagged).collect()
    }

    /// Keeps what was found; what somebody has given tags meanwhile stays as it is.
    pub async fn keep_tags(&self, found: &[Tagged]) -> Result<(), Error> {
        let mut rows = Rows::new(&[("id", Kind::Id), ("tags", Kind::Json)]);
        for tagged in found {
            rows.add([
                tagged.id.uuid().into(),
                Json::from(tagged.tags.clone()).into(),
            ]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE contact_log SET tags = b.tags FROM ")
            .rows(rows)
            .push(" WHERE contact_log.id = b.id AND contact_log.tags IS NULL");
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

fn untagged(row: &Row) -> Result<Untagged, Error> {
    let own = ["name", "email", "phone"].map(|column| row.opt_text(column));
    Ok(Untagged {
        id: NotificationId::new(row.id("id")?),
        subject: row.opt_text("subject")?,
        text: row.opt_text("text")?,
        html: row.opt_text("html")?,
        own: own
            .into_iter()
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?,
    })
}

/// Those of an entry; none where nobody has looked yet.
pub(super) fn read(row: &Row) -> Result<Vec<String>, Error> {
    let Some(json) = row.opt_json("tags")? else {
        return Ok(Vec::new());
    };
    serde_json::from_value(json).map_err(|why| Error::corrupt("tags", why))
}
