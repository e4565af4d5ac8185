//! The database goes away for some seconds while messages are being sent.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::child::Variables;
use super::client::Client;
use super::program::Program;
use super::proxy::{Proxy, State};
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::signed::{TOPIC, envelope, open_of, trust};
use super::sink::Sink;
use crate::support::db::{TestDb, both, on_postgres};

const COUNT: usize = 2_000;
const TIMEOUT: Duration = Duration::from_mins(2);
/// Long enough that the outage finds every sender busy.
const DELAY: Duration = Duration::from_millis(5);
/// Within which Amazon SNS wants its answer.
const SNS_PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_are_recorded_after_an_outage_and_callers_are_told_of_it() {
    on_postgres(async |db| told_of_it(db, State::Down).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_is_as_good_as_gone() {
    on_postgres(async |db| told_of_it(db, State::Silent).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_the_lease_repeats_nothing() {
    on_postgres(longer_than_the_lease).await;
}

both!(a_claim_whose_commit_was_answered_to_nobody_runs_out);

/// By way of the proxy, with a lease that the outage outlasts.
fn variables(db: &TestDb, proxy: &Proxy, sink: &Sink) -> Variables {
    Variables::of(db)
        .through(sink)
        .with("DATABASE__URL", &proxy.url(db))
        .with("DELIVERY__LEASE_SECONDS", "2")
        .with("DELIVERY__UNKNOWN_GRACE_MS", "4000")
        .with("FEEDBACK__SNS__TOPICS", TOPIC)
}

async fn told_of_it(db: &TestDb, outage: State) {
    let (proxy, sink) = (Proxy::start(db), Sink::start(DELAY).await);
    let enqueued = fill(db, COUNT).await;
    let program = Program::start_with(&variables(db, &proxy, &sink), trust()).await;
    let client = &program.client;
    sink.until(COUNT / 5, TIMEOUT).await;
    proxy.become_now(outage).await;
    let opened = enqueued.first().unwrap();
    let feedback = envelope(&open_of(opened)).to_string();
    while_it_is_down(client, &feedback).await;
    let before = sent(db).await.len();
    assert!(before < sink.count(), "nothing was sent meanwhile");
    proxy.become_now(State::Up).await;

    each_is_sent_once(db, &sink, &enqueued).await;
    // SNS and the application try again, and now it works.
    assert_eq!(client.post_feedback(feedback).await.0, 200);
    assert_eq!(client.entry(opened).await["status"], "Opened");
    let (status, _) = client.post("/v1/notifications", &email()).await;
    assert_eq!(status, 202);
    assert_eq!(client.get("/readyz").await.0, 200);
    sink.until(COUNT + 1, TIMEOUT).await;
    program.stop().await;
}

async fn each_is_sent_once(db: &TestDb, sink: &Sink, enqueued: &BTreeSet<String>) {
    all_done(db, TIMEOUT).await;
    assert!(sink.ids() == *enqueued, "some were lost or invented");
    assert_eq!(sink.count(), enqueued.len(), "sent again without need");
    assert_eq!(statuses(db).await, [format!("Sent {}", enqueued.len())]);
}

fn email() -> serde_json::Value {
    json!({"client": "C-1", "method": "email", "to": "ana@example.com", "type": "Offer",
        "content": {"subject": "Offer", "text": "Offer"}})
}

/// Everybody gets an answer, in time, and the right one.
async fn while_it_is_down(client: &Client, feedback: &str) {
    let started = Instant::now();
    let email = email();
    let (enqueued, told, ready, alive, metrics) = tokio::join!(
        client.post("/v1/notifications", &email),
        client.post_feedback(feedback.to_owned()),
        client.get("/readyz"),
        client.get("/healthz"),
        client.get("/metrics"),
    );
    assert!(started.elapsed() < SNS_PATIENCE, "{:?}", started.elapsed());
    assert_eq!(enqueued.0, 503);
    assert_eq!(enqueued.1["status"], 503, "a problem document");
    assert_eq!((told.0, ready.0, alive.0, metrics.0), (503, 503, 200, 200));
    assert!(
        metrics.1.contains("\nsendtrail_database_up 0\n"),
        "{}",
        metrics.1
    );
    assert!(
        metrics.1.contains("\nsendtrail_sends_total"),
        "{}",
        metrics.1
    );
}

async fn longer_than_the_lease(db: &TestDb) {
    let (proxy, sink) = (Proxy::start(db), Sink::start(DELAY).await);
    let enqueued = fill(db, COUNT).await;
    let variables = variables(db, &proxy, &sink).with("DELIVERY__LEASE_SECONDS", "1");
    let program = Program::start(&variables).await;
    sink.until(COUNT / 5, TIMEOUT).await;
    proxy.become_now(State::Down).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.become_now(State::Up).await;
    each_is_sent_once(db, &sink, &enqueued).await;
    program.stop().await;
}

/// The worker lives and has never heard of the claim that bears its name.
async fn a_claim_whose_commit_was_answered_to_nobody_runs_out(db: &TestDb) {
    let sink = Sink::start(DELAY).await;
    let enqueued = fill(db, COUNT).await;
    let program = Program::start(&Variables::of(db).through(&sink)).await;
    sink.until(COUNT / 10, TIMEOUT).await;
    // As such a claim would: it takes the last job and bears the name of the worker.
    let last = enqueued.last().unwrap();
    db.execute(&format!(
        "DELETE FROM jobs WHERE id = '{last}';
         INSERT INTO claims (id, worker, provider, claimed_at, beats, lease_ms, jobs)
         SELECT '00000000-0000-7000-8000-000000000000', worker, provider, claimed_at, 0, lease_ms,
             '[[\"{last}\", \"email\", 1, 0, 0]]'
         FROM claims LIMIT 1"
    ))
    .await;
    assert!(
        db.count("claims").await > 0,
        "the worker was done too early"
    );
    each_is_sent_once(db, &sink, &enqueued).await;
    assert_eq!(unknown(db).await, BTreeSet::from([last.clone()]));
    program.stop().await;
}
