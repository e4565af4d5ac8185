//! The reference of the API, as the program serves it.

use std::collections::BTreeSet;

use sendtrail::app::{App, Overrides, Roles};
use sendtrail::config::Settings;
use serde_json::Value;

use super::child::Variables;
use super::client::Client;
use crate::support::api::TestApi;
use crate::support::db::{TestDb, on_sqlite};

/// What a slow phone still loads at once.
const PAGE_BYTES_MAX: usize = 100_000;

/// Operations of the document: method, path, and the rest.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

/// What stands between two marks.
fn all_between<'a>(page: &'a str, before: &str, after: char) -> BTreeSet<&'a str> {
    let found = page.split(before).skip(1);
    found
        .filter_map(|rest| Some(rest.split_once(after)?.0))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_on_a_page_with_what_it_takes_and_answers() {
    on_sqlite(async |db| the_pages_are_whole(db, "api").await).await;
}

/// Without the pages for staff it has its style sheet all the same.
async fn the_pages_are_whole(db: &TestDb, role: &str) {
    let settings = Settings::load(None, Some(Variables::of(db).iter().collect())).unwrap();
    let roles: Roles = role.parse().unwrap();
    let app = App::start_with(settings, roles, Overrides::default())
        .await
        .unwrap();
    let client = Client::new(app.address(), "no key");
    let page = async |path: &str| {
        let (status, page) = client.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(page.len() < PAGE_BYTES_MAX, "{path}: {} bytes", page.len());
        page
    };
    let start = page("/docs/api").await;
    assert_eq!(client.get("/assets/style.css").await.0, 200);
    assert_eq!(client.get("/docs/api/nothing").await.0, 404);
    let document: Value = serde_json::from_str(&client.get("/openapi.json").await.1).unwrap();
    for (method, path, operation) in operations(&document) {
        let group = operation["tags"][0].as_str().unwrap();
        let address = format!("/docs/api/{group}");
        assert!(
            start.contains(&format!("href=\"{address}#")),
            "no link to {address}"
        );
        let page = page(&address).await;
        let heading = format!("<span class=\"verb\">{method}</span> <code>{path}</code></h2>");
        let (_, section) = page
            .split_once(&heading)
            .unwrap_or_else(|| panic!("{method} {path}"));
        let (section, _) = section.split_once("</section>").unwrap();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = format!("<code>{}</code>", parameter["name"].as_str().unwrap());
            assert!(section.contains(&name), "{method} {path}: {name}");
        }
        for status in operation["responses"].as_object().unwrap().keys() {
            assert!(
                section.contains(&format!("<dt>{status}</dt>")),
                "{method} {path}: {status}"
            );
        }
        let has_body = operation["requestBody"].is_object();
        assert_eq!(
            section.contains("<h3>Body</h3>"),
            has_body,
            "{method} {path}"
        );
        let example = match path.as_str() {
            "/webhooks/twilio" => "--data-urlencode &#39;MessageSid=",
            _ => "-d &#39;{",
        };
        assert_eq!(
            section.contains(example),
            has_body,
            "{method} {path}: an example"
        );
        let ids = all_between(&page, "id=\"", '"');
        for link in all_between(&page, "href=\"#", '"') {
            assert!(ids.contains(link), "{address}: #{link} leads nowhere");
        }
    }
    assert!(app.stop().await);
}

/// Of what is answered beside the API, without a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_beside_the_api_is_answered_as_the_document_says() {
    on_sqlite(async |db| {
        let settings = Settings::load(None, Some(Variables::of(db).iter().collect())).unwrap();
        let app = App::start_with(settings, Roles::ALL, Overrides::default())
            .await
            .unwrap();
        let base = format!("http://{}", app.address());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let document: Value = http
            .get(format!("{base}/openapi.json"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let mut paths = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            if operation["tags"][0] != "operations" {
                continue;
            }
            assert_eq!(operation.get("security"), None, "{path}");
            let ask = async |method: &str| {
                let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
                let request = http.request(method, format!("{base}{path}"));
                request.body("nothing").send().await.unwrap()
            };
            let status = ask(&method).await.status().as_u16();
            let told = operation["responses"].get(status.to_string());
            assert!(told.is_some() && status != 503, "{method} {path}: {status}");
            let refused = ask("TRACE").await;
            assert_eq!(refused.status().as_u16(), 405, "{path}");
            let allowed = refused.headers()["allow"].to_str().unwrap();
            let others = allowed
                .split(',')
                .filter(|it| *it != method && *it != "HEAD");
            assert_eq!(others.count(), 0, "{path}: {allowed}");
            paths.insert(path);
        }
        let expected = [
            "/healthz",
            "/metrics",
            "/readyz",
            "/webhooks/sns",
            "/webhooks/twilio",
        ];
        assert!(paths.iter().eq(expected.iter()), "{paths:?}");
        assert!(app.stop().await);
    })
    .await;
}

/// Nothing of them is refused as wrong. What they are about need not exist.
#[tokio::test]
async fn the_examples_of_the_document_are_understood() {
    let api = TestApi::start().await;
    let answer = api.ask("GET", "/openapi.json", None, None).await;
    let document = answer.json();
    let client = serde_json::json!({"client": {"id": "C-1001", "email": "ana@example.com"}});
    let id = api.enqueue(client).await;
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if example.is_null() {
            continue;
        }
        let uuid = "0197a2c4-0000-7000-8000-000000000000";
        let path = match path.as_str() {
            "/v1/notifications/{id}/resend" => path.replace("{id}", &id),
            path if path.starts_with("/v1/clients") => path.replace("{id}", "C-1001"),
            path => path
                .replace("{id}", uuid)
                .replace("{method}", "email")
                .replace("{provider}", "ses")
                .replace("{name}", "booking"),
        };
        let answer = api.ask(&method, &path, Some(&api.key), Some(example)).await;
        let status = answer.status.as_u16();
        let understood = (200..300).contains(&status) || status == 404 || status == 409;
        assert!(understood, "{method} {path}: {status} {}", answer.text);
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}
