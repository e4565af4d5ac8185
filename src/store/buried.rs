//! Messages from a queue that could not be enqueued: kept until an operator has seen to them.

use serde_json::Value as Json;
use uuid::Uuid;

use super::row::Row;
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::time::Timestamp;

/// A message to be kept.
#[derive(Clone, Debug)]
pub struct NewBuried<'a> {
    pub business: &'a str,
    /// The queue's URL.
    pub source: &'a str,
    /// The queue's own id of it.
    pub message_id: &'a str,
    /// What is wrong with it: a list of `{pointer, detail}`.
    pub reason: Json,
    /// As it came.
    pub body: &'a str,
}

#[derive(Clone, Debug)]
pub struct Buried {
    pub id: Uuid,
    pub business: String,
    pub source: String,
    pub message_id: String,
    pub received_at: Timestamp,
    pub reason: Json,
    pub body: String,
}

const SELECT: &str = "SELECT id, business_id, source, message_id, received_at, reason, body \
                      FROM buried_messages";

impl Store {
    /// One that comes again is buried once.
    pub async fn bury(&self, new: NewBuried<'_>) -> Result<(), Error> {
        let now = self.clock.now();
        let id = self.clock.new_uuid(now);
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO buried_messages \
             (id, business_id, source, message_id, received_at, reason, body) VALUES (")
        .bind(id)
        .push(", ")
        .bind(new.business)
        .push(", ")
        .bind(new.source)
        .push(", ")
        .bind(new.message_id)
        .push(", ")
        .bind(now)
        .push(", ")
        .bind(new.reason)
        .push(", ")
        .bind(new.body)
        .push(") ON CONFLICT (source, message_id) DO NOTHING");
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// The oldest first, those after this one alone.
    pub async fn buried(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<Buried>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(SELECT)
            .push(" WHERE id > ")
            .bind(after.unwrap_or(Uuid::nil()))
            .push(" ORDER BY id LIMIT ")
            .bind(limit);
        tx.all(stmt).await?.iter().map(buried).collect()
    }

    pub async fn find_buried(&self, id: Uuid) -> Result<Option<Buried>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(SELECT).push(" WHERE id = ").bind(id);
        tx.optional(stmt).await?.as_ref().map(buried).transpose()
    }

    /// `false` when there is no such message.
    pub async fn drop_buried(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM buried_messages WHERE id = ").bind(id);
        let dropped = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(dropped)
    }

    /// How many there are; counted up to `at_most`.
    pub async fn count_buried(&self, at_most: i64) -> Result<i64, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT CAST(COUNT(*) AS bigint) AS n FROM (SELECT 1 AS one FROM buried_messages LIMIT ",
        )
        .bind(at_most)
        .push(") AS m");
        let row = tx.optional(stmt).await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }
}

fn buried(row: &Row) -> Result<Buried, Error> {
    Ok(Buried {
        id: row.id("id")?,
        business: row.text("business_id")?,
        source: row.text("source")?,
        message_id: row.text("message_id")?,
        received_at: row.time("received_at")?,
        reason: row.opt_json("reason")?.unwrap_or(Json::Null),
        body: row.text("body")?,
    })
}
