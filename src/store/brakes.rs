//! Brakes: judged by the counts of the last day, obeyed by claims of bulk email, lifted by people.

use uuid::Uuid;

use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store, WAKE_CHANNEL};
use crate::domain::brake::{Count, Kind, Rules, State};
use crate::domain::flow::{self, Step};
use crate::domain::spread;
use crate::domain::time::Timestamp;

/// What is counted: a day.
const WINDOW_HOURS: u32 = 24;
/// Mail that came back within these hours, the one that is going on among them, is a reason to look
/// at a business: when nothing more comes back, nothing gets worse.
const LOOKED_BACK_HOURS: u32 = 2;
/// Businesses that are looked for together, in the order of their ids.
const JUDGED_TOGETHER: i64 = 500;
/// Brakes and changes in one answer.
const LISTED_MAX: i64 = 200;

/// The brake of a business as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Brake {
    pub business: String,
    pub kind: Kind,
    pub state: State,
    /// When the state changed.
    pub count: Count,
    pub why: String,
    pub changed_at: Timestamp,
    /// It was lifted then.
    pub counted_from: Option<Timestamp>,
}

/// A change of a brake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrakeChange {
    pub kind: Kind,
    pub state: State,
    pub count: Count,
    pub at: Timestamp,
    /// None: the program, by the rates.
    pub by: Option<String>,
    pub reason: String,
}

/// Who lifts a brake, and why.
#[derive(Clone, Copy, Debug)]
pub struct Lifted<'a> {
    pub business: &'a str,
    pub kind: Kind,
    pub by: &'a str,
    pub reason: &'a str,
}

/// Why a business is looked at. Apart, because each is in the order of its own table.
#[derive(Clone, Copy)]
enum Suspicion {
    CameBack,
    /// It may be well again.
    Warned,
}

impl Store {
    /// Looks at every business that something came back to lately. Returns what changed.
    pub async fn judge_brakes(&self, rules: &Rules) -> Result<Vec<Brake>, Error> {
        let now = self.clock.now();
        let mut changed = Vec::new();
        for why in [Suspicion::CameBack, Suspicion::Warned] {
            let mut after = String::new();
            loop {
                let found = self.suspects(why, &after, now).await?;
                for business in &found {
                    self.judge(business, rules, now, &mut changed).await?;
                }
                match found.into_iter().next_back() {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(changed)
    }

    async fn judge(
        &self,
        business: &str,
        rules: &Rules,
        now: Timestamp,
        changed: &mut Vec<Brake>,
    ) -> Result<(), Error> {
        let before = self.brakes(Some(business)).await?;
        for kind in Kind::ALL {
            let known = before.iter().find(|brake| brake.kind == kind);
            let lifted = known.and_then(|brake| brake.counted_from);
            let state = known.map_or(State::Ok, |brake| brake.state);
            let count = self.returned(business, kind, lifted, now).await?;
            let judged = rules.judge(kind, count, state);
            if judged == state {
                continue;
            }
            let brake = Brake {
                business: business.to_owned(),
                kind,
                state: judged,
                count,
                why: rules.why(kind, count, judged),
                changed_at: now,
                counted_from: lifted,
            };
            if self.set_brake(&brake, state).await? {
                changed.push(brake);
            }
        }
        Ok(())
    }

    /// The next of those who are to be judged.
    async fn suspects(
        &self,
        why: Suspicion,
        after: &str,
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = match why {
            Suspicion::CameBack => came_back(after, now),
            Suspicion::Warned => sql(
                "SELECT DISTINCT k.business_id FROM brakes k WHERE k.state = 'warned' \
                 AND k.business_id > ",
            )
            .bind(after),
        };
        let stmt = stmt
            .push(" ORDER BY business_id LIMIT ")
            .bind(JUDGED_TOGETHER);
        let rows = tx.all(stmt).await?;
        rows.iter().map(|row| row.text("business_id")).collect()
    }

    /// Emails of the last day, or since a brake was lifted, and how many of them came back.
    async fn returned(
        &self,
        business: &str,
        kind: Kind,
        lifted: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Count, Error> {
        let window = hours_back(now, WINDOW_HOURS);
        let lifted = lifted.filter(|at| *at > window);
        // Whole minutes after the lifting, up to the first whole hour.
        let minutes_from = lifted.map(|at| Step::Minute.floor(at).plus(Step::Minute.length()));
        let hours_from = minutes_from.map_or(window, |at| {
            Step::Hour.floor(
                at.plus(Step::Hour.length())
                    .minus(std::time::Duration::from_millis(1)),
            )
        });
        let returned = match kind {
            Kind::Bounce => flow::Kind::BouncedForGood,
            Kind::Complaint => flow::Kind::Complained,
        };
        let mut count = Count::default();
        let mut tx = self.db.read().await?;
        let Some(began) = tx.optional(first(business, window)).await? else {
            return Ok(count);
        };
        // Of what was sent while it was counted, and not before: the share is of the same mail.
        let since = window.max(began.time("at")?);
        let spans = [
            minutes_from.map(|from| (Step::Minute, from, hours_from)),
            Some((Step::Hour, hours_from, Timestamp::MAX)),
        ];
        for (step, from, to) in spans.into_iter().flatten() {
            for row in tx.all(counts(business, step, (from, to), returned)).await? {
                let amount = row.int("amount")?;
                if row.word("kind", flow::Kind::parse)? == flow::Kind::Sent {
                    count.sent += amount;
                    continue;
                }
                let (at, bucket) = (row.time("at")?, row.int("bucket")?);
                let took = spread::middle(bucket);
                let counts = match lifted {
                    // What was sent before the lifting is judged already.
                    Some(lifted) => at.minus(took) >= lifted,
                    None => at.plus(step.length()).minus(took) > since,
                };
                if bucket != spread::NO_TIME && counts {
                    count.returned += amount;
                }
            }
        }
        Ok(count)
    }

    /// `false`: somebody else changed it meanwhile.
    async fn set_brake(&self, brake: &Brake, before: State) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "INSERT INTO brakes (business_id, kind, state, sent, returned, why, changed_at) \
             VALUES (",
        )
        .bind(&brake.business)
        .push(", ")
        .bind(brake.kind.as_str())
        .push(", ")
        .bind(brake.state.as_str())
        .push(", ")
        .bind(brake.count.sent)
        .push(", ")
        .bind(brake.count.returned)
        .push(", ")
        .bind(&brake.why)
        .push(", ")
        .bind(brake.changed_at)
        .push(
            ") ON CONFLICT (business_id, kind) DO UPDATE SET state = excluded.state, \
                 sent = excluded.sent, returned = excluded.returned, why = excluded.why, \
                 changed_at = excluded.changed_at WHERE brakes.state = ",
        )
        .bind(before.as_str())
        .push(" AND brakes.counted_from IS NOT DISTINCT FROM ")
        .bind(brake.counted_from);
        if tx.execute(stmt).await? == 0 {
            return Ok(false);
        }
        let change = BrakeChange {
            kind: brake.kind,
            state: brake.state,
            count: brake.count,
            at: brake.changed_at,
            by: None,
            reason: brake.why.clone(),
        };
        let id = self.clock.new_uuid(brake.changed_at);
        tx.execute(noted(&brake.business, id, &change)).await?;
        tx.commit().await?;
        self.turns.forget_held();
        Ok(true)
    }

    /// Lets the bulk email of a business go. `false`: it is not held. What was sent up to now does not
    /// count any more.
    pub async fn lift_brake(&self, lifted: Lifted<'_>) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE brakes SET state = 'ok', changed_at = ")
            .bind(now)
            .push(", counted_from = ")
            .bind(now)
            .push(" WHERE state = 'held' AND business_id = ")
            .bind(lifted.business)
            .push(" AND kind = ")
            .bind(lifted.kind.as_str())
            .push(" RETURNING sent, returned");
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(false);
        };
        let change = BrakeChange {
            kind: lifted.kind,
            state: State::Ok,
            count: count(&row)?,
            at: now,
            by: Some(lifted.by.to_owned()),
            reason: lifted.reason.to_owned(),
        };
        let id = self.clock.new_uuid(now);
        tx.execute(noted(lifted.business, id, &change)).await?;
        super::notify(&mut tx, WAKE_CHANNEL).await?;
        tx.commit().await?;
        self.turns.forget_held();
        Ok(true)
    }

    /// The brakes of a business that were ever on; of all businesses those that are on.
    pub async fn brakes(&self, business: Option<&str>) -> Result<Vec<Brake>, Error> {
        let Some(business) = business else {
            return self.brakes_on(LISTED_MAX).await;
        };
        let mut tx = self.db.read().await?;
        let stmt = sql(BRAKE)
            .push("business_id = ")
            .bind(business)
            .push(" ORDER BY kind LIMIT ")
            .bind(LISTED_MAX);
        tx.all(stmt).await?.iter().map(brake).collect()
    }

    /// Up to so many that are on, of all businesses. Those that are held come first.
    pub async fn brakes_on(&self, limit: i64) -> Result<Vec<Brake>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(BRAKE)
            .push("state IN ('warned', 'held') ORDER BY state, business_id, kind LIMIT ")
            .bind(limit);
        tx.all(stmt).await?.iter().map(brake).collect()
    }

    /// What became of the brakes of a business, the newest first.
    pub async fn brake_changes(&self, business: &str) -> Result<Vec<BrakeChange>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT kind, state, sent, returned, changed_at, changed_by, reason FROM brake_changes \
             WHERE business_id = ",
        )
        .bind(business)
        .push(" ORDER BY id DESC LIMIT ")
        .bind(LISTED_MAX);
        let change = |row: &Row| {
            Ok(BrakeChange {
                kind: row.word("kind", Kind::parse)?,
                state: row.word("state", State::parse)?,
                count: count(row)?,
                at: row.time("changed_at")?,
                by: row.opt_text("changed_by")?,
                reason: row.text("reason")?,
            })
        };
        tx.all(stmt).await?.iter().map(change).collect()
    }
}

/// The beginning of so many hours, the one that is going on among them.
fn hours_back(now: Timestamp, hours: u32) -> Timestamp {
    let before = Step::Hour.length().saturating_mul(hours - 1);
    Step::Hour.floor(now).minus(before)
}

const BRAKE: &str = "SELECT business_id, kind, state, sent, returned, why, changed_at, \
                     counted_from FROM brakes WHERE ";

/// Businesses to which something came back in each of the hours that are looked at, by the order of the
/// index: so many more are not gone through.
fn came_back(after: &str, now: Timestamp) -> Stmt {
    let (mut stmt, mut joint) = (sql(""), "");
    for back in 1..=LOOKED_BACK_HOURS {
        let at = hours_back(now, back);
        for kind in ["bounced_for_good", "complained"] {
            stmt = stmt
                .push(std::mem::replace(&mut joint, " UNION "))
                .push(
                    "SELECT found.business_id FROM (SELECT DISTINCT c.business_id FROM flow_counts c \
                     WHERE c.step_seconds = 3600 AND c.method = 'email' AND c.kind = '",
                )
                .push(kind)
                .push("' AND c.at = ")
                .bind(at)
                .push(" AND c.business_id > ")
                .bind(after)
                .push(" ORDER BY c.business_id LIMIT ")
                .bind(JUDGED_TOGETHER)
                .push(") AS found");
        }
    }
    stmt
}

/// The first hour of the window in which anything of the business was counted.
fn first(business: &str, window: Timestamp) -> Stmt {
    sql("SELECT c.at FROM flow_counts c WHERE c.step_seconds = 3600 AND c.business_id = ")
        .bind(business)
        .push(" AND c.at >= ")
        .bind(window)
        .push(" ORDER BY c.at LIMIT 1")
}

fn counts(
    business: &str,
    step: Step,
    (from, to): (Timestamp, Timestamp),
    returned: flow::Kind,
) -> Stmt {
    sql(
        "SELECT c.at, c.kind, c.bucket, CAST(SUM(c.amount) AS bigint) AS amount FROM flow_counts c \
         WHERE c.business_id = ",
    )
    .bind(business)
    .push(" AND c.step_seconds = ")
    .bind(step.seconds())
    .push(" AND c.at >= ")
    .bind(from)
    .push(" AND c.at < ")
    .bind(to)
    .push(" AND c.method = 'email' AND c.kind IN ('sent', ")
    .bind(returned.as_str())
    .push(") GROUP BY c.at, c.kind, c.bucket")
}

fn noted(business: &str, id: Uuid, change: &BrakeChange) -> Stmt {
    sql("INSERT INTO brake_changes \
         (id, business_id, kind, state, sent, returned, changed_at, changed_by, reason) VALUES (")
    .bind(id)
    .push(", ")
    .bind(business)
    .push(", ")
    .bind(change.kind.as_str())
    .push(", ")
    .bind(change.state.as_str())
    .push(", ")
    .bind(change.count.sent)
    .push(", ")
    .bind(change.count.returned)
    .push(", ")
    .bind(change.at)
    .push(", ")
    .bind(change.by.clone())
    .push(", ")
    .bind(&change.reason)
    .push(")")
}

fn count(row: &Row) -> Result<Count, Error> {
    Ok(Count {
        sent: row.int("sent")?,
        returned: row.int("returned")?,
    })
}

fn brake(row: &Row) -> Result<Brake, Error> {
    Ok(Brake {
        business: row.text("business_id")?,
        kind: row.word("kind", Kind::parse)?,
        state: row.word("state", State::parse)?,
        count: count(row)?,
        why: row.text("why")?,
        changed_at: row.time("changed_at")?,
        counted_from: row.opt_time("counted_from")?,
    })
}
