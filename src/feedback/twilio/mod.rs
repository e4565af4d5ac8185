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

use super::read::Raw;
use super::{Parsed, key};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
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

impl Genuine {
    /// What a client wrote, or what became of a message of ours.
    pub fn said(&self, verifier: &Verifier, received_at: Timestamp) -> Parsed {
        match text::read(&self.form) {
            Some(text) => Parsed::Text(Box::new(text.received_by(verifier))),
            None => parse(&self.query, &self.body, received_at),
        }
    }

    /// As it is kept. Two messages that one signature covers are one: it does not cover where names
    /// and values end, nor the token by which Twilio marks its repetitions, so that none of these may
    /// make a captured message a new one. Twilio dates nothing: what is kept is how a repetition is
    /// recognised, and after that the keys of its events.
    pub(super) fn raw(&self, received_at: Timestamp) -> Raw {
        let id = key::of(&[SOURCE, &self.query, &self.form.signed_text()]);
        Raw {
            source: SOURCE,
            message_id: id.0.to_string(),
            topic: format!("{PATH}?{}", self.query),
            received_at,
            body: self.body.as_str().into(),
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
