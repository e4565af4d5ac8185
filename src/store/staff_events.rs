//! What happened to accounts of staff: written with the change itself, never changed, never deleted.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::sql;
use super::{Error, Store};
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// The words of `staff_events.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaffEvent {
    Added,
    SignedIn,
    SignInFailed,
    SignedOut,
    SignedOutEverywhere,
    PasswordChanged,
    RoleChanged,
    Deactivated,
    Reactivated,
    IdentityBound,
    IdentityForgotten,
}

impl StaffEvent {
    const ALL: [Self; 11] = [
        Self::Added,
        Self::SignedIn,
        Self::SignInFailed,
        Self::SignedOut,
        Self::SignedOutEverywhere,
        Self::PasswordChanged,
        Self::RoleChanged,
        Self::Deactivated,
        Self::Reactivated,
        Self::IdentityBound,
        Self::IdentityForgotten,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::SignedIn => "signed_in",
            Self::SignInFailed => "sign_in_failed",
            Self::SignedOut => "signed_out",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::PasswordChanged => "password_changed",
            Self::RoleChanged => "role_changed",
            Self::Deactivated => "deactivated",
            Self::Reactivated => "reactivated",
            Self::IdentityBound => "identity_bound",
            Self::IdentityForgotten => "identity_forgotten",
        }
    }

    /// As people read it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Added => "Account made",
            Self::SignedIn => "Signed in",
            Self::SignInFailed => "Sign-in failed: wrong password, or the account is deactivated",
            Self::SignedOut => "Signed out",
            Self::SignedOutEverywhere => "Signed out everywhere",
            Self::PasswordChanged => "Password changed",
            Self::RoleChanged => "Role changed",
            Self::Deactivated => "Account deactivated",
            Self::Reactivated => "Account active again",
            Self::IdentityBound => "Single sign-on: bound to the person who signed in",
            Self::IdentityForgotten => "Single sign-on: bound to nobody any more",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// One line of the record.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub at: Timestamp,
    pub account: Uuid,
    pub name: String,
    pub event: StaffEvent,
    /// Done by a command on the machine.
    pub by_operator: bool,
    pub detail: Json,
}

/// Lines of the record that are shown at once.
const SHOWN_MAX: i64 = 100;

impl Store {
    /// The latest of a business, the newest first.
    pub async fn staff_events(&self, business: &str) -> Result<Vec<Recorded>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT e.happened_at, e.account_id, e.kind, e.by_account, e.detail, s.name \
             FROM staff_events e JOIN staff_accounts a ON a.id = e.account_id \
             JOIN staff s ON s.business_id = a.business_id AND s.staff_id = a.staff_id \
             WHERE e.business_id = ",
        )
        .bind(business)
        .push(" ORDER BY e.id DESC LIMIT ")
        .bind(SHOWN_MAX);
        tx.all(stmt).await?.iter().map(recorded).collect()
    }

    /// A wrong password, or the right one of a deactivated account.
    pub async fn sign_in_failed(&self, account: Uuid) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let failed = StaffEvent::SignInFailed;
        write(&mut tx, &self.clock, account, failed, None, json!({})).await?;
        tx.commit().await
    }
}

pub(super) async fn write(
    tx: &mut Tx,
    clock: &Clock,
    account: Uuid,
    event: StaffEvent,
    by_account: Option<Uuid>,
    detail: Json,
) -> Result<(), Error> {
    let now = clock.now();
    let stmt = sql("INSERT INTO staff_events \
         (id, business_id, account_id, happened_at, kind, by_account, detail) SELECT ")
    .bind(clock.new_uuid(now))
    .push(", business_id, id, ")
    .bind(now)
    .push(", ")
    .bind(event.as_str())
    .push(", ")
    .bind(by_account)
    .push(", ")
    .bind(detail)
    .push(" FROM staff_accounts WHERE id = ")
    .bind(account);
    tx.execute(stmt).await?;
    Ok(())
}

fn recorded(row: &Row) -> Result<Recorded, Error> {
    let event = row.word("kind", StaffEvent::parse)?;
    Ok(Recorded {
        at: row.time("happened_at")?,
        account: row.id("account_id")?,
        name: row.text("name")?,
        event,
        by_operator: event != StaffEvent::SignInFailed && row.opt_id("by_account")?.is_none(),
        detail: row.opt_json("detail")?.unwrap_or_default(),
    })
}
