//! Whose turn it is. Within a lane each claim is shared between the businesses that have work, so
//! that a backlog of one delays no other's message by more than one claim; where there are too many
//! for one claim, they take turns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::db::Tx;
use super::jobs::Job;
use super::stmt::{Dialect, Kind, Rows, Stmt, sql};
use crate::domain::id::NotificationId;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;

/// One queue: the jobs of a method in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) method: Method,
    pub(super) priority: Priority,
}

/// A job taken out of its queue.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) job: Job,
    pub(super) business: String,
    pub(super) due_at: Timestamp,
    /// Of its content.
    pub(super) bytes: i64,
}

/// Where the next claim begins in each lane that had more businesses than one claim could serve:
/// after this one. Clones share their place.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<Lane, String>>>);

/// Businesses served by one claim in one lane. Each costs a search of the index, to find it and to
/// take its jobs.
const BUSINESSES_MAX: usize = 100;
/// Rounds in which what some businesses leave of a claim is shared among the others; what is left
/// after them stays free.
const ROUNDS_MAX: usize = 4;
/// Jobs that one claim makes ready; several times what it takes, so that the claims of a worker keep
/// up with any number of jobs that are due at once.
const READIED_MAX: i64 = 1_000;

/// Makes ready what has become due. Returns how many.
pub(super) async fn make_ready(tx: &mut Tx, now: Timestamp) -> Result<u64, Error> {
    let stmt = sql("UPDATE jobs SET ready = ")
        .bind(true)
        .push(" WHERE id IN (SELECT id FROM jobs WHERE NOT ready AND due_at <= ")
        .bind(now)
        .push(" ORDER BY due_at, id LIMIT ")
        .bind(READIED_MAX)
        .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
        .push(")");
    tx.execute(stmt).await
}

impl Turns {
    /// Takes up to `limit` ready jobs of a lane, an equal share for each business that has some.
    pub(super) async fn take(
        &self,
        tx: &mut Tx,
        lane: Lane,
        limit: usize,
    ) -> Result<Vec<Taken>, Error> {
        let mut hungry = self.next(tx, lane, limit.min(BUSINESSES_MAX)).await?;
        let mut taken: Vec<Taken> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let left = limit - taken.len();
            hungry.truncate(left);
            if hungry.is_empty() {
                break;
            }
            let share = left / hungry.len();
            let mut helpings: BTreeMap<String, usize> = BTreeMap::new();
            for row in tx.all(take(&hungry, lane, share, tx.dialect())).await? {
                let found = Taken {
                    job: Job {
                        id: NotificationId::new(row.id("id")?),
                        method: lane.method,
                        lane: lane.priority.lane(),
                        attempts: small(row.int("attempts")?),
                        failures: small(row.int("failures")?),
                    },
                    business: row.text("business_id")?,
                    due_at: row.time("due_at")?,
                    bytes: row.int("bytes")?,
                };
                *helpings.entry(found.business.clone()).or_default() += 1;
                taken.push(found);
            }
            hungry.retain(|business| helpings.get(business) == Some(&share));
        }
        in_turn(&mut taken);
        Ok(taken)
    }

    /// The businesses whose turn it is, at most `most`.
    async fn next(&self, tx: &mut Tx, lane: Lane, most: usize) -> Result<Vec<String>, Error> {
        let start = self.starts().get(&lane).cloned().unwrap_or_default();
        let mut found = businesses(tx, lane, &start, most).await?;
        if found.len() < most && !start.is_empty() {
            // All that come after are served; on with those from the beginning.
            let first = businesses(tx, lane, "", most - found.len()).await?;
            found.extend(first.into_iter().take_while(|business| *business <= start));
        }
        let mut starts = self.starts();
        match found.last() {
            Some(last) if found.len() == most => starts.insert(lane, last.clone()),
            // Every one of them is served: the next claim may begin anywhere.
            _ => starts.remove(&lane),
        };
        Ok(found)
    }

    fn starts(&self) -> std::sync::MutexGuard<'_, BTreeMap<Lane, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The businesses after `start` that have ready jobs in this lane. From one to the next by a search
/// of the index, so that it costs the same however many jobs each of them has.
async fn businesses(
    tx: &mut Tx,
    lane: Lane,
    start: &str,
    most: usize,
) -> Result<Vec<String>, Error> {
    let first_after = |stmt: Stmt| {
        stmt.push("(SELECT j.business_id FROM jobs j WHERE j.method = ")
            .bind(lane.method.as_str())
            .push(" AND j.lane = ")
            .bind(i64::from(lane.priority.lane()))
            .push(" AND j.ready AND j.business_id > ")
    };
    let stmt = first_after(sql("WITH RECURSIVE turns (business_id) AS (SELECT "))
        .bind(start)
        .push(" ORDER BY j.business_id LIMIT 1) UNION ALL SELECT ");
    let stmt = first_after(stmt)
        .push(
            "turns.business_id ORDER BY j.business_id LIMIT 1) FROM turns \
             WHERE turns.business_id IS NOT NULL) \
             SELECT business_id FROM turns WHERE business_id IS NOT NULL LIMIT ",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX));
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| row.text("business_id")).collect()
}

/// Deletes up to `share` ready jobs of each of these businesses, those due for longest.
fn take(businesses: &[String], lane: Lane, share: usize, dialect: Dialect) -> Stmt {
    const FROM: &str = " WITH due AS MATERIALIZED (SELECT j.id FROM ";
    let mut rows = Rows::new(&[("business_id", Kind::Text)]);
    for business in businesses {
        rows.add([business.into()]);
    }
    let longest_due = |stmt: Stmt| {
        stmt.push("(SELECT k.id FROM jobs k WHERE k.method = ")
            .bind(lane.method.as_str())
            .push(" AND k.lane = ")
            .bind(i64::from(lane.priority.lane()))
            .push(" AND k.ready AND k.business_id = b.business_id ORDER BY k.due_at, k.id LIMIT ")
            .bind(i64::try_from(share).unwrap_or(i64::MAX))
            .push(dialect.lock(" FOR UPDATE SKIP LOCKED"))
            .push(")")
    };
    let stmt = sql(FROM).rows(rows);
    let stmt = match dialect {
        Dialect::Postgres => longest_due(stmt.push(" CROSS JOIN LATERAL "))
            .push(" j) DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM due))"),
        // It has no LATERAL, and looks up each id of such a list.
        Dialect::Sqlite => longest_due(stmt.push(" JOIN jobs j ON j.id IN "))
            .push(") DELETE FROM jobs WHERE id IN (SELECT id FROM due)"),
    };
    stmt.push(" RETURNING id, business_id, due_at, attempts, failures, bytes")
}

/// The first of each business, then the second of each, and so on; among these, what is due for
/// longest. A claim that is cut short, by its bytes or by the end of its worker, is cut fairly.
fn in_turn(taken: &mut Vec<Taken>) {
    taken.sort_unstable_by_key(|taken| (taken.due_at, taken.job.id));
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    let ranked = std::mem::take(taken).into_iter().map(|taken| {
        let rank = ranks.entry(taken.business.clone()).or_default();
        *rank += 1;
        (*rank, taken)
    });
    let mut ranked: Vec<(usize, Taken)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    taken.extend(ranked.into_iter().map(|(_, taken)| taken));
}

/// Cuts off what is more than so many bytes of content; the first stays, however large it is.
pub(super) fn cut(taken: &mut Vec<Taken>, bytes_max: u64) -> Vec<Taken> {
    let mut sum = 0_u64;
    let fits = taken.iter().take_while(|taken| {
        sum = sum.saturating_add(taken.bytes.unsigned_abs());
        sum <= bytes_max
    });
    let fitting = fits.count().max(1);
    taken.split_off(fitting.min(taken.len()))
}

/// A counter that never reaches the limit of its type in practice.
fn small<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn taken(number: u128, business: &str, due_at: i64, bytes: i64) -> Taken {
        Taken {
            job: Job {
                id: NotificationId::new(Uuid::from_u128(number)),
                method: Method::Email,
                lane: 1,
                attempts: 0,
                failures: 0,
            },
            business: business.to_owned(),
            due_at: Timestamp::from_millis(due_at),
            bytes,
        }
    }

    fn numbers(taken: &[Taken]) -> Vec<u128> {
        taken.iter().map(|t| t.job.id.uuid().as_u128()).collect()
    }

    #[test]
    fn the_first_of_each_business_comes_before_the_second_of_any() {
        let mut all = vec![
            taken(1, "a", 1, 0),
            taken(2, "a", 1, 0),
            taken(4, "b", 9, 0),
            taken(3, "a", 2, 0),
            taken(5, "b", 10, 0),
        ];
        in_turn(&mut all);
        assert_eq!(numbers(&all), [1, 4, 2, 5, 3]);
    }

    #[test]
    fn what_is_too_large_is_cut_off_but_the_first() {
        let all = || {
            vec![
                taken(1, "a", 1, 60),
                taken(2, "a", 2, 40),
                taken(3, "a", 3, 0),
            ]
        };
        for (bytes_max, expected) in [(100, vec![1, 2, 3]), (99, vec![1]), (1, vec![1])] {
            let mut kept = all();
            let over = cut(&mut kept, bytes_max);
            assert_eq!(numbers(&kept), expected);
            assert_eq!(kept.len() + over.len(), 3);
        }
        assert!(cut(&mut Vec::new(), 1).is_empty());
    }
}
