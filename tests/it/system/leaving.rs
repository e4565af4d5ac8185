//! Who must not be written to any more is not: unsubscribed by the link in the mail as the provider
//! received it, bounced, complained, opted out, deactivated. Over the real protocols, both databases.

use std::collections::BTreeMap;
use std::time::Duration;

use sendtrail::app::{App, Overrides, Roles};
use sendtrail::config::Settings;
use serde_json::{Value, json};

use super::child::Variables;
use super::client::{Client, text, texts};
use super::program::Program;
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both!(
    a_recipient_leaves_with_one_click_and_may_come_back,
    the_mail_by_smtp_carries_the_link_as_well,
    forged_and_garbled_links_say_what_to_do_and_change_nothing,
    the_worker_and_the_page_of_another_process_agree_on_the_links,
    what_a_provider_reported_once_is_not_tried_again,
    what_a_provider_refused_for_good_is_not_tried_again,
    a_deactivated_client_is_sent_nothing,
    who_leaves_while_a_message_waits_for_a_slow_provider_is_not_sent_it,
);

const MARKETING: &str = "Automated Marketing";

fn email(to: &str, contact_type: &str) -> Value {
    json!({"client": format!("C {to}"), "method": "email", "to": to, "type": "Offer",
        "contact_type": contact_type, "content": {"subject": "Hello", "html": "<p>Hello</p>"}})
}

fn bulk(to: &str) -> Value {
    let mut new = email(to, "Client Notifications");
    new["priority"] = json!("bulk");
    new
}

async fn enqueue(client: &Client, new: Value) -> String {
    client.enqueue(&[new]).await.remove(0)
}

/// Waits until the provider has reported its delivery.
async fn delivered(client: &Client, id: &str) -> Value {
    let is_delivered = |entry: &Value| entry["facts"]["delivered"].is_object();
    client.until(id, is_delivered).await
}

async fn failed(client: &Client, id: &str) -> Value {
    client.until(id, |entry| entry["status"] == "Failed").await
}

/// The headers of a mail as the provider received it; it gives them back with what it reports.
async fn headers(db: &TestDb, id: &str) -> BTreeMap<String, String> {
    let bodies = db.texts("SELECT body FROM feedback_inbox").await;
    let events = bodies.iter().filter_map(|body| {
        let envelope: Value = serde_json::from_str(body).ok()?;
        serde_json::from_str::<Value>(envelope["Message"].as_str()?).ok()
    });
    let mut of_this = events.filter(|event| event["mail"]["tags"]["notification_id"][0] == id);
    let event = of_this.next().expect("a report of the mail");
    let headers = event["mail"]["headers"].as_array().unwrap().iter();
    headers
        .map(|header| {
            let name = text(&header["name"]).to_lowercase();
            (name, text(&header["value"]))
        })
        .collect()
}

/// The one address of the web in a List-Unsubscribe header.
fn link(headers: &BTreeMap<String, String>) -> String {
    assert_eq!(
        headers["list-unsubscribe-post"],
        "List-Unsubscribe=One-Click"
    );
    let links: Vec<&str> = headers["list-unsubscribe"]
        .split(',')
        .map(|item| item.trim().trim_matches(['<', '>']))
        .filter(|item| item.starts_with("http"))
        .collect();
    assert_eq!(links.len(), 1, "{headers:?}");
    links[0].to_owned()
}

/// Follows no redirect: RFC 8058 allows none.
fn browser() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.no_proxy().build().unwrap()
}

struct Shown {
    status: u16,
    page: String,
}

async fn shown(request: reqwest::RequestBuilder) -> Shown {
    let response = request.send().await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers.contains_key("content-security-policy"));
    assert!(!headers.contains_key("set-cookie"));
    let status = response.status().as_u16();
    let page = response.text().await.unwrap();
    Shown { status, page }
}

/// As a mail program does it.
async fn one_click(link: &str) -> Shown {
    let form = [("List-Unsubscribe", "One-Click")];
    shown(browser().post(link).form(&form)).await
}

async fn list(client: &Client, query: &str) -> Vec<Value> {
    let (status, body) = client.get(&format!("/v1/suppressions{query}")).await;
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    page["suppressions"].as_array().unwrap().clone()
}

/// Calls that any provider has got from us.
async fn sends(client: &Client) -> f64 {
    let (_, metrics) = client.get("/metrics").await;
    let counts = metrics.lines().filter_map(|line| {
        let (_, count) = line
            .strip_prefix("sendtrail_sends_total")?
            .rsplit_once(' ')?;
        count.parse::<f64>().ok()
    });
    counts.sum()
}

fn events(entry: &Value) -> Vec<String> {
    let timeline = entry["timeline"].as_array().unwrap();
    timeline.iter().map(|step| text(&step["event"])).collect()
}

/// A message that must be stopped: Failed for this reason, and no provider called.
async fn assert_stopped(client: &Client, new: Value, category: &str, words: &str) {
    let before = sends(client).await;
    let id = enqueue(client, new).await;
    let entry = failed(client, &id).await;
    assert_eq!(entry["reason"]["category"], category, "{entry:#}");
    let said = text(&entry["reason"]["text"]);
    assert!(said.contains(words), "{said}");
    assert!(entry["reason"]["remedy"].is_string(), "{entry:#}");
    assert_eq!(entry["attempts"], 0);
    assert_eq!(events(&entry), ["queued", "failed"]);
    let after = sends(client).await;
    assert!((after - before).abs() < 0.5, "{before} calls, then {after}");
}

async fn a_recipient_leaves_with_one_click_and_may_come_back(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let to = "delivered+ana@simulator.test";
    let news = enqueue(client, email(to, MARKETING)).await;
    let offer = enqueue(client, bulk(to)).await;
    let booking = enqueue(client, email(to, "Client Notifications")).await;
    for id in [&news, &offer, &booking] {
        delivered(client, id).await;
    }
    let bare = headers(db, &booking).await;
    assert!(!bare.contains_key("list-unsubscribe") && bare.contains_key("x-sendtrail-id"));
    link(&headers(db, &offer).await);
    let link = link(&headers(db, &news).await);
    let here = format!("http://{}/u/", program.app.address());
    assert!(link.starts_with(&here), "{link}");
    assert!(!link.contains("ana"), "no personal data in {link}");

    // Scanners follow links.
    for _ in 0..2 {
        let asked = shown(browser().get(&link)).await;
        assert_eq!(asked.status, 200);
        assert!(asked.page.contains("<form method=\"post\">"));
        assert!(asked.page.contains("Unsubscribe?"), "{}", asked.page);
    }
    assert_eq!(browser().head(&link).send().await.unwrap().status(), 200);
    assert!(list(client, "").await.is_empty(), "a GET does nothing");
    assert_eq!(
        events(&client.entry(&news).await).last().unwrap(),
        "delivered"
    );

    for _ in 0..2 {
        let left = one_click(&link).await;
        assert_eq!(left.status, 200);
        assert!(left.page.contains("You are unsubscribed"));
    }
    let again = shown(browser().get(&link)).await;
    assert!(again.page.contains("You are unsubscribed"));
    let entry = client.entry(&news).await;
    assert_eq!(
        events(&entry),
        ["queued", "sent", "delivered", "unsubscribed"]
    );
    assert!(entry["facts"]["unsubscribed"].is_object());
    let entries = list(client, "?address=DELIVERED%2Bana@simulator.test").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["scope"], &entries[0]["source"]),
        (&json!("bulk"), &json!("recipient"))
    );
    assert_eq!(entries[0]["notification_id"], news);

    let shouted = "Delivered+ANA@Simulator.test";
    for new in [email(shouted, MARKETING), bulk(to)] {
        assert_stopped(client, new, "unsubscribed", "has unsubscribed").await;
    }
    let booking = enqueue(client, email(to, "Client Notifications")).await;
    delivered(client, &booking).await;
    let other = "delivered+bo@simulator.test";
    let id = enqueue(client, email(other, MARKETING)).await;
    delivered(client, &id).await;

    let back = shown(browser().post(format!("{link}?back"))).await;
    assert!(back.page.contains("You are subscribed again"));
    assert!(list(client, "").await.is_empty());
    assert_eq!(list(client, "?lifted=true").await.len(), 1, "as history");
    let id = enqueue(client, email(to, MARKETING)).await;
    delivered(client, &id).await;
    assert_eq!(
        events(&client.entry(&news).await)[3..],
        ["unsubscribed", "resubscribed"]
    );
    program.stop().await;
}

async fn the_mail_by_smtp_carries_the_link_as_well(db: &TestDb) {
    let variables = Variables::of(db)
        .sandbox()
        .with("EMAIL__PROVIDERS", "smtp")
        .with("EMAIL__UNSUBSCRIBE_MAILTO", "leave@example.com")
        .with("HTTP__PUBLIC_URL", "https://notify.example.com/n/")
        .with("WEB__UNSUBSCRIBE_SECRET", "a secret of some length");
    let program = Program::start(&variables).await;
    let client = &program.client;
    let id = enqueue(client, email("delivered@simulator.test", MARKETING)).await;
    delivered(client, &id).await;
    let headers = headers(db, &id).await;
    let link = link(&headers);
    let token = link.strip_prefix("https://notify.example.com/n/u/");
    let token = token.expect("the address of the settings");
    let mailto = format!("<mailto:leave@example.com?subject=unsubscribe%20{token}>");
    assert!(headers["list-unsubscribe"].contains(&mailto), "{headers:?}");
    let made = db.texts("SELECT name FROM secrets").await;
    assert_eq!(made, ["bounces"], "of links the settings have one");
    let here = format!("http://{}/u/{token}", program.app.address());
    assert!(one_click(&here).await.page.contains("You are unsubscribed"));
    program.stop().await;
}

async fn forged_and_garbled_links_say_what_to_do_and_change_nothing(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let ids = [
        enqueue(client, email("delivered@simulator.test", MARKETING)).await,
        enqueue(client, email("delivered+b@simulator.test", MARKETING)).await,
    ];
    for id in &ids {
        delivered(client, id).await;
    }
    let (a, b) = (
        link(&headers(db, &ids[0]).await),
        link(&headers(db, &ids[1]).await),
    );
    let base = format!("http://{}/u/", program.app.address());
    let token = |link: &str| link.strip_prefix(&base).unwrap().to_owned();
    let (a, b) = (token(&a), token(&b));
    let swapped = format!("{}{}", &a[..22], &b[22..]);
    for bad in [
        &a[..a.len() - 1],
        &a[1..],
        &format!("{a}A"),
        &format!("{a}%00"),
        &swapped,
        &ids[0],
        "x",
        "",
        &format!("{a}/"),
        "%FF",
        "..%2F..%2Fetc",
        &"A".repeat(5_000),
        &"A".repeat(64),
    ] {
        for request in [
            browser().get(format!("{base}{bad}")),
            browser().post(format!("{base}{bad}")),
            browser().post(format!("{base}{bad}?back")),
        ] {
            let answer = shown(request).await;
            assert_eq!(answer.status, 404, "{bad}");
            assert!(answer.page.contains("This link does not work"), "{bad}");
            assert!(answer.page.contains("Open the message again"), "{bad}");
            assert!(!answer.page.contains("<form"), "{bad}");
        }
    }
    for method in [reqwest::Method::PUT, reqwest::Method::DELETE] {
        let request = browser().request(method, format!("{base}{a}"));
        assert_eq!(request.send().await.unwrap().status(), 405);
    }
    assert!(list(client, "").await.is_empty());
    // A body that is no form, or too long to be one, changes nothing about the click.
    let answer = shown(
        browser()
            .post(format!("{base}{a}"))
            .body("x".repeat(200_000)),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(list(client, "").await.len(), 1);
    program.stop().await;
}

async fn the_worker_and_the_page_of_another_process_agree_on_the_links(db: &TestDb) {
    let start = async |variables: Variables, roles: &str| {
        let settings = Settings::load(None, Some(variables.iter().collect())).unwrap();
        let roles: Roles = roles.parse().unwrap();
        App::start_with(settings, roles, Overrides::default())
            .await
            .unwrap()
    };
    let front = start(Variables::of(db), "api,web").await;
    let public = format!("http://{}", front.address());
    let variables = Variables::of(db)
        .sandbox()
        .with("HTTP__PUBLIC_URL", &public);
    let worker = start(variables, "worker,webhooks").await;
    let client = Client::with_new_key(front.address(), front.store()).await;
    let id = enqueue(&client, email("delivered@simulator.test", MARKETING)).await;
    delivered(&client, &id).await;
    let link = link(&headers(db, &id).await);
    assert!(link.starts_with(&public), "{link}");
    assert!(one_click(&link).await.page.contains("You are unsubscribed"));
    assert_eq!(list(&client, "").await.len(), 1);
    assert!(worker.stop().await && front.stop().await);
}

async fn what_a_provider_reported_once_is_not_tried_again(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let suppressed = "address_suppressed";
    for (story, fact, category, words) in [
        ("bounced", "bounced", suppressed, "came back for good"),
        ("suppressed", "bounced", suppressed, "came back for good"),
        ("complained", "complained", suppressed, "as spam"),
    ] {
        let to = format!("{story}@simulator.test");
        let id = enqueue(client, email(&to, "Client Notifications")).await;
        let entry = client.until(&id, |entry| entry["facts"][fact].is_object());
        let entry = entry.await;
        assert!(!texts(&entry["statuses"]).contains(&"Failed"), "{entry:#}");
        let found = list(client, &format!("?method=email&address={to}")).await;
        assert_eq!(found[0]["notification_id"], id, "{story}");
        let new = email(&to, "Client Notifications");
        assert_stopped(client, new, category, words).await;
    }
    // What is full today may have room tomorrow.
    for _ in 0..2 {
        let to = "mailbox-full@simulator.test";
        let id = enqueue(client, email(to, "Client Notifications")).await;
        // Its report may come before its attempt is recorded.
        let bounced = |entry: &Value| entry["status"] == "Bounced" && entry["attempts"] == 1;
        client.until(&id, bounced).await;
    }
    let stop = json!({"client": "C-1", "method": "sms", "to": "+15005550009", "type": "Reminder",
        "content": {"text": "See you on Monday"}});
    let id = enqueue(client, stop.clone()).await;
    let is_told = |entry: &Value| entry["facts"]["unsubscribed"].is_object();
    client.until(&id, is_told).await;
    assert_eq!(list(client, "?method=sms").await[0]["reason"], "stop");
    assert_stopped(client, stop, "unsubscribed", "STOP").await;
    program.stop().await;
}

async fn what_a_provider_refused_for_good_is_not_tried_again(db: &TestDb) {
    let by = |push| {
        let variables = Variables::of(db).sandbox();
        let variables = variables.with("SMS__PROVIDERS", "twilio");
        variables.with("PUSH__PROVIDERS", push)
    };
    for (push, token) in [
        ("fcm", "d:APA91b-unregistered"),
        ("apns", "abab-unregistered"),
    ] {
        let program = Program::start(&by(push)).await;
        let client = &program.client;
        let message = json!({"client": "C-1", "method": "push", "to": token, "type": "Reminder",
            "content": {"title": "Monday", "text": "See you"}});
        let id = enqueue(client, message.clone()).await;
        let entry = failed(client, &id).await;
        assert_eq!(entry["attempts"], 1, "{entry:#}");
        let found = list(client, "?method=push").await;
        assert_eq!(found[0]["notification_id"], id);
        assert_eq!(found[0]["source"], push);
        let words = "no longer registered";
        assert_stopped(client, message, "device_gone", words).await;
        program.stop().await;
    }
    let program = Program::start(&by("fcm")).await;
    let client = &program.client;
    let stop = json!({"client": "C-1", "method": "sms", "to": "+15005550009", "type": "Reminder",
        "content": {"text": "See you on Monday"}});
    let id = enqueue(client, stop.clone()).await;
    assert_eq!(failed(client, &id).await["attempts"], 1);
    let found = list(client, "?method=sms").await;
    assert_eq!(
        (&found[0]["reason"], &found[0]["source"]),
        (&json!("stop"), &json!("twilio"))
    );
    assert_stopped(client, stop, "unsubscribed", "STOP").await;
    program.stop().await;
}

async fn a_deactivated_client_is_sent_nothing(db: &TestDb) {
    let program = Program::start(&Variables::of(db).sandbox()).await;
    let client = &program.client;
    let new = json!({"id": "C-1", "email": "delivered@simulator.test", "deactivated": true});
    assert_eq!(client.post("/v1/clients", &new).await.0, 201);
    let message = json!({"client": "C-1", "method": "email", "type": "Offer",
        "content": {"subject": "Hello", "html": "<p>Hello</p>"}});
    let words = "The client is deactivated.";
    assert_stopped(client, message.clone(), "client_deactivated", words).await;
    let body = json!({"deactivated": false});
    let answer = client.ask(reqwest::Method::PATCH, "/v1/clients/C-1", Some(&body));
    assert_eq!(answer.await.unwrap().0, 200);
    let id = enqueue(client, message).await;
    delivered(client, &id).await;
    program.stop().await;
}

async fn who_leaves_while_a_message_waits_for_a_slow_provider_is_not_sent_it(db: &TestDb) {
    let sink = Sink::start(Duration::from_secs(3)).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("DELIVERY__CONCURRENCY", "1");
    let program = Program::start(&variables).await;
    let client = &program.client;
    let mut new: Vec<Value> = (0..6)
        .map(|i| email(&format!("c{i}@mail.test"), "Client Notifications"))
        .collect();
    new.push(email("leaves@mail.test", "Client Notifications"));
    let ids = client.enqueue(&new).await;
    // All of them are in the worker's hands.
    sink.until(1, Duration::from_mins(1)).await;
    let entered = json!({"address": "leaves@mail.test", "method": "email", "reason": "staff", "note": "by telephone"});
    let (status, answer) = client.post("/v1/suppressions", &entered).await;
    assert_eq!(status, 201, "{answer}");
    for id in ids.iter().take(6) {
        client.until(id, |entry| entry["status"] == "Sent").await;
    }
    let barred = client
        .until(&ids[6], |entry| entry["status"] != "Awaiting Send")
        .await;
    assert_eq!(barred["status"], "Failed", "{barred:#}");
    assert_eq!(sink.count(), 6);
    program.stop().await;
}
