//! Text messages by Twilio and push messages by FCM and APNs, from the call to what staff see.

use std::time::Duration;

use sendtrail::domain::method::Method;
use sendtrail::sandbox::Door;
use sendtrail::store::providers::Order;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::child::{Variables, run};
use super::client::{Client, text};
use super::program::Program;
use crate::support::db::{TestDb, both};

both!(
    text_messages_by_twilio_end_as_they_should,
    push_messages_by_fcm_end_as_they_should,
    push_messages_by_apns_end_as_they_should,
    many_push_messages_need_one_token,
    each_push_provider_has_the_targets_of_its_kind,
    a_push_provider_that_is_down_or_paused_holds_up_no_other,
    a_push_target_that_waits_in_the_wrong_lane_goes_by_its_own_provider,
);

/// Address, status, reason, attempts, timeline.
type Story = (&'static str, &'static str, &'static str, u64, &'static str);

const THRICE: &str = "queued attempt attempt sent";
const IN_VAIN: &str = "queued attempt attempt attempt attempt failed";

async fn text_messages_by_twilio_end_as_they_should(db: &TestDb) {
    // Its reports must not overtake our own record of the send, which alone says when it was.
    let variables = Variables::of(db).sandbox().with("SMS__PROVIDERS", "twilio");
    let program = Program::start(&variables.with("SANDBOX__LATENCY_MS", "300")).await;
    let stories: [Story; 8] = [
        (
            "+15005550001",
            "Failed",
            "invalid_address",
            1,
            "queued failed",
        ),
        ("+15005550006", "Sent", "", 1, "queued sent"),
        ("+15005550009", "Failed", "unsubscribed", 1, "queued failed"),
        (
            "+15005550429",
            "Unopened",
            "",
            3,
            "queued attempt attempt sent delivered",
        ),
        ("+15005550500", "Failed", "provider_unavailable", 4, IN_VAIN),
        ("+15005550007", "Unopened", "", 1, "queued sent delivered"),
        (
            "+15005550004",
            "Failed",
            "policy_or_reputation",
            1,
            "queued sent failed",
        ),
        (
            "+15005550008",
            "Failed",
            "provider_unavailable",
            1,
            "queued sent failed",
        ),
    ];
    let entries = play(&program.client, &stories).await;
    assert_eq!(
        entries[0]["reason"]["provider_text"],
        "Invalid 'To' Phone Number: +15005550001"
    );
    let id = text(&entries[1]["provider_message_id"]);
    assert!(id.starts_with("SM") && id.len() == 34, "{id}");
    assert_eq!(entries[1]["provider"], "twilio");
    // The answer is lost; the reports say that it went.
    let lost = notification("+15005550408");
    let ids = program.client.enqueue(&[lost]).await;
    let is_delivered = |entry: &Value| entry["status"] == "Unopened";
    let entry = program.client.until(&ids[0], is_delivered).await;
    assert!(entry["facts"]["sent"].is_object(), "{entry:#}");
    program.stop().await;
}

async fn push_messages_by_fcm_end_as_they_should(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("PUSH__PROVIDERS", "fcm");
    let program = Program::start(&variables).await;
    let stories: [Story; 5] = [
        ("d:APA91b-delivered", "Sent", "", 1, "queued sent"),
        (
            "d:APA91b-disabled",
            "Failed",
            "invalid_address",
            1,
            "queued failed",
        ),
        (
            "d:APA91b-unregistered",
            "Failed",
            "device_gone",
            1,
            "queued failed",
        ),
        ("d:APA91b-throttled", "Sent", "", 3, THRICE),
        (
            "d:APA91b-down",
            "Failed",
            "provider_unavailable",
            4,
            IN_VAIN,
        ),
    ];
    let entries = play(&program.client, &stories).await;
    let name = text(&entries[0]["provider_message_id"]);
    assert!(
        name.starts_with("projects/sandbox-project/messages/"),
        "{name}"
    );
    assert_eq!(entries[0]["provider"], "fcm");
    a_device_that_the_app_is_gone_from_is_not_asked_again(&program.client, "d:APA91b").await;
    a_lost_answer_is_unknown(&program.client, "d:APA91b-lost-answer").await;
    program.stop().await;
}

async fn push_messages_by_apns_end_as_they_should(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("PUSH__PROVIDERS", "apns");
    let program = Program::start(&variables).await;
    let stories: [Story; 5] = [
        ("abab-delivered", "Sent", "", 1, "queued sent"),
        (
            "abab-disabled",
            "Failed",
            "invalid_address",
            1,
            "queued failed",
        ),
        (
            "abab-unregistered",
            "Failed",
            "device_gone",
            1,
            "queued failed",
        ),
        ("abab-throttled", "Sent", "", 3, THRICE),
        ("abab-down", "Failed", "provider_unavailable", 4, IN_VAIN),
    ];
    let entries = play(&program.client, &stories).await;
    assert_eq!(entries[0]["provider_message_id"], entries[0]["id"]);
    assert_eq!(entries[0]["provider"], "apns");
    a_device_that_the_app_is_gone_from_is_not_asked_again(&program.client, "abab").await;
    a_lost_answer_is_unknown(&program.client, "abab-lost-answer").await;
    program.stop().await;
}

/// The push service has said that the app is gone: the next message is not sent at all, and fails
/// for that reason. A target that was only bad is asked again.
async fn a_device_that_the_app_is_gone_from_is_not_asked_again(client: &Client, stem: &str) {
    let (gone, invalid) = (
        ("unregistered", "device_gone", 0),
        ("disabled", "invalid_address", 1),
    );
    for (end, category, attempts) in [gone, invalid] {
        let again = notification(&format!("{stem}-{end}"));
        let ids = client.enqueue(&[again]).await;
        let entry = client
            .until(&ids[0], |entry| entry["status"] == "Failed")
            .await;
        assert_eq!(entry["attempts"], attempts, "{entry:#}");
        assert_eq!(entry["reason"]["category"], category, "{entry:#}");
    }
}

/// Enqueues one notification for each story and waits until all have ended as they should. Gives
/// the entries.
async fn play(client: &Client, stories: &[Story]) -> Vec<Value> {
    let notifications: Vec<Value> = stories.iter().map(|story| notification(story.0)).collect();
    let ids = client.enqueue(&notifications).await;
    let mut entries = Vec::new();
    for ((address, status, reason, attempts, timeline), id) in stories.iter().zip(&ids) {
        let wanted = (*status, *reason, Some(*attempts), (*timeline).to_owned());
        let is_so = |entry: &Value| {
            let reason = entry["reason"]["category"].as_str().unwrap_or_default();
            let status = entry["status"].as_str().unwrap();
            (status, reason, entry["attempts"].as_u64(), events(entry)) == wanted
        };
        let entry = client.until(id, is_so).await;
        assert_eq!(entry["to"], *address);
        entries.push(entry);
    }
    entries
}

fn notification(to: &str) -> Value {
    let (method, content) = if to.starts_with('+') {
        ("sms", json!({"text": "See you on Monday"}))
    } else {
        let data = json!({"booking": "8812"});
        (
            "push",
            json!({"title": "Monday", "text": "See you", "data": data}),
        )
    };
    json!({"client": {"id": format!("C {to}")}, "method": method, "to": to, "type": "Reminder",
        "content": content})
}

fn events(entry: &Value) -> String {
    let moments = entry["timeline"].as_array().unwrap().iter();
    let events: Vec<String> = moments.map(|moment| text(&moment["event"])).collect();
    events.join(" ")
}

/// It may have gone: that is what the timeline says, and not that it failed.
async fn a_lost_answer_is_unknown(client: &Client, to: &str) {
    let ids = client.enqueue(&[notification(to)]).await;
    let entry = client
        .until(&ids[0], |entry| entry["timeline"][1].is_object())
        .await;
    assert_eq!(entry["timeline"][1]["outcome"], "unknown", "{entry:#}");
}

async fn many_push_messages_need_one_token(db: &TestDb) {
    for (provider, device, logins) in [("fcm", "d:APA91b", (1, 0)), ("apns", "abab", (0, 1))] {
        let variables = Variables::of(db)
            .sandbox()
            .with("PUSH__PROVIDERS", provider);
        let program = Program::start(&variables).await;
        let notifications: Vec<Value> = (0..100)
            .map(|number| notification(&format!("{device}-{number}")))
            .collect();
        for id in &program.client.enqueue(&notifications).await {
            program
                .client
                .until(id, |entry| entry["status"] == "Sent")
                .await;
        }
        let found = program.app.sandbox().unwrap().logins();
        assert_eq!((found.google_tokens, found.apple_tokens), logins);
        program.stop().await;
    }
}

/// A token of Apple's form whose end chooses the story.
fn apple(end: &str) -> String {
    format!("{}-{end}", "0a".repeat(32))
}

const ARN: &str = "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/delivered";

/// Which provider each of them went by.
async fn go_by(client: &Client, ids: &[String]) -> Vec<String> {
    let mut providers = Vec::new();
    for id in ids {
        let entry = client.until(id, |entry| entry["status"] == "Sent").await;
        providers.push(text(&entry["provider"]));
    }
    providers
}

async fn each_push_provider_has_the_targets_of_its_kind(db: &TestDb) {
    let targets = ["d:APA91b-1".to_owned(), apple("1"), ARN.to_owned()];
    let batch = targets.each_ref().map(|target| notification(target));
    let variables = Variables::of(db).sandbox();
    let all = variables.clone().with("PUSH__PROVIDERS", "apns,sns,fcm");
    let program = Program::start(&all).await;
    let ids = program.client.enqueue(&batch).await;
    assert_eq!(go_by(&program.client, &ids).await, ["fcm", "apns", "sns"]);
    program.stop().await;

    // Nobody can reach the third: no provider is asked, and the entry says what to do.
    for (providers, refused, code) in [
        ("fcm,apns", 2, "no_provider_sns"),
        ("apns,sns", 0, "no_provider_fcm"),
        ("sns,fcm", 1, "no_provider_apns"),
        ("fcm", 2, "no_provider_sns"),
    ] {
        let program = Program::start(&variables.clone().with("PUSH__PROVIDERS", providers)).await;
        let client = &program.client;
        let ids = client.enqueue(&[notification(&targets[refused])]).await;
        let failed = client.until(&ids[0], |e| e["status"] == "Failed").await;
        assert_eq!(
            (events(&failed), &failed["attempts"]),
            ("queued failed".to_owned(), &json!(0))
        );
        let reason = &failed["reason"];
        assert_eq!(reason["category"], "no_provider");
        let sql = format!(
            "SELECT failed_code FROM delivery_facts WHERE notification_id = '{}'",
            ids[0]
        );
        assert_eq!(db.texts(&sql).await, [code]);
        let words = text(&reason["text"]);
        assert!(
            words.contains("No provider is configured for this kind of push target"),
            "{words}"
        );
        assert!(
            text(&reason["remedy"]).contains("push.providers"),
            "{reason}"
        );
        program.stop().await;
    }
}

async fn a_push_provider_that_is_down_or_paused_holds_up_no_other(db: &TestDb) {
    const COUNT: usize = 20;
    let variables = Variables::of(db)
        .sandbox()
        .with("PUSH__PROVIDERS", "fcm,apns")
        .with("DELIVERY__BREAKER__REST_MS", "300")
        .with("DELIVERY__BREAKER__REST_MAX_MS", "1000");
    let program = Program::start(&variables).await;
    let (client, store) = (&program.client, program.app.store());
    for provider in ["fcm", "apns"] {
        let gauge = format!("sendtrail_provider_active{{method=\"push\",provider=\"{provider}\"}}");
        let started = Instant::now();
        while client.metric(&gauge).await != Some(1.0) {
            assert!(started.elapsed() < Duration::from_secs(30), "{provider}");
            sleep(Duration::from_millis(50)).await;
        }
    }
    let enqueue = async |end: &str| {
        let targets = (0..COUNT).map(|n| notification(&format!("d:APA91b-{end}{n}")));
        let fcm = client.enqueue(&targets.collect::<Vec<_>>()).await;
        let targets = (0..COUNT).map(|n| notification(&apple(&format!("{end}{n}"))));
        (fcm, client.enqueue(&targets.collect::<Vec<_>>()).await)
    };
    let order = Order {
        method: Method::Push,
        provider: Some("fcm"),
        by: "a test",
    };
    for (end, paused) in [("x", false), ("y", true)] {
        if paused {
            store.pause_provider(order, "to see").await.unwrap();
            // Workers look every second.
            sleep(Duration::from_millis(2_500)).await;
        } else {
            program.app.sandbox().unwrap().set_down(&[Door::Fcm]);
        }
        let (fcm, apns) = enqueue(end).await;
        assert_eq!(go_by(client, &apns).await, ["apns"; COUNT]);
        for id in &fcm {
            assert_eq!(client.entry(id).await["status"], "Awaiting Send", "{end}");
        }
        let listed = run(&variables, &["providers", "list"]).out;
        let apns = listed.split("push  apns").nth(1).unwrap();
        assert!(apns.contains("active  closed"), "{listed}");
        assert!(!listed.contains("fcm > apns"), "{listed}");
        store.resume_provider(order).await.unwrap();
        program.app.sandbox().unwrap().set_down(&[]);
        assert_eq!(go_by(client, &fcm).await, ["fcm"; COUNT]);
    }
    program.stop().await;
}

/// As the versions before there were forms put it.
async fn a_push_target_that_waits_in_the_wrong_lane_goes_by_its_own_provider(db: &TestDb) {
    let variables = Variables::of(db)
        .sandbox()
        .with("PUSH__PROVIDERS", "fcm,apns");
    let program = Program::start(&variables).await;
    let (client, store) = (&program.client, program.app.store());
    let order = Order {
        method: Method::Push,
        provider: None,
        by: "a test",
    };
    store.pause_provider(order, "to see").await.unwrap();
    sleep(Duration::from_millis(2_500)).await;
    let ids = client.enqueue(&[notification(&apple("1"))]).await;
    assert_eq!(
        db.texts("SELECT CAST(lane AS TEXT) FROM jobs").await,
        ["21"]
    );
    db.execute("UPDATE jobs SET lane = 1").await;
    store.resume_provider(order).await.unwrap();
    assert_eq!(go_by(client, &ids).await, ["apns"]);
    assert_eq!(client.entry(&ids[0]).await["attempts"], 1);
    program.stop().await;
}
