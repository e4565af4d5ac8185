//! The database goes away for some seconds while messages are being sent.

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
use crate::support::db::{TestDb, on_postgres};

const COUNT: usize = 2_000;
const TIMEOUT: Duration = Duration::from_mins(2);
/// Within which Amazon SNS wants its answer.
const SNS_PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_are_recorded_after_an_outage_and_callers_are_told_of_it() {
    on_postgres(async |db| outage_within_the_lease(db, State::Down).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_is_as_good_as_gone() {
    on_postgres(async |db| outage_within_the_lease(db, State::Silent).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_the_lease_repeats_nothing() {
    on_postgres(outage_beyond_the_lease).await;
}

async fn outage_within_the_lease(db: &TestDb, outage: State) {
    let (proxy, sink) = (
        Proxy::start(db).await,
        Sink::start(Duration::from_millis(5)).await,
    );
    let enqueued = fill(db, COUNT).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("DATABASE__URL", &proxy.url(db))
        .with("DELIVERY__LEASE_SECONDS", "60")
        .with("FEEDBACK__SNS__TOPICS", TOPIC);
    let program = Program::start_with(&variables, trust()).await;
    let client = &program.client;
    sink.until(COUNT / 5, TIMEOUT).await;
    proxy.become_now(outage);
    let opened = enqueued.first().unwrap();
    let feedback = envelope(&open_of(opened)).to_string();
    while_it_is_down(client, &feedback).await;
    let before = sent(db).await.len();
    proxy.become_now(State::Up);

    all_done(db, TIMEOUT).await;
    assert!(
        before < sink.ids().len(),
        "what was sent meanwhile is recorded now"
    );
    assert!(sink.ids() == enqueued && sink.count() == COUNT);
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert_eq!(unknown(db).await.len(), 0);
    // SNS and the application try again, and now it works.
    assert_eq!(client.post_feedback(feedback).await.0, 200);
    assert_eq!(client.entry(opened).await["status"], "Opened");
    let (status, _) = client.post("/v1/notifications", &email()).await;
    assert_eq!(status, 202);
    assert_eq!(client.get("/readyz").await.0, 200);
    sink.until(COUNT + 1, TIMEOUT).await;
    program.stop().await;
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
    assert_eq!(
        (enqueued.0, enqueued.1["status"].as_u64()),
        (503, Some(503))
    );
    assert_eq!((told.0, ready.0, alive.0, metrics.0), (503, 503, 200, 503));
}

async fn outage_beyond_the_lease(db: &TestDb) {
    let (proxy, sink) = (
        Proxy::start(db).await,
        Sink::start(Duration::from_millis(5)).await,
    );
    let enqueued = fill(db, COUNT).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("DATABASE__URL", &proxy.url(db))
        .with("DELIVERY__LEASE_SECONDS", "1")
        .with("DELIVERY__UNKNOWN_GRACE_MS", "4000");
    let program = Program::start(&variables).await;
    sink.until(COUNT / 5, TIMEOUT).await;
    proxy.become_now(State::Down);
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.become_now(State::Up);
    all_done(db, TIMEOUT).await;
    assert!(sink.ids() == enqueued, "some were lost or invented");
    assert_eq!(sink.count(), COUNT, "sent again without need");
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    program.stop().await;
}
