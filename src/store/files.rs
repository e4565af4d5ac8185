//! The bytes of attachments: each content once per business, whoever carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use uuid::Uuid;

use super::db::Tx;
use super::enqueue::ContentSource;
use super::entries::Staged;
use super::row::Row;
use super::stmt::{Dialect, Kind, Rows, sql};
use super::{Error, Store};
use crate::domain::id::NotificationId;
use crate::domain::message::{Attachment, Content};
use crate::domain::time::Timestamp;

/// Files written by one statement: each may have megabytes, and all of them are in memory once more
/// while it runs.
const FILES_PER_STATEMENT: usize = 8;

/// Writes the files of these notifications that the business does not have yet.
pub(super) async fn write(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    // In one order for every writer, so that two of them cannot wait for each other.
    let mut files: BTreeMap<(&str, &str), &Bytes> = BTreeMap::new();
    for Staged { business, new, .. } in staged {
        let ContentSource::New(Content::Email { attachments, .. }) = &new.content else {
            continue;
        };
        for (attachment, bytes) in attachments.iter().zip(&new.files) {
            files.insert((business, &attachment.sha256), bytes);
        }
    }
    let files: Vec<((&str, &str), &Bytes)> = files.into_iter().collect();
    for some in files.chunks(FILES_PER_STATEMENT) {
        let mut rows = Rows::new(&[
            ("business_id", Kind::Text),
            ("sha256", Kind::Text),
            ("size", Kind::Int),
            ("bytes", Kind::Bytes),
            ("created_at", Kind::Time),
        ]);
        for ((business, sha256), bytes) in some {
            rows.add([
                (*business).into(),
                (*sha256).into(),
                i64::try_from(bytes.len()).unwrap_or(i64::MAX).into(),
                Bytes::clone(bytes).into(),
                now.into(),
            ]);
        }
        let stmt = sql(
            "INSERT INTO attachments (business_id, sha256, size, bytes, created_at) \
             SELECT b.business_id, b.sha256, b.size, b.bytes, b.created_at FROM ",
        )
        .rows(rows)
        .push(" WHERE true ON CONFLICT (business_id, sha256) DO NOTHING");
        tx.execute(stmt).await?;
    }
    keep(tx, files.iter().map(|(name, _)| *name)).await
}

/// Holds the files until the commit, so that none of those that were there before is dropped as unused
/// meanwhile. `Raced` when one was.
async fn keep<'a>(
    tx: &mut Tx,
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), Error> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let mut rows = Rows::new(&[("business_id", Kind::Text), ("sha256", Kind::Text)]);
    for (business, sha256) in files {
        rows.add([business.into(), sha256.into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let expected = rows.len();
    let stmt = sql("SELECT 1 AS held FROM ").rows(rows).push(
        " JOIN attachments a ON a.business_id = b.business_id AND a.sha256 = b.sha256 \
         FOR KEY SHARE OF a",
    );
    if tx.all(stmt).await?.len() < expected {
        return Err(Error::Raced);
    }
    Ok(())
}

/// Contents looked at in one step.
const LOOKED_AT: i64 = 1_000;
/// No enqueue is under way for longer.
const UNDER_WAY: Duration = Duration::from_mins(1);

/// A file by its business and digest.
pub(super) type File = (String, String);

/// Which files some contents have.
pub(super) struct Used {
    pub(super) files: BTreeSet<File>,
    /// The last content that was looked at; none: there are no more.
    pub(super) last: Option<Uuid>,
}

/// Looks at the next contents, in the order of their ids.
pub(super) async fn used_after(tx: &mut Tx, after: Uuid) -> Result<Used, Error> {
    let stmt = sql(
        "SELECT recent.id, recent.attachments, l.business_id FROM (SELECT c.id, c.attachments \
         FROM message_content c WHERE c.id > ",
    )
    .bind(after)
    .push(" ORDER BY c.id LIMIT ")
    .bind(LOOKED_AT)
    .push(
        ") AS recent LEFT JOIN contact_log l ON recent.attachments IS NOT NULL AND l.id = recent.id \
         ORDER BY recent.id",
    );
    let mut used = Used {
        files: BTreeSet::new(),
        last: None,
    };
    for row in tx.all(stmt).await? {
        used.last = Some(row.id("id")?);
        used.add(&row)?;
    }
    Ok(used)
}

impl Used {
    fn add(&mut self, row: &Row) -> Result<(), Error> {
        // A content has the id of the first entry that it was sent as.
        let Some(business) = row.opt_text("business_id")? else {
            return Ok(());
        };
        let digests = digests(row)?.into_iter();
        self.files
            .extend(digests.map(|sha256| (business.clone(), sha256)));
        Ok(())
    }
}

/// Drops those of these files that no content has: none of those up to `seen` has them.
pub(super) async fn drop_unused(
    tx: &mut Tx,
    files: &BTreeSet<File>,
    seen: Uuid,
) -> Result<u64, Error> {
    if files.is_empty() {
        return Ok(0);
    }
    // Waits for who is about to use one of them.
    let lock = sql("SELECT a.sha256 FROM ")
        .rows(rows(files))
        .push(" JOIN attachments a ON a.business_id = b.business_id AND a.sha256 = b.sha256");
    let lock = lock.push(
        tx.dialect()
            .lock(" ORDER BY a.business_id, a.sha256 FOR UPDATE OF a"),
    );
    tx.all(lock).await?;
    // What was under way when those before were looked at.
    let since = NotificationId::new(seen).date().minus(UNDER_WAY);
    let stmt = sql(
        "SELECT m.attachments, l.business_id FROM message_content m \
         JOIN contact_log l ON l.id = m.id WHERE m.attachments IS NOT NULL AND m.id > ",
    )
    .bind(NotificationId::floor(since).uuid());
    let mut used = Used {
        files: BTreeSet::new(),
        last: None,
    };
    for row in tx.all(stmt).await? {
        used.add(&row)?;
    }
    let unused: BTreeSet<File> = files.difference(&used.files).cloned().collect();
    if unused.is_empty() {
        return Ok(0);
    }
    let stmt = sql("DELETE FROM attachments WHERE (business_id, sha256) IN \
         (SELECT b.business_id, b.sha256 FROM ")
    .rows(rows(&unused))
    .push(")");
    tx.execute(stmt).await
}

fn rows(files: &BTreeSet<File>) -> Rows {
    let mut rows = Rows::new(&[("business_id", Kind::Text), ("sha256", Kind::Text)]);
    for (business, sha256) in files {
        rows.add([business.into(), sha256.into()]);
    }
    rows
}

/// Some files, and the last that was looked at; none: there are no more.
pub(super) struct Old {
    pub(super) old: BTreeSet<File>,
    pub(super) last: Option<File>,
}

/// Which of the next files came in before that time.
pub(super) async fn older_than(
    tx: &mut Tx,
    until: Timestamp,
    after: &File,
    limit: i64,
) -> Result<Old, Error> {
    let stmt = sql(
        "SELECT a.business_id, a.sha256, a.created_at FROM attachments a \
         WHERE (a.business_id, a.sha256) > (",
    )
    .bind(&after.0)
    .push(", ")
    .bind(&after.1)
    .push(") ORDER BY a.business_id, a.sha256 LIMIT ")
    .bind(limit);
    let mut found = Old {
        old: BTreeSet::new(),
        last: None,
    };
    for row in tx.all(stmt).await? {
        let file = (row.text("business_id")?, row.text("sha256")?);
        if row.time("created_at")? < until {
            found.old.insert(file.clone());
        }
        found.last = Some(file);
    }
    Ok(found)
}

/// Of the files that a content carries.
pub(super) fn digests(row: &Row) -> Result<Vec<String>, Error> {
    let attachments = row.opt_json("attachments")?.unwrap_or_default();
    let attachments = attachments.as_array().into_iter().flatten();
    let digest = |file: &Json| Some(file.get("sha256")?.as_str()?.to_owned());
    Ok(attachments.filter_map(digest).collect())
}

impl Store {
    /// The bytes of these attachments of a notification, in the order given; `None` when one of
    /// them is not there.
    pub async fn files(
        &self,
        id: NotificationId,
        attachments: &[Attachment],
    ) -> Result<Option<Vec<Bytes>>, Error> {
        if attachments.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT a.sha256, a.bytes FROM contact_log l \
             JOIN attachments a ON a.business_id = l.business_id WHERE l.id = ")
        .bind(id.uuid())
        .push(" AND a.sha256 IN ")
        .bind_list(attachments.iter().map(|attachment| &attachment.sha256));
        let mut found = BTreeMap::new();
        for row in tx.all(stmt).await? {
            found.insert(row.text("sha256")?, Bytes::from(row.bytes("bytes")?));
        }
        Ok(attachments
            .iter()
            .map(|attachment| found.get(&attachment.sha256).cloned())
            .collect())
    }
}
