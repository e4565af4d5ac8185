//! What an entry that awaits its send says of itself, and the decision on one that may have gone.

use sendtrail::domain::event::What;
use sendtrail::store::record::Then;
use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, at};

const HELD: &str = "/v1/notifications?state=held";

fn path(id: &str) -> String {
    format!("/v1/notifications/{id}/decide")
}

async fn held(api: &TestApi) -> String {
    let id = api.enqueue(json!({})).await;
    api.work("unknown", &Then::Hold).await;
    id
}

fn reason(entry: &Json) -> (&str, &str) {
    let text = |name: &str| entry["reason"][name].as_str().unwrap();
    (text("category"), text("text"))
}

#[tokio::test]
async fn an_entry_says_since_when_and_for_what_it_waits() {
    let api = TestApi::start().await;
    let id = api
        .enqueue(json!({"send_at": "2027-01-01T10:00:00+00:30"}))
        .await;
    let entry = api.entry(&id).await;
    let scheduled = ("scheduled", "To be sent at 2027-01-01 09:30:00 UTC.");
    assert_eq!(reason(&entry), scheduled);
    assert_eq!(entry["next_attempt_at"], "2027-01-01T09:30:00.000Z");
    api.clock.set(at("2027-01-01T09:30:00Z"));
    let due = (
        "queued",
        "Waiting for its turn since 2027-01-01 09:30:00 UTC.",
    );
    assert_eq!(reason(&api.entry(&id).await), due, "its time has come");
    let claim = api.claim().await;
    let (wait, text) = (api.entry(&id).await, "being sent now.");
    assert_eq!(reason(&wait).0, "sending");
    assert!(reason(&wait).1.ends_with(text), "{wait}");
    assert_eq!(claim.jobs.len(), 1);
    let other = api.enqueue(json!({})).await;
    let queued = (
        "queued",
        "Waiting for its turn since 2027-01-01 09:30:00 UTC.",
    );
    assert_eq!(reason(&api.entry(&other).await), queued);
}

#[tokio::test]
async fn the_schedule_is_in_the_timeline_with_its_reasons() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    let due_at = at("2027-01-01T09:10:00Z");
    api.work("throttled", &Then::Again { due_at }).await;
    let entry = api.entry(&id).await;
    let because = "the delivery service asked us to send more slowly";
    let attempt = &entry["timeline"][1];
    assert_eq!(attempt["event"], "attempt");
    assert_eq!(attempt["outcome"], "throttled");
    assert_eq!(attempt["next_at"], "2027-01-01T09:10:00.000Z");
    assert_eq!(attempt["because"], because);
    let (category, text) = reason(&entry);
    assert_eq!(category, "retrying");
    assert_eq!(
        text,
        format!(
            "Waiting since 2027-01-01 09:00:00 UTC. Attempt 1 at 2027-01-01 09:00:00 UTC came to \
             nothing. Next try at 2027-01-01 09:10:00 UTC, because {because}."
        )
    );
    assert_eq!(entry["reason"]["provider_text"], "Throttling failure");
    assert_eq!(
        (&entry["attempts"], &entry["status"]),
        (&json!(1), &json!("Awaiting Send"))
    );
    assert_eq!(entry["next_attempt_at"], "2027-01-01T09:10:00.000Z");
    assert_eq!(entry.get("undecided"), None);
    let sent = api.enqueue(json!({})).await;
    api.work_sent().await;
    assert_eq!(api.entry(&sent).await["reason"], Json::Null);
}

#[tokio::test]
async fn what_may_have_been_sent_is_listed_until_somebody_decides() {
    let api = TestApi::start().await;
    let [first, second] = [held(&api).await, held(&api).await];
    let entry = api.entry(&first).await;
    let (category, text) = reason(&entry);
    assert_eq!(category, "held");
    assert!(text.contains("may have been sent"), "{text}");
    assert!(text.contains("waits for a decision"), "{text}");
    assert_eq!(
        (&entry["status"], &entry["undecided"]),
        (&json!("Awaiting Send"), &json!(true))
    );
    assert!(entry["reason"]["remedy"].is_string());
    assert_eq!(entry["timeline"][1]["next_at"], Json::Null);

    let page = api.get(&format!("{HELD}&limit=1")).await.json();
    assert_eq!(page["notifications"][0]["id"], second.as_str());
    assert_eq!(page["notifications"][0]["reason"]["category"], "held");
    let next = page["next"].as_str().unwrap();
    let page = api
        .get(&format!("{HELD}&limit=1&cursor={next}"))
        .await
        .json();
    assert_eq!(page["notifications"][0]["id"], first.as_str());
    assert_eq!(page["next"], Json::Null);

    let asked = json!({"action": "give_up", "staff_id": "S-7"});
    let answer = api.post(&path(&first), &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let entry = answer.json();
    assert_eq!(entry["status"], "Failed");
    assert_eq!(entry["reason"]["category"], "outcome_unknown");
    assert_eq!(entry.get("undecided"), None);
    let decided = &entry["timeline"][2];
    assert_eq!(
        (&decided["event"], &decided["action"]),
        (&json!("decided"), &json!("give_up"))
    );
    assert_eq!(decided["staff_id"], "S-7");
    assert_eq!(entry["timeline"][3]["event"], "failed");
    assert_eq!(
        api.post(&path(&first), &asked).await.status,
        200,
        "repeated"
    );
    let answer = api.post(&path(&first), &json!({"action": "resend"})).await;
    assert_eq!(answer.status, 409);
    let listed = api.get(HELD).await.json();
    assert_eq!(listed["notifications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_decision_to_resend_or_that_it_was_sent_is_carried_out() {
    let api = TestApi::start().await;
    let id = held(&api).await;
    let answer = api.post(&path(&id), &json!({"action": "resend"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["timeline"][2]["staff_id"], Json::Null);
    assert_eq!(answer.json()["status"], "Awaiting Send");
    api.work_sent().await;
    assert_eq!(api.entry(&id).await["status"], "Sent");
    // One that still waits for feedback.
    let id = api.enqueue(json!({})).await;
    let due_at = at("2027-01-01T09:10:00Z");
    api.work("unknown", &Then::Again { due_at }).await;
    assert_eq!(api.entry(&id).await["undecided"], true);
    let answer = api.post(&path(&id), &json!({"action": "sent"})).await;
    assert_eq!(answer.json()["status"], "Sent", "{}", answer.text);
}

#[tokio::test]
async fn a_decision_needs_an_action_and_something_to_decide() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    let asked = json!({"action": "forget", "staff_id": 7, "why": "x"});
    let answer = api.post(&path(&id), &asked).await;
    assert_eq!(answer.status, 422);
    let wrong: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
    for pointer in ["/action", "/staff_id", "/why"] {
        assert!(wrong.contains(&pointer.to_owned()), "{pointer}: {wrong:?}");
    }
    let answer = api.post(&path(&id), &json!({})).await;
    assert_eq!(answer.errors()[0].0, "/action");
    let answer = api.post(&path(&id), &json!({"action": "resend"})).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    let nobody = "01940000-0000-7000-8000-000000000009";
    let answer = api.post(&path(nobody), &json!({"action": "resend"})).await;
    assert_eq!(answer.status, 404);
    // Feedback was faster.
    let id = held(&api).await;
    let delivered = What::Delivered { response: None };
    api.report(&id, "2027-01-01T09:01:00Z", delivered).await;
    let answer = api.post(&path(&id), &json!({"action": "resend"})).await;
    assert_eq!(answer.status, 409);
    for (query, pointer) in [
        ("", "/state"),
        ("?state=all", "/state"),
        ("?state=held&limit=0", "/limit"),
        ("?state=held&cursor=x", "/cursor"),
        ("?state=held&page=2", "/page"),
    ] {
        let answer = api.get(&format!("/v1/notifications{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.errors()[0].0, pointer, "{query}");
    }
}

#[tokio::test]
async fn what_is_held_can_be_cancelled() {
    let api = TestApi::start().await;
    let id = held(&api).await;
    let cancel = format!("/v1/notifications/{id}/cancel");
    let answer = api.post(&cancel, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["reason"]["category"], "cancelled");
}

#[tokio::test]
async fn marketing_waits_in_the_bulk_lane_unless_another_is_asked_for() {
    let api = TestApi::start().await;
    let marketing = "Automated Marketing";
    let bulk = api.enqueue(json!({"contact_type": marketing})).await;
    api.enqueue(json!({})).await;
    api.enqueue(json!({"contact_type": marketing, "priority": "high"}))
        .await;
    let resend = format!("/v1/notifications/{bulk}/resend");
    assert_eq!(api.post(&resend, &json!({})).await.status, 202);
    let claim = api.claim().await;
    let lanes: Vec<u8> = claim.jobs.iter().map(|claimed| claimed.job.lane).collect();
    assert_eq!(lanes, [0, 1, 2, 2]);
}
