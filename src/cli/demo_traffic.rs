//! Sample traffic for the demo: every story, all three methods, over the HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
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

/// Emails of this type are made of a template, and those of this contact type are bulk.
const TEMPLATED: &str = "Appointment reminder";
const TEMPLATE: &str = "appointment-reminder";
const MARKETING: &str = "Automated Marketing";

const TYPES: [(&str, &str, &str); 5] = [
    (
        "Booking confirmation",
        "Client Notifications",
        "See you on Monday at 9:00",
    ),
    (
        TEMPLATED,
        "Client Notifications",
        "Your appointment is tomorrow",
    ),
    (
        "Spring offer",
        MARKETING,
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

/// An application of the demo, with a key of its own.
pub(super) struct Caller {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Caller {
    pub(super) fn new(address: SocketAddr, key: String) -> reqwest::Result<Self> {
        Ok(Self {
            client: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            base: format!("http://{address}"),
            key,
        })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<()> {
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<()> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let answer = request.bearer_auth(&self.key).json(body).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(reqwest::Error::without_url)
    }
}

/// One of every story first, then a steady stream until it is aborted.
pub(super) async fn run(address: SocketAddr, key: String) {
    let caller = match Caller::new(address, key) {
        Ok(caller) => caller,
        Err(failed) => {
            warn!(error = %failed, "no traffic: the HTTP client cannot be made");
            return;
        }
    };
    let path = format!("/v1/templates/{TEMPLATE}");
    if let Err(failed) = caller.ask(Method::PUT, &path, &template()).await {
        warn!(error = %failed, "the demo has no template");
    }
    let first = STORIES.iter().map(|story| email(story));
    let first = first
        .chain(PHONES.iter().map(|end| sms(end)))
        .chain(TARGETS.iter().map(|end| push(end)));
    let batch = json!({ "notifications": first.collect::<Vec<_>>() });
    let mut next = batch;
    loop {
        if let Err(failed) = caller.post("/v1/notifications", &next).await {
            warn!(error = %failed, "the demo could not enqueue");
        }
        tokio::time::sleep(PAUSE).await;
        next = any();
    }
}

fn template() -> Value {
    json!({
        "method": "email", "type": TEMPLATED, "subject": "Your appointment is {{ day }}",
        "text": "See you {{ day }} at {{ time }}.",
        "html": "<p>See you {{ day }} at <b>{{ time }}</b>.</p>",
    })
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
    if notification.get("type").is_some_and(|it| it == TEMPLATED) {
        let data = json!({"day": "tomorrow", "time": "9:00"});
        let filled = json!({"name": TEMPLATE, "data": data});
        put(&mut notification, "template", filled);
    } else {
        let content = json!({"subject": text, "text": text, "html": html});
        put(&mut notification, "content", content);
    }
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
    if contact_type == MARKETING {
        put(&mut notification, "priority", "bulk".into());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_bulk_and_reminders_are_made_of_the_template() {
        let (mut offers, mut reminders) = (0, 0);
        for _ in 0..500 {
            let email = email("opened");
            let is_offer = email["contact_type"] == MARKETING;
            assert_eq!(email["priority"] == "bulk", is_offer, "{email}");
            let is_reminder = email["type"] == TEMPLATED;
            assert_eq!(
                email["template"]["name"] == TEMPLATE,
                is_reminder,
                "{email}"
            );
            assert_eq!(email["content"].is_null(), is_reminder, "{email}");
            offers += usize::from(is_offer);
            reminders += usize::from(is_reminder);
        }
        assert!(offers > 0 && reminders > 0, "{offers} {reminders}");
    }
}
