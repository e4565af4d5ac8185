//! Text messages by Twilio and push messages by FCM and APNs, from the call to what staff see.

use serde_json::{Value, json};

use super::child::Variables;
use super::client::{Client, text};
use super::program::Program;
use crate::support::db::{TestDb, both};

both!(
    text_messages_by_twilio_end_as_they_should,
    push_messages_by_fcm_end_as_they_should,
    push_messages_by_apns_end_as_they_should,
    many_push_messages_need_one_token,
);

/// Address, status, reason, attempts, timeline.
type Story = (&'static str, &'static str, &'static str, u64, &'static str);

const THRICE: &str = "queued attempt attempt sent";
const IN_VAIN: &str = "queued attempt attempt attempt attempt failed";

async fn text_messages_by_twilio_end_as_they_should(db: &TestDb) {
    let variables = Variables::of(db).sandbox().with("SMS__PROVIDERS", "twilio");
    let program = Program::start(&variables).await;
    let stories: [Story; 5] = [
        (
            "+15005550001",
            "Failed",
            "invalid_address",
            1,
            "queued failed",
        ),
        ("+15005550006", "Sent", "", 1, "queued sent"),
        ("+15005550009", "Failed", "unsubscribed", 1, "queued failed"),
        ("+15005550429", "Sent", "", 3, THRICE),
        ("+15005550500", "Failed", "provider_unavailable", 4, IN_VAIN),
    ];
    let entries = play(&program.client, &stories).await;
    assert_eq!(
        entries[0]["reason"]["provider_text"],
        "Invalid 'To' Phone Number: +15005550001"
    );
    let id = text(&entries[1]["provider_message_id"]);
    assert!(id.starts_with("SM") && id.len() == 34, "{id}");
    assert_eq!(entries[1]["provider"], "twilio");
    a_lost_answer_is_unknown(&program.client, "+15005550408").await;
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
    a_lost_answer_is_unknown(&program.client, "abab-lost-answer").await;
    program.stop().await;
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
