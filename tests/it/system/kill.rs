//! SIGKILL at any point loses nothing; SIGTERM finishes what was begun.

#![expect(
    clippy::print_stdout,
    reason = "where the kills fell, shown when a test fails"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::child::{Child, Variables};
use super::database::{Database, Kind};
use super::sink::Sink;

on_both_databases!(
    two_kills_lose_no_message_and_repeat_only_what_was_unrecorded,
    a_told_stop_finishes_what_is_in_flight_and_repeats_nothing,
);

const COUNT: usize = 10_000;
/// For all messages on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);

async fn two_kills_lose_no_message_and_repeat_only_what_was_unrecorded(kind: Kind) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let database = Database::new(kind).await;
    let enqueued = database.fill(COUNT).await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = Variables::of(&database).to_sink(&sink);

    let mut unrecorded = BTreeSet::new();
    for range in [COUNT / 10..COUNT / 3, COUNT / 2..COUNT * 4 / 5] {
        let child = Child::serve(&variables, "worker");
        sink.until(chance.random_range(range), TIMEOUT).await;
        child.kill();
        sink.alone().await;
        let recorded = database.sent().await;
        unrecorded.extend(sink.ids().difference(&recorded).cloned());
        println!("killed: {} seen, {} recorded", sink.count(), recorded.len());
    }
    let child = Child::serve(&variables, "worker");
    database.all_done(TIMEOUT).await;
    child.stop();

    assert_eq!(database.statuses().await, [format!("Sent {COUNT}")]);
    assert_eq!(database.sent().await, enqueued);
    assert!(sink.ids() == enqueued, "some were lost or invented");
    let repeated = sink.repeated();
    println!(
        "{} unrecorded, {} repeated",
        unrecorded.len(),
        repeated.len()
    );
    assert!(repeated.is_subset(&unrecorded), "repeated without need");
    let unknown = database.unknown().await;
    assert!(
        unrecorded.is_subset(&unknown),
        "an attempt is not on record"
    );
    assert_eq!(sink.count(), COUNT + repeated.len(), "thrice");
}

async fn a_told_stop_finishes_what_is_in_flight_and_repeats_nothing(kind: Kind) {
    const COUNT: usize = 1_500;
    let database = Database::new(kind).await;
    let enqueued = database.fill(COUNT).await;
    // Slow enough that every sender is in the middle of something.
    let sink = Sink::start(Duration::from_millis(20)).await;
    let variables = Variables::of(&database).to_sink(&sink);

    let mut child = Child::serve(&variables, "worker");
    sink.until(COUNT / 5, TIMEOUT).await;
    child.tell_to_stop();
    let status = child.ended(Duration::from_secs(10));
    assert!(status.success(), "{status}\n{}", child.log());
    sink.alone().await;
    assert_eq!(database.sent().await, sink.ids());
    assert!(sink.count() < COUNT, "stopped in the middle");
    let claims = "SELECT CAST(COUNT(*) AS TEXT) FROM claims";
    assert_eq!(database.count(claims).await, 0);
    let jobs = "SELECT CAST(COUNT(*) AS TEXT) FROM jobs";
    assert_eq!(database.count(jobs).await, COUNT - sink.count());

    let child = Child::serve(&variables, "worker");
    database.all_done(TIMEOUT).await;
    child.stop();
    assert_eq!(database.statuses().await, [format!("Sent {COUNT}")]);
    assert!(sink.ids() == enqueued && sink.count() == COUNT);
    assert_eq!(database.unknown().await, BTreeSet::new());
}
