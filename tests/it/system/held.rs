//! What may have gone and is held: listed until a person decides or feedback shows that it went, and
//! never sent again by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::child::{Child, Variables, run};
use super::client::{Client, text};
use super::program::Program;
use super::queue::{all_done, fill, sent, statuses, unknown};
use super::rate::{BySandbox as _, sandbox};
use super::signed::{TOPIC, envelope, open_of, trust};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both!(
    what_is_held_waits_for_a_decision_or_for_feedback,
    the_providers_own_report_settles_what_is_held,
    a_kill_holds_what_was_in_flight_and_repeats_nothing,
    who_lifts_a_brake_at_the_command_line_is_on_record,
);

/// For all messages on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

fn lost_answer(number: usize) -> Value {
    json!({"client": "C-1", "method": "email", "to": format!("lost-answer+{number}@simulator.test"),
        "type": "Offer", "content": {"subject": "Offer", "text": "Offer"}})
}

/// All pages of what waits for a decision.
async fn held(client: &Client) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/notifications?state=held&limit=100{cursor}");
        let (status, body) = client.get(&path).await;
        assert_eq!(status, 200, "{body}");
        let mut page: Value = serde_json::from_str(&body).unwrap();
        all.append(page["notifications"].as_array_mut().unwrap());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

async fn decide(client: &Client, id: &str, action: &str) -> (u16, Value) {
    let body = json!({"action": action, "staff_id": "S-7"});
    let path = format!("/v1/notifications/{id}/decide");
    client.post(&path, &body).await
}

/// The entry after a decision that is accepted.
async fn decided(client: &Client, id: &str, action: &str) -> Value {
    let (status, entry) = decide(client, id, action).await;
    assert_eq!(status, 200, "{action}: {entry}");
    entry
}

fn happened(entry: &Value) -> Vec<String> {
    let timeline = entry["timeline"].as_array().unwrap().iter();
    timeline.map(|moment| text(&moment["event"])).collect()
}

async fn until_none_is_held(db: &TestDb) {
    let started = Instant::now();
    while db.count("held_jobs").await > 0 {
        assert!(started.elapsed() < TIMEOUT, "some are held for ever");
        sleep(POLL_INTERVAL).await;
    }
}

async fn what_is_held_waits_for_a_decision_or_for_feedback(db: &TestDb) {
    // It tells nobody what became of a message; the test does.
    let sandbox = sandbox().await;
    let variables = Variables::of(db)
        .by_ses(&sandbox)
        .with("EMAIL__UNKNOWN", "hold")
        .with("FEEDBACK__SNS__TOPICS", TOPIC)
        .with("DELIVERY__UNKNOWN_GRACE_MS", "100")
        // Lost answers make a provider rest; that is another matter.
        .with("DELIVERY__BREAKER__FAILURES", "1000");
    let program = Program::start_with(&variables, trust()).await;
    let client = &program.client;
    let mut ids = client
        .enqueue(&(0..4).map(lost_answer).collect::<Vec<_>>())
        .await;
    for id in &ids {
        let entry = client
            .until(id, |e| e["reason"]["category"] == "held")
            .await;
        assert_eq!(
            (&entry["status"], &entry["undecided"]),
            (&json!("Awaiting Send"), &json!(true))
        );
        let why = text(&entry["reason"]["text"]);
        assert!(why.contains("waits for a decision"), "{why}");
        assert_eq!(happened(&entry), ["queued", "attempt"]);
        let attempt = &entry["timeline"][1];
        assert_eq!(
            (&attempt["outcome"], &attempt["next_at"]),
            (&json!("unknown"), &Value::Null)
        );
        let because = text(&attempt["because"]);
        assert!(because.contains("the answer was lost"), "{because}");
    }
    let listed: Vec<String> = held(client).await.iter().map(|e| text(&e["id"])).collect();
    ids.reverse();
    assert_eq!(listed, ids, "the newest first");
    let [resent, given_up, went, opened] = ids.try_into().unwrap();

    // Sent again, its answer is lost again; seen by then, it is not sent a third time.
    let entry = decided(client, &resent, "resend").await;
    assert_eq!(happened(&entry)[..3], ["queued", "attempt", "decided"]);
    client
        .until(&resent, |e| e["attempts"] == 2 && e["undecided"] == true)
        .await;
    assert_eq!(sandbox.calls().taken, 5, "that one, once more");
    let entry = decided(client, &resent, "sent").await;
    assert_eq!(entry["status"], "Sent");
    let events = ["queued", "attempt", "decided", "attempt", "decided", "sent"];
    assert_eq!(happened(&entry), events);
    let actions = [2, 4].map(|at: usize| text(&entry["timeline"][at]["action"]));
    assert_eq!(actions, ["resend", "sent"]);

    let entry = decided(client, &given_up, "give_up").await;
    assert_eq!(
        (&entry["status"], &entry["reason"]["category"]),
        (&json!("Failed"), &json!("outcome_unknown"))
    );
    assert_eq!(decided(client, &went, "sent").await["status"], "Sent");

    // Nobody decides on the last one: it was opened.
    let report = envelope(&open_of(&opened)).to_string();
    assert_eq!(client.post_feedback(report).await.0, 200);
    client.until(&opened, |e| e["status"] == "Opened").await;
    assert!(held(client).await.is_empty());
    assert_eq!(decide(client, &opened, "resend").await.0, 409);
    until_none_is_held(db).await;
    all_done(db, TIMEOUT).await;
    program.stop().await;
    assert_eq!(sandbox.calls().taken, 5, "nothing else was sent again");
    assert_eq!(statuses(db).await, ["Failed 1", "Opened 1", "Sent 2"]);
}

async fn the_providers_own_report_settles_what_is_held(db: &TestDb) {
    let variables = Variables::of(db).sandbox();
    let program = Program::start(&variables.with("EMAIL__UNKNOWN", "hold")).await;
    let client = &program.client;
    let ids = client.enqueue(&[lost_answer(0)]).await;
    let settled = |e: &Value| e["facts"]["delivered"].is_object() && e["attempts"] == 1;
    let entry = client.until(&ids[0], settled).await;
    let mut timeline = entry["timeline"].as_array().unwrap().iter();
    let attempt = timeline
        .find(|moment| moment["event"] == "attempt")
        .unwrap();
    assert_eq!(
        (&attempt["outcome"], &attempt["next_at"]),
        (&json!("unknown"), &Value::Null)
    );
    until_none_is_held(db).await;
    assert!(held(client).await.is_empty());
    assert_eq!(db.count("delivery_attempts").await, 1);
    program.stop().await;
}

async fn a_kill_holds_what_was_in_flight_and_repeats_nothing(db: &TestDb) {
    const COUNT: usize = 900;
    let enqueued = fill(db, COUNT).await;
    let sink = Sink::start(Duration::from_millis(1)).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("EMAIL__UNKNOWN", "hold");
    let child = Child::serve(&variables, "worker");
    sink.until(COUNT / 3, TIMEOUT).await;
    child.kill();
    sink.alone().await;
    let unrecorded: BTreeSet<String> = sink.ids().difference(&sent(db).await).cloned().collect();

    let mut child = Child::serve(&variables, "api,worker");
    all_done(db, TIMEOUT).await;
    let client = Client::with_new_key(child.address(), &db.store).await;
    let listed = held(&client).await;
    let waiting: BTreeSet<String> = listed.iter().map(|e| text(&e["id"])).collect();
    println!(
        "{} held, {} of them had gone",
        waiting.len(),
        unrecorded.len()
    );
    assert!(
        unrecorded.is_subset(&waiting),
        "gone and neither sent nor held"
    );
    assert!(!waiting.is_empty() && waiting.len() == listed.len());
    assert_eq!(waiting, unknown(db).await);
    let known = sent(db).await;
    assert!(known.is_disjoint(&waiting));
    assert!(&known | &waiting == enqueued, "some were lost or invented");
    assert_eq!(sink.repeated(), BTreeSet::new());

    // Who looks into the mailboxes can tell.
    for id in &waiting {
        let action = if unrecorded.contains(id) {
            "sent"
        } else {
            "resend"
        };
        decided(&client, id, action).await;
    }
    all_done(db, TIMEOUT).await;
    child.stop();
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert!(sink.ids() == enqueued && sink.repeated().is_empty());
    assert_eq!(db.count("held_jobs").await, 0);
}

async fn who_lifts_a_brake_at_the_command_line_is_on_record(db: &TestDb) {
    let variables = Variables::of(db).user("ana");
    let lift = [
        "brakes", "lift", "--kind", "bounce", "--reason", "cleaned", "--json",
    ];
    for (by, expected) in [(None, "ana"), (Some("Ben Ruiz"), "Ben Ruiz")] {
        db.execute("DELETE FROM brakes").await;
        db.execute(
            "INSERT INTO brakes (business_id, kind, state, sent, returned, why, changed_at) \
             SELECT id, 'bounce', 'held', 1000, 120, 'x', created_at FROM businesses",
        )
        .await;
        let by = by.map_or(Vec::new(), |by| vec!["--by", by]);
        let lifted = run(&variables, &[&lift[..], &by].concat());
        let told: Value = serde_json::from_str(&lifted.out).unwrap();
        assert_eq!(
            told,
            json!({"kind": "bounce", "changed": true, "by": expected})
        );
        let changes = db.store.brake_changes("default").await.unwrap();
        assert!(
            changes.iter().any(|it| it.by.as_deref() == Some(expected)),
            "{changes:?}"
        );
    }
    let wrong = run(&variables, &[&lift[..], &["--by", "a\nb"]].concat());
    assert!(wrong.errors.contains("--by: one line"), "{wrong:?}");
}
