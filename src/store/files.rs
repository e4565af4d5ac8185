//! The bytes of attachments: each content once per business, whoever carries it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::db::Tx;
use super::enqueue::ContentSource;
use super::entries::Staged;
use super::stmt::{Kind, Rows, sql};
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
    Ok(())
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
