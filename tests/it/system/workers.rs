//! Several processes on one PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use super::child::{Child, Variables};
use super::database::{Database, Kind};
use super::sink::Sink;

const COUNT: usize = 5_000;
const TIMEOUT: Duration = Duration::from_mins(2);

/// Two workers with names by which the sink tells them apart.
fn two_workers(database: &Database, sink: &Sink) -> [Child; 2] {
    let variables = Variables::of(database).to_sink(sink);
    ["one.example", "two.example"].map(|name| {
        let variables = variables.clone().with("SMTP__HELLO_NAME", name);
        Child::serve(&variables, "worker")
    })
}

fn messages_by_worker(sink: &Sink) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for worker in sink.seen().into_values().flatten() {
        *counts.entry(worker).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_jobs_and_send_each_once() {
    let database = Database::new(Kind::Postgres).await;
    let enqueued = database.fill(COUNT).await;
    let sink = Sink::start(Duration::from_millis(5)).await;
    let workers = two_workers(&database, &sink);
    database.all_done(TIMEOUT).await;
    workers.into_iter().for_each(Child::stop);
    assert!(sink.ids() == enqueued && sink.count() == COUNT);
    assert_eq!(database.statuses().await, [format!("Sent {COUNT}")]);
    assert_eq!(database.unknown().await.len(), 0);
    let shares = messages_by_worker(&sink);
    assert!(
        shares.len() == 2 && shares.values().all(|share| *share > COUNT / 10),
        "{shares:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_workers_is_killed_the_other_sends_the_rest() {
    let database = Database::new(Kind::Postgres).await;
    let enqueued = database.fill(COUNT).await;
    let sink = Sink::start(Duration::from_millis(5)).await;
    let [mut first, second] = two_workers(&database, &sink);
    first.address();
    sink.until(COUNT / 4, TIMEOUT).await;
    first.kill();
    database.all_done(TIMEOUT).await;
    second.stop();
    assert!(sink.ids() == enqueued, "some were lost or invented");
    assert_eq!(database.statuses().await, [format!("Sent {COUNT}")]);
    let unknown = database.unknown().await;
    assert!(sink.repeated().is_subset(&unknown), "repeated without need");
    let shares = messages_by_worker(&sink);
    assert_eq!(shares.len(), 2, "{shares:?}");
}
