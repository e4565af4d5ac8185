//! The transports against servers that do exactly what a script says.

mod fake_http;
mod fake_smtp;
mod mime;
mod quota;
mod ses;
mod smtp;
mod smtp_pool;
mod smtp_tls;
mod sns;

use std::time::Duration;

use serde_json::{Map, Value};

use super::{EmailSettings, Transport};
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;

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
    }
}

fn text_email(to: &str, text: &str) -> Outgoing {
    let content = Content::Email {
        subject: "See you on Monday".to_owned(),
        text: Some(text.to_owned()),
        html: None,
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
