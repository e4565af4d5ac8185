//! A contact history as people go through it: sorted by any column, as far as one look reaches.

use super::db::Tx;
use super::filter::{self, Scope};
use super::history::{Entry, Filter, Order};
use super::stmt::{Stmt, sql};
use super::{Error, Store, cause_entries, sight};
use crate::domain::column::Column;
use crate::domain::id::NotificationId;
use crate::domain::role::Sight;
use crate::domain::time::Timestamp;

/// What somebody looks at. The filter's own order and its `after` do not count.
#[derive(Clone, Debug, Default)]
pub struct Browse {
    pub filter: Filter,
    pub sort: Sort,
    /// Where the page before ended.
    pub after: Option<Position>,
    pub reach: Reach,
}

/// Entries with the same value: the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub by: Column,
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self {
            by: Column::Date,
            descending: true,
        }
    }
}

/// A place in an order: an entry, and what it had in the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub id: NotificationId,
    /// Empty in the order of dates, which the id carries.
    pub value: String,
}

/// How many entries one answer deals with, so that it costs the same however long the history is.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Looked at in search of those that match, where no index leads to them: a fraction of a second.
    pub looked_at: i64,
    /// Sorted by another column than the date: what people can go through page by page.
    pub sorted: i64,
    /// Counted by status.
    pub counted: i64,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            looked_at: 50_000,
            sorted: 10_000,
            counted: 50_000,
        }
    }
}

/// One page.
#[derive(Clone, Debug)]
pub struct Looked {
    pub entries: Vec<Entry>,
    /// Where the next page begins; none: there is nothing after this one.
    pub next: Option<Position>,
    pub bound: Option<Bound>,
}

/// Why entries that match may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// As many were looked at as one look takes, up to this date; the next page goes on from there.
    LookedUntil(Timestamp),
    /// The newest alone are sorted.
    NewestSorted,
}

impl Position {
    /// In the order of dates.
    pub fn of(id: NotificationId) -> Self {
        let value = String::new();
        Self { id, value }
    }
}

impl Store {
    pub async fn browse(&self, business: &str, wanted: &Browse) -> Result<Looked, Error> {
        if wanted.sort.by != Column::Date {
            return self.by_value(business, wanted).await;
        }
        let filter = Filter {
            order: if wanted.sort.descending {
                Order::NewestFirst
            } else {
                Order::OldestFirst
            },
            after: wanted.after.as_ref().map(|after| after.id),
            ..wanted.filter.clone()
        };
        self.by_date(business, &filter, wanted.reach).await
    }

    /// In the order of the filter.
    pub(super) async fn by_date(
        &self,
        business: &str,
        filter: &Filter,
        reach: Reach,
    ) -> Result<Looked, Error> {
        let mut tx = self.db.read().await?;
        let scope = scope(&mut tx, business, filter, reach).await?;
        let stmt = filter::page(business, filter, &scope, tx.dialect());
        let mut ids = Vec::new();
        for row in tx.all(stmt).await? {
            ids.push(NotificationId::new(row.id("id")?));
        }
        drop(tx);
        let more = ids.len() > filter.page_size();
        ids.truncate(filter.page_size());
        let (last, bound) = if more {
            (ids.last().copied(), None)
        } else {
            (
                scope.edge,
                scope.edge.map(|edge| Bound::LookedUntil(edge.date())),
            )
        };
        Ok(Looked {
            entries: self.entries(business, &ids).await?,
            next: last.map(Position::of),
            bound,
        })
    }

    async fn by_value(&self, business: &str, wanted: &Browse) -> Result<Looked, Error> {
        let filter = Filter {
            order: Order::NewestFirst,
            after: None,
            ..wanted.filter.clone()
        };
        let mut tx = self.db.read().await?;
        let scope = scope(&mut tx, business, &filter, wanted.reach).await?;
        let dialect = tx.dialect();
        let recent = sql("WITH recent AS MATERIALIZED (SELECT h.id, ")
            .push(value(wanted.sort.by))
            .push(dialect.bytewise())
            .push(" AS value FROM contact_history h");
        let recent = filter::matching(recent, business, &filter, dialect);
        let recent = filter::within(recent, filter.order, &scope);
        let recent = filter::ordered(recent, &filter)
            .push(" LIMIT ")
            .bind(wanted.reach.sorted)
            .push(
                ") SELECT recent.id, recent.value, (SELECT COUNT(*) FROM recent) AS seen FROM recent",
            );
        let rows = tx.all(sorted(recent, wanted, &filter)).await?;
        drop(tx);
        let mut positions = Vec::new();
        let mut bounded = scope.edge.is_some();
        for row in rows {
            bounded |= row.int("seen")? >= wanted.reach.sorted;
            positions.push(Position {
                id: NotificationId::new(row.id("id")?),
                value: row.text("value")?,
            });
        }
        let more = positions.len() > filter.page_size();
        positions.truncate(filter.page_size());
        let ids: Vec<NotificationId> = positions.iter().map(|it| it.id).collect();
        Ok(Looked {
            entries: self.entries(business, &ids).await?,
            next: positions.pop().filter(|_| more),
            bound: bounded.then_some(Bound::NewestSorted),
        })
    }
}

/// Where one looks, where the filter alone would not end the search: up to the last entry that is looked
/// at, and for those of some causes among their messages.
pub(super) async fn scope(
    tx: &mut Tx,
    business: &str,
    filter: &Filter,
    reach: Reach,
) -> Result<Scope, Error> {
    if !filter.causes.is_empty() {
        return cause_entries::among(tx, filter).await;
    }
    if !filter.is_sparse() {
        return Ok(Scope::default());
    }
    let mut stmt = filter::in_range(sql("SELECT h.id FROM contact_log h"), business, filter);
    if let Sight::Own(_) = filter.sight {
        // An index leads to their entries: those of others are not looked at, and do not count.
        stmt = sight::within(stmt, " AND h.client_uid IN ", business, &filter.sight);
    }
    let stmt = filter::ordered(stmt, filter)
        .push(" LIMIT 1 OFFSET ")
        .bind(reach.looked_at.saturating_sub(1));
    let row = tx.optional(stmt).await?;
    let edge = row.map(|row| row.id("id").map(NotificationId::new));
    Ok(Scope {
        edge: edge.transpose()?,
        among: None,
    })
}

/// One page of those that were found, and one entry more.
fn sorted(mut stmt: Stmt, wanted: &Browse, filter: &Filter) -> Stmt {
    let (than, order) = if wanted.sort.descending {
        (" < ", " ORDER BY recent.value DESC, recent.id DESC LIMIT ")
    } else {
        (" > ", " ORDER BY recent.value, recent.id DESC LIMIT ")
    };
    if let Some(after) = &wanted.after {
        stmt = stmt
            .push(" WHERE (recent.value")
            .push(than)
            .bind(&after.value)
            .push(" OR recent.value = ")
            .bind(&after.value)
            .push(" AND recent.id < ")
            .bind(after.id.uuid())
            .push(")");
    }
    let limit = filter.page_size() + 1;
    stmt.push(order)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// What a column is sorted by: what people read, names in any case.
const fn value(by: Column) -> &'static str {
    match by {
        // The id says it.
        Column::Date => "''",
        Column::Client => "lower(coalesce(h.client_name, h.client_id))",
        Column::User => "lower(h.\"user\")",
        Column::Method => "h.contact_method",
        Column::Type => "lower(h.type)",
        Column::ContactType => "lower(h.contact_type)",
        Column::Status => "coalesce(h.status, '')",
        Column::Channel => "h.channel",
    }
}
