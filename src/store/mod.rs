//! The store: businesses, clients, the contact log with its facts, jobs, the ledger, the inbox.
//! The only folder that names sqlx. Every query is written once for both databases; every write
//! verb takes a batch.

pub mod alarms;
pub mod backup;
pub mod bars;
pub mod brakes;
pub mod browse;
pub mod buried;
pub mod businesses;
pub mod by_hand;
pub mod cause_actions;
pub mod cause_entries;
pub mod cause_past;
mod causes;
pub mod changes;
pub mod choices;
pub mod claims;
pub mod clients;
pub mod columns;
pub mod condition;
pub mod counts;
mod db;
pub mod depths;
pub mod enqueue;
mod entries;
mod erased;
mod erased_entries;
mod erased_traces;
pub mod erasures;
mod error;
pub mod exports;
mod fact_parts;
mod facts;
pub mod failures;
pub mod feedback;
mod files;
mod filter;
pub mod find;
pub mod flow;
mod forgotten;
mod frozen;
mod group;
pub mod held;
pub mod hindrance;
pub mod history;
pub mod inbound;
pub mod inbox;
pub mod jobs;
pub mod keys;
mod lessons;
pub mod matters;
mod migrate;
pub mod old_causes;
pub mod opt_outs;
mod owners;
mod pg_json;
mod pg_time;
pub mod providers;
pub mod pruning;
pub mod receipts;
pub mod record;
pub mod reports;
pub mod resend_runs;
pub mod retention;
mod row;
mod secrets;
pub mod shares;
mod sight;
pub mod sign_ins;
mod soft_bounces;
pub mod staff;
pub mod staff_events;
mod staff_identities;
pub mod staff_sessions;
mod stmt;
pub mod story;
pub mod suppressions;
pub mod tags;
pub mod tasks;
pub mod templates;
pub mod tracking;
mod turns;
pub mod unmatched;
pub mod verify;
pub mod watch;
pub mod webhook_queue;
pub mod webhooks;

use std::future::Future;
use std::sync::Arc;

use sqlx::postgres::PgListener;

pub use error::Error;

use crate::clock::Clock;
use db::{Db, Pools, Tx};
use enqueue::{Enqueue, Enqueued};
use feedback::{Incoming, Kept};
use group::{Gather, Group};
use stmt::{Dialect, sql};
use turns::Turns;
use watch::Watcher;

/// An open database. Cheap to clone; clones share their connections and their group commits.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    clock: Clock,
    enqueues: Group<Enqueue, Enqueued>,
    feedback: Group<Incoming, Kept>,
    turns: Turns,
}

/// Rows of one gathered enqueue commit: more gain nothing (design: 500 to 1,000).
const ENQUEUE_BATCH_MAX: usize = 1_000;
/// Feedback messages of one gathered commit.
const FEEDBACK_BATCH_MAX: usize = 500;
/// Times that a batch is repeated when another writer was faster.
const RACES_MAX: usize = 10;

/// The channel on which PostgreSQL tells the workers that there is something to do.
const WAKE_CHANNEL: &str = "sendtrail_jobs";
/// And on which it tells them that an operator paused or resumed a provider.
const PROVIDERS_CHANNEL: &str = "sendtrail_providers";

impl Store {
    /// The file of a database, where it is one.
    pub fn sqlite_file(url: &str) -> Option<&str> {
        db::sqlite_file(url)
    }

    /// Opens the database; does not touch its schema (see [`Store::migrate`]).
    pub async fn open(url: &str, connections_max: u32, clock: Clock) -> Result<Self, Error> {
        let db = Db::open(url, connections_max).await?;
        let committers = match &db.pools {
            Pools::Sqlite { .. } => 1,
            Pools::Postgres { .. } => 2,
        };
        let a = (db.for_commits(), clock.clone());
        let b = a.clone();
        let enqueues = Group::start(
            Gather {
                weight: Enqueue::weight,
                weight_max: ENQUEUE_BATCH_MAX,
                committers,
            },
            move |batch: Arc<[Enqueue]>| {
                let (db, clock) = a.clone();
                async move { again(|| enqueue::commit(&db, &clock, &batch)).await }
            },
        );
        let feedback = Group::start(
            Gather {
                weight: Incoming::weight,
                weight_max: FEEDBACK_BATCH_MAX,
                committers,
            },
            move |batch: Arc<[Incoming]>| {
                let (db, clock) = b.clone();
                async move { again(|| feedback::commit(&db, &clock, &batch)).await }
            },
        );
        Ok(Self {
            db,
            clock,
            enqueues,
            feedback,
            turns: Turns::default(),
        })
    }

    /// Has what becomes of notifications told as it is committed. Of several watchers the first stays.
    pub fn watch(&self, watcher: Watcher) {
        self.db.watch.begin(watcher);
    }

    /// Brings the schema up to date. Safe to run from several processes at once.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate::run(&self.db).await
    }

    /// The database answers and its schema is this program's, or a newer one that it can work with.
    pub async fn ready(&self) -> Result<(), Error> {
        migrate::check(&self.db).await
    }

    /// The same for a program that runs: a newer program may have brought the schema on meanwhile, and
    /// for the time of one deploy the old one works on it (docs/running.md).
    pub async fn still_ready(&self) -> Result<(), Error> {
        migrate::check_at_least(&self.db).await
    }

    /// A newer program brought the schema on, and this one can work with it.
    pub async fn is_of_a_newer_program(&self) -> Result<bool, Error> {
        migrate::is_newer_and_fit(&self.db).await
    }

    /// Enqueues the notifications of one request: all or none of them. Concurrent calls share a
    /// commit.
    pub async fn enqueue(&self, request: Enqueue) -> Result<Enqueued, Error> {
        self.enqueues.submit(request.tidied()).await
    }

    /// Keeps one verified feedback message and applies what it says. Concurrent calls share a
    /// commit.
    pub async fn keep_feedback(&self, message: Incoming) -> Result<Kept, Error> {
        self.feedback.submit(message.tidied()).await
    }

    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Listens for work enqueued and orders given by other processes; `None` on SQLite, which has only
    /// one process.
    pub async fn listen(&self) -> Result<Option<Wakes>, Error> {
        match &self.db.pools {
            Pools::Sqlite { .. } => Ok(None),
            Pools::Postgres { pool, .. } => {
                let mut listener = PgListener::connect_with(pool).await?;
                let channels = [WAKE_CHANNEL, PROVIDERS_CHANNEL];
                listener.listen_all(channels).await?;
                Ok(Some(Wakes(listener)))
            }
        }
    }
}

/// Tells the other processes when the transaction commits. SQLite has only one, which looks by itself.
async fn notify(tx: &mut Tx, channel: &'static str) -> Result<(), Error> {
    if tx.dialect() == Dialect::Postgres {
        let stmt = sql("SELECT pg_notify(").bind(channel).push(", '')");
        tx.execute(stmt).await?;
    }
    Ok(())
}

/// Notices from other processes.
#[derive(Debug)]
pub struct Wakes(PgListener);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be work.
    Jobs,
    /// A provider may have been paused or resumed.
    Providers,
}

impl Wakes {
    /// Waits for the next notice. After an error the caller listens anew.
    pub async fn next(&mut self) -> Result<Wake, Error> {
        let notice = self.0.recv().await?;
        Ok(match notice.channel() {
            PROVIDERS_CHANNEL => Wake::Providers,
            _jobs => Wake::Jobs,
        })
    }
}

/// Repeats a whole transaction while another writer was faster.
async fn again<R, Fut>(mut run: impl FnMut() -> Fut) -> Result<R, Error>
where
    Fut: Future<Output = Result<R, Error>>,
{
    let mut races = 0;
    loop {
        match run().await {
            Err(Error::Raced) if races < RACES_MAX => races += 1,
            result => return result,
        }
    }
}
