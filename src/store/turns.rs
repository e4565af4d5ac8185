//! Whose turn it is. Within a lane each claim is shared between the businesses that have work, so
//! that a backlog of one delays no other's message by more than one claim; where there are too many
//! for one claim, they take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::jobs::{Job, small};
use super::row::Row;
use super::stmt::{Dialect, Kind, Rows, Stmt, sql};
use crate::domain::form;
use crate::domain::id::NotificationId;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;

/// One queue: the jobs of a method in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) method: Method,
    pub(super) number: u8,
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

/// Where each lane's next claim begins. Clones share their places.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    lanes: BTreeMap<Lane, Place>,
    /// Of the jobs that wait for their time.
    later: Option<(Mark, Instant)>,
    /// Businesses whose bulk email is held.
    held: Option<(Arc<BTreeSet<String>>, Instant)>,
}

#[derive(Clone, Debug)]
struct Place {
    /// There were more businesses than one claim can serve: on with those after this one.
    start: Option<String>,
    /// Every business was served, and these have more, after these marks.
    marks: BTreeMap<String, Mark>,
    since: Instant,
}

/// The last job that was taken, in the order of the index.
type Mark = (Timestamp, NotificationId);

/// Before all jobs.
const START: Mark = (Timestamp::EPOCH, NotificationId::new(Uuid::nil()));
/// After the id of every business: no text is greater.
const END: &str = "\u{10FFFF}";
/// Businesses served by one claim in one lane. Each costs a search of the index, to find it and to
/// take its jobs.
const BUSINESSES_MAX: usize = 100;
/// Rounds in which what some businesses leave of a claim is shared among the others; what is left
/// after them stays free.
const ROUNDS_MAX: usize = 4;
/// Jobs that one claim makes ready; several times what it takes, so that the claims of a worker keep
/// up with any number of jobs that are due at once.
const READIED_MAX: usize = 1_000;
/// How long a search begins after the last job taken: PostgreSQL keeps the entries of deleted rows in
/// the index until it is vacuumed, and to go through them each time costs more than the claim. What
/// came in before the mark meanwhile, because its commit was slow or a clock went back, waits so long.
const MARK_LASTS: Duration = Duration::from_secs(1);

/// How long it is taken for true which businesses are held: so long it takes at most until a brake holds,
/// or is off, in every process, and a claim asks so seldom.
const HELD_LASTS: Duration = Duration::from_secs(1);
/// Businesses that are held at the same time, far more than an installation could bear.
const HELD_MAX: i64 = 1_000;

/// What a lane gave to a claim.
pub(super) struct Share {
    lane: Lane,
    pub(super) taken: Vec<Taken>,
    /// Where to begin next time, when there are more businesses than could be served.
    start: Option<String>,
    /// These may have more.
    hungry: Vec<String>,
}

impl Turns {
    /// Makes ready what has become due. Returns how many.
    pub(super) async fn make_ready(&self, tx: &mut Tx, now: Timestamp) -> Result<usize, Error> {
        let later = self.places().later;
        let fresh = later.filter(|(_, since)| since.elapsed() < MARK_LASTS);
        let (due_at, id) = fresh.map_or(START, |(mark, _)| mark);
        let stmt = sql("UPDATE jobs SET ready = ")
            .bind(true)
            .push(" WHERE id IN (SELECT id FROM jobs WHERE NOT ready AND due_at <= ")
            .bind(now)
            .push(" AND (due_at, id) > (")
            .bind(due_at)
            .push(", ")
            .bind(id.uuid())
            .push(") ORDER BY due_at, id LIMIT ")
            .bind(i64::try_from(READIED_MAX).unwrap_or(i64::MAX))
            .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
            .push(") RETURNING due_at, id");
        let rows = tx.all(stmt).await?;
        let mut last = START;
        for row in &rows {
            last = last.max((row.time("due_at")?, NotificationId::new(row.id("id")?)));
        }
        if rows.len() < READIED_MAX {
            // None is left before this.
            last = last.max(later.map_or(START, |(mark, _)| mark));
        }
        let since = fresh.map_or_else(Instant::now, |(_, since)| since);
        self.places().later = Some((last, since));
        Ok(rows.len())
    }

    /// Takes up to `limit` ready jobs of a lane, an equal share for each business that has some.
    pub(super) async fn take(&self, tx: &mut Tx, lane: Lane, limit: usize) -> Result<Share, Error> {
        let place = self.places().lanes.get(&lane).cloned();
        let place =
            place.filter(|place| place.since.elapsed() < MARK_LASTS || place.start.is_some());
        let most = limit.min(BUSINESSES_MAX);
        let held = if lane.has_brakes() {
            self.held(tx).await?
        } else {
            Arc::default()
        };
        let (found, start) = next(tx, lane, place.as_ref(), &held, most).await?;
        let mut marks = place.map(|place| place.marks).unwrap_or_default();
        let (mut hungry, mut taken): (_, Vec<Taken>) = (found, Vec::new());
        for _ in 0..ROUNDS_MAX {
            let left = limit - taken.len();
            let at_table = hungry.len().min(left);
            if at_table == 0 {
                break;
            }
            let share = left / at_table;
            let served = hungry.get(..at_table).unwrap_or_default();
            let stmt = take(served, &marks, lane, share, tx.dialect());
            let mut helpings: BTreeMap<String, usize> = BTreeMap::new();
            for row in tx.all(stmt).await? {
                let found = taken_row(&row, lane)?;
                *helpings.entry(found.business.clone()).or_default() += 1;
                taken.push(found);
            }
            let mut places = 0..;
            hungry.retain(|business| {
                places.next() >= Some(at_table) || helpings.get(business) == Some(&share)
            });
            // Deleted, but their entries in the index would still have to be passed.
            marks.extend(last(&taken));
        }
        in_turn(&mut taken);
        Ok(Share {
            lane,
            taken,
            start,
            hungry,
        })
    }

    /// What was kept of the shares is committed: the next claim goes on behind it.
    pub(super) fn go_on(&self, shares: &[Share], kept: &[Taken]) {
        let mut places = self.places();
        for share in shares {
            let before = places.lanes.remove(&share.lane);
            let before = before.filter(|place| place.since.elapsed() < MARK_LASTS);
            let mut marks = BTreeMap::new();
            if share.start.is_none() {
                let lane = share.lane.number;
                let kept = kept.iter().filter(|taken| taken.job.lane == lane);
                let known = before.iter().flat_map(|place| place.marks.clone());
                marks.extend(known.chain(last(kept)));
                marks.retain(|business, _| share.hungry.contains(business));
            }
            let place = Place {
                start: share.start.clone(),
                marks,
                since: before.map_or_else(Instant::now, |place| place.since),
            };
            if place.start.is_some() || !place.marks.is_empty() {
                places.lanes.insert(share.lane, place);
            }
        }
    }

    /// The businesses whose brake is on.
    async fn held(&self, tx: &mut Tx) -> Result<Arc<BTreeSet<String>>, Error> {
        let known = self.places().held.clone();
        let known = known.filter(|(_, since)| since.elapsed() < HELD_LASTS);
        if let Some((held, _)) = known {
            return Ok(held);
        }
        let stmt = sql(
            "SELECT DISTINCT k.business_id FROM brakes k WHERE k.state = 'held' \
             ORDER BY k.business_id LIMIT ",
        )
        .bind(HELD_MAX);
        let rows = tx.all(stmt).await?;
        let held: Result<BTreeSet<String>, Error> =
            rows.iter().map(|row| row.text("business_id")).collect();
        let held = Arc::new(held?);
        self.places().held = Some((Arc::clone(&held), Instant::now()));
        Ok(held)
    }

    /// A brake changed.
    pub(super) fn forget_held(&self) {
        self.places().held = None;
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Bulk email of a business may be held; nothing else is.
    fn has_brakes(self) -> bool {
        self.method == Method::Email && form::priority_of(self.number) == Some(Priority::Bulk)
    }
}

/// The last job of each business.
fn last<'a>(taken: impl IntoIterator<Item = &'a Taken>) -> BTreeMap<String, Mark> {
    let mut last: BTreeMap<String, Mark> = BTreeMap::new();
    for taken in taken {
        let mark = last.entry(taken.business.clone()).or_insert(START);
        *mark = (*mark).max((taken.due_at, taken.job.id));
    }
    last
}

/// The businesses whose turn it is, at most `most`; and where to go on when there are more. Those that
/// are held are passed over like those that are known, so that their jobs cost nothing.
async fn next(
    tx: &mut Tx,
    lane: Lane,
    place: Option<&Place>,
    held: &BTreeSet<String>,
    most: usize,
) -> Result<(Vec<String>, Option<String>), Error> {
    let (start, marks) = match place {
        Some(Place { start, marks, .. }) => (start.as_deref().unwrap_or(""), Some(marks)),
        None => ("", None),
    };
    let known = || marks.into_iter().flat_map(BTreeMap::keys);
    let mut found: Vec<String> = known()
        .filter(|business| !held.contains(*business))
        .cloned()
        .collect();
    found.truncate(most);
    // Between those that are known to have more, whose entries need not be gone through.
    let passed: BTreeSet<&str> = known().chain(held).map(String::as_str).collect();
    let others = businesses(tx, lane, &gaps(start, &passed), most - found.len()).await?;
    found.extend(others);
    if found.len() < most && !start.is_empty() {
        // All that come after are served; on with those from the beginning.
        let first = businesses(tx, lane, &gaps("", &passed), most - found.len()).await?;
        found.extend(
            first
                .into_iter()
                .take_while(|business| business.as_str() <= start),
        );
    }
    let more = found.len() == most;
    let start = found.last().filter(|_| more).cloned();
    Ok((found, start))
}

/// From the start to the end of all, between those that are passed over.
fn gaps<'a>(start: &'a str, passed: &BTreeSet<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut gaps = Vec::new();
    let mut begin = start;
    for next in passed.iter().copied().filter(|next| *next > start) {
        gaps.push((begin, next));
        begin = next;
    }
    gaps.push((begin, END));
    gaps
}

/// The businesses with ready jobs in the gaps, the bounds excluded. From one to the next by a search
/// of the index, so that it costs the same however many jobs each of them has.
async fn businesses(
    tx: &mut Tx,
    lane: Lane,
    gaps: &[(&str, &str)],
    most: usize,
) -> Result<Vec<String>, Error> {
    let bytewise = tx.dialect().bytewise();
    let first_after = |stmt: Stmt, begin: &'static str, end: &'static str| {
        stmt.push("(SELECT j.business_id FROM jobs j WHERE j.method = ")
            .bind(lane.method.as_str())
            .push(" AND j.lane = ")
            .bind(i64::from(lane.number))
            .push(" AND j.ready AND j.business_id > ")
            .push(begin)
            .push(bytewise)
            .push(" AND j.business_id < ")
            .push(end)
            .push(bytewise)
            .push(" ORDER BY j.business_id LIMIT 1), ")
            .push(end)
    };
    let mut rows = Rows::new(&[("low", Kind::Text), ("high", Kind::Text)]);
    for (begin, end) in gaps {
        rows.add([(*begin).into(), (*end).into()]);
    }
    let stmt = sql("WITH RECURSIVE turns (business_id, high) AS (SELECT ");
    let stmt = first_after(stmt, "b.low", "b.high")
        .push(" FROM ")
        .rows(rows)
        .push(" UNION ALL SELECT ");
    let stmt = first_after(stmt, "turns.business_id", "turns.high")
        .push(
            " FROM turns WHERE turns.business_id IS NOT NULL) \
             SELECT business_id FROM turns WHERE business_id IS NOT NULL LIMIT ",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX));
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| row.text("business_id")).collect()
}

/// Deletes up to `share` ready jobs of each of these businesses, those due for longest.
fn take(
    businesses: &[String],
    marks: &BTreeMap<String, Mark>,
    lane: Lane,
    share: usize,
    dialect: Dialect,
) -> Stmt {
    let mut rows = Rows::new(&[
        ("business_id", Kind::Text),
        ("due_at", Kind::Time),
        ("id", Kind::Id),
    ]);
    for business in businesses {
        let (due_at, id) = marks.get(business).copied().unwrap_or(START);
        rows.add([business.into(), due_at.into(), id.uuid().into()]);
    }
    let longest_due = |stmt: Stmt| {
        stmt.push("(SELECT k.id FROM jobs k WHERE k.method = ")
            .bind(lane.method.as_str())
            .push(" AND k.lane = ")
            .bind(i64::from(lane.number))
            .push(
                " AND k.ready AND k.business_id = b.business_id \
                 AND (k.due_at, k.id) > (b.due_at, b.id) ORDER BY k.due_at, k.id LIMIT ",
            )
            .bind(i64::try_from(share).unwrap_or(i64::MAX))
            .push(dialect.lock(" FOR UPDATE SKIP LOCKED"))
            .push(")")
    };
    let stmt = sql("WITH due AS MATERIALIZED (SELECT j.id FROM ").rows(rows);
    let stmt = match dialect {
        Dialect::Postgres => longest_due(stmt.push(" CROSS JOIN LATERAL "))
            .push(" j) DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM due))"),
        // It has no LATERAL, and looks up each id of such a list.
        Dialect::Sqlite => longest_due(stmt.push(" JOIN jobs j ON j.id IN "))
            .push(") DELETE FROM jobs WHERE id IN (SELECT id FROM due)"),
    };
    stmt.push(" RETURNING id, business_id, due_at, attempts, failures, bytes")
}

fn taken_row(row: &Row, lane: Lane) -> Result<Taken, Error> {
    Ok(Taken {
        job: Job {
            id: NotificationId::new(row.id("id")?),
            method: lane.method,
            lane: lane.number,
            attempts: small(row.int("attempts")?),
            failures: small(row.int("failures")?),
        },
        business: row.text("business_id")?,
        due_at: row.time("due_at")?,
        bytes: row.int("bytes")?,
    })
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
