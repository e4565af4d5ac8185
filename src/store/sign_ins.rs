//! Attempts to sign in, counted by account and by network address. An attempt counts as failed from
//! its beginning until it succeeds, so that many at once gain nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::throttle::{FORGOTTEN_AFTER, Limit};
use crate::domain::time::Timestamp;

/// What attempts are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// SHA-256 in hexadecimal: addresses are not kept.
    pub digest: String,
    pub limit: Limit,
}

impl Store {
    /// Notes an attempt; `Some`: it is not looked at, and none will be for so long.
    pub async fn begin_sign_in(&self, subjects: &[Subject]) -> Result<Option<Duration>, Error> {
        super::again(|| self.begin_sign_in_once(subjects)).await
    }

    async fn begin_sign_in_once(&self, subjects: &[Subject]) -> Result<Option<Duration>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let digests = subjects.iter().map(|subject| subject.digest.as_str());
        let stmt =
            sql("SELECT subject, failures, closed_at FROM sign_in_attempts WHERE last_at > ")
                .bind(now.minus(FORGOTTEN_AFTER))
                .push(" AND subject IN ")
                .bind_list(digests)
                .push(tx.dialect().lock(" ORDER BY subject FOR UPDATE"));
        let (mut known, mut wait) = (BTreeMap::new(), Duration::ZERO);
        for row in tx.all(stmt).await? {
            wait = wait.max(row.time("closed_at")?.since(now));
            known.insert(row.text("subject")?, row.int("failures")?);
        }
        if !wait.is_zero() {
            return Ok(Some(wait));
        }
        for subject in subjects {
            let before = known.get(&subject.digest).copied();
            let failures = before.unwrap_or(0).saturating_add(1);
            let closed_at = now.plus(subject.limit.wait(failures));
            let stmt = sql(
                "INSERT INTO sign_in_attempts (subject, failures, last_at, closed_at) VALUES (",
            )
            .bind(&subject.digest)
            .push(", ")
            .bind(failures)
            .push(", ")
            .bind(now)
            .push(", ")
            .bind(closed_at)
            .push(
                ") ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, \
                       last_at = excluded.last_at, closed_at = excluded.closed_at \
                       WHERE sign_in_attempts.failures = ",
            )
            .bind(before)
            .push(" OR sign_in_attempts.last_at <= ")
            .bind(now.minus(FORGOTTEN_AFTER));
            if tx.execute(stmt).await? == 0 {
                // Its first attempt, and another one of that very moment: count again.
                return Err(Error::Raced);
            }
        }
        tx.commit().await?;
        Ok(None)
    }

    /// The attempt was a good one: the account begins anew, the network address loses what the
    /// attempt had added.
    pub async fn sign_in_succeeded(
        &self,
        account: &Subject,
        address: &Subject,
    ) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM sign_in_attempts WHERE subject = ").bind(&account.digest);
        tx.execute(stmt).await?;
        let stmt = sql(
            "UPDATE sign_in_attempts SET failures = failures - 1, closed_at = last_at \
             WHERE subject = ",
        )
        .bind(&address.digest);
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

/// To be finished with a limit.
pub(super) fn old(now: Timestamp) -> Stmt {
    sql(
        "DELETE FROM sign_in_attempts WHERE subject IN (SELECT subject FROM sign_in_attempts \
         WHERE last_at <= ",
    )
    .bind(now.minus(FORGOTTEN_AFTER))
    .push(" ORDER BY last_at LIMIT ")
}
