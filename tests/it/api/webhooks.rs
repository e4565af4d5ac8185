//! `/v1/webhooks`: endpoints are made, shown, given new secrets, switched on and removed.

use serde_json::{Value as Json, json};

use crate::support::api::TestApi;

const PATH: &str = "/v1/webhooks";

async fn made(api: &TestApi) -> Json {
    let body = json!({"url": "https://example.com/hooks?key=1", "description": "Bookings",
                      "events": ["notification.opened", "notification.bounced"]});
    let answer = api.post(PATH, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn an_endpoint_is_made_with_a_secret_that_is_shown_once() {
    let api = TestApi::start().await;
    let made = made(&api).await;
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made["status"], "active");
    let events = json!(["notification.bounced", "notification.opened"]);
    assert_eq!(made["events"], events);
    let id = made["id"].as_str().unwrap();
    let list = api.get(PATH).await;
    assert!(!list.text.contains("whsec_"), "{}", list.text);
    let shown = api.get(&format!("{PATH}/{id}")).await.json();
    assert_eq!(list.json()["webhooks"], json!([shown]));
    let mut without = made.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown, without);

    let rotated = api.post(&format!("{PATH}/{id}/rotate"), &json!({})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let secret = &rotated.json()["secret"];
    assert!(secret.is_string() && *secret != made["secret"]);
    let enabled = api.post(&format!("{PATH}/{id}/enable"), &json!({})).await;
    assert_eq!(enabled.json()["status"], "active");
    let from = json!({"from": "2027-01-01T00:00:00Z"});
    let replayed = api.post(&format!("{PATH}/{id}/replay"), &from).await;
    assert_eq!(
        (replayed.status.as_u16(), replayed.json()),
        (202, json!({"events": 0}))
    );

    let path = format!("{PATH}/{id}");
    let removed = api.ask("DELETE", &path, Some(&api.key), None).await;
    assert_eq!(removed.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
    for action in ["rotate", "enable"] {
        let answer = api.post(&format!("{path}/{action}"), &json!({})).await;
        assert_eq!(answer.status, 404, "{action}");
    }
    assert_eq!(api.post(&format!("{path}/replay"), &from).await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_addresses_within_are_refused() {
    let api = TestApi::start().await;
    let body = json!({"url": 7, "description": "a\nb", "events": ["opened"], "secret": "x"});
    let errors = api.post(PATH, &body).await.errors();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/secret", "/url", "/description", "/events"]);
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://ana:secret@example.com/",
        "ftp://example.com/",
    ] {
        let answer = api.post(PATH, &json!({"url": url})).await;
        assert_eq!(answer.status, 422, "{url}");
        assert_eq!(answer.errors()[0].0, "/url");
    }
    assert_eq!(api.get(PATH).await.json(), json!({"webhooks": []}));
    let id = made(&api).await["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{id}/replay");
    for body in [json!({}), json!({"from": "yesterday"}), json!([])] {
        assert_eq!(api.post(&path, &body).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn only_an_administrator_has_them_and_only_of_its_own_business() {
    let api = TestApi::start().await;
    let id = made(&api).await["id"].as_str().unwrap().to_owned();
    let reader = api.new_key("default", "read,enqueue").await;
    let other = api.new_key("other", "admin").await;
    let path = format!("{PATH}/{id}");
    let body = json!({"url": "https://example.com/"});
    assert_eq!(api.ask("GET", PATH, Some(&reader), None).await.status, 403);
    let answer = api.ask("POST", PATH, Some(&reader), Some(&body)).await;
    assert_eq!(answer.status, 403);
    let answer = api.ask("GET", PATH, Some(&other), None).await;
    assert_eq!(answer.json(), json!({"webhooks": []}));
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/rotate")),
        ("POST", format!("{path}/enable")),
    ] {
        let answer = api.ask(method, &path, Some(&other), None).await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    assert_eq!(api.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_business_has_only_so_many() {
    let api = TestApi::start().await;
    for _ in 0..20 {
        made(&api).await;
    }
    let body = json!({"url": "https://example.com/"});
    assert_eq!(api.post(PATH, &body).await.status, 409);
}
