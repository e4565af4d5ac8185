//! `/v1/suppressions`: entered, read, taken off; what it does to a notification; wrong input.

use sendtrail::domain::event::{Bounce, Severity, What};
use sendtrail::domain::reason::Category;
use sendtrail::store::record::{Done, Left, Then};
use serde_json::{Value as Json, json};
use std::slice::from_ref;

use crate::support::api::{TestApi, sms};

const PATH: &str = "/v1/suppressions";

async fn suppress(api: &TestApi, body: Json) -> Json {
    let answer = api.post(PATH, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

async fn list(api: &TestApi, query: &str) -> Vec<Json> {
    let answer = api.get(&format!("{PATH}{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["suppressions"].as_array().unwrap().clone()
}

async fn lift(api: &TestApi, query: &str) -> (u16, Json) {
    let path = format!("{PATH}{query}");
    let answer = api.ask("DELETE", &path, Some(&api.key), None).await;
    (answer.status.as_u16(), answer.json())
}

/// What a worker does with everything that is due: it gives up what is barred.
async fn give_up(api: &TestApi) -> usize {
    let claim = api.claim().await;
    let barred = claim.jobs.iter().filter_map(|claimed| {
        Some(Done {
            claim: claim.id,
            job: claimed.job,
            tried: None,
            then: Then::GaveUp(claimed.bar?.failure()),
        })
    });
    let barred: Vec<Done> = barred.collect();
    let left = Left {
        claim: claim.id,
        jobs: Vec::new(),
        rewrite: false,
    };
    api.store.record(&barred, &[left]).await.unwrap();
    barred.len()
}

#[tokio::test]
async fn an_address_is_entered_shown_and_taken_off_and_its_history_stays() {
    let api = TestApi::start().await;
    let entered = suppress(
        &api,
        json!({"method": "email", "address": "Ana@Example.com", "note": "asked by phone",
               "staff_id": "S-7"}),
    )
    .await;
    for (name, value) in [
        ("method", json!("email")),
        ("address", json!("ana@example.com")),
        ("scope", json!("all")),
        ("contact_type", Json::Null),
        ("reason", json!("staff")),
        ("source", json!("staff")),
        ("staff_id", json!("S-7")),
        ("note", json!("asked by phone")),
        ("created_at", json!("2027-01-01T09:00:00.000Z")),
        ("expires_at", Json::Null),
        ("lifted", Json::Null),
    ] {
        assert_eq!(entered[name], value, "{name}");
    }
    assert!(entered["text"].as_str().unwrap().contains("by hand"));
    for query in [
        "",
        "?method=email",
        "?address=ANA@example.com",
        "?method=email&address=ana%40example.com&limit=1",
    ] {
        assert_eq!(list(&api, query).await, from_ref(&entered), "{query}");
    }
    for query in ["?method=sms", "?address=bo@example.com", "?lifted=true"] {
        assert!(list(&api, query).await.is_empty(), "{query}");
    }
    let again = json!({"method": "email", "address": "ana@example.com", "note": "again"});
    let answer = api.post(PATH, &again).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, entered));

    let query = "?method=email&address=ana@example.com&staff_id=S-8&note=it%20was%20a%20mistake";
    let (status, answer) = lift(&api, query).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["lifted"].as_array().unwrap().len(), 1);
    assert!(list(&api, "").await.is_empty());
    let history = list(&api, "?lifted=true&address=ana@example.com").await;
    assert_eq!(history.len(), 1);
    let expected = json!({"at": "2027-01-01T09:00:00.000Z", "source": "staff",
                          "staff_id": "S-8", "note": "it was a mistake"});
    assert_eq!(history[0]["lifted"], expected);
    assert_eq!(history[0]["staff_id"], "S-7", "who entered it");
    let (status, problem) = lift(&api, query).await;
    assert_eq!(
        (status, &problem["title"]),
        (404, &json!("There is nothing here"))
    );
}

#[tokio::test]
async fn the_fields_of_a_delete_may_come_as_json() {
    let api = TestApi::start().await;
    let body = json!({"method": "sms", "address": "+14155550123", "contact_type": "Reminders"});
    let entered = suppress(&api, body.clone()).await;
    assert_eq!(entered["reason"], "unsubscribe", "one type is an opt-out");
    assert_eq!(entered["scope"], "contact_type");
    assert_eq!(entered["source"], "application");
    let mut body = body;
    body["note"] = json!("opted in again");
    let answer = api.ask("DELETE", PATH, Some(&api.key), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["lifted"][0]["contact_type"], "Reminders");
}

#[tokio::test]
async fn of_several_reasons_the_settled_one_must_be_named() {
    let api = TestApi::start().await;
    for reason in ["bounce", "unsubscribe"] {
        let body = json!({"method": "email", "address": "ana@example.com", "reason": reason});
        suppress(&api, body).await;
    }
    let query = "?method=email&address=ana@example.com&note=works%20again";
    let (status, problem) = lift(&api, query).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "/reason");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("unsubscribe, bounce"), "{detail}");
    let (status, answer) = lift(&api, &format!("{query}&reason=bounce")).await;
    assert_eq!(
        (status, &answer["lifted"][0]["reason"]),
        (200, &json!("bounce"))
    );
    let left = list(&api, "").await;
    assert_eq!((left.len(), &left[0]["scope"]), (1, &json!("bulk")));
    let (status, _) = lift(&api, query).await;
    assert_eq!(status, 200, "one is left");
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_changed() {
    let api = TestApi::start().await;
    let cases: [(Json, &[&str]); 9] = [
        (json!({}), &["/method", "/address"]),
        (
            json!({"method": "pigeon", "address": 7, "note": "x"}),
            &["/method", "/address"],
        ),
        (
            json!({"method": "email", "address": "ana", "note": "x"}),
            &["/address"],
        ),
        (
            json!({"method": "email", "address": "ana@example.com"}),
            &["/note"],
        ),
        (
            json!({"method": "email", "address": "ana@example.com", "reason": "stop"}),
            &["/reason"],
        ),
        (
            json!({"method": "email", "address": "ana@example.com", "reason": "bounce",
                   "contact_type": "Reminders"}),
            &["/contact_type"],
        ),
        (
            json!({"method": "email", "address": "ana@example.com", "note": "a\nb",
                   "expires_at": "2026-12-31T09:00:00Z", "staff": "S-7"}),
            &["/staff", "/expires_at", "/note"],
        ),
        (
            json!({"method": "email", "address": "ana@example.com", "reason": "whim"}),
            &["/reason"],
        ),
        (json!([1]), &[""]),
    ];
    for (body, pointers) in cases {
        let answer = api.post(PATH, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        let found = answer.errors();
        let mut found: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
        found.dedup();
        for pointer in pointers {
            assert!(found.contains(pointer), "{pointer} in {}", answer.text);
        }
    }
    assert_eq!(api.post(PATH, &Json::Null).await.status, 422);
    assert!(list(&api, "").await.is_empty());
}

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let api = TestApi::start().await;
    for (query, pointer) in [
        ("?method=pigeon", "/method"),
        ("?method=sms&address=ana", "/address"),
        ("?address=two%20words", "/address"),
        ("?lifted=perhaps", "/lifted"),
        ("?limit=0", "/limit"),
        ("?limit=201", "/limit"),
        ("?cursor=x", "/cursor"),
        ("?method=sms&method=email", "/method"),
        ("?reason=bounce", "/reason"),
    ] {
        let answer = api.get(&format!("{PATH}{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.errors()[0].0, pointer, "{query}");
    }
    for (query, pointer) in [
        ("", "/method"),
        ("?method=email&address=ana@example.com", "/note"),
        (
            "?method=email&address=ana@example.com&note=x&note=y",
            "/note",
        ),
        (
            "?method=email&address=ana@example.com&note=x&expires_at=y",
            "/expires_at",
        ),
    ] {
        let (status, problem) = lift(&api, query).await;
        assert_eq!(status, 422, "{query}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn one_business_neither_sees_nor_changes_the_list_of_another() {
    let api = TestApi::start().await;
    suppress(
        &api,
        json!({"method": "email", "address": "ana@example.com", "note": "x"}),
    )
    .await;
    let other = api.new_key("other", "admin").await;
    let answer = api.ask("GET", PATH, Some(&other), None).await;
    assert_eq!(answer.json()["suppressions"], json!([]));
    let query = format!("{PATH}?method=email&address=ana@example.com&note=x");
    let answer = api.ask("DELETE", &query, Some(&other), None).await;
    assert_eq!(answer.status, 404);
    assert_eq!(list(&api, "").await.len(), 1);
}

#[tokio::test]
async fn pages_follow_each_other_until_the_last() {
    let api = TestApi::start().await;
    for i in 0..5 {
        let address = format!("client-{i}@example.com");
        let body = json!({"method": "email", "address": address, "note": "x"});
        suppress(&api, body).await;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let answer = api.get(&format!("{PATH}{query}")).await.json();
        for entry in answer["suppressions"].as_array().unwrap() {
            seen.push(entry["address"].as_str().unwrap().to_owned());
        }
        let Some(next) = answer["next"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={next}");
    }
    let expected: Vec<String> = (0..5)
        .rev()
        .map(|i| format!("client-{i}@example.com"))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_resend_to_a_suppressed_address_fails_and_says_why_and_what_to_do() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.work_sent().await;
    let bounce = Bounce {
        severity: Severity::Permanent,
        category: Category::InvalidAddress,
        subtype: None,
        status: None,
        diagnostic: None,
    };
    api.report(&id, "2027-01-01T09:00:10Z", What::Bounced(bounce))
        .await;
    let found = list(&api, "?address=ana@example.com").await;
    assert_eq!(found[0]["notification_id"], id);
    assert_eq!(found[0]["reason"], "bounce");
    let resend = format!("/v1/notifications/{id}/resend");
    let answer = api.post(&resend, &json!({"staff_id": "S-7"})).await;
    assert_eq!(answer.status, 202);
    let again = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(give_up(&api).await, 1);
    let entry = api.entry(&again).await;
    assert_eq!(entry["status"], "Failed");
    assert_eq!(entry["attempts"], 0);
    let reason = &entry["reason"];
    assert_eq!(reason["category"], "address_suppressed");
    assert!(
        reason["text"]
            .as_str()
            .unwrap()
            .contains("came back for good")
    );
    let remedy = reason["remedy"].as_str().unwrap();
    assert!(remedy.contains("suppression list and resend"), "{remedy}");
    assert_eq!(entry["timeline"][1]["reason"], *reason);
    assert_eq!(entry["facts"]["failed"]["code"], "suppressed_bounce");
    let (status, _) = lift(
        &api,
        "?method=email&address=ana@example.com&staff_id=S-7&note=works%20again",
    )
    .await;
    assert_eq!(status, 200);
    api.post(&resend, &json!({"staff_id": "S-7"})).await;
    assert_eq!(give_up(&api).await, 0, "it may go");
}

#[tokio::test]
async fn a_text_message_after_stop_says_so() {
    let api = TestApi::start().await;
    let body = json!({"method": "sms", "address": "+1 415 555 0123", "reason": "stop"});
    suppress(&api, body).await;
    let answer = api.post("/v1/notifications", &sms(json!({}))).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let wanted = sendtrail::store::jobs::Wanted {
        worker: "test",
        provider: "sns",
        method: sendtrail::domain::method::Method::Sms,
        forms: &[sendtrail::domain::form::Form::Plain],
        limit: 10,
        bytes_max: u64::MAX,
        lease: std::time::Duration::from_mins(1),
    };
    let claim = api.store.claim(wanted).await.unwrap().unwrap();
    let done = Done {
        claim: claim.id,
        job: claim.jobs[0].job,
        tried: None,
        then: Then::GaveUp(claim.jobs[0].bar.unwrap().failure()),
    };
    let left = Left {
        claim: claim.id,
        jobs: Vec::new(),
        rewrite: false,
    };
    api.store.record(&[done], &[left]).await.unwrap();
    let entry = api.entry(&id).await;
    assert_eq!(entry["reason"]["category"], "unsubscribed");
    assert!(entry["reason"]["text"].as_str().unwrap().contains("STOP"));
}
