//! Who staff are to the provider of single sign-on.

use serde_json::json;
use uuid::Uuid;

use super::staff::{self, Account};
use super::staff_events::{self, StaffEvent};
use super::stmt::sql;
use super::{Error, Store};

impl Store {
    /// The account that is bound to this person, deactivated or not.
    pub async fn staff_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Account>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(
            staff::columns!(),
            " FROM staff_accounts a",
            staff::sources!(),
            "WHERE a.oidc_subject = "
        ))
        .bind(subject)
        .push(" AND a.oidc_issuer = ")
        .bind(issuer);
        tx.optional(stmt)
            .await?
            .as_ref()
            .map(staff::account)
            .transpose()
    }

    /// Binds an account to a person. `false` when it is another person's at this provider already; what
    /// another provider said of it counts no more.
    pub async fn bind_staff_identity(
        &self,
        account: Uuid,
        issuer: &str,
        subject: &str,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE staff_accounts SET oidc_issuer = ")
            .bind(issuer)
            .push(", oidc_subject = ")
            .bind(subject)
            .push(" WHERE (oidc_subject IS NULL OR oidc_issuer <> ")
            .bind(issuer)
            .push(") AND id = ")
            .bind(account);
        if tx.execute(stmt).await? == 0 {
            return Ok(false);
        }
        let (event, detail) = (StaffEvent::IdentityBound, json!({"issuer": issuer}));
        staff_events::write(&mut tx, &self.clock, account, event, Some(account), detail).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The account is bound to nobody, until somebody with its address signs in. `false` when it was not
    /// bound.
    pub async fn forget_staff_identity(&self, account: Uuid) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "UPDATE staff_accounts SET oidc_issuer = NULL, oidc_subject = NULL \
             WHERE oidc_subject IS NOT NULL AND id = ",
        )
        .bind(account);
        if tx.execute(stmt).await? == 0 {
            return Ok(false);
        }
        let event = StaffEvent::IdentityForgotten;
        staff_events::write(&mut tx, &self.clock, account, event, None, json!({})).await?;
        tx.commit().await?;
        Ok(true)
    }
}
