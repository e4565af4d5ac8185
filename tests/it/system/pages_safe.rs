//! What no text and no request can do to the pages: become markup, or delete an entry. And what came
//! without tags has them on its page.

use sendtrail::domain::method::Method;
use sendtrail::domain::role::Role;
use sendtrail::domain::suppression::Reason;
use serde_json::{Value, json};

use super::pages_entry::{field, mark, member, suppress, with_an_email};
use super::staff::start;
use crate::store::make;
use crate::support::db::{TestDb, both};

both! {
    hostile_texts_are_shown_as_text_everywhere,
    nothing_deletes_an_entry,
    what_came_without_tags_is_tagged_by_a_worker,
}

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}";

async fn hostile_texts_are_shown_as_text_everywhere(db: &TestDb) {
    let program = start(db).await;
    let mut browser = member(db, &program, Role::Admin).await;
    let text = HOSTILE;
    let entry = json!({
        "client": {"id": "C-<script>x", "name": text}, "method": "email", "to": "bounced@simulator.test",
        "type": text, "contact_type": text, "staff_id": "S-<script>y",
        "content": {"subject": text, "text": text, "html": text}, "metadata": {text: text},
    });
    let id = program.client.enqueue(&[entry]).await.remove(0);
    program
        .client
        .until(&id, |entry| entry["status"] == "Bounced")
        .await;
    let (page, token) = (format!("/entries/{id}"), browser.token().await);
    for (what, name, value) in [
        ("description", "description", text),
        ("tags", "tags", "<script>z, \"><u>"),
    ] {
        let path = format!("{page}/{what}");
        let before = mark(&browser.get(&page).await.html, &path);
        let fields = [("token", &*token), ("before", &*before), (name, value)];
        assert_eq!(browser.post(&path, &fields).await.status, 303);
    }
    suppress(db, Method::Email, "bounced@simulator.test", Reason::Staff).await;
    let resend = format!("{page}/resend");
    let key = field(&browser.get(&resend).await.html, "key");
    let fields = [
        ("token", &*token),
        ("key", &*key),
        ("where", "other"),
        ("to", text),
        ("note", text),
    ];
    let typed = browser.post(&resend, &fields).await;
    assert_eq!(typed.status, 422);
    let query = "contact_type=%22%3E%3Cscript%3E&search=%3Cscript%3E";
    let wrong = browser
        .get("/resend?%3Cscript%3E=%3Cscript%3E&method=%3Cscript%3E")
        .await;
    assert_eq!(wrong.status, 422);
    let mut pages = vec![typed.html, wrong.html];
    for path in [
        "/".to_owned(),
        "/live".to_owned(),
        page.clone(),
        format!("{page}?show=text"),
        format!("{page}?show=headers"),
        resend,
        format!("/resend?{query}"),
        "/resend?method=email".to_owned(),
    ] {
        pages.push(browser.get(&path).await.html);
    }
    let mut showing = 0;
    for html in pages {
        for tag in ["<script>", "<img", "<u>"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        showing += usize::from(html.contains("&#60;script&#62;"));
        assert!(!html.contains("'49"), "a template of a template: {html}");
    }
    // Those of which the address alone has it show nothing of it.
    assert!(showing >= 6, "{showing} pages show the text");
    program.stop().await;
}

async fn nothing_deletes_an_entry(db: &TestDb) {
    let (program, mut browser, id) =
        with_an_email(db, Role::Admin, "delivered@simulator.test").await;
    program
        .client
        .until(&id, |entry| entry["status"] != "Awaiting Send")
        .await;
    let token = browser.token().await;
    let rules = program.app.page_rules().to_vec();
    assert!(rules.len() > 10);
    for (path, _) in rules {
        let url = format!("{}{}", browser.base, path.replace("{id}", &id));
        for method in [
            reqwest::Method::DELETE,
            reqwest::Method::PUT,
            reqwest::Method::PATCH,
        ] {
            let request = browser
                .http
                .request(method, &url)
                .form(&[("token", &*token)]);
            let answer = browser.send(request).await;
            assert_eq!(answer.status, 405, "{url}");
        }
    }
    // What programs may delete is on other lists than the history.
    let (_, document) = program.client.get("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let deleting = paths
        .iter()
        .filter(|(_, methods)| methods.get("delete").is_some());
    let deleting: Vec<&str> = deleting.map(|(path, _)| path.as_str()).collect();
    // A client is forgotten, and its entries stay as lines (docs/privacy.md).
    let others = ["/v1/clients/{id}", "/v1/suppressions", "/v1/webhooks/{id}"];
    assert_eq!(deleting, others);
    for path in [
        format!("/v1/notifications/{id}"),
        format!("/v1/notifications/{id}/content"),
        format!("/v1/contact-log/{id}"),
        "/v1/history".to_owned(),
    ] {
        let answer = program
            .client
            .ask(reqwest::Method::DELETE, &path, None)
            .await;
        let (status, _) = answer.unwrap();
        assert!(matches!(status, 404 | 405), "{path}: {status}");
    }
    assert_eq!(db.count("contact_log").await, 1);
    assert_eq!(db.count("message_content").await, 1);
    program.stop().await;
}

async fn what_came_without_tags_is_tagged_by_a_worker(db: &TestDb) {
    let program = start(db).await;
    let ids = make::enqueued(&db.store, vec![make::email("C-1"), make::sms("C-2")]).await;
    for id in ids {
        let is_tagged = |entry: &Value| entry["tags"] == json!(["monday"]);
        program.client.until(&id.to_string(), is_tagged).await;
    }
    program.stop().await;
}
