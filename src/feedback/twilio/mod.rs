//! Messages of Twilio: is it Twilio that posts, which message is it about, what happened. Reports of
//! what became of our text messages, and text messages of clients, come to one address.
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>

mod form;
mod poll;
mod refusal;
mod status;
#[cfg(test)]
mod tests;
mod text;
mod verifier;
pub mod webhook;

pub use form::Form;
pub use poll::Poller;
pub use refusal::Refusal;
pub use verifier::{BODY_MAX, PATH, Post, Verifier};

use reqwest::Url;

use super::{Parsed, key};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::store::feedback::Incoming;
use crate::store::inbound::Text;
use crate::transport::twilio::ID_PARAMETER;

/// In the inbox and in the ledger.
const SOURCE: &str = "twilio";

/// A message that Twilio really sent.
#[derive(Debug)]
pub struct Genuine {
    pub form: Form,
    /// Of the address to which it was posted.
    pub query: String,
    /// As it came.
    pub body: String,
}

/// What a genuine message is.
#[derive(Debug)]
pub enum Said {
    /// About a message of ours, or nothing that we know.
    Report(Parsed),
    /// A client wrote to us.
    Text(Box<Text>),
}

impl Genuine {
    pub fn said(&self, verifier: &Verifier, received_at: Timestamp) -> Said {
        match text::read(&self.form) {
            Some(text) => Said::Text(Box::new(text.received_by(verifier))),
            None => Said::Report(parse(&self.query, &self.body, received_at)),
        }
    }

    /// As it is kept. Two messages that one signature covers are one: it does not cover where names
    /// and values end, nor the token by which Twilio marks its repetitions, so that none of these may
    /// make a captured message a new one. Twilio dates nothing: what is kept is how a repetition is
    /// recognised, and after that the keys of its events.
    pub fn incoming(&self, kind: String, received_at: Timestamp) -> Incoming {
        let id = key::of(&[SOURCE, &self.query, &self.form.signed_text()]);
        Incoming {
            source: SOURCE,
            message_id: id.0.to_string(),
            topic: format!("{PATH}?{}", self.query),
            received_at,
            kind,
            body: self.body.as_str().into(),
            report: None,
        }
    }
}

/// Reads a kept report: the query of the address to which it was posted, which names the
/// notification, and the form or JSON object.
pub fn parse(query: &str, body: &str, received_at: Timestamp) -> Parsed {
    match Form::read(body) {
        Ok(form) => status::parse(&form, notification(query), received_at),
        Err(_refusal) => Parsed::Unparsable {
            why: "neither a form nor a JSON object",
        },
    }
}

/// Our id, where the address has it.
fn notification(query: &str) -> Option<NotificationId> {
    let address = Url::parse(&format!("http://localhost/?{query}")).ok()?;
    let mut named = address.query_pairs();
    let (_, id) = named.find(|(name, _)| name == ID_PARAMETER)?;
    uuid::Uuid::try_parse(&id).ok().map(NotificationId::new)
}
