//! The messages of causes: those of one cause page by page, and those that a filter of the history
//! chooses among.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::db::Tx;
use super::filter::Scope;
use super::history::{Filter, Order};
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store, failures};
use crate::domain::cause::Cause;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// Causes that one filter names: what somebody chooses among the groups of a page.
pub const CAUSES_MAX: usize = 50;
/// Messages of all these causes that are looked at at a time, in search of those that match.
const LOOKED_AT: usize = 4_000;
/// At least so many of each.
const LOOKED_AT_MIN: usize = 200;

/// A cause by itself, with all that is known of it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: Uuid,
    pub cause: Cause,
    pub since: Timestamp,
    /// Messages that failed of it, ever.
    pub count: i64,
    /// Of them, those that arrived nevertheless or were sent again.
    pub resolved: i64,
    pub last_at: Option<Timestamp>,
    pub dismissed: Option<(Timestamp, String)>,
}

/// A message of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseEntry {
    pub id: NotificationId,
    /// When it failed.
    pub at: Timestamp,
    pub arrived_at: Option<Timestamp>,
    pub sent_again_at: Option<Timestamp>,
}

impl Store {
    pub async fn cause(&self, business: &str, id: Uuid) -> Result<Option<Known>, Error> {
        let stmt = sql(
            "SELECT c.id, c.business_id, c.method, c.provider, c.bounced, c.category, c.code, \
             c.text, c.first_at AS since, c.dismissed_at, c.dismissed_by, \
             (SELECT CAST(SUM(k.failed) AS bigint) FROM cause_counts k WHERE k.cause_id = c.id) \
             AS failed, (SELECT CAST(SUM(k.resolved) AS bigint) FROM cause_counts k \
             WHERE k.cause_id = c.id) AS resolved, (SELECT k.last_at FROM cause_counts k \
             WHERE k.cause_id = c.id ORDER BY k.hour DESC LIMIT 1) AS last_at \
             FROM failure_causes c WHERE c.business_id = ",
        )
        .bind(business)
        .push(" AND c.id = ")
        .bind(id);
        let mut tx = self.db.read().await?;
        let row = tx.optional(stmt).await?;
        row.map(|row| {
            Ok(Known {
                id: row.id("id")?,
                cause: failures::cause(&row)?,
                since: row.time("since")?,
                count: row.opt_int("failed")?.unwrap_or(0),
                resolved: row.opt_int("resolved")?.unwrap_or(0),
                last_at: row.opt_time("last_at")?,
                dismissed: failures::dismissed(&row)?,
            })
        })
        .transpose()
    }

    /// The messages of a cause that is the business's, the newest first.
    pub async fn cause_entries(
        &self,
        business: &str,
        cause: Uuid,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<CauseEntry>, Error> {
        let mut stmt = sql(
            "SELECT e.notification_id, e.at, e.arrived_at, e.sent_again_at FROM cause_entries e \
             WHERE e.cause_id = (SELECT c.id FROM failure_causes c WHERE c.id = ",
        )
        .bind(cause)
        .push(" AND c.business_id = ")
        .bind(business)
        .push(")");
        if let Some(after) = after {
            stmt = stmt.push(" AND e.notification_id < ").bind(after.uuid());
        }
        let stmt = stmt
            .push(" ORDER BY e.notification_id DESC LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        let entry = |row: &Row| {
            Ok(CauseEntry {
                id: NotificationId::new(row.id("notification_id")?),
                at: row.time("at")?,
                arrived_at: row.opt_time("arrived_at")?,
                sent_again_at: row.opt_time("sent_again_at")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

/// The next messages of the filter's causes, in its order: by their keys, never by going through the log.
pub(super) async fn among(tx: &mut Tx, filter: &Filter) -> Result<Scope, Error> {
    let each = (LOOKED_AT / filter.causes.len().max(1)).max(LOOKED_AT_MIN);
    let mut stmt = sql("");
    for (i, cause) in filter.causes.iter().enumerate() {
        stmt = stmt.push(if i == 0 { "" } else { " UNION ALL " });
        stmt = of_one(stmt, *cause, filter, each);
    }
    let mut found: BTreeMap<Uuid, Vec<(NotificationId, bool)>> = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let (arrived, again) = (row.opt_time("arrived_at")?, row.opt_time("sent_again_at")?);
        let wanted = filter.open_at.is_none_or(|at| {
            // What is sent again from then on may be the work of whoever asks.
            arrived.is_none() && again.is_none_or(|again| again >= at)
        });
        let id = NotificationId::new(row.id("notification_id")?);
        found
            .entry(row.id("cause_id")?)
            .or_default()
            .push((id, wanted));
    }
    let newest_first = filter.order == Order::NewestFirst;
    let comes_first =
        |a: NotificationId, b: NotificationId| if newest_first { a > b } else { a < b };
    // Of a cause with more messages nothing is known beyond its last; so nothing is taken beyond the
    // first of these.
    let full = found.values().filter(|ids| ids.len() >= each);
    let edge = full
        .filter_map(|ids| ids.last().map(|(id, _)| *id))
        .reduce(|a, b| if comes_first(a, b) { a } else { b });
    let within = |id: &NotificationId| edge.is_none_or(|edge| !comes_first(edge, *id));
    let ids = found.into_values().flatten();
    let ids = ids.filter_map(|(id, wanted)| wanted.then_some(id));
    Ok(Scope {
        among: Some(ids.filter(within).collect()),
        edge,
    })
}

fn of_one(stmt: Stmt, cause: Uuid, filter: &Filter, limit: usize) -> Stmt {
    let (than, order) = match filter.order {
        Order::NewestFirst => (
            " AND e.notification_id < ",
            " ORDER BY e.notification_id DESC LIMIT ",
        ),
        Order::OldestFirst => (
            " AND e.notification_id > ",
            " ORDER BY e.notification_id LIMIT ",
        ),
    };
    let mut stmt = stmt
        .push(
            "SELECT recent.cause_id, recent.notification_id, recent.arrived_at, recent.sent_again_at FROM \
             (SELECT e.cause_id, e.notification_id, e.arrived_at, e.sent_again_at \
             FROM cause_entries e WHERE e.cause_id = ",
        )
        .bind(cause);
    if let Some(from) = filter.from {
        let from = NotificationId::floor(from).uuid();
        stmt = stmt.push(" AND e.notification_id >= ").bind(from);
    }
    if let Some(to) = filter.to {
        let to = NotificationId::floor(to).uuid();
        stmt = stmt.push(" AND e.notification_id < ").bind(to);
    }
    if let Some(after) = filter.after {
        stmt = stmt.push(than).bind(after.uuid());
    }
    stmt.push(order)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(") AS recent")
}
