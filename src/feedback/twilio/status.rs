//! What became of a text message of ours, in Twilio's words.
//! <https://www.twilio.com/docs/messaging/api/message-resource#message-status-values>

use super::form::Form;
use super::{SOURCE, key};
use crate::domain::event::{Failure, What};
use crate::domain::id::NotificationId;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::feedback::Parsed;
use crate::feedback::provider_text::{long, sentence, word};
use crate::store::feedback::{Happening, Report};
use crate::transport::twilio::{Meaning, meaning};

/// The recipient has said STOP to this sender.
const OPTED_OUT: &str = "21610";

/// Reports arrive in any order and more than once, so each is an event by itself, named by the message
/// and what happened to it.
pub(super) fn parse(
    form: &Form,
    notification: Option<NotificationId>,
    received_at: Timestamp,
) -> Parsed {
    let mut ids = ["MessageSid", "SmsSid"].into_iter();
    let provider_message_id = ids.find_map(|name| form.get(name)).map(long);
    let Some(status) = form.get("MessageStatus").or(form.get("SmsStatus")) else {
        return Parsed::Unparsable {
            why: "no MessageStatus",
        };
    };
    let Some(sid) = provider_message_id.clone() else {
        return Parsed::Unparsable {
            why: "no MessageSid",
        };
    };
    let Some(whats) = whats(status, &sid, form) else {
        return Parsed::Unknown {
            kind: word(status),
            notification,
            provider_message_id,
        };
    };
    let occurred_at = told_at(form, received_at);
    let happenings = whats.into_iter().map(|what| Happening {
        key: key::of(&[SOURCE, &sid, what.kind()]),
        occurred_at,
        what,
    });
    let report = Report {
        notification,
        provider_message_id,
        source: SOURCE,
        happenings: happenings.collect(),
    };
    Parsed::Report {
        kind: word(status),
        report,
    }
}

/// `None`: a status that this version does not know.
fn whats(status: &str, sid: &str, form: &Form) -> Option<Vec<What>> {
    Some(match status {
        // Twilio has it; how far it has got on its way is no news.
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => vec![What::Accepted {
            provider: SOURCE.to_owned(),
            provider_message_id: Some(sid.to_owned()),
            opens_tracked: false,
        }],
        "delivered" => vec![What::Delivered { response: None }],
        // Of RCS; a text message is never said to be read.
        "read" => vec![What::Opened {
            user_agent: None,
            by_machine: false,
        }],
        "undelivered" | "failed" => undelivered(form),
        // While it waited at Twilio for its hour.
        "canceled" => vec![What::Undelivered(Failure {
            category: Category::Cancelled,
            code: Some(status.to_owned()),
            provider_text: None,
        })],
        _ => return None,
    })
}

fn undelivered(form: &Form) -> Vec<What> {
    let code = form.get("ErrorCode").map(word);
    let known = code.as_ref().and_then(|code| meaning(code.parse().ok()?));
    let is_opt_out = code.as_deref() == Some(OPTED_OUT);
    let undelivered = What::Undelivered(Failure {
        category: known.map_or(Category::Unknown, Meaning::category),
        code,
        provider_text: form.get("ErrorMessage").map(sentence),
    });
    let unsubscribed = What::Unsubscribed {
        how: Some("opted out of SMS".to_owned()),
    };
    let mut whats = vec![undelivered];
    whats.extend(is_opt_out.then_some(unsubscribed));
    whats
}

/// Twilio's own time, which it tells only who asks (`poll.rs`); else that of the receipt.
fn told_at(form: &Form, received_at: Timestamp) -> Timestamp {
    let told = form
        .get("DateUpdated")
        .and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    told.map_or(received_at, |at| {
        Timestamp::from_millis(at.timestamp().as_millisecond()).min(received_at)
    })
}
