//! Old feedback goes, a bounded number at a time; what was made of it stays.

use std::time::Duration;

use sendtrail::store::retention::Retention;

use super::feedback::facts;
use super::make::{email, enqueued, happening, incoming, opened, send_one};
use crate::support::db::{TestDb, both};

both! {
    old_feedback_goes_in_batches_and_the_ledger_stays,
    what_is_kept_for_ever_is_never_deleted,
}

const DAY: Duration = Duration::from_hours(24);
/// Deleted at a time.
const BATCH: usize = 1_000;

/// Copies of the one message and of the one event that are there, under other names.
async fn multiply(db: &TestDb, count: usize) {
    let key = if db.is_postgres() {
        "(lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000')::uuid"
    } else {
        "printf('%08x', i) || '-0000-4000-8000-000000000000'"
    };
    let numbers = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    );
    db.execute(&format!(
        "INSERT INTO feedback_inbox (source, message_id, topic, received_at, kind, body) {numbers} \
         SELECT source, 'copy ' || i, topic, received_at, kind, body FROM feedback_inbox, n \
         WHERE message_id = 'foreign'"
    ))
    .await;
    db.execute(&format!(
        "INSERT INTO unmatched_events (event_key, kind, occurred_at, recorded_at, source, detail) \
         {numbers} SELECT {key}, kind, occurred_at, recorded_at, source, detail \
         FROM unmatched_events, n"
    ))
    .await;
}

/// One message about a notification of ours, one about somebody else's, both received now.
async fn two_messages(db: &TestDb, ours: &str, theirs: &str, key: u128) {
    let (id, now) = (
        enqueued(&db.store, vec![email("C-1")]).await[0],
        db.clock.now(),
    );
    send_one(&db.store, now, ours).await;
    for (name, own, key) in [(ours, Some(id), key), (theirs, None, key + 1)] {
        let event = happening(key, now, opened());
        let mut message = incoming(name, own, Some(name), vec![event]);
        message.received_at = now;
        db.store.keep_feedback(message).await.unwrap();
    }
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
}

async fn old_feedback_goes_in_batches_and_the_ledger_stays(db: &TestDb) {
    two_messages(db, "ours", "foreign", 1_000_000).await;
    multiply(db, 2 * BATCH).await;
    let history = db.rows("SELECT * FROM contact_history").await;
    let ledger = db.rows("SELECT * FROM delivery_events").await;
    let keep = Retention {
        inbox: Some(DAY * 2),
        unmatched: Some(DAY),
    };
    db.pass(DAY);
    two_messages(db, "ours later", "foreign later", 2_000_000).await;
    // Nothing is older than it is kept.
    assert!(!db.store.prune_feedback(keep).await.unwrap());
    assert_eq!(db.count("feedback_inbox").await, 2 * BATCH + 4);
    assert_eq!(db.count("unmatched_events").await, 2 * BATCH + 2);
    db.pass(Duration::from_millis(1));
    for left in [BATCH + 2, 2] {
        assert!(db.store.prune_feedback(keep).await.unwrap());
        assert_eq!(db.count("unmatched_events").await, left);
    }
    assert!(!db.store.prune_feedback(keep).await.unwrap());
    assert_eq!(db.count("unmatched_events").await, 1);
    assert_eq!(db.count("feedback_inbox").await, 2 * BATCH + 4);
    db.pass(DAY);
    while db.store.prune_feedback(keep).await.unwrap() {}
    let left = db
        .texts("SELECT message_id FROM feedback_inbox ORDER BY 1")
        .await;
    assert_eq!(left, ["foreign later", "ours later"]);
    let still = |rows: Vec<Vec<Option<String>>>, before: &[Vec<Option<String>>]| {
        before.iter().all(|row| rows.contains(row))
    };
    assert!(still(
        db.rows("SELECT * FROM delivery_events").await,
        &ledger
    ));
    assert!(still(
        db.rows("SELECT * FROM contact_history").await,
        &history
    ));
}

async fn what_is_kept_for_ever_is_never_deleted(db: &TestDb) {
    two_messages(db, "ours", "foreign", 1).await;
    db.pass(DAY * 36_500);
    let for_ever = Retention::default();
    assert!(!db.store.prune_feedback(for_ever).await.unwrap());
    assert_eq!(db.count("feedback_inbox").await, 2);
    assert_eq!(db.count("unmatched_events").await, 1);
}
