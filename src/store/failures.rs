//! What failed and bounced, grouped by its cause: from counts by the hour, never from the entries.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::causes::{beginning, hour};
use super::db::Tx;
use super::row::Row;
use super::stmt::{Rows, Stmt, sql};
use super::{Error, Store};
use crate::domain::cause::Cause;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// Entries of a business that are counted beside those that failed: some milliseconds.
pub const LOOKED_AT: usize = 20_000;
/// Causes that are told, the most frequent first.
pub const GROUPS_MAX: usize = 100;
/// Counts that are added up, each of one cause in one hour: a tenth of a second's work, and all of a month
/// in which 60 causes are seen every hour.
const COUNTS_MAX: i64 = 50_000;
/// Up to so many hours the trend is told by the hour, beyond them by the day.
const HOURLY_MAX: i64 = 48;
/// Points of a trend by the day; of a longer time the last.
const DAYS_MAX: i64 = 30;
const DAY: i64 = 24;
/// Of each cause.
pub const SAMPLES: usize = 5;

/// Which causes.
#[derive(Clone, Debug)]
pub struct Asked {
    /// In whole hours: from the beginning of the one to the end of the other.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Those that are open, or those that are not.
    pub open: Option<bool>,
    pub method: Option<Method>,
    pub provider: Option<String>,
    /// This one alone.
    pub cause: Option<Uuid>,
}

impl Asked {
    /// All of a time.
    pub const fn all(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
            open: None,
            method: None,
            provider: None,
            cause: None,
        }
    }

    /// The first hour, and the first that is not asked for.
    fn hours(&self) -> (i64, i64) {
        let last = Timestamp::from_millis(self.to.as_millis().saturating_sub(1));
        (hour(self.from), hour(last).saturating_add(1))
    }
}

/// Messages of a business that did not arrive for the same cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: Uuid,
    pub cause: Cause,
    pub count: i64,
    /// Of them, those that arrived nevertheless or were sent again.
    pub resolved: i64,
    /// When the cause was first seen at all.
    pub since: Timestamp,
    /// Within the time asked for.
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// When, and by whom.
    pub dismissed: Option<(Timestamp, String)>,
    /// The latest of them.
    pub samples: Vec<NotificationId>,
    pub trend: Trend,
}

/// What becomes of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Nothing of it waits for anybody: all arrived or were sent again.
    Resolved,
    /// Until it is seen again.
    Dismissed,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Dismissed => "dismissed",
        }
    }
}

impl Group {
    pub const fn state(&self) -> State {
        if self.dismissed.is_some() {
            State::Dismissed
        } else if self.resolved >= self.count {
            State::Resolved
        } else {
            State::Open
        }
    }
}

/// How many failed in each hour or day of a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    pub by_day: bool,
    /// When each begins, and how many failed in it.
    pub points: Vec<(Timestamp, i64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    pub groups: Vec<Group>,
    /// All that failed, of whichever cause.
    pub failed: i64,
    /// Entries of the time, failed or not; of more than [`LOOKED_AT`] so many.
    pub looked_at: usize,
    /// There are more: of entries, of causes, or of hours with many causes than are looked at.
    pub more: bool,
    /// In whole hours.
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Store {
    /// The causes of what failed in a business.
    pub async fn failures(&self, business: &str, asked: &Asked) -> Result<Failures, Error> {
        let (begin, end) = asked.hours();
        let mut tx = self.db.read().await?;
        let looked_at = entries(&mut tx, business, asked).await?;
        let stmt = sql(
            "SELECT CAST(coalesce(SUM(recent.failed), 0) AS bigint) AS failed, \
             CAST(COUNT(*) AS bigint) AS n FROM (",
        );
        let stmt = counts(stmt, business, (begin, end)).push(") AS recent");
        let sums = tx.optional(stmt).await?;
        let (mut failed, mut more) = (0, looked_at > LOOKED_AT);
        if let Some(row) = sums {
            failed = row.int("failed")?;
            more |= row.int("n")? >= COUNTS_MAX;
        }
        let rows = tx.all(groups(business, asked)).await?;
        let mut groups = rows.iter().map(group).collect::<Result<Vec<_>, _>>()?;
        more |= groups.len() > GROUPS_MAX;
        groups.truncate(GROUPS_MAX);
        trends(&mut tx, &mut groups, (begin, end)).await?;
        samples(&mut tx, &mut groups, asked.to).await?;
        Ok(Failures {
            groups,
            failed,
            looked_at: looked_at.min(LOOKED_AT),
            more,
            from: beginning(begin),
            to: beginning(end),
        })
    }
}

/// How many entries there are, up to one more than is counted.
async fn entries(tx: &mut Tx, business: &str, asked: &Asked) -> Result<usize, Error> {
    let stmt = sql("SELECT CAST(COUNT(*) AS bigint) AS n FROM \
         (SELECT id FROM contact_log WHERE business_id = ")
    .bind(business)
    .push(" AND id >= ")
    .bind(NotificationId::floor(asked.from).uuid())
    .push(" AND id < ")
    .bind(NotificationId::floor(asked.to).uuid())
    .push(" ORDER BY id DESC LIMIT ")
    .bind(i64::try_from(LOOKED_AT + 1).unwrap_or(i64::MAX))
    .push(") AS entries");
    let found = tx.optional(stmt).await?.map(|row| row.int("n"));
    Ok(usize::try_from(found.transpose()?.unwrap_or_default()).unwrap_or_default())
}

/// The counts of a time, from the latest hour on.
fn counts(stmt: Stmt, business: &str, (begin, end): (i64, i64)) -> Stmt {
    stmt.push(
        "SELECT k.cause_id, k.failed, k.resolved, k.first_at, k.last_at FROM cause_counts k \
         WHERE k.business_id = ",
    )
    .bind(business)
    .push(" AND k.hour >= ")
    .bind(begin)
    .push(" AND k.hour < ")
    .bind(end)
    .push(" ORDER BY k.hour DESC LIMIT ")
    .bind(COUNTS_MAX)
}

fn groups(business: &str, asked: &Asked) -> Stmt {
    let stmt = sql(
        "SELECT c.id, c.business_id, c.method, c.provider, c.bounced, c.category, c.code, c.text, \
         c.first_at AS since, c.dismissed_at, c.dismissed_by, sums.failed, sums.resolved, sums.first_at, \
         sums.last_at FROM (SELECT recent.cause_id, CAST(SUM(recent.failed) AS bigint) AS failed, \
         CAST(SUM(recent.resolved) AS bigint) AS resolved, MIN(recent.first_at) AS first_at, \
         MAX(recent.last_at) AS last_at FROM (",
    );
    let mut stmt = counts(stmt, business, asked.hours())
        .push(
            ") AS recent GROUP BY recent.cause_id) AS sums CROSS JOIN failure_causes c \
             WHERE c.id = sums.cause_id AND c.business_id = ",
        )
        .bind(business);
    if let Some(method) = asked.method {
        stmt = stmt.push(" AND c.method = ").bind(method.as_str());
    }
    if let Some(provider) = &asked.provider {
        stmt = stmt.push(" AND c.provider = ").bind(provider);
    }
    if let Some(cause) = asked.cause {
        stmt = stmt.push(" AND c.id = ").bind(cause);
    }
    stmt = match asked.open {
        Some(true) => stmt.push(" AND c.dismissed_at IS NULL AND sums.failed > sums.resolved"),
        Some(false) => {
            stmt.push(" AND (c.dismissed_at IS NOT NULL OR sums.failed <= sums.resolved)")
        }
        None => stmt,
    };
    stmt.push(" ORDER BY sums.failed DESC, sums.last_at DESC, c.id LIMIT ")
        .bind(i64::try_from(GROUPS_MAX + 1).unwrap_or(i64::MAX))
}

/// A cause from the columns of `failure_causes`.
pub(super) fn cause(row: &Row) -> Result<Cause, Error> {
    Ok(Cause {
        business: row.text("business_id")?,
        method: row.word("method", Method::parse)?,
        provider: row.opt_text("provider")?,
        bounced: row.bool("bounced")?,
        category: row.word("category", Category::parse)?,
        code: row.opt_text("code")?,
        text: row.text("text")?,
    })
}

/// When it was dismissed, and by whom.
pub(super) fn dismissed(row: &Row) -> Result<Option<(Timestamp, String)>, Error> {
    let at = row.opt_time("dismissed_at")?;
    Ok(at.zip(row.opt_text("dismissed_by")?))
}

fn group(row: &Row) -> Result<Group, Error> {
    Ok(Group {
        id: row.id("id")?,
        cause: cause(row)?,
        count: row.int("failed")?,
        resolved: row.int("resolved")?,
        since: row.time("since")?,
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        dismissed: dismissed(row)?,
        samples: Vec::new(),
        trend: Trend::default(),
    })
}

/// Fills in the trends of these groups, all by the same hours or days.
async fn trends(tx: &mut Tx, groups: &mut [Group], (begin, end): (i64, i64)) -> Result<(), Error> {
    let by_day = end.saturating_sub(begin) > HOURLY_MAX;
    let unit = if by_day { DAY } else { 1 };
    let last = (end - 1).div_euclid(unit);
    let first = begin
        .div_euclid(unit)
        .max(last - DAYS_MAX.max(HOURLY_MAX / unit) + 1);
    let mut found: BTreeMap<(Uuid, i64), i64> = BTreeMap::new();
    if !groups.is_empty() {
        let stmt = sql("SELECT k.cause_id, k.hour / ")
            .bind(unit)
            .push(" AS point, CAST(SUM(k.failed) AS bigint) AS failed FROM ")
            .rows(Rows::of_ids(groups.iter().map(|group| group.id)))
            .push(" JOIN cause_counts k ON k.cause_id = b.id WHERE k.hour >= ")
            .bind((first * unit).max(begin))
            .push(" AND k.hour < ")
            .bind(end)
            .push(" GROUP BY k.cause_id, point");
        for row in tx.all(stmt).await? {
            let key = (row.id("cause_id")?, row.int("point")?);
            found.insert(key, row.int("failed")?);
        }
    }
    for group in groups {
        let points = (first..=last).map(|point| {
            let count = found.get(&(group.id, point)).copied();
            (beginning(point * unit), count.unwrap_or(0))
        });
        group.trend = Trend {
            by_day,
            points: points.collect(),
        };
    }
    Ok(())
}

/// The latest messages of each of these groups, by the keys of their entries.
async fn samples(tx: &mut Tx, groups: &mut [Group], to: Timestamp) -> Result<(), Error> {
    if groups.is_empty() {
        return Ok(());
    }
    let below = NotificationId::floor(to).uuid();
    let mut stmt = sql("SELECT b.id");
    // A join would sort all messages of a cause before the latest of them are known.
    for (nth, name) in (0_i64..).zip([" AS s0", " AS s1", " AS s2", " AS s3", " AS s4"]) {
        stmt = stmt
            .push(
                ", (SELECT e.notification_id FROM cause_entries e WHERE e.cause_id = b.id \
                 AND e.notification_id < ",
            )
            .bind(below)
            .push(" ORDER BY e.notification_id DESC LIMIT 1 OFFSET ")
            .bind(nth)
            .push(")")
            .push(name);
    }
    let ids = Rows::of_ids(groups.iter().map(|group| group.id));
    let mut found = BTreeMap::new();
    for row in tx.all(stmt.push(" FROM ").rows(ids)).await? {
        let columns = ["s0", "s1", "s2", "s3", "s4"].map(|column| row.opt_id(column));
        let ids = columns.into_iter().filter_map(Result::transpose);
        let ids = ids.map(|id| id.map(NotificationId::new));
        found.insert(row.id("id")?, ids.collect::<Result<Vec<_>, _>>()?);
    }
    for group in groups {
        group.samples = found.remove(&group.id).unwrap_or_default();
    }
    Ok(())
}
