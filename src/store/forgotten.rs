//! Whom messages went to whose client was erased: a digest of the address, for as long as a complaint or an
//! opt-out about them may come. Who asked to be forgotten and then to be left alone is left alone.

use std::time::Duration;

use super::Error;
use super::db::Tx;
use super::stmt::{Kind, Rows, Stmt, sql};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// Since the message went, or was to go. Nearly all complaints come within days, and a link by which somebody opts
/// out must work for 30 days (United States, CAN-SPAM Act) or 60 (Canada, CASL).
const KEPT: Duration = Duration::from_hours(24 * 90);

/// A message of a client who is forgotten, and the digest of the address.
pub(super) struct Forgotten {
    pub(super) id: NotificationId,
    pub(super) method: Method,
    pub(super) digest: String,
    /// When it went, or was to go at the earliest.
    pub(super) went_at: Timestamp,
}

pub(super) async fn keep(
    tx: &mut Tx,
    forgotten: &[Forgotten],
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("notification_id", Kind::Id),
        ("method", Kind::Text),
        ("digest", Kind::Text),
        ("expires_at", Kind::Time),
    ]);
    for recipient in forgotten {
        let expires_at = recipient.went_at.plus(KEPT);
        if expires_at > now {
            rows.add([
                recipient.id.uuid().into(),
                recipient.method.as_str().into(),
                (&recipient.digest).into(),
                expires_at.into(),
            ]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO forgotten_recipients (notification_id, method, digest, expires_at) \
         SELECT b.notification_id, b.method, b.digest, b.expires_at FROM ",
    )
    .rows(rows)
    .push(" WHERE true ON CONFLICT (notification_id) DO NOTHING");
    tx.execute(stmt).await?;
    Ok(())
}

/// Those whose time is over, up to a limit that follows.
pub(super) fn old(now: Timestamp) -> Stmt {
    sql(
        "DELETE FROM forgotten_recipients WHERE notification_id IN (SELECT notification_id \
         FROM forgotten_recipients WHERE expires_at <= ",
    )
    .bind(now)
    .push(" ORDER BY expires_at LIMIT ")
}
