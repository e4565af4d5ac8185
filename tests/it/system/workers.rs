//! Several processes on one PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use super::child::{Child, Variables};
use super::queue::{all_done, fill, statuses, unknown};
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
