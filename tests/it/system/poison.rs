//! A row that the database does not take: it alone waits, and everything else goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::child::Variables;
use super::program::Program;
use super::queue::{all_done, enqueue, fill, sent, unknown};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both! {
    an_outcome_that_cannot_be_written_holds_up_no_other,
    a_claim_that_cannot_be_taken_up_holds_up_no_other,
}

const COUNT: usize = 300;
const TIMEOUT: Duration = Duration::from_mins(2);

/// The database refuses attempts of this notification with one of these outcomes.
async fn refuse(db: &TestDb, id: &str, outcomes: &str) {
    db.execute(&if db.is_postgres() {
        format!(
            "ALTER TABLE delivery_attempts ADD CONSTRAINT poison \
             CHECK (notification_id <> '{id}' OR outcome NOT IN ({outcomes}))"
        )
    } else {
        format!(
            "CREATE TRIGGER poison BEFORE INSERT ON delivery_attempts \
             WHEN NEW.notification_id = '{id}' AND NEW.outcome IN ({outcomes}) \
             BEGIN SELECT RAISE(ABORT, 'poison'); END"
        )
    })
    .await;
}

async fn allow(db: &TestDb) {
    let statement = if db.is_postgres() {
        "ALTER TABLE delivery_attempts DROP CONSTRAINT poison"
    } else {
        "DROP TRIGGER poison"
    };
    db.execute(statement).await;
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !reached().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn an_outcome_that_cannot_be_written_holds_up_no_other(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let mut enqueued = fill(db, COUNT).await;
    let poison = enqueued.iter().nth(COUNT / 2).unwrap().clone();
    refuse(db, &poison, "'accepted'").await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("DELIVERY__UNKNOWN_GRACE_MS", "60000");
    let program = Program::start(&variables).await;
    until("the others are sent", async || {
        sent(db).await.len() == COUNT - 1
    })
    .await;
    enqueued.extend(enqueue(db, 10).await);
    until("and later ones", async || sent(db).await.len() == COUNT + 9).await;
    let poisoned = BTreeSet::from([poison.clone()]);
    until("it is unknown", async || unknown(db).await == poisoned).await;
    assert!(sink.ids() == enqueued && sink.repeated().is_empty());
    assert_eq!(db.count("claims").await, 0);
    // Once the cause is gone, it is sent like any other of unknown outcome.
    allow(db).await;
    db.execute(
        "UPDATE jobs SET due_at = due_at - 60000"
            .replace("60000", span(db))
            .as_str(),
    )
    .await;
    all_done(db, TIMEOUT).await;
    assert!(sent(db).await == enqueued);
    program.stop().await;
}

/// A minute, as the database subtracts it.
fn span(db: &TestDb) -> &'static str {
    if db.is_postgres() {
        "interval '1 minute'"
    } else {
        "60000"
    }
}

async fn a_claim_that_cannot_be_taken_up_holds_up_no_other(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let enqueued = fill(db, COUNT).await;
    let wanted = sendtrail::store::jobs::Wanted {
        worker: "dead",
        provider: "smtp",
        method: sendtrail::domain::method::Method::Email,
        forms: &[sendtrail::domain::form::Form::Plain],
        limit: 10,
        bytes_max: u64::MAX,
        lease: Duration::from_secs(1),
    };
    while db.store.claim(wanted).await.unwrap().is_some() {}
    let poison = enqueued.first().unwrap().clone();
    refuse(db, &poison, "'unknown', 'accepted'").await;
    let program = Program::start(&Variables::of(db).through(&sink)).await;
    until("the others are sent", async || {
        sent(db).await.len() == COUNT - 10
    })
    .await;
    assert_eq!(db.count("claims").await, 1, "that which holds it");
    allow(db).await;
    all_done(db, TIMEOUT).await;
    assert!(sent(db).await == enqueued);
    program.stop().await;
}
