//! What must not be in logs, metrics and traces: addresses, numbers, words of messages, keys, passwords.

use serde_json::{Value, json};

use super::child::{Child, Variables};
use super::client::Client;
use super::traces::Collector;
use crate::support::db::{TestDb, both};

both!(the_logs_metrics_and_traces_of_a_busy_program_hold_no_personal_data_and_no_secret);

/// Words that occur nowhere else.
const SUBJECT: &str = "subject-kiwi";
const TEXT: &str = "text-papaya";
const HTML: &str = "html-quince";
const NAME: &str = "name-tamarind";
const METADATA: &str = "metadata-guava";
const PASSWORD: &str = "password-durian";

async fn the_logs_metrics_and_traces_of_a_busy_program_hold_no_personal_data_and_no_secret(
    db: &TestDb,
) {
    let collector = Collector::start();
    for (email, sms, push) in [
        ("ses", "sns", "sns"),
        ("smtp", "twilio", "fcm"),
        ("smtp", "twilio", "apns"),
    ] {
        let variables = Variables::of(db)
            .sandbox()
            .with("EMAIL__PROVIDERS", email)
            .with("SMS__PROVIDERS", sms)
            .with("PUSH__PROVIDERS", push)
            .with("DATABASE__URL", &with_password(db))
            .with("LOG__LEVEL", "trace");
        let variables = collector.told(variables);
        let mut child = Child::serve(&variables, "api,web,webhooks,worker");
        let client = Client::with_new_key(child.address(), &db.store).await;
        let mut secrets = [SUBJECT, TEXT, HTML, NAME, METADATA, PASSWORD, client.key()]
            .map(str::to_owned)
            .to_vec();
        secrets.extend(every_kind_of_traffic(&client).await);
        let (status, metrics) = client.get("/metrics").await;
        assert!(
            status == 200 && metrics.contains("sendtrail_sends"),
            "{metrics}"
        );
        let log = child.log();
        child.stop();
        let traces = collector.text();
        assert!(traces.contains("\"attempt\""), "{traces}");
        assert!(
            log.contains("answered") && log.contains("subscription confirmed"),
            "{log}"
        );
        // What shows who we are to a provider.
        secrets.extend(["Bearer ", "bearer ", "ya29.", "Basic "].map(str::to_owned));
        for secret in secrets {
            for told in [&log, &metrics, &traces] {
                let line = told.lines().find(|line| line.contains(&secret));
                assert_eq!(line, None, "{secret}");
            }
        }
    }
}

/// The server of the tests asks for none and takes any.
fn with_password(db: &TestDb) -> String {
    db.url
        .replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1)
}

/// Good and bad; returns the addresses.
async fn every_kind_of_traffic(client: &Client) -> Vec<String> {
    let content = json!({"subject": SUBJECT, "text": TEXT, "html": HTML});
    let mut notifications = Vec::new();
    for story in [
        "opened",
        "bounced",
        "rejected",
        "throttled",
        "lost-answer",
        "down",
        "duplicate",
    ] {
        let to = format!("{story}+lychee@simulator.test");
        notifications.push(
            json!({"client": {"id": "C-1", "name": NAME}, "method": "email",
            "to": to, "type": "Offer", "content": content, "metadata": {"x": METADATA}}),
        );
    }
    for end in ["0001", "0004", "0007", "0009"] {
        notifications.push(json!({"client": "C-2", "method": "sms", "type": "Offer",
            "to": format!("+1500555{end}"), "content": {"text": TEXT}}));
    }
    for end in ["disabled", "unregistered", "down"] {
        notifications.push(json!({"client": "C-3", "method": "push", "type": "Offer",
            "to": format!("device-rambutan-{end}"), "content": {"title": SUBJECT, "text": TEXT}}));
    }
    let ids = client.enqueue(&notifications).await;
    for id in &ids {
        let ended = |entry: &Value| {
            entry["status"] != "Awaiting Send" && entry["next_attempt_at"].is_null()
        };
        client.until(id, ended).await;
    }
    let wrong = json!({"client": {"id": "C-1", "email": "pitaya@nowhere"}, "method": "email",
        "to": "pitaya@nowhere", "type": "Offer", "content": content});
    assert_eq!(client.post("/v1/notifications", &wrong).await.0, 422);
    assert_eq!(client.get("/v1/history?search=lychee").await.0, 200);
    assert_eq!(
        client.get("/v1/clients/pitaya@nowhere/history").await.0,
        404
    );
    let stranger = format!("{{\"Type\": \"Notification\", \"Message\": \"{TEXT}\"}}");
    assert_eq!(client.post_feedback(stranger).await.0, 400);
    ["lychee", "rambutan", "pitaya", "+1500555"]
        .map(str::to_owned)
        .to_vec()
}
