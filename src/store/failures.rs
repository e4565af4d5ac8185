//! What failed and bounced lately, grouped by its cause.

use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::event::Failure;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// The latest entries of a business that are looked at: a tenth of a second's work. A report of more is
/// made from counts, not from entries.
pub const LOOKED_AT: usize = 20_000;
/// Causes that are told, the most frequent first.
const GROUPS_MAX: i64 = 100;

/// Messages of a business that ended for the same cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub method: Method,
    /// None: no provider was asked.
    pub provider: Option<String>,
    /// It came back after a provider had taken it over.
    pub bounced: bool,
    pub failure: Failure,
    pub count: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The latest of them.
    pub latest: NotificationId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    pub groups: Vec<Group>,
    /// How many entries were looked at, failed or not.
    pub looked_at: usize,
    /// There are older ones within the time asked for, at which nobody looked.
    pub more: bool,
}

impl Store {
    /// The causes of what failed among the business's entries from one time to another.
    pub async fn failures(
        &self,
        business: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Failures, Error> {
        let mut tx = self.db.read().await?;
        let entries = |stmt, limit| entries(stmt, business, (from, to), limit);
        let count = sql("SELECT CAST(COUNT(*) AS bigint) AS n FROM (");
        let stmt = entries(count, LOOKED_AT + 1).push(") AS entries");
        let found = tx.optional(stmt).await?.map(|row| row.int("n"));
        let found = usize::try_from(found.transpose()?.unwrap_or_default()).unwrap_or_default();
        let causes = sql(
            "SELECT method, provider, bounced, category, code, CAST(COUNT(*) AS bigint) AS n, \
             MIN(at) AS first_at, MAX(at) AS last_at, MAX(CAST(id AS text)) AS latest FROM \
             (SELECT entries.id, entries.method, coalesce(f.provider, (SELECT a.provider \
             FROM delivery_attempts a WHERE a.notification_id = entries.id \
             ORDER BY a.attempt DESC LIMIT 1)) AS provider, f.bounced_at IS NOT NULL AS bounced, \
             coalesce(f.bounced_at, f.failed_at) AS at, \
             coalesce(f.bounced_category, f.failed_category) AS category, \
             CASE WHEN f.bounced_at IS NULL THEN f.failed_code ELSE f.bounced_subtype END AS code \
             FROM (",
        );
        let stmt = entries(causes, LOOKED_AT)
            .push(
                ") AS entries JOIN delivery_facts f ON f.notification_id = entries.id \
             WHERE f.bounced_at IS NOT NULL OR (f.failed_at IS NOT NULL AND coalesce( \
             f.delivered_at, f.opened_first_at, f.clicked_first_at, f.complained_at) IS NULL)) \
             AS failed GROUP BY method, provider, bounced, category, code \
             ORDER BY n DESC, last_at DESC LIMIT ",
            )
            .bind(GROUPS_MAX);
        let rows = tx.all(stmt).await?;
        Ok(Failures {
            groups: rows.iter().map(group).collect::<Result<_, _>>()?,
            looked_at: found.min(LOOKED_AT),
            more: found > LOOKED_AT,
        })
    }
}

fn entries(stmt: Stmt, business: &str, (from, to): (Timestamp, Timestamp), limit: usize) -> Stmt {
    stmt.push("SELECT id, method FROM contact_log WHERE business_id = ")
        .bind(business)
        .push(" AND id >= ")
        .bind(NotificationId::floor(from).uuid())
        .push(" AND id < ")
        .bind(NotificationId::floor(to).uuid())
        .push(" ORDER BY id DESC LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

fn group(row: &Row) -> Result<Group, Error> {
    let latest = row.text("latest")?;
    Ok(Group {
        method: row.word("method", Method::parse)?,
        provider: row.opt_text("provider")?,
        bounced: row.bool("bounced")?,
        failure: Failure {
            category: row.word("category", Category::parse)?,
            code: row.opt_text("code")?,
            provider_text: None,
        },
        count: row.int("n")?,
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        latest: NotificationId::parse(&latest).ok_or_else(|| Error::corrupt("id", "is no UUID"))?,
    })
}
