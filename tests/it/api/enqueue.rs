//! Enqueue: one or many, once each, all or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use sendtrail::domain::event::What;
use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, at, email, push, sms};

#[tokio::test]
async fn one_notification_is_taken_over_and_a_worker_is_woken() {
    let api = TestApi::start().await;
    let woken = api.woken.notified();
    let answer = api.post("/v1/notifications", &email(json!({}))).await;
    assert_eq!(answer.status, 202);
    let mut json = answer.json();
    let id = json["id"].take();
    assert_eq!(id.as_str().unwrap().len(), 36);
    assert_eq!(
        json,
        json!({"id": null, "status": "Awaiting Send", "statuses": ["Awaiting Send"],
               "duplicate": false})
    );
    woken.await;
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let api = TestApi::start().await;
    let batch = json!({"notifications": [
        email(json!({"type": "one"})), sms(json!({"type": "two"})), push(json!({"type": "three"})),
    ]});
    let answer = api.post("/v1/notifications", &batch).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let json = answer.json();
    let receipts = json["notifications"].as_array().unwrap();
    assert_eq!(receipts.len(), 3);
    for (receipt, type_name) in receipts.iter().zip(["one", "two", "three"]) {
        let entry = api.entry(receipt["id"].as_str().unwrap()).await;
        assert_eq!(entry["type"], type_name);
    }
}

#[tokio::test]
async fn a_batch_is_enqueued_as_a_whole_or_not_at_all() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let bad = json!({"notifications": [
        email(json!({})), email(json!({"to": "nonsense"})), email(json!({"colour": "red"})),
    ]});
    let answer = api.post(path, &bad).await;
    assert_eq!(answer.status, 422);
    let errors = answer.errors();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/notifications/1/to", "/notifications/2/colour"]);
    // The store's refusals name their index as well.
    let no_address = json!({"notifications": [
        email(json!({})), email(json!({"client": "new one", "to": null})),
    ]});
    let answer = api.post(path, &no_address).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.errors()[0].0, "/notifications/1/to");
    assert_eq!(api.get("/v1/history").await.json()["entries"], json!([]));
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_notifications() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let batch = |n: usize| json!({"notifications": vec![sms(json!({})); n]});
    let answer = api.post(path, &batch(0)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.errors()[0].0, "/notifications");
    let answer = api.post(path, &batch(1_001)).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.errors()[0].1.contains("at most 1000"),
        "{}",
        answer.text
    );
    let answer = api.post(path, &batch(1_000)).await;
    assert_eq!(answer.status, 202);
    let ids: BTreeSet<String> = answer.json()["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1_000);
    for (body, pointer) in [
        (json!({"notifications": {}}), "/notifications"),
        (json!({"notifications": [1]}), "/notifications/0"),
        (
            json!({"notifications": [sms(json!({}))], "method": "sms"}),
            "/method",
        ),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.errors()[0].0, pointer);
    }
}

#[tokio::test]
async fn a_repeated_request_gives_the_first_id_and_its_present_status() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let body = email(json!({"idempotency_key": "booking-1"}));
    let first = api.post(path, &body).await;
    assert_eq!(first.status, 202);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    api.work_sent().await;
    let delivered = What::Delivered { response: None };
    api.report(&id, "2027-01-01T09:00:02Z", delivered).await;
    let again = api.post(path, &body).await;
    assert_eq!(again.status, 200);
    assert_eq!(
        again.json(),
        json!({"id": id, "status": "Unopened", "statuses": ["Unopened"], "duplicate": true})
    );
    let other = email(json!({"idempotency_key": "booking-1", "type": "Other"}));
    let conflict = api.post(path, &other).await;
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.errors()[0].0, "/idempotency_key");
    assert_eq!(
        conflict.json()["type"],
        "urn:sendtrail:problem:idempotency-conflict"
    );
    let history = api.get("/v1/history").await.json();
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_may_hold_duplicates_of_others_and_of_its_own() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let with_key = |key: &str| sms(json!({"idempotency_key": key}));
    let batch = json!({"notifications": [with_key("a"), with_key("b"), with_key("a")]});
    let answer = api.post(path, &batch).await;
    assert_eq!(answer.status, 202);
    let json = answer.json();
    let receipts = &json["notifications"];
    assert_eq!(receipts[0]["id"], receipts[2]["id"]);
    assert_eq!(receipts[2]["duplicate"], true);
    assert_eq!(receipts[2]["status"], "Awaiting Send");
    assert_eq!(
        api.post(path, &batch).await.status,
        200,
        "all are duplicates"
    );
    let one_new = json!({"notifications": [with_key("a"), with_key("c")]});
    assert_eq!(api.post(path, &one_new).await.status, 202);
    let conflict = sms(json!({"idempotency_key": "b", "type": "Other"}));
    let batch = json!({"notifications": [with_key("d"), conflict]});
    let answer = api.post(path, &batch).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.errors()[0].0, "/notifications/1/idempotency_key");
    let answer = api.post(path, &with_key("d")).await;
    assert_eq!(answer.status, 202, "nothing of the refused batch was kept");
}

#[tokio::test]
async fn what_was_enqueued_is_confirmed_even_if_the_status_of_a_duplicate_cannot_be_read() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let known = sms(json!({"idempotency_key": "a"}));
    api.post(path, &known).await;
    api.sql("ALTER TABLE staff RENAME TO gone").await;
    let answer = api
        .post(path, &json!({"notifications": [known, sms(json!({}))]}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let receipts = &answer.json()["notifications"];
    assert_eq!(receipts[0]["status"], json!(null));
    assert_eq!(receipts[1]["status"], "Awaiting Send");
}

#[tokio::test]
async fn a_repetition_is_answered_even_after_its_last_moment() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    let body =
        |key: &str| email(json!({"idempotency_key": key, "expires_at": "2027-01-01T09:00:01Z"}));
    let first = api.post(path, &body("a")).await;
    assert_eq!(first.status, 202);
    api.clock.set(at("2027-01-01T09:00:01Z"));
    let again = api.post(path, &body("a")).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json()["id"], first.json()["id"]);
    let late = api.post(path, &body("b")).await;
    assert_eq!(late.status, 422);
    let expected = ("/expires_at".to_owned(), "must be in the future".to_owned());
    assert_eq!(late.errors(), [expected]);
    let batch = json!({"notifications": [body("a"), email(json!({})), body("c")]});
    let late = api.post(path, &batch).await;
    assert_eq!(late.errors()[0].0, "/notifications/2/expires_at");
}

#[tokio::test]
async fn twenty_callers_with_one_key_make_one_notification() {
    let api = Arc::new(TestApi::start().await);
    let body = Arc::new(email(json!({"idempotency_key": "once"})));
    let calls = (0..20).map(|_| {
        let (api, body) = (Arc::clone(&api), Arc::clone(&body));
        tokio::spawn(async move { api.post("/v1/notifications", &body).await })
    });
    let (mut ids, mut new) = (BTreeSet::new(), 0);
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        let json = answer.json();
        ids.insert(json["id"].as_str().unwrap().to_owned());
        let duplicate = json["duplicate"].as_bool().unwrap();
        assert_eq!(answer.status, if duplicate { 200 } else { 202 });
        new += usize::from(!duplicate);
    }
    assert_eq!((ids.len(), new), (1, 1));
}

#[tokio::test]
async fn the_address_comes_from_the_card_where_none_is_given() {
    let api = TestApi::start().await;
    api.enqueue(json!({})).await;
    let path = "/v1/notifications";
    let answer = api
        .post(path, &email(json!({"client": "C-1001", "to": null})))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let entry = api.entry(answer.json()["id"].as_str().unwrap()).await;
    assert_eq!(entry["to"], "ana@example.com");
    let answer = api
        .post(path, &sms(json!({"client": "C-1001", "to": null})))
        .await;
    let entry = api.entry(answer.json()["id"].as_str().unwrap()).await;
    assert_eq!(entry["to"], "+14155550123");
    let answer = api.post(path, &push(json!({"to": null}))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.errors()[0].0, "/to");
}

#[tokio::test]
async fn hostile_text_survives_as_data() {
    let api = TestApi::start().await;
    let hostile = "<script>alert(1)</script>'); DROP TABLE clients;-- {{7*7}} %s \u{202e}💥";
    let metadata: Json = json!({"<b>": [hostile, {"$ne": null}], "a\u{7}": "\u{1f}"});
    let id = api
        .enqueue(json!({
            "client": {"id": "../../etc/passwd'\"", "name": hostile},
            "type": hostile, "contact_type": hostile, "staff_id": hostile,
            "content": {"subject": hostile, "text": format!("{hostile}\r\n\tx"), "html": hostile},
            "metadata": metadata,
        }))
        .await;
    let entry = api.entry(&id).await;
    for name in ["client_name", "type", "contact_type", "staff_id", "user"] {
        assert_eq!(entry[name], hostile, "{name}");
    }
    assert_eq!(entry["client_id"], "../../etc/passwd'\"");
    assert_eq!(entry["metadata"], metadata);
    let content = api.get(&format!("/v1/notifications/{id}/content")).await;
    assert_eq!(
        content.json(),
        json!({"method": "email", "from": null, "reply_to": null, "subject": hostile,
               "text": format!("{hostile}\r\n\tx"), "html": hostile, "attachments": []})
    );
    let path = "/v1/clients/..%2F..%2Fetc%2Fpasswd'%22/history";
    let history = api.get(path).await.json();
    assert_eq!(history["entries"][0]["id"], id.as_str());
}
