//! `GET /v1/failures`: causes with what can be done, and alarms.

use sendtrail::domain::alarm::Kind;
use sendtrail::domain::event::Failure;
use sendtrail::domain::reason::Category;
use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, at};

#[tokio::test]
async fn what_failed_is_told_by_cause_with_a_remedy_and_what_is_silent_beside_it() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.work_rejected(Failure {
        category: Category::MailboxFull,
        code: Some("552".to_owned()),
        provider_text: Some("ana@example.com is full".to_owned()),
    })
    .await;
    let topic = "arn:aws:sns:us-east-1:123456789012:ses-feedback";
    let store = &api.store;
    store.raise(Kind::SubscriptionMissing, topic).await.unwrap();
    let answer = api.get("/v1/failures?to=2027-01-01").await;
    let told = answer.json();
    assert_eq!(told["looked_at"], 1, "{told}");
    assert_eq!(told["more"], false);
    let group = &told["groups"][0];
    assert_eq!(group["status"], "Failed");
    assert_eq!(group["category"], "mailbox_full");
    assert_eq!(group["code"], "552");
    assert_eq!((&group["count"], &group["share"]), (&json!(1), &json!(1.0)));
    assert_eq!(group["latest"], json!(id));
    assert!(group["text"].as_str().unwrap().len() > 10);
    assert!(group["remedy"].as_str().unwrap().len() > 10);
    assert_eq!(group["provider_text"], "<address> is full");
    assert_eq!(
        (&group["state"], &group["open"]),
        (&json!("open"), &json!(1))
    );
    assert_eq!(group["samples"], json!([id]));
    assert_eq!(group["trend"]["per"], "hour");
    let points = group["trend"]["points"].as_array().unwrap();
    assert!(points.contains(&json!({"at": "2027-01-01T09:00:00.000Z", "count": 1})));
    assert_eq!(told["to"], "2027-01-02T00:00:00.000Z", "whole hours");
    let alarm = &told["alarms"][0];
    assert_eq!(alarm["alarm"], "subscription_missing");
    assert_eq!(alarm["subject"], topic);
    assert!(!told.to_string().contains("ana@"), "{told}");
}

#[tokio::test]
async fn only_readers_may_look_and_wrong_parameters_are_named() {
    let api = TestApi::start().await;
    let answer = api.get("/v1/failures?from=yesterday&colour=red").await;
    assert_eq!(answer.status, 422);
    let pointers: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
    assert_eq!(pointers, ["/colour", "/from"]);
    for (query, pointer) in [
        ("open=perhaps", "/open"),
        ("method=fax", "/method"),
        ("from=2026-01-01", "/from"),
        ("open=true&open=false", "/open"),
    ] {
        let answer = api.get(&format!("/v1/failures?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.errors()[0].0, pointer);
    }
    let key = api.new_key("default", "enqueue").await;
    let answer = api.ask("GET", "/v1/failures", Some(&key), None).await;
    assert_eq!(answer.status, 403);
}

/// Two emails that failed for one cause; its id.
async fn failed(api: &TestApi) -> String {
    for client in ["C-1", "C-2"] {
        api.enqueue(json!({"client": client})).await;
        api.work_rejected(Failure {
            category: Category::ProviderUnavailable,
            code: Some("421".to_owned()),
            provider_text: Some("421 4.3.0 busy".to_owned()),
        })
        .await;
    }
    let told = api.get("/v1/failures?to=2027-01-01").await.json();
    assert_eq!(told["groups"].as_array().unwrap().len(), 1, "{told}");
    told["groups"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_group_is_previewed_and_its_run_is_begun_once_for_one_key() {
    let api = TestApi::start().await;
    let cause = failed(&api).await;
    api.clock.set(at("2027-01-01T10:00:00Z"));
    let order = |changes: Json| {
        let mut order = json!({"filter": {"causes": [cause]}});
        let changes = changes.as_object().unwrap().clone();
        order.as_object_mut().unwrap().extend(changes);
        order
    };
    let resend = async |body: &Json| api.post("/v1/failures/resend", body).await;
    let preview = resend(&order(json!({"dry_run": true}))).await;
    let left_out = json!({"sent_again_before": 0, "suppressed": 0, "not_resendable": 0});
    let expected = json!({
        "dry_run": true, "causes": [cause], "matching": 2, "more": false, "resend": 2,
        "left_out": left_out,
    });
    assert_eq!((preview.status.as_u16(), preview.json()), (200, expected));
    let kinds = json!({"filter": {"category": "provider_unavailable", "to": "2027-01-01"}, "dry_run": true});
    assert_eq!(resend(&kinds).await.json()["matching"], 2);
    let earlier = json!({"filter": {"method": "email", "to": "2026-12-31"}, "dry_run": true});
    assert_eq!(resend(&earlier).await.json()["matching"], 0);
    let foreign = json!({"filter": {"provider": "none"}, "dry_run": true});
    assert_eq!(resend(&foreign).await.json()["matching"], 0);

    let keyed = order(json!({"idempotency_key": "k-1", "staff_id": "S-1"}));
    let begun = resend(&keyed).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let run = begun.json();
    assert_eq!(
        (&run["state"], &run["total"]),
        (&json!("running"), &json!(2))
    );
    assert_eq!(run["by"], "API key test");
    let again = resend(&keyed).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, run.clone()));
    for changes in [
        json!({"idempotency_key": "k-1"}),
        json!({"idempotency_key": "k-1", "staff_id": "S-1", "filter": {"method": "sms"}}),
    ] {
        assert_eq!(resend(&order(changes)).await.status, 409);
    }
    let path = format!("/v1/failures/resend/{}", run["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.json(), run);
    let stopped = api.post(&format!("{path}/stop"), &json!({})).await;
    assert_eq!(stopped.json()["state"], "stopping");
    let other = api.new_key("other", "admin").await;
    let answer = api.ask("GET", &path, Some(&other), None).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_cause_is_dismissed_with_a_note_and_what_is_wrong_is_named() {
    let api = TestApi::start().await;
    let cause = failed(&api).await;
    let other = api.new_key("other", "admin").await;
    let body = json!({"causes": [cause], "note": "known"});
    let dismiss = "/v1/failures/dismiss";
    let foreign = api.ask("POST", dismiss, Some(&other), Some(&body)).await;
    assert_eq!(foreign.status, 422);
    let answer = api.post(dismiss, &body).await;
    assert_eq!(
        answer.json(),
        json!({"dismissed": [cause], "by": "API key test"})
    );
    let told = api
        .get("/v1/failures?to=2027-01-01&open=false")
        .await
        .json();
    assert_eq!(told["groups"][0]["state"], "dismissed");
    assert_eq!(told["groups"][0]["dismissed"]["by"], "API key test");
    let told = api.get("/v1/failures?to=2027-01-01&open=true").await.json();
    assert_eq!(told["groups"], json!([]));
    for (path, body, pointers) in [
        (dismiss, json!({}), &["/causes", "/note"][..]),
        (
            dismiss,
            json!({"causes": ["x"], "note": " "}),
            &["/causes/0", "/note"],
        ),
        (dismiss, json!({"causes": [], "note": "x"}), &["/causes"]),
        ("/v1/failures/resend", json!({}), &["/filter"]),
        ("/v1/failures/resend", json!({"filter": {}}), &["/filter"]),
        (
            "/v1/failures/resend",
            json!({"filter": {"method": "fax", "from": "now", "x": 1}, "dry_run": 1}),
            &["/dry_run", "/filter/x", "/filter/method", "/filter/from"],
        ),
        (
            "/v1/failures/resend",
            json!({"filter": {"causes": [uuid::Uuid::nil()]}}),
            &["/filter/causes/0"],
        ),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        let found: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, pointers, "{body}");
    }
}
