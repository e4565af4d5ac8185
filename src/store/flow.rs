//! Counts of what happens, written in the commit of the happening itself: rows that are only ever
//! inserted, so that no two writers wait for each other, folded into sums by a job of the background.

use std::collections::BTreeMap;

use super::db::Tx;
use super::entries::Staged;
use super::feedback::{Incoming, Kept};
use super::owners::Owners;
use super::stmt::{Arg, Dialect, Kind as Column, Rows, Stmt, sql};
use super::{Error, Store};
use crate::clock::Clock;
use crate::domain::facts::Facts;
use crate::domain::flow::{self, Flow, Kind, Range, Step, Sum, Tally};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::fault;

/// The business of what belongs to none.
pub const INSTALLATION: &str = "";

/// Who tells of events and is no provider.
const NO_PROVIDERS: [&str; 6] = [
    "mail",
    "worker",
    "staff",
    "recipient",
    "application",
    "tracking",
];

/// Counts that are not folded yet and are read beside the sums: the newest. So many are some tenths of
/// a second's traffic of a busy installation; more wait only where no process of ours runs.
const UNFOLDED_READ: i64 = 20_000;
/// Sums of one range: more than all kinds, two of them with all buckets, of each bin of a chart.
const SUMS_MAX: i64 = 50_000;

/// What a count is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) business: String,
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    /// The provider; of feedback where it came from; of refused feedback the reason.
    pub(super) subject: String,
    pub(super) bucket: i64,
}

/// The counts of one commit.
#[derive(Default)]
pub(super) struct Counted(BTreeMap<Key, i64>);

impl Counted {
    pub(super) fn add(&mut self, key: Key, amount: i64) {
        *self.0.entry(key).or_default() += amount;
    }

    pub(super) async fn write(
        self,
        tx: &mut Tx,
        clock: &Clock,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut rows = Rows::new(&[
            ("id", Column::Id),
            ("business_id", Column::Text),
            ("at", Column::Time),
            ("kind", Column::Text),
            ("method", Column::Text),
            ("subject", Column::Text),
            ("bucket", Column::Int),
            ("amount", Column::Int),
        ]);
        let at = Step::Minute.floor(now);
        for (key, amount) in self.0 {
            rows.add([
                clock.new_uuid(now).into(),
                key.business.into(),
                at.into(),
                Arg::Word(key.kind.as_str()),
                Arg::Word(key.method),
                key.subject.into(),
                key.bucket.into(),
                amount.into(),
            ]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let stmt = sql(
            "INSERT INTO flow_increments (id, business_id, at, kind, method, subject, bucket, amount) \
             SELECT b.id, b.business_id, b.at, b.kind, b.method, b.subject, b.bucket, b.amount FROM ",
        )
        .rows(rows);
        tx.execute(stmt).await?;
        Ok(())
    }
}

/// Counts what was enqueued.
pub(super) async fn enqueued(
    tx: &mut Tx,
    clock: &Clock,
    staged: &[Staged<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let mut counted = Counted::default();
    for one in staged {
        let key = Key {
            business: one.business.to_owned(),
            kind: Kind::Enqueued,
            method: one.new.method.as_str(),
            subject: String::new(),
            bucket: 0,
        };
        counted.add(key, 1);
    }
    counted.write(tx, clock, now).await
}

/// The facts of a notification before and after its new events.
pub(super) struct Changed {
    pub(super) id: NotificationId,
    pub(super) before: Facts,
    pub(super) after: Facts,
    /// Who told of the first of these events.
    pub(super) source: String,
    /// It failed or came back, before or now.
    pub(super) failed: bool,
}

/// What has become known of notifications.
pub(super) fn changed(changed: &[Changed], owners: &Owners, now: Timestamp) -> Counted {
    let mut counted = Counted::default();
    for change in changed {
        let Some(owner) = owners.get(&change.id) else {
            continue;
        };
        for kind in flow::newly(&change.before, &change.after) {
            let key = Key {
                business: owner.business.clone(),
                kind,
                method: owner.method.as_str(),
                subject: change.provider().to_owned(),
                bucket: flow::bucket_of(kind, &change.after, owner.due_at, now),
            };
            counted.add(key, 1);
        }
    }
    counted
}

impl Changed {
    /// Who took the message over, or refused it; empty where no provider had to do with it.
    fn provider(&self) -> &str {
        let sent = self.after.sent.as_ref();
        sent.map_or_else(
            || {
                if NO_PROVIDERS.contains(&self.source.as_str()) {
                    ""
                } else {
                    &self.source
                }
            },
            |sent| &sent.provider,
        )
    }
}

/// Adds what became of feedback messages.
pub(super) fn taken_in<'a>(
    counted: &mut Counted,
    messages: impl Iterator<Item = (&'a Incoming, Kept)>,
) {
    for (message, kept) in messages {
        let kind = match kept {
            Kept::Applied { .. } => Kind::FeedbackApplied,
            Kept::Unmatched => Kind::FeedbackUnmatched,
            Kept::Noted => Kind::FeedbackNoted,
            Kept::Duplicate => Kind::FeedbackDuplicate,
        };
        counted.add(of_installation(kind, message.source), 1);
    }
}

fn of_installation(kind: Kind, subject: &str) -> Key {
    Key {
        business: INSTALLATION.to_owned(),
        kind,
        method: "",
        subject: subject.to_owned(),
        bucket: 0,
    }
}

impl Store {
    /// Counts feedback that was refused, by reason.
    pub async fn count_refused(&self, refused: &BTreeMap<&'static str, u64>) -> Result<(), Error> {
        let now = self.clock.now();
        let mut counted = Counted::default();
        for (reason, amount) in refused {
            let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
            counted.add(of_installation(Kind::FeedbackRefused, reason), amount);
        }
        let mut tx = self.db.write().await?;
        counted.write(&mut tx, &self.clock, now).await?;
        tx.commit().await
    }

    /// The counts of a business ([`INSTALLATION`]: of what belongs to none) up to this moment.
    pub async fn flow(&self, business: &str, range: Range) -> Result<Flow, Error> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        let stmt = bin(sql("SELECT "), range, now, tx.dialect()).push(
            " AS bin, kind, CASE WHEN kind IN ('sent', 'delivered') THEN bucket ELSE 0 END AS took, \
             CAST(SUM(amount) AS bigint) AS amount FROM (SELECT c.at, c.kind, c.bucket, c.amount \
             FROM flow_counts c WHERE ",
        );
        let stmt = folded(stmt, business, range, now).push(
            " UNION ALL SELECT unfolded.at, unfolded.kind, unfolded.bucket, unfolded.amount FROM ",
        );
        let stmt = unfolded(stmt, business, range, now)
            .push(") AS counted GROUP BY bin, kind, took ORDER BY bin LIMIT ")
            .bind(SUMS_MAX);
        let mut sums = Vec::new();
        for row in tx.all(stmt).await? {
            sums.push(Sum {
                at: row.time("bin")?,
                kind: row.word("kind", Kind::parse)?,
                bucket: row.int("took")?,
                amount: row.int("amount")?,
            });
        }
        Ok(Flow::new(range, now, &sums))
    }

    /// What was counted of a business in the last full minute.
    pub async fn flow_of_last_minute(&self, business: &str) -> Result<Tally, Error> {
        let minute = Step::Minute
            .floor(self.clock.now())
            .minus(Step::Minute.length());
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT kind, CAST(SUM(amount) AS bigint) AS amount FROM (SELECT c.kind, c.amount \
             FROM flow_counts c WHERE c.business_id = ",
        )
        .bind(business)
        .push(" AND c.step_seconds = ")
        .bind(Step::Minute.seconds())
        .push(" AND c.at = ")
        .bind(minute)
        .push(
            " UNION ALL SELECT unfolded.kind, unfolded.amount FROM (SELECT u.kind, u.amount \
             FROM flow_increments u WHERE u.business_id = ",
        )
        .bind(business)
        .push(" AND u.at = ")
        .bind(minute)
        .push(" LIMIT ")
        .bind(UNFOLDED_READ)
        .push(") AS unfolded) AS counted GROUP BY kind");
        let mut tally = Tally::default();
        for row in tx.all(stmt).await? {
            tally.add(&Sum {
                at: minute,
                kind: row.word("kind", Kind::parse)?,
                bucket: 0,
                amount: row.int("amount")?,
            });
        }
        Ok(tally)
    }
}

/// The beginning of the bin of the chart in which `at` is: so much less comes out of the database.
fn bin(stmt: Stmt, range: Range, now: Timestamp, dialect: Dialect) -> Stmt {
    let (length, _) = range.bins();
    let from = range.from(now);
    match dialect {
        Dialect::Sqlite => stmt
            .push("at - (at - ")
            .bind(from)
            .push(") % ")
            .bind(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        Dialect::Postgres => stmt
            .push("date_bin(make_interval(secs => ")
            .bind(i64::try_from(length.as_secs()).unwrap_or(i64::MAX))
            .push("), at, ")
            .bind(from)
            .push(")"),
    }
}

pub(super) fn folded(stmt: Stmt, business: &str, range: Range, now: Timestamp) -> Stmt {
    stmt.push("c.business_id = ")
        .bind(business)
        .push(" AND c.step_seconds = ")
        .bind(range.step().seconds())
        .push(" AND c.at >= ")
        .bind(range.from(now))
}

/// Of minutes: a bin has whole ones.
pub(super) fn unfolded(stmt: Stmt, business: &str, range: Range, now: Timestamp) -> Stmt {
    stmt.push(
        "(SELECT u.at, u.kind, u.method, u.subject, u.bucket, u.amount FROM flow_increments u \
               WHERE u.business_id = ",
    )
    .bind(business)
    .push(" AND u.at >= ")
    .bind(range.from(now))
    .push(" ORDER BY u.at DESC LIMIT ")
    .bind(UNFOLDED_READ)
    .push(") AS unfolded")
}

/// Counts folded in one transaction: some milliseconds' work.
const FOLDED_MAX: i64 = 2_000;
/// Sums of minutes or hours deleted in one transaction.
const PRUNED_MAX: i64 = 1_000;

type Folded = BTreeMap<(Step, Timestamp, Key), i64>;

impl Store {
    /// Adds some of the counts to the sums, and takes them away, in one transaction. Any number of
    /// processes may do so at once. Returns whether there may be more.
    pub async fn fold_flow(&self) -> Result<bool, Error> {
        self.fold_flow_since(Timestamp::from_millis(0)).await
    }

    /// The same of what was recorded from then on. It does not go through what was folded before: where
    /// a snapshot that somebody holds keeps PostgreSQL from taking folded rows away, these grow to
    /// millions. What a long transaction commits late is left to [`Store::fold_flow`].
    pub async fn fold_flow_since(&self, since: Timestamp) -> Result<bool, Error> {
        let since = NotificationId::floor(since).uuid();
        {
            let mut tx = self.db.read().await?;
            let any = sql("SELECT id FROM flow_increments WHERE id >= ").bind(since);
            let any = any.push(" ORDER BY id LIMIT 1");
            if tx.optional(any).await?.is_none() {
                return Ok(false);
            }
        }
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "DELETE FROM flow_increments WHERE id IN (SELECT id FROM flow_increments \
             WHERE id >= ",
        )
        .bind(since)
        .push(" ORDER BY id LIMIT ")
        .bind(FOLDED_MAX)
        .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
        .push(") RETURNING business_id, at, kind, method, subject, bucket, amount");
        let taken = tx.all(stmt).await?;
        let mut folded = Folded::new();
        for row in &taken {
            let key = Key {
                business: row.text("business_id")?,
                kind: row.word("kind", Kind::parse)?,
                method: Method::parse(&row.text("method")?).map_or("", Method::as_str),
                subject: row.text("subject")?,
                bucket: row.int("bucket")?,
            };
            let (at, amount) = (row.time("at")?, row.int("amount")?);
            for step in Step::ALL {
                let sum = folded.entry((step, step.floor(at), key.clone()));
                *sum.or_default() += amount;
            }
        }
        if folded.is_empty() {
            return Ok(false);
        }
        tx.execute(add(folded)).await?;
        fault::at(fault::Step::Folding);
        tx.commit().await?;
        Ok(i64::try_from(taken.len()).is_ok_and(|taken| taken >= FOLDED_MAX))
    }

    /// Deletes some of the sums that are older than they are kept. Returns whether there may be more.
    pub async fn prune_flow(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut more = false;
        for step in Step::ALL {
            let Some(kept) = step.kept() else { continue };
            let mut tx = self.db.write().await?;
            let key = "step_seconds, business_id, at, kind, method, subject, bucket";
            let stmt = sql("DELETE FROM flow_counts WHERE (")
                .push(key)
                .push(") IN (SELECT ")
                .push(key)
                .push(" FROM flow_counts WHERE step_seconds = ")
                .bind(step.seconds())
                .push(" AND at < ")
                .bind(now.minus(kept))
                .push(" ORDER BY at LIMIT ")
                .bind(PRUNED_MAX)
                // Several processes prune; none waits for another.
                .push(tx.dialect().lock(" FOR UPDATE SKIP LOCKED"))
                .push(")");
            let pruned = tx.execute(stmt).await?;
            tx.commit().await?;
            more |= i64::try_from(pruned).is_ok_and(|pruned| pruned >= PRUNED_MAX);
        }
        Ok(more)
    }
}

/// In the order of their keys, for every writer, so that two of them cannot wait for each other.
fn add(folded: Folded) -> Stmt {
    let mut rows = Rows::new(&[
        ("step_seconds", Column::Int),
        ("business_id", Column::Text),
        ("at", Column::Time),
        ("kind", Column::Text),
        ("method", Column::Text),
        ("subject", Column::Text),
        ("bucket", Column::Int),
        ("amount", Column::Int),
    ]);
    for ((step, at, key), amount) in folded {
        rows.add([
            step.seconds().into(),
            key.business.into(),
            at.into(),
            Arg::Word(key.kind.as_str()),
            Arg::Word(key.method),
            key.subject.into(),
            key.bucket.into(),
            amount.into(),
        ]);
    }
    sql(
        "INSERT INTO flow_counts (step_seconds, business_id, at, kind, method, subject, bucket, amount) \
         SELECT b.step_seconds, b.business_id, b.at, b.kind, b.method, b.subject, b.bucket, b.amount \
         FROM ",
    )
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (step_seconds, business_id, at, kind, method, subject, bucket) \
         DO UPDATE SET amount = flow_counts.amount + excluded.amount",
    )
}
