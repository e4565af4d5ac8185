//! Files that staff asked for: made by whichever process is free, kept in pieces, gone after a while.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::time::Timestamp;

/// A file as it stands.
#[derive(Clone, Debug)]
pub struct Export {
    pub id: Uuid,
    pub business: String,
    pub account: Uuid,
    /// `csv`, `xlsx` or `pdf`.
    pub format: String,
    /// Which entries, as whoever asked put it.
    pub filter: Json,
    /// Entries written so far.
    pub written: i64,
    /// How often somebody began to write it.
    pub attempts: i64,
    /// How long the file is.
    pub bytes: Option<i64>,
    /// Why there will be none.
    pub trouble: Option<String>,
    pub created_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// When whoever writes it was last at work; with it only they may go on.
    pub seen_at: Timestamp,
}

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewExport<'a> {
    pub business: &'a str,
    pub account: Uuid,
    pub format: &'a str,
    pub filter: &'a Json,
}

/// Files of one account that may be in the making at once: more would wait for each other anyway.
pub const OPEN_MAX: i64 = 5;
/// Files of one account that are shown, and kept: a new one takes the place of the oldest.
const KEPT_MAX: i64 = 20;
/// How long a file is kept: somebody may fetch it the next day.
const KEPT: Duration = Duration::from_hours(24);
/// A writer that is not heard of for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Files dropped at once: each may have hundreds of pieces.
const DROPPED_MAX: i64 = 5;

const COLUMNS: &str = "SELECT e.id, e.business_id, e.account_id, e.format, e.filter, e.written, \
    e.attempts, e.bytes, e.trouble, e.created_at, e.seen_at, e.ready_at, e.expires_at FROM exports e WHERE ";

impl Store {
    /// `None` when the account has [`OPEN_MAX`] in the making.
    pub async fn add_export(&self, new: NewExport<'_>) -> Result<Option<Uuid>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt =
            sql("SELECT count(*) AS open FROM exports WHERE ready_at IS NULL AND account_id = ")
                .bind(new.account);
        let open = tx.optional(stmt).await?.map(|row| row.int("open"));
        if open.transpose()?.unwrap_or(0) >= OPEN_MAX {
            return Ok(None);
        }
        let oldest = sql("SELECT id FROM exports WHERE ready_at IS NOT NULL AND account_id = ")
            .bind(new.account)
            .push(" ORDER BY id DESC LIMIT ")
            .bind(DROPPED_MAX)
            .push(" OFFSET ")
            .bind(KEPT_MAX - 1);
        drop_these(&mut tx, oldest).await?;
        let id = self.clock.new_uuid(now);
        let stmt = sql(
            "INSERT INTO exports (id, business_id, account_id, format, filter, written, attempts, \
             created_at, seen_at, expires_at) VALUES (",
        )
        .bind(id)
        .push(", ")
        .bind(new.business)
        .push(", ")
        .bind(new.account)
        .push(", ")
        .bind(new.format)
        .push(", ")
        .bind(new.filter.clone())
        .push(", 0, 0, ")
        .bind(now)
        .push(", ")
        // Nobody is at it.
        .bind(now.minus(SILENCE + SILENCE))
        .push(", ")
        .bind(now.plus(KEPT))
        .push(")");
        tx.execute(stmt).await?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Those of an account, the latest first.
    pub async fn exports(&self, business: &str, account: Uuid) -> Result<Vec<Export>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = owned(business, account)
            .push(" ORDER BY e.id DESC LIMIT ")
            .bind(KEPT_MAX);
        tx.all(stmt).await?.iter().map(export).collect()
    }

    pub async fn export(
        &self,
        business: &str,
        account: Uuid,
        id: Uuid,
    ) -> Result<Option<Export>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = owned(business, account).push(" AND e.id = ").bind(id);
        tx.optional(stmt).await?.as_ref().map(export).transpose()
    }

    /// The oldest that nobody is at; what was written of it is gone.
    pub async fn claim_export(&self) -> Result<Option<Export>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql(COLUMNS)
            .push("e.ready_at IS NULL AND e.seen_at < ")
            .bind(now.minus(SILENCE))
            .push(" ORDER BY e.id LIMIT 1")
            .push(tx.dialect().lock(" FOR UPDATE OF e SKIP LOCKED"));
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        let mut found = export(&row)?;
        let stmt = sql("DELETE FROM export_chunks WHERE export_id = ").bind(found.id);
        tx.execute(stmt).await?;
        let stmt = sql("UPDATE exports SET written = 0, attempts = attempts + 1, seen_at = ")
            .bind(now)
            .push(" WHERE id = ")
            .bind(found.id);
        tx.execute(stmt).await?;
        tx.commit().await?;
        found.seen_at = now;
        found.written = 0;
        found.attempts += 1;
        Ok(Some(found))
    }

    /// Notes how far it has come, and keeps a piece of the file where there is one. `false` when
    /// another has taken it over.
    pub async fn go_on_with_export(
        &self,
        export: &mut Export,
        piece: Option<(i64, Bytes)>,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        // Never the same twice: it is what names the writer.
        let now = self
            .clock
            .now()
            .max(export.seen_at.plus(Duration::from_millis(1)));
        let stmt = sql("UPDATE exports SET written = ")
            .bind(export.written)
            .push(", seen_at = ")
            .bind(now);
        if tx.execute(of_writer(stmt, export)).await? == 0 {
            return Ok(false);
        }
        if let Some((number, bytes)) = piece {
            let stmt = sql("INSERT INTO export_chunks (export_id, number, bytes) VALUES (")
                .bind(export.id)
                .push(", ")
                .bind(number)
                .push(", ")
                .bind(bytes)
                .push(")");
            tx.execute(stmt).await?;
        }
        tx.commit().await?;
        export.seen_at = now;
        Ok(true)
    }

    /// It is whole: or there will be none, and why.
    pub async fn finish_export(
        &self,
        export: &Export,
        result: Result<i64, &str>,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql("UPDATE exports SET bytes = ")
            .bind(result.ok())
            .push(", trouble = ")
            .bind(result.err())
            .push(", ready_at = ")
            .bind(now)
            .push(", expires_at = ")
            .bind(now.plus(KEPT))
            .push(", written = ")
            .bind(export.written);
        let ours = tx.execute(of_writer(stmt, export)).await? > 0;
        tx.commit().await?;
        Ok(ours)
    }

    /// A piece of a file, by its number from 0.
    pub async fn export_piece(&self, id: Uuid, number: i64) -> Result<Option<Vec<u8>>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT bytes FROM export_chunks WHERE export_id = ")
            .bind(id)
            .push(" AND number = ")
            .bind(number);
        let row = tx.optional(stmt).await?;
        row.map(|row| row.bytes("bytes")).transpose()
    }

    /// Drops files whose time is over; `true` when there may be more.
    pub async fn drop_old_exports(&self) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let old = sql("SELECT id FROM exports WHERE expires_at < ")
            .bind(self.clock.now())
            .push(" ORDER BY expires_at LIMIT ")
            .bind(DROPPED_MAX);
        let dropped = drop_these(&mut tx, old).await?;
        tx.commit().await?;
        Ok(dropped)
    }
}

/// `false` when there are none.
async fn drop_these(tx: &mut Tx, which: Stmt) -> Result<bool, Error> {
    let mut ids = Vec::new();
    for row in tx.all(which).await? {
        ids.push(row.id("id")?);
    }
    if ids.is_empty() {
        return Ok(false);
    }
    for table in [
        "DELETE FROM export_chunks WHERE export_id IN ",
        "DELETE FROM exports WHERE id IN ",
    ] {
        tx.execute(sql(table).bind_list(ids.iter().copied()))
            .await?;
    }
    Ok(true)
}

fn owned(business: &str, account: Uuid) -> Stmt {
    sql(COLUMNS)
        .push("e.business_id = ")
        .bind(business)
        .push(" AND e.account_id = ")
        .bind(account)
}

fn of_writer(stmt: Stmt, export: &Export) -> Stmt {
    stmt.push(" WHERE ready_at IS NULL AND id = ")
        .bind(export.id)
        .push(" AND seen_at = ")
        .bind(export.seen_at)
}

fn export(row: &Row) -> Result<Export, Error> {
    Ok(Export {
        id: row.id("id")?,
        business: row.text("business_id")?,
        account: row.id("account_id")?,
        format: row.text("format")?,
        filter: row.opt_json("filter")?.unwrap_or_default(),
        written: row.int("written")?,
        attempts: row.int("attempts")?,
        bytes: row.opt_int("bytes")?,
        trouble: row.opt_text("trouble")?,
        created_at: row.time("created_at")?,
        ready_at: row.opt_time("ready_at")?,
        expires_at: row.time("expires_at")?,
        seen_at: row.time("seen_at")?,
    })
}
