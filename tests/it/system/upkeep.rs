//! What a running program tells its operators, and what it deletes by itself.

use std::time::Duration;

use sendtrail::clock::Clock;
use tokio::time::Instant;

use super::child::{Child, Variables};
use super::client::Client;
use super::program::Program;
use super::queue::fill;
use crate::support::db::{TestDb, both};

both! {
    a_worker_deletes_old_feedback_and_keeps_the_rest,
    the_metrics_tell_what_waits_in_each_lane,
}

const TIMEOUT: Duration = Duration::from_secs(30);
/// More than are deleted at a time.
const OLD: usize = 2_500;

async fn a_worker_deletes_old_feedback_and_keeps_the_rest(db: &TestDb) {
    let (old, new) = (
        "2020-01-01T00:00:00.000Z",
        Clock::system().now().to_string(),
    );
    for (name, count, at) in [("old", OLD, old), ("new", 3, &new)] {
        let at = if db.is_postgres() {
            format!("timestamptz '{at}'")
        } else {
            format!("unixepoch('{at}') * 1000")
        };
        db.execute(&format!(
            "INSERT INTO feedback_inbox (source, message_id, topic, received_at, kind, body) \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT 'sns', '{name} ' || i, 'topic', {at}, 'Delivery', '{{}}' FROM n"
        ))
        .await;
    }
    let variables = Variables::of(db).sandbox();
    let program = Program::start(&variables.with("FEEDBACK__KEEP_MESSAGES_DAYS", "1")).await;
    let started = Instant::now();
    while db.count("feedback_inbox").await > 3 {
        assert!(started.elapsed() < TIMEOUT, "some old ones are still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    program.stop().await;
    let left = db
        .texts("SELECT message_id FROM feedback_inbox ORDER BY 1")
        .await;
    assert_eq!(left, ["new 1", "new 2", "new 3"]);
}

async fn the_metrics_tell_what_waits_in_each_lane(db: &TestDb) {
    fill(db, 1_234).await;
    let mut child = Child::serve(&Variables::of(db), "api");
    let client = Client::new(child.address(), "none");
    for (series, expected) in [
        (
            "sendtrail_queue_depth{method=\"email\",lane=\"normal\"}",
            1_234.0,
        ),
        ("sendtrail_queue_depth{method=\"email\",lane=\"high\"}", 0.0),
        ("sendtrail_queue_depth{method=\"sms\",lane=\"normal\"}", 0.0),
        ("sendtrail_feedback_unmatched", 0.0),
        ("sendtrail_database_up", 1.0),
    ] {
        assert_eq!(client.metric(series).await, Some(expected), "{series}");
    }
    let age = "sendtrail_queue_age_seconds{method=\"email\",lane=\"normal\"}";
    assert!(client.metric(age).await.is_some_and(|age| age < 600.0));
    child.stop();
}
