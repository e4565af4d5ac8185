//! The crash matrix: the process dies between any two steps of claim, send and record, and of the
//! rescue that follows. Nothing is lost, and whatever may be sent twice is first marked as unknown.

use std::collections::BTreeSet;
use std::time::Duration;

use super::child::{Child, Variables};
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both!(
    before_a_claim_is_committed,
    after_a_claim_is_committed,
    before_the_first_call_of_the_provider,
    before_a_later_call_of_the_provider,
    while_the_provider_thinks,
    after_the_provider_answered_for_the_first_time,
    after_the_provider_answered_later,
    before_outcomes_are_committed,
    after_outcomes_are_committed,
    before_later_outcomes_are_committed,
    after_later_outcomes_are_committed,
    before_a_rescue_is_committed,
    after_a_rescue_is_committed,
    before_a_fold_is_committed,
);

/// More than one claim.
const COUNT: usize = 500;
/// For all messages on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A process that dies when it comes to a step for the nth time.
#[derive(Clone, Copy)]
struct Death(&'static str);

async fn before_a_claim_is_committed(db: &TestDb) {
    let seen = survive(db, &[Death("Claiming:2")]).await;
    assert!(seen.repeated.is_subset(&seen.unknown));
}

async fn after_a_claim_is_committed(db: &TestDb) {
    let seen = survive(db, &[Death("Claimed:1")]).await;
    assert_eq!(seen.repeated, BTreeSet::new(), "nothing had been sent");
    assert!(!seen.unknown.is_empty(), "nobody can know that, though");
}

async fn before_the_first_call_of_the_provider(db: &TestDb) {
    let seen = survive(db, &[Death("Sending:1")]).await;
    assert_eq!(seen.repeated, BTreeSet::new(), "nothing had been sent");
}

async fn before_a_later_call_of_the_provider(db: &TestDb) {
    survive(db, &[Death("Sending:270")]).await;
}

async fn after_the_provider_answered_for_the_first_time(db: &TestDb) {
    let seen = survive(db, &[Death("Answered:1")]).await;
    assert!(!seen.repeated.is_empty(), "one had been sent");
}

async fn after_the_provider_answered_later(db: &TestDb) {
    survive(db, &[Death("Answered:270")]).await;
}

async fn before_outcomes_are_committed(db: &TestDb) {
    let seen = survive(db, &[Death("Recording:1")]).await;
    assert!(!seen.repeated.is_empty(), "some had been sent");
}

async fn after_outcomes_are_committed(db: &TestDb) {
    survive(db, &[Death("Recorded:1")]).await;
}

async fn before_later_outcomes_are_committed(db: &TestDb) {
    survive(db, &[Death("Recording:3")]).await;
}

async fn after_later_outcomes_are_committed(db: &TestDb) {
    survive(db, &[Death("Recorded:3")]).await;
}

async fn before_a_rescue_is_committed(db: &TestDb) {
    survive(db, &[Death("Answered:50"), Death("Rescuing:1")]).await;
}

async fn after_a_rescue_is_committed(db: &TestDb) {
    survive(db, &[Death("Answered:50"), Death("Rescued:1")]).await;
}

/// The first fold comes a moment after the start.
async fn before_a_fold_is_committed(db: &TestDb) {
    survive(db, &[Death("Folding:1")]).await;
    while db.store.fold_flow().await.unwrap() {}
    let sums = "SELECT kind || ' ' || SUM(amount) FROM flow_counts WHERE step_seconds = 86400 \
                AND kind IN ('enqueued', 'sent') GROUP BY kind ORDER BY kind";
    let expected = ["enqueued", "sent"].map(|kind| format!("{kind} {COUNT}"));
    assert_eq!(db.texts(sums).await, expected, "each message once");
}

async fn while_the_provider_thinks(db: &TestDb) {
    let enqueued = fill(db, COUNT).await;
    let sink = Sink::start(Duration::from_millis(300)).await;
    let variables = Variables::of(db).through(&sink);
    let child = Child::serve(&variables, "worker");
    sink.until(10, TIMEOUT).await;
    child.kill();
    finish(db, &sink, &variables, &enqueued, 1).await;
}

/// What was seen of messages that were all sent in the end.
struct Seen {
    repeated: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// Lets one process after the other die, and then one work to the end.
async fn survive(db: &TestDb, deaths: &[Death]) -> Seen {
    let enqueued = fill(db, COUNT).await;
    let sink = Sink::start(Duration::from_millis(1)).await;
    let variables = Variables::of(db).through(&sink);
    for Death(fault) in deaths {
        let mut child = Child::serve(&variables.clone().fault(fault), "worker");
        let status = child.ended(TIMEOUT);
        assert_eq!(status.code(), None, "{fault}: {status}\n{}", child.log());
    }
    finish(db, &sink, &variables, &enqueued, deaths.len()).await
}

async fn finish(
    db: &TestDb,
    sink: &Sink,
    variables: &Variables,
    enqueued: &BTreeSet<String>,
    deaths: usize,
) -> Seen {
    sink.alone().await;
    let child = Child::serve(variables, "worker");
    all_done(db, TIMEOUT).await;
    child.stop();
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert_eq!(sent(db).await, *enqueued);
    assert!(sink.ids() == *enqueued, "some were lost or invented");
    let (repeated, unknown) = (sink.repeated(), unknown(db).await);
    assert!(repeated.is_subset(&unknown), "repeated and not marked");
    let most = sink.seen().values().map(Vec::len).max();
    assert!(most <= Some(1 + deaths), "more often than a process died");
    Seen { repeated, unknown }
}
