//! Several processes on one PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::child::{Child, Variables};
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::sink::Sink;
use crate::support::db::{TestDb, on_postgres};

const COUNT: usize = 5_000;
/// For all messages on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Slow enough that one worker cannot be done before the other has started.
const DELAY: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_jobs_and_send_each_once() {
    on_postgres(async |db| {
        let enqueued = fill(db, COUNT).await;
        let sink = Sink::start(DELAY).await;
        let workers = two_workers(db, &sink);
        all_done(db, TIMEOUT).await;
        workers.into_iter().for_each(Child::stop);
        assert!(sink.ids() == enqueued && sink.count() == COUNT);
        assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
        assert_eq!(unknown(db).await.len(), 0);
        let shares = messages_by_worker(&sink);
        let fair = shares.values().all(|share| *share > COUNT / 10);
        assert!(shares.len() == 2 && fair, "{shares:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_workers_is_killed_the_other_sends_the_rest() {
    on_postgres(async |db| {
        let enqueued = fill(db, COUNT).await;
        let sink = Sink::start(DELAY).await;
        let [first, second] = two_workers(db, &sink);
        sink.until(COUNT / 4, TIMEOUT).await;
        first.kill();
        all_done(db, TIMEOUT).await;
        second.stop();
        assert!(sink.ids() == enqueued, "some were lost or invented");
        assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
        let unknown = unknown(db).await;
        assert!(sink.repeated().is_subset(&unknown), "repeated without need");
        assert_eq!(messages_by_worker(&sink).len(), 2);
    })
    .await;
}

/// Few enough that one worker holds them all, sent slowly enough that it is suspended with most of
/// them unsent.
const HELD: usize = 300;
const CONNECTIONS: usize = 8;
const SLOW: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_suspended_sends_nothing_that_its_successor_sent() {
    on_postgres(async |db| {
        let enqueued = fill(db, HELD).await;
        let sink = Sink::start(SLOW).await;
        let variables = Variables::of(db)
            .through(&sink)
            .with("SMTP__MAX_CONNECTIONS", &CONNECTIONS.to_string())
            .with("DELIVERY__CONCURRENCY", &CONNECTIONS.to_string());
        let first = Child::serve(&variables, "worker");
        sink.until(2 * CONNECTIONS, TIMEOUT).await;
        first.suspend();
        let recorded = sent(db).await;
        let unrecorded: BTreeSet<String> = sink.ids().difference(&recorded).cloned().collect();
        let second = Child::serve(&variables, "worker");
        all_done(db, TIMEOUT).await;
        assert!(sink.ids() == enqueued);
        first.go_on();
        // What it held comes before what it claims now.
        second.stop();
        let later = fill(db, 1).await;
        all_done(db, TIMEOUT).await;
        assert!(fenced(&first) > 0 && sink.ids().is_superset(&later));
        first.stop();
        let repeated = sink.repeated();
        assert!(repeated.is_subset(&unrecorded), "{}", repeated.len());
        assert_eq!(statuses(db).await, [format!("Sent {}", HELD + later.len())]);
    })
    .await;
}

/// Outcomes that the worker could not record because its claim had been taken over.
fn fenced(worker: &Child) -> usize {
    let log = worker.log();
    let lines = log.lines();
    let counts = lines.filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        usize::try_from(line.get("fenced")?.as_u64()?).ok()
    });
    counts.sum()
}

/// Both are up; the sink tells them apart by their names.
fn two_workers(db: &TestDb, sink: &Sink) -> [Child; 2] {
    let variables = Variables::of(db).through(sink);
    let mut workers = ["one.example", "two.example"].map(|name| {
        let variables = variables.clone().with("SMTP__HELLO_NAME", name);
        Child::serve(&variables, "worker")
    });
    for worker in &mut workers {
        worker.address();
    }
    workers
}

fn messages_by_worker(sink: &Sink) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for worker in sink.seen().into_values().flatten() {
        *counts.entry(worker).or_default() += 1;
    }
    counts
}
