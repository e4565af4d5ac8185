//! `GET /v1/failures`: causes with what can be done, and alarms.

use sendtrail::domain::alarm::Kind;
use sendtrail::domain::event::Failure;
use sendtrail::domain::reason::Category;
use serde_json::json;

use crate::support::api::TestApi;

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
    assert_eq!(pointers, ["/from", "/colour"]);
    let key = api.new_key("default", "enqueue").await;
    let answer = api.ask("GET", "/v1/failures", Some(&key), None).await;
    assert_eq!(answer.status, 403);
}
