//! `/v1/providers`: who may look and order, and what is wrong is named.

use serde_json::json;

use crate::support::api::TestApi;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admins_of_the_first_business_look_and_order() {
    let api = TestApi::start().await;
    let tenant = api.new_key("tenant", "admin").await;
    let reader = api.new_key("default", "enqueue,read").await;
    let body = json!({"reason": "x"});
    for (method, path) in [
        ("GET", "/v1/providers"),
        ("POST", "/v1/providers/email/pause"),
        ("POST", "/v1/providers/email/resume"),
        ("POST", "/v1/providers/email/ses/pause"),
        ("POST", "/v1/providers/email/ses/resume"),
    ] {
        let body = path.ends_with("pause").then_some(&body);
        for (key, status) in [
            (None, 401),
            (Some(&reader), 403),
            (Some(&tenant), 403),
            (Some(&api.key), 200),
        ] {
            let answer = api.ask(method, path, key.map(String::as_str), body).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_shown_with_its_reason_and_giver_and_ends_once() {
    let api = TestApi::start().await;
    let shown = api.get("/v1/providers").await.json();
    let names: Vec<&str> = shown["methods"][0]["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| provider["provider"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ses", "smtp"]);
    assert_eq!(shown["methods"][0]["providers"][0]["workers"], json!([]));
    let pause = "/v1/providers/email/smtp/pause";
    let answer = api.post(pause, &json!({"reason": " moving house "})).await;
    let paused = json!({
        "by": "API key test", "at": "2027-01-01T09:00:00.000Z", "reason": "moving house",
    });
    let expected = json!({
        "method": "email", "provider": "smtp", "paused": paused, "changed": true,
    });
    assert_eq!(answer.json(), expected);
    let again = api.post(pause, &json!({"reason": "other"})).await.json();
    assert_eq!(
        (&again["changed"], &again["paused"]),
        (&json!(false), &paused)
    );
    let shown = api.get("/v1/providers").await.json();
    assert_eq!(shown["methods"][0]["providers"][1]["paused"], paused);
    assert_eq!(shown["methods"][0]["paused"], json!(null));
    for changed in [true, false] {
        let answer = api
            .post("/v1/providers/email/smtp/resume", &json!({}))
            .await;
        assert_eq!(answer.json()["changed"], changed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_not_and_what_is_missing_is_named() {
    let api = TestApi::start().await;
    let body = json!({"reason": "x"});
    for (path, words) in [
        ("/v1/providers/pigeon/pause", "email, sms and push"),
        ("/v1/providers/pigeon/ses/pause", "email, sms and push"),
        ("/v1/providers/email/sns/pause", "ses, smtp"),
        ("/v1/providers/email/sns/resume", "ses, smtp"),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text.contains(words), "{}", answer.text);
    }
    let path = "/v1/providers/email/ses/pause";
    for (body, words) in [
        (json!({}), "is required"),
        (json!({"reason": ""}), "must not be empty"),
        (json!({"reason": "a\nb"}), "one line"),
        (json!({"reason": "x".repeat(201)}), "at most 200"),
        (json!({"reason": "x", "until": "noon"}), "not known"),
        (json!(["x"]), "must be an object"),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.text.contains(words), "{}", answer.text);
    }
    let shown = api.get("/v1/providers").await.json();
    assert_eq!(shown["methods"][0]["providers"][0]["paused"], json!(null));
}
