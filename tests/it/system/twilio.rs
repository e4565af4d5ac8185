//! What comes back from Twilio, at the running program: reports, texts of clients, forgeries, and
//! reports that have to be asked for.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::child::Variables;
use super::client::{Client, text};
use super::program::Program;
use crate::support::db::{TestDb, both};

both!(
    who_writes_stop_is_sent_nothing_more_until_they_write_start,
    a_report_that_never_came_is_asked_for,
    reports_in_any_order_and_number_are_one_story,
    what_twilio_did_not_sign_for_us_is_refused_counted_and_leaves_no_trace,
);

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const TOKEN: &str = "12345";
const PUBLIC: &str = "https://notify.example.com/webhooks/twilio";
const SID: &str = "SM00000000000000000000000000000001";

fn reminder(client: &str, to: &str) -> Value {
    json!({"client": {"id": client}, "method": "sms", "to": to, "type": "Reminder",
        "content": {"text": "See you on Monday"}})
}

async fn enqueue(client: &Client, new: Value) -> String {
    client.enqueue(&[new]).await.remove(0)
}

/// The entries of what the client wrote, newest first.
async fn texts_of(client: &Client, id: &str) -> Vec<Value> {
    let path = format!("/v1/clients/{id}/history?channel=Inbound");
    let (status, body) = client.get(&path).await;
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    page["entries"].as_array().unwrap().clone()
}

/// Somebody writes to our number.
async fn write(program: &Program, from: &str, body: &str) {
    let url = program.app.sandbox().unwrap().http_url();
    let before = program.app.sandbox().unwrap().counts().posted;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http.post(format!("{url}/sandbox/texts"));
    let written = json!({"from": from, "body": body});
    let answer = call.json(&written).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 204);
    assert!(program.app.sandbox().unwrap().counts().posted > before);
}

async fn who_writes_stop_is_sent_nothing_more_until_they_write_start(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("SMS__PROVIDERS", "twilio");
    let program = Program::start(&variables).await;
    let (client, phone) = (&program.client, "+14155550123");
    let is = |status: &'static str| move |entry: &Value| entry["status"] == status;
    let first = enqueue(client, reminder("C-1", phone)).await;
    client.until(&first, is("Unopened")).await;

    write(&program, phone, "See you then!").await;
    write(&program, phone, "Stop").await;
    let next = enqueue(client, reminder("C-1", phone)).await;
    let failed = client.until(&next, is("Failed")).await;
    assert_eq!(failed["reason"]["category"], "unsubscribed", "{failed:#}");
    assert_eq!(failed["attempts"], 0, "no provider is called");
    let first = client.entry(&first).await;
    assert!(first["facts"]["unsubscribed"].is_object(), "{first:#}");

    write(&program, phone, "START").await;
    let last = enqueue(client, reminder("C-1", phone)).await;
    client.until(&last, is("Unopened")).await;
    let texts = texts_of(client, "C-1").await;
    let written: Vec<String> = texts.iter().map(|it| text(&it["description"])).collect();
    assert_eq!(written, ["START", "Stop", "See you then!"]);
    for entry in &texts {
        assert_eq!(entry["channel"], "Inbound");
        assert_eq!(entry["method"], "sms");
        assert_eq!(entry["statuses"], json!([]), "{entry:#}");
        assert_eq!(entry["resendable"], false);
    }
    for (kind, count) in [("text", 1.0), ("stop", 1.0), ("start", 1.0)] {
        let series = format!("sendtrail_feedback_total{{kind=\"{kind}\",result=\"applied\"}}");
        assert_eq!(client.metric(&series).await, Some(count), "{kind}");
    }
    program.stop().await;
}

async fn a_report_that_never_came_is_asked_for(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("SMS__PROVIDERS", "twilio");
    let program = Program::start(&variables.with("TWILIO__POLL_AFTER_SECONDS", "1")).await;
    let untold = enqueue(&program.client, reminder("C-1", "+15005550204")).await;
    let is_delivered = |entry: &Value| entry["status"] == "Unopened";
    let entry = program.client.until(&untold, is_delivered).await;
    assert!(entry["facts"]["delivered"].is_object(), "{entry:#}");
    program.stop().await;
}

/// With an account and a number of our own; what is to be sent stays where it is, because nobody
/// listens.
fn set_up(db: &TestDb) -> Variables {
    Variables::of(db)
        .with("EMAIL__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "")
        .with("SMS__PROVIDERS", "twilio")
        .with("TWILIO__ENDPOINT_URL", "http://127.0.0.1:9")
        .with("TWILIO__ACCOUNT_SID", ACCOUNT)
        .with("TWILIO__AUTH_TOKEN", TOKEN)
        .with("TWILIO__FROM", "+15005550001")
        .with("TWILIO__STATUS_CALLBACK_URL", PUBLIC)
}

/// A post as Twilio makes it, and what a forger changes of it.
#[derive(Clone)]
struct Post {
    query: String,
    body: String,
    content_type: &'static str,
    signatures: Vec<String>,
}

impl Post {
    /// Signed for the address, computed apart from the program.
    fn signed(url: &str, query: &str, fields: &[(&str, &str)]) -> Self {
        let sorted: BTreeMap<&str, &str> = fields.iter().copied().collect();
        let mut text = format!("{url}?{query}");
        for (name, value) in &sorted {
            text.push_str(name);
            text.push_str(value);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
        let url = reqwest::Url::parse_with_params("http://x/", fields).unwrap();
        Self {
            query: query.to_owned(),
            body: url.query().unwrap().to_owned(),
            content_type: "application/x-www-form-urlencoded",
            signatures: vec![STANDARD.encode(hmac::sign(&key, text.as_bytes()))],
        }
    }

    fn report(id: &str, status: &str) -> Self {
        let fields = [
            ("AccountSid", ACCOUNT),
            ("MessageSid", SID),
            ("MessageStatus", status),
            ("To", "+14155550123"),
        ];
        Self::signed(PUBLIC, &format!("notification_id={id}"), &fields)
    }

    async fn send(&self, program: &Program) -> (u16, String) {
        let base = program.app.address();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{base}/webhooks/twilio?{}", self.query);
        let mut call = http.post(url).header("content-type", self.content_type);
        for signature in &self.signatures {
            call = call.header("x-twilio-signature", signature);
        }
        let answer = call.body(self.body.clone()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }
}

async fn reports_in_any_order_and_number_are_one_story(db: &TestDb) {
    let program = Program::start(&set_up(db)).await;
    let id = enqueue(&program.client, reminder("C-1", "+14155550123")).await;
    let statuses = [
        "delivered",
        "sent",
        "queued",
        "sent",
        "delivered",
        "teleported",
    ];
    for status in statuses {
        let (code, body) = Post::report(&id, status).send(&program).await;
        assert_eq!((code, body.as_str()), (204, ""), "{status}");
    }
    let entry = program.client.entry(&id).await;
    assert_eq!(entry["status"], "Unopened", "{entry:#}");
    assert_eq!(entry["provider_message_id"], SID);
    assert_eq!(db.count("delivery_events").await, 2);
    assert_eq!(db.count("feedback_inbox").await, 4, "each kept once");
    // Of a message that is not ours by its id, but by Twilio's.
    let stranger = "0197f000-0000-7000-8000-000000000000";
    assert_eq!(Post::report(stranger, "read").send(&program).await.0, 204);
    let entry = program.client.entry(&id).await;
    assert_eq!(entry["status"], "Opened", "{entry:#}");
    for (kind, result, count) in [
        ("delivered", "applied", 1.0),
        ("delivered", "duplicate", 1.0),
        ("accepted", "applied", 2.0),
        ("unknown", "noted", 1.0),
    ] {
        let series = format!("sendtrail_feedback_total{{kind=\"{kind}\",result=\"{result}\"}}");
        let counted = program.client.metric(&series).await;
        assert_eq!(counted, Some(count), "{series}");
    }
    program.stop().await;
}

/// What is posted, the status of the answer, the reason under which it is counted.
fn forgeries(id: &str) -> Vec<(Post, u16, &'static str)> {
    let genuine = Post::report(id, "delivered");
    let fields = [("AccountSid", ACCOUNT), ("MessageSid", SID)];
    let query = format!("notification_id={id}");
    let with = |change: &dyn Fn(&mut Post)| {
        let mut post = genuine.clone();
        change(&mut post);
        post
    };
    let other = "0197f000-0000-7000-8000-000000000000";
    let foreign = [("AccountSid", "AC11111111111111111111111111111111")];
    let elsewhere = |url: &str| Post::signed(url, &query, &fields);
    vec![
        (with(&|p| p.body += "&X=1"), 403, "signature"),
        (
            with(&|p| p.body = p.body.replace("delivered", "failed")),
            403,
            "signature",
        ),
        (
            with(&|p| p.query = p.query.replace(id, other)),
            403,
            "signature",
        ),
        (with(&|p| p.query.clear()), 403, "signature"),
        (with(&|p| p.signatures.clear()), 403, "no_signature"),
        (
            with(&|p| p.signatures.push(p.signatures[0].clone())),
            403,
            "signature",
        ),
        (
            with(&|p| p.signatures = vec!["guess".to_owned()]),
            403,
            "signature",
        ),
        (with(&|p| p.content_type = "text/plain"), 400, "not_twilio"),
        (
            with(&|p| p.content_type = "application/json"),
            400,
            "not_twilio",
        ),
        (
            with(&|p| p.body = "a=b&".repeat(3_000)),
            400,
            "too_many_parameters",
        ),
        (with(&|p| p.body = "x".repeat(100_000)), 413, "too_large"),
        (
            elsewhere("http://notify.example.com/webhooks/twilio"),
            403,
            "signature",
        ),
        (
            elsewhere("https://notify.example.com:8443/webhooks/twilio"),
            403,
            "signature",
        ),
        (
            elsewhere("https://evil.example.com/webhooks/twilio"),
            403,
            "signature",
        ),
        (
            Post::signed(PUBLIC, &query, &foreign),
            403,
            "foreign_account",
        ),
        (Post::signed(PUBLIC, &query, &[("a", "b")]), 400, "field"),
    ]
}

async fn what_twilio_did_not_sign_for_us_is_refused_counted_and_leaves_no_trace(db: &TestDb) {
    let program = Program::start(&set_up(db)).await;
    let id = enqueue(&program.client, reminder("C-1", "+14155550123")).await;
    let mut refused: BTreeMap<&str, f64> = BTreeMap::new();
    for (number, (post, status, reason)) in forgeries(&id).into_iter().enumerate() {
        let (code, body) = post.send(&program).await;
        assert_eq!(code, status, "{number}: {body}");
        *refused.entry(reason).or_default() += 1.0;
    }
    for (reason, count) in refused {
        let series = format!("sendtrail_feedback_total{{kind=\"none\",result=\"{reason}\"}}");
        assert_eq!(
            program.client.metric(&series).await,
            Some(count),
            "{reason}"
        );
    }
    for table in ["feedback_inbox", "unmatched_events", "delivery_events"] {
        assert_eq!(db.count(table).await, 0, "{table}");
    }
    let with_port = PUBLIC.replace(".com/", ".com:443/");
    let query = format!("notification_id={id}");
    let fields = [
        ("AccountSid", ACCOUNT),
        ("MessageSid", SID),
        ("MessageStatus", "sent"),
    ];
    let genuine = Post::signed(&with_port, &query, &fields);
    assert_eq!(genuine.send(&program).await.0, 204);
    program.stop().await;
}
