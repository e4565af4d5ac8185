//! `/v1/feedback`: kept messages are listed, looked at and applied again, by operators alone.

use sendtrail::domain::time::Timestamp;
use sendtrail::store::feedback::Incoming;
use serde_json::{Value, json};

use crate::support::api::TestApi;

const ID: &str = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:feedback";

/// As an earlier version kept it that did not understand it.
fn unparsable(text: &str) -> Incoming {
    let envelope = json!({
        "Type": "Notification", "MessageId": ID, "TopicArn": TOPIC, "Message": text,
        "Timestamp": "2027-01-01T09:00:00.000Z", "SignatureVersion": "2", "Signature": "eA==",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    });
    Incoming {
        source: "sns",
        message_id: ID.to_owned(),
        topic: TOPIC.to_owned(),
        received_at: Timestamp::parse("2027-01-01T09:00:00Z").unwrap(),
        kind: "unparsable".to_owned(),
        body: envelope.to_string().into(),
        report: None,
    }
}

async fn enqueued(api: &TestApi) -> String {
    let body = json!({
        "client": "C-1", "method": "email", "to": "ana@example.com", "type": "Booking",
        "contact_type": "Client Notifications", "content": {"subject": "s", "text": "t"},
    });
    let answer = api.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admins_of_the_first_business_look_and_apply() {
    let api = TestApi::start().await;
    api.store.keep_feedback(unparsable("hello")).await.unwrap();
    let tenant = api.new_key("tenant", "admin").await;
    let reader = api.new_key("default", "enqueue,read").await;
    for (method, path) in [
        ("GET", "/v1/feedback".to_owned()),
        ("GET", format!("/v1/feedback/sns:{ID}")),
        ("POST", format!("/v1/feedback/sns:{ID}/apply")),
    ] {
        for (key, status) in [
            (None, 401),
            (Some(&reader), 403),
            (Some(&tenant), 403),
            (Some(&api.key), 200),
        ] {
            let answer = api.ask(method, &path, key.map(String::as_str), None).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_read_is_listed_shown_and_applied() {
    let api = TestApi::start().await;
    let id = enqueued(&api).await;
    let event = json!({
        "eventType": "Delivery",
        "mail": {"messageId": "m", "tags": {"notification_id": [id]}},
        "delivery": {"timestamp": "2027-01-01T09:00:00.000Z"},
    });
    let message = unparsable(&event.to_string());
    api.store.keep_feedback(message.clone()).await.unwrap();
    let listed = api.get("/v1/feedback?result=unparsable").await.json();
    let expected = json!({
        "id": format!("sns:{ID}"), "source": "sns", "topic": TOPIC,
        "received_at": "2027-01-01T09:00:00.000Z", "kind": "unparsable", "result": "unparsable",
    });
    assert_eq!(listed, json!({"messages": [expected], "next": null}));
    let path = format!("/v1/feedback/sns:{ID}");
    let shown = api.get(&path).await.json();
    assert_eq!(shown["body"], *message.body);
    for new_events in [1, 0] {
        let answer = api
            .ask("POST", &format!("{path}/apply"), Some(&api.key), None)
            .await;
        let expected = json!({
            "id": format!("sns:{ID}"), "result": "applied", "new_events": new_events,
        });
        assert_eq!(answer.json(), expected);
    }
    let entry = api.get(&format!("/v1/notifications/{id}")).await.json();
    assert!(entry["facts"]["delivered"].is_object(), "{entry}");
    let listed = api.get("/v1/feedback?result=unparsable").await.json();
    assert_eq!(listed["messages"], json!([]));
    assert_eq!(api.get(&path).await.json()["kind"], "Delivery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_goes_on_where_the_page_before_ended() {
    let api = TestApi::start().await;
    for i in 0..5 {
        let message_id = format!("m{i}");
        let message = Incoming {
            message_id,
            ..unparsable("hello")
        };
        api.store.keep_feedback(message).await.unwrap();
    }
    let mut seen: Vec<Value> = Vec::new();
    let mut path = "/v1/feedback?limit=2&from=2027-01-01&to=2027-01-01".to_owned();
    loop {
        let page = api.get(&path).await.json();
        let messages = page["messages"].as_array().unwrap().iter();
        seen.extend(messages.map(|message| message["id"].clone()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/feedback?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["sns:m0", "sns:m1", "sns:m2", "sns:m3", "sns:m4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_not_and_what_is_wrong_is_named() {
    let api = TestApi::start().await;
    for id in ["sns:none", "none", ":", "%00:%00", "sns:%0A"] {
        let path = format!("/v1/feedback/{id}");
        assert_eq!(api.get(&path).await.status, 404, "{id}");
        let apply = format!("{path}/apply");
        assert_eq!(api.post(&apply, &json!({})).await.status, 404, "{id}");
    }
    for (query, words) in [
        ("result=lost", "unmatched, unparsable, noted"),
        ("from=noon", "is not a time or day"),
        ("limit=0", "1 to 200"),
        ("cursor=x", "next"),
        ("to=2027-01-01&to=2027-01-02", "twice"),
        ("kind=Bounce", "not known here"),
    ] {
        let answer = api.get(&format!("/v1/feedback?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(answer.text.contains(words), "{}", answer.text);
    }
    let unknown = Incoming {
        source: "pigeon",
        ..unparsable("hello")
    };
    api.store.keep_feedback(unknown).await.unwrap();
    let path = format!("/v1/feedback/pigeon:{ID}/apply");
    let answer = api.post(&path, &json!({})).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("pigeon"), "{}", answer.text);
}
