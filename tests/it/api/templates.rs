//! `/v1/templates`: written, checked, kept in versions, listed.

use serde_json::{Value as Json, json};

use crate::support::api::{Answer, TestApi};

async fn put(api: &TestApi, name: &str, template: &Json) -> Answer {
    let path = format!("/v1/templates/{name}");
    api.ask("PUT", &path, Some(&api.key), Some(template)).await
}

fn confirmation() -> Json {
    json!({
        "method": "email", "type": "Booking confirmation", "subject": "Booking {{ number }}",
        "html": "<p>Dear {{ name }}, {% for i in items %}{{ i.what }}{% endfor %}</p>",
    })
}

#[tokio::test]
async fn a_template_is_written_shown_and_kept_in_versions() {
    let api = TestApi::start().await;
    let first = put(&api, "confirmation", &confirmation()).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let first = first.json();
    assert_eq!(
        first,
        json!({
            "name": "confirmation", "version": first["version"], "current": true,
            "method": "email", "type": "Booking confirmation",
            "subject": "Booking {{ number }}", "text": null,
            "html": "<p>Dear {{ name }}, {% for i in items %}{{ i.what }}{% endfor %}</p>",
            "variables": ["items", "name", "number"],
        })
    );
    assert_eq!(api.get("/v1/templates/confirmation").await.json(), first);
    let again = put(&api, "confirmation", &confirmation()).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (200, first.clone()),
        "the same content"
    );

    api.clock
        .set(api.clock.now().plus(std::time::Duration::from_secs(1)));
    let mut changed = confirmation();
    changed["text"] = json!("Dear {{ name }}");
    let second = put(&api, "confirmation", &changed).await;
    assert_eq!(second.status, 200);
    let second = second.json();
    assert_ne!(second["version"], first["version"]);
    let versions = api.get("/v1/templates/confirmation/versions").await.json();
    let listed = versions["templates"].as_array().unwrap();
    let listed: Vec<&Json> = listed.iter().map(|line| &line["version"]).collect();
    assert_eq!(listed, [&second["version"], &first["version"]]);
    assert_eq!(versions["next"], Json::Null);
    let version = first["version"].as_str().unwrap();
    let path = format!("/v1/templates/confirmation/versions/{version}");
    let mut old = api.get(&path).await.json();
    assert_eq!(old["current"].take(), false);
    assert_eq!(old["html"], first["html"]);
    let other = put(&api, "other", &confirmation()).await.json();
    assert_eq!(
        other["version"], first["version"],
        "made from the content alone"
    );
}

#[tokio::test]
async fn templates_are_listed_page_by_page() {
    let api = TestApi::start().await;
    for name in ["c", "a", "b"] {
        put(&api, name, &json!({"method": "sms", "text": "x"})).await;
    }
    let page = api.get("/v1/templates?limit=2").await.json();
    let names = |page: &Json| -> Vec<String> {
        let lines = page["templates"].as_array().unwrap().iter();
        lines
            .map(|line| line["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&page), ["a", "b"]);
    assert_eq!(page["templates"][0]["method"], "sms");
    assert_eq!(page["templates"][0]["at"], "2027-01-01T09:00:00.000Z");
    let cursor = page["next"].as_str().unwrap();
    let page = api
        .get(&format!("/v1/templates?limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["c".to_owned()], &Json::Null)
    );
    for (query, status) in [
        ("limit=0", 422),
        ("limit=201", 422),
        ("limit=x", 422),
        ("cursor=%00", 422),
        ("colour=red", 400),
        ("limit=1&limit=2", 400),
        ("limit=&cursor=", 200),
    ] {
        let answer = api.get(&format!("/v1/templates?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
    let answer = api.get("/v1/templates/a/versions?cursor=x").await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let api = TestApi::start().await;
    put(&api, "a", &json!({"method": "sms", "text": "x"})).await;
    let nowhere = "00000000-0000-0000-0000-000000000000";
    for path in [
        "/v1/templates/b",
        "/v1/templates/b/versions",
        "/v1/templates/%ff",
        "/v1/templates/a%2Fb",
        &format!("/v1/templates/a/versions/{nowhere}"),
        "/v1/templates/a/versions/x",
    ] {
        assert_eq!(api.get(path).await.status, 404, "{path}");
    }
    // Another business's.
    let key = api.new_key("other", "admin").await;
    let answer = api.ask("GET", "/v1/templates/a", Some(&key), None).await;
    assert_eq!(answer.status, 404);
    let reader = api.new_key("default", "read,enqueue").await;
    let body = json!({"method": "sms", "text": "x"});
    let answer = api
        .ask("PUT", "/v1/templates/a", Some(&reader), Some(&body))
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        api.ask("GET", "/v1/templates/a", Some(&reader), None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn every_mistake_of_a_template_is_named_at_once_with_its_line() {
    let api = TestApi::start().await;
    let bad = json!({
        "method": "email", "subject": "{{ a|nothing }}", "text": "fine\n{% if x %}",
        "html": "\n\n{{ a|nothing }} {{ b is nothing }} {{ open('/etc/passwd') }}",
    });
    let answer = put(&api, "t", &bad).await;
    assert_eq!(answer.status, 422);
    let errors = answer.errors();
    let found: Vec<(&str, &str)> = errors
        .iter()
        .map(|(pointer, detail)| (pointer.as_str(), detail.as_str()))
        .collect();
    assert_eq!(
        found[0],
        ("/subject", "line 1: there is no filter `nothing`")
    );
    assert!(
        found[1].0 == "/text" && found[1].1.starts_with("line 2: syntax error"),
        "{found:?}"
    );
    assert_eq!(found[2], ("/html", "line 3: there is no filter `nothing`"));
    assert_eq!(found[3], ("/html", "line 3: there is no test `nothing`"));
    assert_eq!(found[4], ("/html", "line 3: there is no function `open`"));
    assert_eq!(
        api.get("/v1/templates/t").await.status,
        404,
        "nothing was written"
    );
}

#[tokio::test]
async fn every_rule_for_the_fields_of_a_template_is_said() {
    let api = TestApi::start().await;
    let long = "x".repeat(999);
    for (template, pointer, words) in [
        (json!({"text": "x"}), "/method", "required"),
        (
            json!({"method": "fax", "text": "x"}),
            "/method",
            "email, sms, push",
        ),
        (
            json!({"method": "email", "text": "x"}),
            "/subject",
            "required",
        ),
        (
            json!({"method": "email", "subject": "x"}),
            "",
            "`text` or `html`",
        ),
        (
            json!({"method": "email", "subject": "x", "text": "x", "title": "x"}),
            "/title",
            "no part",
        ),
        (
            json!({"method": "email", "subject": long, "text": "x"}),
            "/subject",
            "at most 998",
        ),
        (json!({"method": "sms"}), "/text", "required"),
        (
            json!({"method": "sms", "text": "x", "html": "x"}),
            "/html",
            "no part",
        ),
        (
            json!({"method": "sms", "text": "x", "subject": "x"}),
            "/subject",
            "no part",
        ),
        (
            json!({"method": "push", "text": "x", "html": "x"}),
            "/html",
            "no part",
        ),
        (json!({"method": "push", "title": "x"}), "/text", "required"),
        (json!({"method": "sms", "text": 7}), "/text", "string"),
        (json!({"method": "sms", "text": "a\u{0}"}), "/text", "NUL"),
        (
            json!({"method": "sms", "text": "x", "type": "a\nb"}),
            "/type",
            "one line",
        ),
        (
            json!({"method": "sms", "text": "x", "colour": 1}),
            "/colour",
            "known here",
        ),
        (json!([]), "", "object"),
    ] {
        let answer = put(&api, "t", &template).await;
        assert_eq!(answer.status, 422, "{template}");
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, pointer, "{errors:?}");
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    let good = json!({"method": "sms", "text": "x"});
    for name in ["-a", "a%20b", "%C3%A9", &"a".repeat(101)] {
        let answer = put(&api, name, &good).await;
        assert_eq!(answer.status, 422, "{name}");
        assert!(answer.text.contains("letters, digits"), "{}", answer.text);
    }
    assert_eq!(put(&api, &"a".repeat(100), &good).await.status, 201);
    let empty = api
        .ask("PUT", "/v1/templates/t", Some(&api.key), None)
        .await;
    assert_eq!(empty.status, 400);
}
