//! Sessions of staff in browsers: begun, found, kept alive, ended. They are known by digest alone.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::db::Tx;
use super::staff::{self, Account};
use super::staff_events::{self, StaffEvent};
use super::stmt::sql;
use super::tasks::DUE_COUNTED_MAX;
use super::{Error, Store};
use crate::domain::by_hand::DUE_SOON;
use crate::domain::time::Timestamp;

/// A session that nobody uses ends: NIST SP 800-63B-4, 2.2.3, an hour.
pub const IDLE_MAX: Duration = Duration::from_hours(1);
/// A session ends, however much it is used: a working day. The same source allows 24 hours.
pub const AGE_MAX: Duration = Duration::from_hours(12);
/// How often it is written that a session is used, so that a page is read without a write.
const SEEN_EVERY: Duration = Duration::from_mins(5);
/// Sessions of one account; the oldest ends when there is one more.
pub const SESSIONS_MAX: i64 = 20;
/// Rows of one table deleted in one transaction.
const PRUNED_MAX: i64 = 1_000;

/// A session in force.
#[derive(Clone, Debug)]
pub struct Session {
    pub account: Account,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    /// Open tasks of the member that are overdue or due within [`DUE_SOON`]; at most
    /// [`DUE_COUNTED_MAX`].
    pub tasks_due: i64,
    /// Why the bulk email of the business is held, where it is.
    pub held: Option<String>,
}

impl Store {
    /// Begins a session of an account that is active, in place of the one that the browser had.
    /// `false`: the account is not there or not active any more.
    pub async fn begin_staff_session(
        &self,
        account: Uuid,
        digest: &str,
        replaced: Option<&str>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        if let Some(replaced) = replaced {
            end(&mut tx, replaced).await?;
        }
        let stmt =
            sql("INSERT INTO staff_sessions (digest, account_id, created_at, seen_at, expires_at) SELECT ")
                .bind(digest)
                .push(", id, ")
                .bind(now)
                .push(", ")
                .bind(now)
                .push(", ")
                .bind(now.plus(IDLE_MAX))
                .push(" FROM staff_accounts WHERE deactivated_at IS NULL AND id = ")
                .bind(account);
        if tx.execute(stmt).await? == 0 {
            return Ok(false);
        }
        let stmt = sql(
            "DELETE FROM staff_sessions WHERE digest IN (SELECT digest FROM staff_sessions \
             WHERE account_id = ",
        )
        .bind(account)
        .push(" ORDER BY created_at DESC, digest LIMIT ")
        .bind(PRUNED_MAX)
        .push(" OFFSET ")
        .bind(SESSIONS_MAX)
        .push(")");
        tx.execute(stmt).await?;
        let event = StaffEvent::SignedIn;
        staff_events::write(
            &mut tx,
            &self.clock,
            account,
            event,
            Some(account),
            json!({}),
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The session with this digest, if it is in force.
    pub async fn staff_session(&self, digest: &str) -> Result<Option<Session>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        // Counted here, every page shows it: one question to the database, not two.
        let stmt = sql(concat!(
            staff::columns!(),
            ", t.created_at AS begun_at, t.seen_at, (SELECT count(*) FROM (SELECT 1 AS one \
             FROM follow_up_tasks k WHERE k.business_id = a.business_id \
             AND k.assignee = a.staff_id AND k.done_at IS NULL AND k.due_at < "
        ))
        .bind(now.plus(DUE_SOON))
        .push(" LIMIT ")
        .bind(DUE_COUNTED_MAX)
        .push(concat!(
            ") AS due) AS tasks_due, (SELECT k.why FROM brakes k WHERE k.business_id = a.business_id \
             AND k.state = 'held' ORDER BY k.kind LIMIT 1) AS held FROM staff_sessions t \
             JOIN staff_accounts a ON a.id = t.account_id",
            staff::sources!(),
            "WHERE a.deactivated_at IS NULL AND t.digest = "
        ))
        .bind(digest)
        .push(" AND t.expires_at > ")
        .bind(now)
        .push(" AND t.created_at > ")
        .bind(now.minus(AGE_MAX));
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        Ok(Some(Session {
            account: staff::account(&row)?,
            created_at: row.time("begun_at")?,
            seen_at: row.time("seen_at")?,
            tasks_due: row.int("tasks_due")?,
            held: row.opt_text("held")?,
        }))
    }

    /// Notes that the session is used, unless that was noted a moment ago.
    pub async fn keep_staff_session(&self, digest: &str, session: &Session) -> Result<(), Error> {
        let now = self.clock.now();
        if now.since(session.seen_at) < SEEN_EVERY {
            return Ok(());
        }
        let expires_at = now.plus(IDLE_MAX).min(session.created_at.plus(AGE_MAX));
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE staff_sessions SET seen_at = ")
            .bind(now)
            .push(", expires_at = ")
            .bind(expires_at)
            .push(" WHERE digest = ")
            .bind(digest);
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// The browser with this session is signed out.
    pub async fn end_staff_session(&self, digest: &str, account: Uuid) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        end(&mut tx, digest).await?;
        let event = StaffEvent::SignedOut;
        staff_events::write(
            &mut tx,
            &self.clock,
            account,
            event,
            Some(account),
            json!({}),
        )
        .await?;
        tx.commit().await
    }

    /// Deletes some of the sessions that are over and of the attempts that count no more. Returns
    /// whether there may be more.
    pub async fn prune_staff_sessions(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let over = sql(
            "DELETE FROM staff_sessions WHERE digest IN (SELECT digest FROM staff_sessions \
             WHERE expires_at <= ",
        )
        .bind(now)
        .push(" ORDER BY expires_at LIMIT ");
        let mut more = false;
        for stmt in [over, super::sign_ins::old(now)] {
            let mut tx = self.db.write().await?;
            let stmt = stmt
                .bind(PRUNED_MAX)
                .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
                .push(")");
            more |= i64::try_from(tx.execute(stmt).await?).unwrap_or(i64::MAX) >= PRUNED_MAX;
            tx.commit().await?;
        }
        Ok(more)
    }
}

async fn end(tx: &mut Tx, digest: &str) -> Result<(), Error> {
    let stmt = sql("DELETE FROM staff_sessions WHERE digest = ").bind(digest);
    tx.execute(stmt).await?;
    Ok(())
}

/// Ends the sessions of an account, but for the one that is kept.
pub(super) async fn end_all(tx: &mut Tx, account: Uuid, kept: Option<&str>) -> Result<(), Error> {
    let mut stmt = sql("DELETE FROM staff_sessions WHERE account_id = ").bind(account);
    if let Some(kept) = kept {
        stmt = stmt.push(" AND digest <> ").bind(kept);
    }
    tx.execute(stmt).await?;
    Ok(())
}
