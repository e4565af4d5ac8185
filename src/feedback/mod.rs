//! What providers tell us afterwards: is it genuine, which message is it about, what happened.

pub mod bounce_mail;
mod delivery_log;
mod eum;
mod eum_text;
mod inbox;
mod json;
mod provider_text;
mod push_event;
mod queued;
mod read;
mod server_words;
mod ses;
pub mod sns;
pub mod subscriptions;
pub mod twilio;
pub mod webhook;
mod wish;

pub use inbox::Inbox;
pub use read::reader;

use crate::domain::event_key as key;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::store::feedback::{Happening, Report};
use crate::store::inbound::Text;
use json::Json;

/// A provider's text, understood as far as it can be. None of these is an error: what is not
/// understood is kept and counted, because the provider would only drop it if it were refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// About one message.
    Report {
        /// The provider's word for what happened.
        kind: String,
        report: Report,
    },
    /// A client wrote to us.
    Text(Box<Text>),
    /// A provider tries out the way to us; there is nothing to do.
    Test,
    /// Well formed and of a kind that this version does not know.
    Unknown {
        /// The provider's word, bounded; for people, and not for the label of a metric.
        kind: String,
        notification: Option<NotificationId>,
        provider_message_id: Option<String>,
    },
    /// Not what a provider sends. `why` says what is missing and carries nothing of the text.
    Unparsable { why: &'static str },
}

/// Reads the text inside an SNS message: an SES notification or event, an event of AWS End User
/// Messaging, what a client wrote to a number of it, or a line of the delivery status log of SNS. `EventBridge` puts an envelope of its own
/// around the events of SES.
pub fn parse(message: &str, received_at: Timestamp) -> Parsed {
    if ses::is_test(message) {
        return Parsed::Test;
    }
    let Ok(value) = Json::parse(message) else {
        return Parsed::Unparsable { why: "not JSON" };
    };
    let detail = value.at("/detail").filter(|_| {
        let source = provider_text::text_at(&value, "/source");
        source == Some(read::AWS_SES)
    });
    let value = detail.unwrap_or(&value);
    if let Some(event) = eum::Event::read(value) {
        return eum::parse(&event, received_at);
    }
    if let Some(parsed) = eum_text::parse(value) {
        return parsed;
    }
    if let Some(kind) = ses::kind(value) {
        return ses::parse(value, kind, received_at);
    }
    if let Some(line) = delivery_log::Line::read(value) {
        return delivery_log::parse(&line, received_at);
    }
    if let Some(parsed) = push_event::parse(value, received_at) {
        return parsed;
    }
    if !matches!(value, Json::Object(_)) {
        return Parsed::Unparsable {
            why: "not a JSON object",
        };
    }
    Parsed::Unknown {
        kind: provider_text::text_at(value, "/EventType")
            .map(provider_text::word)
            .unwrap_or_default(),
        notification: None,
        provider_message_id: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_report_is_told_apart_and_never_an_error() {
        let parse = |text: &str| parse(text, Timestamp::EPOCH);
        assert_eq!(parse("hello"), Parsed::Unparsable { why: "not JSON" });
        assert_eq!(parse(""), Parsed::Unparsable { why: "not JSON" });
        assert_eq!(
            parse("[1]"),
            Parsed::Unparsable {
                why: "not a JSON object"
            }
        );
        let unknown = |kind: &str| Parsed::Unknown {
            kind: kind.to_owned(),
            notification: None,
            provider_message_id: None,
        };
        assert_eq!(parse("{}"), unknown(""));
        assert_eq!(
            parse(r#"{"EventType":"DeliveryFailure"}"#),
            unknown("DeliveryFailure")
        );
        let deep = "[".repeat(200_000);
        assert_eq!(parse(&deep), Parsed::Unparsable { why: "not JSON" });
    }

    proptest! {
        #[test]
        fn no_text_and_no_envelope_makes_it_panic(text in ".*", kind in "[A-Za-z ]{0,12}") {
            parse(&text, Timestamp::EPOCH);
            sns::Envelope::parse(text.as_bytes()).ok();
            let event = serde_json::json!({"eventType": kind, "mail": {"messageId": text},
                "bounce": {"bouncedRecipients": [{"status": text, "diagnosticCode": text}]}});
            parse(&event.to_string(), Timestamp::EPOCH);
        }
    }
}
