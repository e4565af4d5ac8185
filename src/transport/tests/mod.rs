//! The transports against servers that do exactly what a script says.

mod apns;
mod apns_connection;
mod fake_h2;
mod fake_http;
mod fake_smtp;
mod fcm;
mod mime;
mod quota;
mod sender;
mod ses;
mod smtp;
mod smtp_pool;
mod smtp_tls;
mod sns;
mod tracking;
mod twilio;
mod whose;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{EmailSettings, Transport};
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::domain::tracking::OptIn;

const ID: &str = "01908d2c-5c00-7000-8000-000000000001";
/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn clock() -> Clock {
    Clock::manual(Timestamp::parse("2027-01-01T09:00:00Z").unwrap())
}

fn email_settings() -> EmailSettings {
    EmailSettings {
        from: "Bookings <bookings@example.com>".to_owned(),
    }
}

fn outgoing(method: Method, to: &str, content: Content) -> Outgoing {
    Outgoing {
        id: NotificationId::parse(ID).unwrap(),
        to: Address::parse(method, to).unwrap(),
        content,
        unsubscribe: None,
        tracking: OptIn::default(),
        tracking_links: None,
        expires_at: None,
        sender: None,
        reply_to: None,
        files: Vec::new(),
    }
}

fn text_email(to: &str, text: &str) -> Outgoing {
    let content = Content::Email {
        subject: "See you on Monday".to_owned(),
        text: Some(text.to_owned()),
        html: None,
        reply_to: None,
        attachments: Vec::new(),
    };
    outgoing(Method::Email, to, content)
}

fn email() -> Outgoing {
    text_email("ana@example.com", "Hello Ana")
}

fn sms() -> Outgoing {
    let text = "Hello".to_owned();
    outgoing(Method::Sms, "+14155550123", Content::Sms { text })
}

fn push(data: Map<String, Value>) -> Outgoing {
    let content = Content::Push {
        title: Some("Reminder".to_owned()),
        text: "See you on Monday".to_owned(),
        data,
    };
    let arn = "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/1";
    outgoing(Method::Push, arn, content)
}

async fn send(transport: &Transport, message: &Outgoing) -> Outcome {
    tokio::time::timeout(PATIENCE, transport.send(message))
        .await
        .expect("a transport always comes back")
}

/// A recorded answer: status, headers in their form on the wire, body.
fn recorded(file: &str) -> (u16, String, String) {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let fixture: Value = serde_json::from_str(&text).unwrap();
    let headers = fixture["headers"].as_object().into_iter().flatten();
    let lines = headers.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap()));
    let mut lines: Vec<String> = lines.collect();
    lines.push(String::new());
    let headers = lines.join("\r\n");
    let body = match fixture["body_text"].as_str() {
        Some(text) => text.to_owned(),
        None => fixture["body"].to_string(),
    };
    let status = fixture["status"].as_u64().unwrap();
    (status.try_into().unwrap(), headers, body)
}

/// The recorded errors of a provider, by the names of their files.
fn recorded_errors(folder: &str) -> Vec<String> {
    let path = format!("{}/tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("error_"))
        .collect();
    names.sort();
    names
}

/// The three parts of a JSON Web Token, the last one checked with `verify`.
fn read_token(token: &str, verify: impl Fn(&[u8], &[u8]) -> bool) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    assert!(verify(signed.as_bytes(), &decoded(signature)), "{token}");
    let json = |part: &str| serde_json::from_slice(&decoded(part)).unwrap();
    (json(header), json(claims))
}

/// The word of an outcome, with the category of a rejection and the code.
fn told(outcome: &Outcome) -> (&'static str, String) {
    let detail = match outcome {
        Outcome::Accepted {
            provider_message_id,
        } => provider_message_id.clone(),
        Outcome::Rejected(failure) => Some(format!(
            "{} {}",
            failure.category.as_str(),
            failure.code.clone().unwrap_or_default()
        )),
        Outcome::TryLater { why, .. }
        | Outcome::Throttled { why, .. }
        | Outcome::Broken { why }
        | Outcome::Unknown { why } => why.code.clone(),
    };
    (outcome.as_str(), detail.unwrap_or_default())
}
