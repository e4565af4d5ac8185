//! Accounts of staff: made, found, listed, changed. What happens to one is recorded in the same commit.

use std::fmt;

use serde_json::json;
use uuid::Uuid;

use super::columns::hidden;
use super::db::Tx;
use super::row::Row;
use super::staff_events::{self, StaffEvent};
use super::stmt::{Stmt, sql, storable};
use super::{Error, Store, staff_sessions};
use crate::domain::column::Column;
use crate::domain::role::{Right, Role, Sight};
use crate::domain::time::Timestamp;

/// A staff member who can sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    pub id: Uuid,
    pub business: String,
    pub business_name: String,
    /// In the contact history.
    pub staff_id: String,
    pub name: String,
    pub email: String,
    pub role: Role,
    pub locations: Vec<String>,
    /// The business shows every client to everybody.
    pub sees_all: bool,
    /// Of the contact history, those that the member does not want to see.
    pub hidden_columns: Vec<Column>,
    pub created_at: Timestamp,
    pub deactivated_at: Option<Timestamp>,
}

impl Account {
    pub const fn may(&self, right: Right) -> bool {
        self.role.may(right)
    }

    /// Whose clients this member sees.
    pub fn sight(&self) -> Sight {
        if self.sees_all {
            Sight::All
        } else {
            self.role.sight(&self.staff_id, &self.locations)
        }
    }
}

// By hand: names and addresses are not for logs.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.id)
    }
}

/// An account to be made.
#[derive(Clone, Copy)]
pub struct NewAccount<'a> {
    pub business: &'a str,
    /// Of a member that the contact history knows already; a new one without it.
    pub staff_id: Option<&'a str>,
    pub name: &'a str,
    pub email: &'a str,
    pub role: Role,
    pub locations: &'a [String],
    /// Argon2id, in the PHC string format.
    pub password: &'a str,
}

impl fmt::Debug for NewAccount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewAccount({:?})", self.role)
    }
}

/// An account and what its password is checked against.
#[derive(Clone)]
pub struct Credentials {
    pub account: Account,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.account.id)
    }
}

/// Who changes an account.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Somebody who may run commands on the machine.
    Operator,
    /// The member, in this session, which goes on.
    Member(&'a str),
}

/// The longest list of accounts.
const ACCOUNTS_MAX: i64 = 1_000;

macro_rules! columns {
    () => {
        "SELECT a.id, a.business_id, b.name AS business_name, a.staff_id, s.name, a.email, a.role, \
         a.locations, a.hidden_columns, b.staff_see_all, a.created_at, a.deactivated_at"
    };
}
macro_rules! sources {
    () => {
        " JOIN businesses b ON b.id = a.business_id \
         JOIN staff s ON s.business_id = a.business_id AND s.staff_id = a.staff_id "
    };
}
pub(super) use columns;
pub(super) use sources;

impl Store {
    /// `None` when the address or the staff member has an account already.
    pub async fn add_staff(&self, new: NewAccount<'_>) -> Result<Option<Account>, Error> {
        let now = self.clock.now();
        let id = self.clock.new_uuid(now);
        let staff_id = new.staff_id.map_or_else(|| id.to_string(), str::to_owned);
        let staff_id = storable(staff_id);
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO staff (business_id, staff_id, name, created_at) VALUES (")
            .bind(new.business)
            .push(", ")
            .bind(&staff_id)
            .push(", ")
            .bind(new.name)
            .push(", ")
            .bind(now)
            .push(") ON CONFLICT (business_id, staff_id) DO UPDATE SET name = excluded.name");
        tx.execute(stmt).await?;
        let stmt = sql("INSERT INTO staff_accounts \
             (id, business_id, staff_id, email, role, locations, password, created_at) VALUES (")
        .bind(id)
        .push(", ")
        .bind(new.business)
        .push(", ")
        .bind(&staff_id)
        .push(", ")
        .bind(compared(new.email))
        .push(", ")
        .bind(new.role.as_str())
        .push(", ")
        .bind(json!(new.locations))
        .push(", ")
        .bind(new.password)
        .push(", ")
        .bind(now)
        .push(") ON CONFLICT DO NOTHING");
        if tx.execute(stmt).await? == 0 {
            return Ok(None);
        }
        let detail = json!({"role": new.role.as_str(), "locations": new.locations});
        self.note(&mut tx, id, StaffEvent::Added, By::Operator, detail)
            .await?;
        let account = read(&mut tx, id).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// The account that signs in with this address, in whatever letters, deactivated or not.
    pub async fn staff_credentials(&self, email: &str) -> Result<Option<Credentials>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(
            columns!(),
            ", a.password FROM staff_accounts a",
            sources!(),
            "WHERE a.email = "
        ))
        .bind(compared(email));
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        Ok(Some(Credentials {
            account: account(&row)?,
            password: row.text("password")?,
        }))
    }

    /// `None` when there is no such account, or it is deactivated.
    pub async fn staff_account(&self, id: Uuid) -> Result<Option<Account>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(
            columns!(),
            " FROM staff_accounts a",
            sources!(),
            "WHERE a.deactivated_at IS NULL AND a.id = "
        ))
        .bind(id);
        tx.optional(stmt).await?.as_ref().map(account).transpose()
    }

    /// Those of a business, by name.
    pub async fn staff_of(&self, business: &str) -> Result<Vec<Account>, Error> {
        let stmt = sql(concat!(
            columns!(),
            " FROM staff_accounts a",
            sources!(),
            "WHERE a.business_id = "
        ))
        .bind(business)
        .push(" ORDER BY s.name, a.id LIMIT ");
        self.list(stmt).await
    }

    /// Those of all businesses.
    pub async fn all_staff(&self) -> Result<Vec<Account>, Error> {
        let stmt = sql(concat!(
            columns!(),
            " FROM staff_accounts a",
            sources!(),
            "ORDER BY a.id LIMIT "
        ));
        self.list(stmt).await
    }

    async fn list(&self, stmt: Stmt) -> Result<Vec<Account>, Error> {
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt.bind(ACCOUNTS_MAX)).await?;
        rows.iter().map(account).collect()
    }

    /// The other sessions of the account end. `false` when there is no such account.
    pub async fn change_staff_password(
        &self,
        id: Uuid,
        password: &str,
        by: By<'_>,
    ) -> Result<bool, Error> {
        let stmt = sql("UPDATE staff_accounts SET password = ").bind(password);
        self.change(id, stmt, by, StaffEvent::PasswordChanged, json!({}))
            .await
    }

    /// Holds from the next request on.
    pub async fn change_staff_role(
        &self,
        id: Uuid,
        role: Role,
        locations: &[String],
    ) -> Result<bool, Error> {
        let detail = json!({"role": role.as_str(), "locations": locations});
        let stmt = sql("UPDATE staff_accounts SET role = ")
            .bind(role.as_str())
            .push(", locations = ")
            .bind(json!(locations));
        self.change(id, stmt, By::Operator, StaffEvent::RoleChanged, detail)
            .await
    }

    /// A deactivated account signs in no more; its sessions end.
    pub async fn deactivate_staff(&self, id: Uuid) -> Result<bool, Error> {
        let stmt = sql("UPDATE staff_accounts SET deactivated_at = coalesce(deactivated_at, ")
            .bind(self.clock.now())
            .push(")");
        self.change(id, stmt, By::Operator, StaffEvent::Deactivated, json!({}))
            .await
    }

    pub async fn reactivate_staff(&self, id: Uuid) -> Result<bool, Error> {
        let stmt = sql("UPDATE staff_accounts SET deactivated_at = NULL");
        self.change(id, stmt, By::Operator, StaffEvent::Reactivated, json!({}))
            .await
    }

    /// Every session of the account ends, the one from which it is asked for too.
    pub async fn sign_staff_out(&self, id: Uuid, by: By<'_>) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        self.note(&mut tx, id, StaffEvent::SignedOutEverywhere, by, json!({}))
            .await?;
        staff_sessions::end_all(&mut tx, id, None).await?;
        tx.commit().await
    }

    /// Whether every role of the business sees every client. `false` when there is no such business.
    pub async fn let_staff_see_all(&self, business: &str, all: bool) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE businesses SET staff_see_all = ")
            .bind(all)
            .push(" WHERE id = ")
            .bind(business);
        let found = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(found)
    }

    async fn change(
        &self,
        id: Uuid,
        change: Stmt,
        by: By<'_>,
        event: StaffEvent,
        detail: serde_json::Value,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        if tx.execute(change.push(" WHERE id = ").bind(id)).await? == 0 {
            return Ok(false);
        }
        self.note(&mut tx, id, event, by, detail).await?;
        let kept = match by {
            By::Operator => None,
            By::Member(session) => Some(session),
        };
        if event != StaffEvent::RoleChanged {
            staff_sessions::end_all(&mut tx, id, kept).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn note(
        &self,
        tx: &mut Tx,
        id: Uuid,
        event: StaffEvent,
        by: By<'_>,
        detail: serde_json::Value,
    ) -> Result<(), Error> {
        let by_account = matches!(by, By::Member(_)).then_some(id);
        staff_events::write(tx, &self.clock, id, event, by_account, detail).await
    }
}

async fn read(tx: &mut Tx, id: Uuid) -> Result<Option<Account>, Error> {
    let stmt = sql(concat!(
        columns!(),
        " FROM staff_accounts a",
        sources!(),
        "WHERE a.id = "
    ))
    .bind(id);
    tx.optional(stmt).await?.as_ref().map(account).transpose()
}

/// The form in which addresses are unique. English letters alone: others have small letters that look
/// like them (U+212A becomes k), and an address of somebody else must not become this one.
fn compared(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

pub(super) fn account(row: &Row) -> Result<Account, Error> {
    let locations = row.opt_json("locations")?.unwrap_or_default();
    Ok(Account {
        id: row.id("id")?,
        business: row.text("business_id")?,
        business_name: row.text("business_name")?,
        staff_id: row.text("staff_id")?,
        name: row.text("name")?,
        email: row.text("email")?,
        role: row.word("role", Role::parse)?,
        locations: serde_json::from_value(locations).map_err(|e| Error::corrupt("locations", e))?,
        sees_all: row.bool("staff_see_all")?,
        hidden_columns: hidden(row.opt_json("hidden_columns")?.as_ref()),
        created_at: row.time("created_at")?,
        deactivated_at: row.opt_time("deactivated_at")?,
    })
}
