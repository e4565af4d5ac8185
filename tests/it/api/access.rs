//! Who may call what, and what is answered when nothing can be.

use axum::body::Body;
use axum::http::Request;
use sendtrail::api::Limits;
use serde_json::json;

use crate::support::api::{Answer, TestApi, at, email};

#[tokio::test]
async fn a_key_may_have_several_scopes_and_one_without_any_is_of_no_use() {
    let api = TestApi::start().await;
    let both = api.new_key("default", "enqueue, read").await;
    let none = api.new_key("default", "").await;
    let body = email(json!({}));
    let path = "/v1/notifications";
    assert_eq!(
        api.ask("POST", path, Some(&both), Some(&body)).await.status,
        202
    );
    assert_eq!(
        api.ask("GET", "/v1/history", Some(&both), None)
            .await
            .status,
        200
    );
    assert_eq!(
        api.ask("GET", "/v1/history", Some(&none), None)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn missing_unknown_expired_and_revoked_keys_get_one_and_the_same_answer() {
    let api = TestApi::start().await;
    let until = at("2027-01-01T09:00:10Z");
    let (expiring, _) = api.new_key_until("default", "read", Some(until)).await;
    let (revoked, id) = api.new_key_until("default", "read", None).await;
    let ask = async |key: Option<&str>| api.ask("GET", "/v1/history", key, None).await;
    assert_eq!(ask(Some(&expiring)).await.status, 200);
    assert_eq!(ask(Some(&revoked)).await.status, 200);
    assert!(api.store.revoke_key(id).await.unwrap());
    api.clock.set(at("2027-01-01T09:00:01Z"));
    let revoked = ask(Some(&revoked)).await;
    assert_eq!(ask(Some(&expiring)).await.status, 200);
    api.clock.set(until);
    let unknown = "st_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let answers = [
        revoked,
        ask(Some(&expiring)).await,
        ask(None).await,
        ask(Some(unknown)).await,
        ask(Some(&"x".repeat(10_000))).await,
        ask(Some("")).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.text, ask(None).await.text);
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case_and_nothing_else() {
    let api = TestApi::start().await;
    for (value, status) in [
        (format!("bearer {}", api.key), 200),
        (format!("BEARER  {}", api.key), 200),
        (format!("Basic {}", api.key), 401),
        (api.key.clone(), 401),
        ("Bearer".to_owned(), 401),
    ] {
        let request = Request::get("/v1/history").header("authorization", &value);
        let answer = api.answer(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{value}");
    }
}

#[tokio::test]
async fn one_business_sees_nothing_of_another() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({"idempotency_key": "k"})).await;
    let other = api.new_key("other", "admin").await;
    let history = api.ask("GET", "/v1/history", Some(&other), None).await;
    assert_eq!(history.json(), json!({"entries": [], "next": null}));
    // Neither its idempotency keys nor its client cards are shared.
    let same_key = email(json!({"idempotency_key": "k"}));
    let path = "/v1/notifications";
    let answer = api.ask("POST", path, Some(&other), Some(&same_key)).await;
    assert_eq!(answer.status, 202);
    assert_ne!(answer.json()["id"], id.as_str());
    let without_to = email(json!({"client": "C-1001", "to": null}));
    let key = api.new_key("third", "admin").await;
    let answer = api.ask("POST", path, Some(&key), Some(&without_to)).await;
    assert_eq!(answer.status, 422, "the card is another business's");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let api = TestApi::start().await;
    let nobody = "0190a000-0000-7000-8000-000000000000";
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/notifications/",
        "/v1/notifications/ID/nothing",
        "/v1/notifications/ID",
        "/v1/notifications/ID/content",
        "/v1/notifications/not-an-id",
        "/v1/notifications/%FF",
        "/v1/notifications/..%2f..%2fetc",
        "/v1/clients/nobody/history",
        "/v1/clients/a%00b/history",
        "/v1/clients/%FF/history",
        "/v1/clients//history",
    ] {
        let answer = api.get(&path.replace("ID", nobody)).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
    for (method, path, allow) in [
        ("PUT", "/v1/notifications", "POST,GET,HEAD"),
        ("DELETE", "/v1/notifications/x", "GET,HEAD"),
        ("PUT", "/v1/history", "GET,HEAD"),
        ("POST", "/openapi.json", "GET,HEAD"),
    ] {
        let answer = api.ask(method, path, Some(&api.key), None).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.headers["allow"], allow);
    }
    let answer = api.ask("GET", "/openapi.json", None, None).await;
    assert_eq!(answer.json()["info"]["title"], "sendtrail");
}

async fn post_raw(api: &TestApi, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request =
        Request::post("/v1/notifications").header("authorization", format!("Bearer {}", api.key));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.answer(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_body_must_be_json_say_so_and_have_a_size_that_is_read() {
    let limits = Limits {
        body_bytes_max: 2_000,
        ..Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    let good = email(json!({})).to_string();
    let json = ("content-type", "application/json");
    for (media_type, status) in [
        ("application/json; charset=utf-8", 202),
        ("Application/JSON", 202),
        ("application/vnd.example+json", 202),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json+evil", 415),
    ] {
        let answer = post_raw(&api, &[("content-type", media_type)], good.clone()).await;
        assert_eq!(answer.status, status, "{media_type}");
    }
    assert_eq!(post_raw(&api, &[], good.clone()).await.status, 415);
    let compressed = [json, ("content-encoding", "gzip")];
    assert_eq!(post_raw(&api, &compressed, good.clone()).await.status, 415);
    let large = email(json!({"metadata": {"a": "x".repeat(2_000)}})).to_string();
    assert_eq!(post_raw(&api, &[json], large).await.status, 413);
    let deep = "[".repeat(1_900);
    for (body, words) in [
        ("", "empty"),
        ("{\"a\":\n}", "line 2 column 1"),
        ("{\"method\": \"email\", \"method\": \"sms\"}", "twice"),
        (deep.as_str(), "recursion limit"),
        ("{} x", "trailing"),
        ("{\"a\": \"\\ud800\"}", "line 1"),
    ] {
        let answer = post_raw(&api, &[json], body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(
        post_raw(&api, &[json], b"\"\xff\"".to_vec()).await.status,
        400
    );
    for body in ["[]", "1", "\"x\"", "null", "[{}]"] {
        let answer = post_raw(&api, &[json], body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.errors()[0].0, "", "the whole document");
    }
}

#[tokio::test]
async fn troubles_of_ours_are_told_without_their_cause() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.sql("ALTER TABLE delivery_attempts RENAME TO gone")
        .await;
    let answer = api.get(&format!("/v1/notifications/{id}")).await;
    assert_eq!(answer.status, 500);
    assert!(
        !answer.text.contains("delivery_attempts"),
        "{}",
        answer.text
    );
    assert!(!answer.headers.contains_key("retry-after"));
    api.store.close().await;
    let answer = api.post("/v1/notifications", &email(json!({}))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "2");
}

#[tokio::test]
async fn the_callers_request_id_comes_back_if_it_is_fit_for_a_log() {
    let api = TestApi::start().await;
    for (given, kept) in [
        ("r-17", true),
        ("two words", false),
        (&*"x".repeat(129), false),
    ] {
        let request = Request::get("/v1/x").header("x-request-id", given);
        let answer = api.answer(request.body(Body::empty()).unwrap()).await;
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(id == given, kept, "{given}");
        assert!(!id.is_empty());
    }
}
