//! Every route with every kind of key: none, one of each scope, one of another business.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, email};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Scope(&'static str),
    /// An admin key of the business that runs the program.
    Operator,
}

const READ: Needs = Needs::Scope("read");
const ENQUEUE: Needs = Needs::Scope("enqueue");
const ADMIN: Needs = Needs::Scope("admin");

/// As the document has them. What deletes comes last.
const ROUTES: [(&str, &str, Needs); 58] = [
    ("GET", "/openapi.json", Needs::Nothing),
    ("POST", "/v1/notifications", ENQUEUE),
    ("GET", "/v1/notifications", READ),
    ("GET", "/v1/notifications/{id}", READ),
    ("GET", "/v1/notifications/{id}/content", READ),
    ("GET", "/v1/notifications/{id}/attachments/{n}", READ),
    ("POST", "/v1/notifications/{id}/resend", ENQUEUE),
    ("POST", "/v1/notifications/{id}/cancel", ENQUEUE),
    ("POST", "/v1/notifications/{id}/decide", ENQUEUE),
    ("POST", "/v1/notifications/{id}/events", ENQUEUE),
    ("GET", "/v1/clients", READ),
    ("POST", "/v1/clients", ENQUEUE),
    ("GET", "/v1/clients/{id}", READ),
    ("PATCH", "/v1/clients/{id}", ENQUEUE),
    ("GET", "/v1/clients/{id}/history", READ),
    ("GET", "/v1/clients/{id}/export", ADMIN),
    ("GET", "/v1/erasures/{id}", ADMIN),
    ("POST", "/v1/clients/{id}/contact-log", ENQUEUE),
    ("PATCH", "/v1/contact-log/{id}", ENQUEUE),
    ("GET", "/v1/history", READ),
    ("GET", "/v1/tasks", READ),
    ("POST", "/v1/tasks", ENQUEUE),
    ("PATCH", "/v1/tasks/{id}", ENQUEUE),
    ("GET", "/v1/suppressions", READ),
    ("POST", "/v1/suppressions", ENQUEUE),
    ("GET", "/v1/suppressions/ses", Needs::Operator),
    ("GET", "/v1/templates", READ),
    ("GET", "/v1/templates/{name}", READ),
    ("PUT", "/v1/templates/{name}", ADMIN),
    ("GET", "/v1/templates/{name}/versions", READ),
    ("GET", "/v1/templates/{name}/versions/{version}", READ),
    ("GET", "/v1/business", READ),
    ("PATCH", "/v1/business", ADMIN),
    ("GET", "/v1/feedback", Needs::Operator),
    ("GET", "/v1/feedback/{id}", Needs::Operator),
    ("POST", "/v1/feedback/{id}/apply", Needs::Operator),
    ("GET", "/v1/failures", READ),
    ("GET", "/v1/stats", READ),
    ("GET", "/v1/brakes", READ),
    ("POST", "/v1/brakes/{kind}/lift", ADMIN),
    ("POST", "/v1/failures/resend", ADMIN),
    ("GET", "/v1/failures/resend/{id}", READ),
    ("POST", "/v1/failures/resend/{id}/stop", ADMIN),
    ("POST", "/v1/failures/dismiss", ADMIN),
    ("GET", "/v1/providers", Needs::Operator),
    ("POST", "/v1/providers/{method}/pause", Needs::Operator),
    ("POST", "/v1/providers/{method}/resume", Needs::Operator),
    (
        "POST",
        "/v1/providers/{method}/{provider}/pause",
        Needs::Operator,
    ),
    (
        "POST",
        "/v1/providers/{method}/{provider}/resume",
        Needs::Operator,
    ),
    ("POST", "/v1/webhooks", ADMIN),
    ("GET", "/v1/webhooks", ADMIN),
    ("GET", "/v1/webhooks/{id}", ADMIN),
    ("POST", "/v1/webhooks/{id}/rotate", ADMIN),
    ("POST", "/v1/webhooks/{id}/enable", ADMIN),
    ("POST", "/v1/webhooks/{id}/replay", ADMIN),
    ("DELETE", "/v1/webhooks/{id}", ADMIN),
    ("DELETE", "/v1/suppressions", ADMIN),
    ("DELETE", "/v1/clients/{id}", ADMIN),
];

/// Answered beside the API, by the whole program only; asked in `system/reference.rs`.
const BESIDE: [(&str, &str); 5] = [
    ("POST", "/webhooks/sns"),
    ("POST", "/webhooks/twilio"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
];

/// What the variable steps of the paths name, all of it of the business `default`.
struct Named {
    notification: String,
    webhook: String,
    version: String,
    task: String,
    erasure: String,
    run: String,
}

impl Named {
    async fn make(api: &TestApi) -> Self {
        let file = json!({"name": "a.txt", "content_type": "text/plain", "data": "aGVsbG8="});
        let content = json!({"subject": "See you", "text": "Hello", "attachments": [file]});
        let sms = json!({"method": "sms", "type": "Reminder", "text": "Hello"});
        let template = api.put_template("t", sms).await;
        let url = json!({"url": "https://example.com/webhooks"});
        let webhook = api.post("/v1/webhooks", &url).await.json();
        let notification = api.enqueue(json!({"content": content})).await;
        let task = api.post("/v1/tasks", &task()).await.json();
        api.post("/v1/clients", &json!({"id": "C-3"})).await;
        let erasure = api
            .ask("DELETE", "/v1/clients/C-3", Some(&api.key), None)
            .await;
        let erasure = erasure.json();
        let run = api.post("/v1/failures/resend", &resend()).await.json();
        let id = |json: &Json| json["id"].as_str().unwrap().to_owned();
        Self {
            run: id(&run),
            notification,
            webhook: id(&webhook),
            version: template["version"].as_str().unwrap().to_owned(),
            task: id(&task),
            erasure: id(&erasure),
        }
    }

    fn path(&self, path: &str) -> String {
        let id = if path.starts_with("/v1/clients") {
            "C-1001"
        } else if path.starts_with("/v1/erasures") {
            &self.erasure
        } else if path.starts_with("/v1/tasks") {
            &self.task
        } else if path.starts_with("/v1/failures") {
            &self.run
        } else if path.starts_with("/v1/webhooks") {
            &self.webhook
        } else {
            &self.notification
        };
        path.replace("{id}", id)
            .replace("{n}", "1")
            .replace("{name}", "t")
            .replace("{version}", &self.version)
            .replace("{kind}", "bounce")
            .replace("{method}", "email")
            .replace("{provider}", "ses")
    }
}

fn task() -> Json {
    json!({"client": "C-1001", "title": "Call", "due_at": "2027-01-02T09:00:00Z", "assignee": "S-1"})
}

fn resend() -> Json {
    json!({"filter": {"method": "email"}})
}

/// A good body for what reads one.
fn body(method: &str, path: &str) -> Option<Json> {
    let end = path.rsplit('/').next().unwrap();
    match (method, end) {
        ("GET" | "DELETE", _) => None,
        ("PATCH", "{id}") if path.starts_with("/v1/tasks") => Some(json!({"done": false})),
        ("PATCH", "{id}") if path.starts_with("/v1/contact-log") => {
            Some(json!({"description": "Asked for Monday."}))
        }
        ("PATCH", _) => Some(json!({})),
        ("PUT", _) => Some(json!({"method": "sms", "type": "Reminder", "text": "Hello"})),
        (_, "notifications") => Some(email(json!({}))),
        (_, "tasks") => Some(task()),
        (_, "clients") => Some(json!({"id": "C-2"})),
        (_, "contact-log") => Some(json!({"method": "phone", "contact_type": "Talk"})),
        (_, "resend") if path.starts_with("/v1/failures") => Some(resend()),
        (_, "dismiss") => Some(json!({"causes": [uuid::Uuid::nil()], "note": "known"})),
        (_, "decide") => Some(json!({"action": "resend"})),
        (_, "events") => Some(json!({"kind": "opened"})),
        (_, "suppressions") => {
            Some(json!({"method": "email", "address": "ana@example.com", "note": "asked"}))
        }
        (_, "pause" | "lift") => Some(json!({"reason": "a look"})),
        (_, "webhooks") => Some(json!({"url": "https://example.com/other"})),
        (_, "replay") => Some(json!({"from": "2027-01-01T08:00:00Z"})),
        _ => None,
    }
}

#[tokio::test]
async fn every_route_has_a_line() {
    let api = TestApi::start().await;
    let document = api.ask("GET", "/openapi.json", None, None).await.json();
    let paths = document["paths"].as_object().unwrap();
    let known: BTreeSet<(String, &str)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.as_str()))
        })
        .collect();
    let tested = ROUTES.iter().map(|(method, path, _)| (*method, *path));
    let tested = tested.chain(BESIDE);
    let tested = tested.map(|(method, path)| (method.to_owned(), path));
    assert_eq!(known, tested.collect());
}

#[tokio::test]
async fn every_route_wants_a_key_with_its_scope() {
    let api = TestApi::start().await;
    let named = Named::make(&api).await;
    let mut keys = Vec::new();
    for scope in ["enqueue", "read", "admin"] {
        keys.push((scope, api.new_key("default", scope).await));
    }
    for (method, path, needs) in ROUTES {
        let (asked, body) = (named.path(path), body(method, path));
        let ask = async |key: Option<&str>| api.ask(method, &asked, key, body.as_ref()).await;
        let anonymous = ask(None).await;
        if needs == Needs::Nothing {
            assert_eq!(anonymous.status, 200, "{path}");
            continue;
        }
        assert_eq!(anonymous.status, 401, "{method} {path}");
        assert_eq!(anonymous.headers["www-authenticate"], "Bearer");
        let needed = match needs {
            Needs::Scope(scope) => scope,
            Needs::Nothing | Needs::Operator => "admin",
        };
        for (scope, key) in &keys {
            let answer = ask(Some(key)).await;
            let status = answer.status.as_u16();
            if *scope == needed || *scope == "admin" {
                assert!(
                    ![401, 403, 500].contains(&status),
                    "{method} {path}: {}",
                    answer.text
                );
            } else {
                assert_eq!(status, 403, "{method} {path} with {scope}");
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(&format!("`{needed}`")), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_path_names_is_not_there_for_another_business() {
    let api = TestApi::start().await;
    let named = Named::make(&api).await;
    let other = api.new_key("other", "admin").await;
    for (method, path, needs) in ROUTES {
        // What is written anew is each business's own, and so is a brake of every kind.
        let own = method == "PUT" || path.contains("{kind}");
        let names_something = path.contains('{') && !own;
        if !names_something && needs != Needs::Operator {
            continue;
        }
        let (asked, body) = (named.path(path), body(method, path));
        let ask = async |key: &str| {
            let answer = api.ask(method, &asked, Some(key), body.as_ref()).await;
            answer.status.as_u16()
        };
        let foreign = ask(&other).await;
        if needs == Needs::Operator {
            assert_eq!(foreign, 403, "{method} {path}");
        } else {
            assert_eq!(foreign, 404, "{method} {path}");
            assert_ne!(ask(&api.key).await, 404, "{method} {path}, own");
        }
    }
}
