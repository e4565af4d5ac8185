//! Resend and cancel.

use sendtrail::domain::event::{Failure, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use serde_json::json;

use crate::support::api::{TestApi, at, push, sms};

/// An entry that staff made by hand: there is no verb for it yet.
async fn manual_entry(api: &TestApi) -> &'static str {
    api.enqueue(json!({})).await;
    api.sql(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, \
         contact_type, manual, description, priority) SELECT \
         '01940000-0000-7000-8000-000000000001', 'default', uid, 1798794000000, 'phone', \
         'Inbound', 'Call', 'Message Center', 1, 'Asked for a date', 'normal' FROM clients",
    )
    .await;
    "01940000-0000-7000-8000-000000000001"
}

#[tokio::test]
async fn a_resend_is_an_entry_of_its_own_with_the_frozen_content() {
    let api = TestApi::start().await;
    let first = api
        .enqueue(json!({"contact_type": "Automated Marketing", "metadata": {"booking": "8812"}}))
        .await;
    api.work_sent().await;
    api.clock.set(at("2027-01-02T09:00:00Z"));
    let path = format!("/v1/notifications/{first}/resend");
    let asked = json!({"to": "ana@new.example.com", "staff_id": "S-7"});
    let answer = api.post(&path, &asked).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let receipt = answer.json();
    assert_eq!(receipt["resend_of"], first.as_str());
    assert_eq!(receipt["status"], "Awaiting Send");
    let id = receipt["id"].as_str().unwrap();
    assert_ne!(id, first);
    let entry = api.entry(id).await;
    assert_eq!(entry["resend_of"], first.as_str());
    assert_eq!(entry["to"], "ana@new.example.com");
    assert_eq!(entry["user"], "S-7");
    assert_eq!(entry["contact_type"], "Automated Marketing");
    assert_eq!(entry["metadata"], json!({"booking": "8812"}));
    assert_eq!(entry["date"], "2027-01-02T09:00:00.000Z");
    let content = async |id: &str| {
        api.get(&format!("/v1/notifications/{id}/content"))
            .await
            .text
    };
    assert_eq!(content(id).await, content(&first).await);
    // It is sent for real, and it can be sent again itself.
    let claim = api.claim().await;
    let message = claim.jobs[0].message.as_ref().unwrap();
    assert_eq!(message.to.as_str(), "ana@new.example.com");
    let answer = api
        .post(&format!("/v1/notifications/{id}/resend"), &json!({}))
        .await;
    let again = api.entry(answer.json()["id"].as_str().unwrap()).await;
    assert_eq!(again["resend_of"], id);
    assert_eq!(again["to"], "ana@new.example.com");
    assert_eq!(again["user"], "Automated");
    assert_eq!(
        content(again["id"].as_str().unwrap()).await,
        content(&first).await
    );
}

#[tokio::test]
async fn what_was_bulk_is_bulk_again_and_nothing_else_is_urgent() {
    for (asked, again) in [("bulk", "bulk"), ("high", "normal"), ("normal", "normal")] {
        let api = TestApi::start().await;
        let first = api.enqueue(json!({"priority": asked})).await;
        api.work_sent().await;
        let path = format!("/v1/notifications/{first}/resend");
        let receipt = api.post(&path, &json!({})).await.json();
        let id = NotificationId::parse(receipt["id"].as_str().unwrap()).unwrap();
        let entry = api.store.entry("default", id).await.unwrap().unwrap();
        assert_eq!(entry.priority.as_str(), again, "{asked}");
    }
}

#[tokio::test]
async fn a_resend_needs_no_body_and_can_be_asked_for_once() {
    let api = TestApi::start().await;
    let answer = api.post("/v1/notifications", &sms(json!({}))).await;
    let first = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/notifications/{first}/resend");
    let answer = api.ask("POST", &path, Some(&api.key), None).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let asked = json!({"idempotency_key": "click-1"});
    let one = api.post(&path, &asked).await;
    let two = api.post(&path, &asked).await;
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (202, 200));
    assert_eq!(one.json()["id"], two.json()["id"]);
    assert_eq!(two.json()["duplicate"], true);
    let other = json!({"idempotency_key": "click-1", "to": "+14155550199"});
    let answer = api.post(&path, &other).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.errors()[0].0, "/idempotency_key");
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_refused() {
    let api = TestApi::start().await;
    let answer = api.post("/v1/notifications", &push(json!({}))).await;
    let pushed = answer.json()["id"].as_str().unwrap().to_owned();
    let answer = api
        .post(&format!("/v1/notifications/{pushed}/resend"), &json!({}))
        .await;
    assert_eq!(answer.status, 409);
    assert_eq!(api.entry(&pushed).await["resendable"], false);
    let manual = manual_entry(&api).await;
    for action in ["resend", "cancel"] {
        let answer = api
            .post(&format!("/v1/notifications/{manual}/{action}"), &json!({}))
            .await;
        assert_eq!(answer.status, 409, "{action}");
    }
    let email = api.enqueue(json!({})).await;
    let path = format!("/v1/notifications/{email}/resend");
    for (body, pointer) in [
        (json!({"to": "+14155550123"}), "/to"),
        (json!({"staff_id": 7}), "/staff_id"),
        (json!({"idempotency_key": "a b"}), "/idempotency_key"),
        (json!({"content": {}}), "/content"),
        (json!([]), ""),
    ] {
        let answer = api.post(&path, &body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.errors()[0].0, pointer);
    }
}

#[tokio::test]
async fn an_entry_made_by_hand_has_no_status_and_no_content() {
    let api = TestApi::start().await;
    let manual = manual_entry(&api).await;
    let entry = api.entry(manual).await;
    assert_eq!(entry["status"], json!(null));
    assert_eq!(entry["statuses"], json!([]));
    assert_eq!(entry["user"], "No Staff");
    assert_eq!(entry["channel"], "Inbound");
    assert_eq!(entry["method"], "phone");
    assert_eq!(entry["description"], "Asked for a date");
    assert_eq!(entry["resendable"], false);
    assert_eq!(entry["timeline"], json!([]));
    let answer = api
        .get(&format!("/v1/notifications/{manual}/content"))
        .await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn what_waits_can_be_cancelled_and_is_never_sent() {
    let api = TestApi::start().await;
    let id = api
        .enqueue(json!({"send_at": "2027-01-02T09:00:00Z"}))
        .await;
    let path = format!("/v1/notifications/{id}/cancel");
    for _ in 0..2 {
        let answer = api.ask("POST", &path, Some(&api.key), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let entry = answer.json();
        assert_eq!(entry["status"], "Failed");
        assert_eq!(entry["reason"]["category"], "cancelled");
        let events: Vec<_> = entry["timeline"].as_array().unwrap().iter().collect();
        assert_eq!(events.len(), 2, "queued and failed, once");
        assert_eq!(events[1]["source"], "application");
    }
    api.clock.set(at("2027-01-03T09:00:00Z"));
    assert!(api.store.depth(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_sent_or_being_sent_or_failed_cannot_be_cancelled() {
    let api = TestApi::start().await;
    let cancel = async |id: &str| {
        api.post(&format!("/v1/notifications/{id}/cancel"), &json!({}))
            .await
    };
    let sending = api.enqueue(json!({})).await;
    api.claim().await;
    let answer = cancel(&sending).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.text.contains("taken it up to send it"),
        "{}",
        answer.text
    );
    let sent = api.enqueue(json!({})).await;
    api.work_sent().await;
    let answer = cancel(&sent).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("has been sent"), "{}", answer.text);
    let failed = api.enqueue(json!({})).await;
    api.work_rejected(Failure {
        category: Category::ContentRejected,
        code: None,
        provider_text: None,
    })
    .await;
    let answer = cancel(&failed).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("failed"), "{}", answer.text);
    // Feedback proves that it went, though our own attempt does not know it.
    let proven = api.enqueue(json!({})).await;
    let delivered = What::Delivered { response: None };
    api.report(&proven, "2027-01-01T09:00:02Z", delivered).await;
    assert_eq!(cancel(&proven).await.status, 409);
}
