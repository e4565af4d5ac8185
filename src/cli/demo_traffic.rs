//! Sample traffic for the demo: every story, all three methods, over the HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tracing::warn;

use super::demo_clients;

/// Between two notifications: brisk enough to watch, slow enough to follow.
const PAUSE: Duration = Duration::from_millis(900);
/// One call of the demo to itself.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Ordinary mail is mostly opened; the rarer stories all occur.
const STORIES: [&str; 22] = [
    "opened",
    "opened",
    "opened",
    "delivered",
    "delivered",
    "clicked",
    "bounced",
    "mailbox-full",
    "suppressed",
    "bounced-then-opened",
    "opened-then-bounced",
    "opened-then-bounced",
    "complained",
    "rejected",
    "throttled",
    "lost-answer",
    "early",
    "late",
    "duplicate",
    "shuffled",
    "down",
    "opened",
];
const PHONES: [&str; 7] = ["0006", "0007", "0007", "0001", "0004", "0008", "0009"];
const TARGETS: [&str; 4] = ["delivered", "delivered", "disabled", "unregistered"];

const TYPES: [(&str, &str, &str); 5] = [
    (
        "Booking confirmation",
        "Client Notifications",
        "See you on Monday at 9:00",
    ),
    (
        "Appointment reminder",
        "Client Notifications",
        "Your appointment is tomorrow",
    ),
    (
        "Spring offer",
        "Automated Marketing",
        "Two classes for the price of one",
    ),
    (
        "New schedule",
        "Staff Notifications",
        "The schedule for next week",
    ),
    (
        "Reply to your question",
        "Message Center",
        "Here is what you asked for",
    ),
];
/// Of the sample staff, by id.
const STAFF: [Option<&str>; 4] = [None, None, Some("S-4"), Some("S-5")];

/// One of every story first, then a steady stream until it is aborted.
pub(super) async fn run(address: SocketAddr, key: String) {
    let client = match reqwest::Client::builder().timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(failed) => {
            warn!(error = %failed, "no traffic: the HTTP client cannot be made");
            return;
        }
    };
    let url = format!("http://{address}/v1/notifications");
    let first = STORIES.iter().map(|story| email(story));
    let first = first
        .chain(PHONES.iter().map(|end| sms(end)))
        .chain(TARGETS.iter().map(|end| push(end)));
    let batch = json!({ "notifications": first.collect::<Vec<_>>() });
    let mut next = batch;
    loop {
        let request = client.post(&url).bearer_auth(&key).json(&next);
        if let Err(failed) = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
        {
            warn!(error = %failed.without_url(), "the demo could not enqueue");
        }
        tokio::time::sleep(PAUSE).await;
        next = any();
    }
}

fn any() -> Value {
    let mut rng = rand::rng();
    let pick = |from: &'static [&'static str]| from.choose(&mut rand::rng()).copied().unwrap_or("");
    match ["email", "email", "email", "sms", "push"]
        .choose(&mut rng)
        .copied()
    {
        Some("sms") => sms(pick(&PHONES)),
        Some("push") => push(pick(&TARGETS)),
        _ => email(pick(&STORIES)),
    }
}

/// The address of one of these stays on the suppression list after its first bounce or complaint, so
/// that one can see what becomes of the next message to it.
const FAMILIAR: f64 = 0.15;

fn label() -> String {
    let mut rng = rand::rng();
    if rng.random_bool(FAMILIAR) {
        "again".to_owned()
    } else {
        rng.random::<u32>().to_string()
    }
}

fn email(story: &str) -> Value {
    let (mut notification, text) = base("email");
    let html = format!("<p>{text}.</p><p><a href=\"https://example.com/\">Details</a></p>");
    put(
        &mut notification,
        "to",
        format!("{story}+{}@simulator.test", label()).into(),
    );
    put(
        &mut notification,
        "content",
        json!({"subject": text, "text": text, "html": html}),
    );
    notification
}

fn sms(end: &str) -> Value {
    let (mut notification, text) = base("sms");
    put(&mut notification, "to", format!("+1500555{end}").into());
    put(&mut notification, "content", json!({ "text": text }));
    notification
}

fn push(end: &str) -> Value {
    let (mut notification, text) = base("push");
    let target = format!("arn:aws:sns:us-east-1:000000000000:endpoint/GCM/demo/{end}");
    put(&mut notification, "to", target.into());
    put(
        &mut notification,
        "content",
        json!({"title": "sendtrail demo", "text": text}),
    );
    notification
}

fn base(method: &str) -> (Value, &'static str) {
    let mut rng = rand::rng();
    let id = demo_clients::any(&mut rng);
    let (type_name, contact_type, text) = TYPES.choose(&mut rng).copied().unwrap_or_default();
    let mut notification = json!({
        "client": id, "method": method, "type": type_name,
        "contact_type": contact_type,
    });
    if let Some(staff) = STAFF.choose(&mut rng).copied().flatten() {
        put(&mut notification, "staff_id", staff.into());
    }
    (notification, text)
}

fn put(notification: &mut Value, key: &str, value: Value) {
    if let Some(object) = notification.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
