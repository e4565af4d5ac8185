//! SIGKILL at any point loses nothing; SIGTERM finishes what was begun.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::child::{Child, Variables};
use super::client::{Client, text};
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both!(
    two_kills_lose_no_message_and_repeat_only_what_was_unrecorded,
    what_was_acknowledged_is_there_after_a_kill_and_can_be_repeated,
    a_told_stop_finishes_what_is_in_flight_and_repeats_nothing,
);

const COUNT: usize = 10_000;
const KILLS: usize = 2;
/// For all messages on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Where the kills fall. The seed is shown when a test fails; this variable gives it back.
fn chance() -> StdRng {
    let seed = std::env::var_os("SENDTRAIL_TEST_SEED").and_then(|seed| seed.into_string().ok());
    let seed = seed.map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("SENDTRAIL_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Two batches of `delivery.batch` and `delivery.concurrency`: what a worker may have sent and not
/// recorded at any moment.
const UNRECORDED_MAX: usize = 2 * 200 + 64;

async fn two_kills_lose_no_message_and_repeat_only_what_was_unrecorded(db: &TestDb) {
    let mut chance = chance();
    let enqueued = fill(db, COUNT).await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = Variables::of(db).through(&sink);

    let ranges: [_; KILLS] = [1..COUNT / 3, COUNT / 2..COUNT * 4 / 5];
    let mut unrecorded = BTreeSet::new();
    for range in ranges {
        let child = Child::serve(&variables, "worker");
        sink.until(chance.random_range(range), TIMEOUT).await;
        child.kill();
        sink.alone().await;
        let mut lost: BTreeSet<String> = sink.ids().difference(&sent(db).await).cloned().collect();
        // Those of the kill before may still wait for their next attempt.
        lost.retain(|id| !unrecorded.contains(id));
        println!("killed at {}: {} unrecorded", sink.count(), lost.len());
        assert!(lost.len() <= UNRECORDED_MAX);
        unrecorded.extend(lost);
    }
    let child = Child::serve(&variables, "worker");
    all_done(db, TIMEOUT).await;
    child.stop();

    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert_eq!(sent(db).await, enqueued);
    assert!(sink.ids() == enqueued, "some were lost or invented");
    let repeated = sink.repeated();
    assert!(repeated.is_subset(&unrecorded), "repeated without need");
    let unknown = unknown(db).await;
    assert!(
        unrecorded.is_subset(&unknown),
        "an attempt is not on record"
    );
    let most = sink.seen().values().map(Vec::len).max();
    assert!(most <= Some(1 + KILLS), "more often than it was killed");
}

async fn what_was_acknowledged_is_there_after_a_kill_and_can_be_repeated(db: &TestDb) {
    let variables = Variables::of(db);
    let mut child = Child::serve(&variables, "api");
    let client = Client::with_new_key(child.address(), &db.store).await;
    let acknowledged = Arc::new(watch::Sender::new(BTreeSet::new()));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            tokio::spawn(call_until_cut(
                caller,
                client.clone(),
                Arc::clone(&acknowledged),
            ))
        })
        .collect();
    let most = chance().random_range(20 * BATCH..80 * BATCH);
    let mut changes = acknowledged.subscribe();
    let enough = changes.wait_for(|ids| ids.len() >= most);
    tokio::time::timeout(TIMEOUT, enough)
        .await
        .unwrap()
        .unwrap();
    child.kill();
    let mut cut = Vec::new();
    for caller in callers {
        cut.push(caller.await.unwrap());
    }

    let there = db.texts("SELECT CAST(id AS TEXT) FROM contact_log").await;
    let there: BTreeSet<String> = there.into_iter().collect();
    let acknowledged = acknowledged.borrow().clone();
    println!("{} acknowledged, {} there", acknowledged.len(), there.len());
    assert!(acknowledged.is_subset(&there), "acknowledged and lost");
    for table in ["jobs", "message_content"] {
        assert_eq!(db.count(table).await, there.len(), "{table}");
    }
    // Who got no answer asks again with the same keys; whatever had become of it, it is there once.
    let mut child = Child::serve(&variables, "api");
    let client = Client::new(child.address(), client.key());
    for batch in &cut {
        let (status, answer) = client.post("/v1/notifications", batch).await;
        assert!(matches!(status, 200 | 202), "{status} {answer}");
    }
    let sizes = "SELECT DISTINCT CAST(COUNT(*) AS TEXT) FROM contact_log GROUP BY type";
    assert_eq!(
        db.texts(sizes).await,
        [BATCH.to_string()],
        "batches are whole"
    );
    let some = acknowledged.last().unwrap();
    assert_eq!(client.entry(some).await["status"], "Awaiting Send");
    child.stop();
}

const CALLERS: usize = 8;
const BATCH: usize = 20;

/// Enqueues batch after batch; returns the one that got no answer.
pub(super) async fn call_until_cut(
    caller: usize,
    client: Client,
    acknowledged: Arc<watch::Sender<BTreeSet<String>>>,
) -> Value {
    let mut round = 0;
    loop {
        round += 1;
        let notification = |number| {
            json!({"client": "C-1", "method": "email", "to": "ana@example.com",
                "type": format!("Batch {caller}-{round}"), "content": {"subject": "s", "text": "t"},
                "idempotency_key": format!("{caller}-{round}-{number}")})
        };
        let batch: Vec<Value> = (0..BATCH).map(notification).collect();
        let batch = json!({ "notifications": batch });
        let post = reqwest::Method::POST;
        let Ok((202, answer)) = client.ask(post, "/v1/notifications", Some(&batch)).await else {
            return batch;
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let receipts = answer["notifications"].as_array().unwrap().iter();
        let ids: Vec<String> = receipts.map(|receipt| text(&receipt["id"])).collect();
        acknowledged.send_modify(|all| all.extend(ids));
    }
}

async fn a_told_stop_finishes_what_is_in_flight_and_repeats_nothing(db: &TestDb) {
    const COUNT: usize = 1_500;
    let enqueued = fill(db, COUNT).await;
    // Slow enough that every sender is in the middle of something.
    let sink = Sink::start(Duration::from_millis(20)).await;
    let variables = Variables::of(db).through(&sink);

    let mut child = Child::serve(&variables, "worker");
    sink.until(COUNT / 5, TIMEOUT).await;
    child.tell_to_stop();
    let status = child.ended(Duration::from_secs(10));
    assert!(status.success(), "{status}\n{}", child.log());
    sink.alone().await;
    assert_eq!(sent(db).await, sink.ids());
    assert!(sink.count() < COUNT, "stopped in the middle");
    assert_eq!(db.count("claims").await, 0);
    assert_eq!(db.count("jobs").await, COUNT - sink.count());

    let child = Child::serve(&variables, "worker");
    all_done(db, TIMEOUT).await;
    child.stop();
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert!(sink.ids() == enqueued && sink.count() == COUNT);
    assert_eq!(unknown(db).await, BTreeSet::new());
}
