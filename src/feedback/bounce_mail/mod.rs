//! Mail that comes back to senders by plain SMTP: reports of mail servers on single messages (RFC 3464) and
//! complaints of recipients (RFC 5965).
//!
//! Anybody can write such a mail. It is believed when it has the signed address that we gave the message as
//! its envelope sender; one without is kept, and applied only where the settings say so.

mod complaint;
mod door;
mod entity;
pub mod lmtp;
mod settings;
mod status;

pub use door::{BYTES_MAX, Door, KEPT_BYTES_MAX};
pub use settings::BounceSettings;

use super::{Parsed, Report};
use crate::domain::bounce_address::BounceTokens;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use entity::Entity;

/// The source of the events.
const SOURCE: &str = super::read::MAIL;

/// Which mail is believed.
#[derive(Clone, Debug)]
pub struct Trust {
    pub tokens: BounceTokens,
    /// Also a mail that names a message of ours without our signature.
    pub accept_unsigned: bool,
}

/// Fields in which a mail server or a script notes who the mail was for, and those of the message that it
/// is about, in which our signed address stands. Whoever has the address got it with that message.
const RECIPIENT_FIELDS: [&str; 3] = ["Delivered-To", "X-Original-To", "To"];
const SENDER_FIELDS: [&str; 2] = ["Return-Path", "Original-Mail-From"];
/// The subtype of a complaint's part.
const FEEDBACK: [&str; 1] = ["feedback-report"];
/// Addresses looked at in one mail: a signature is computed for each.
const ADDRESSES_MAX: usize = 50;

/// A mail and its parts.
struct Returned<'a> {
    mail: Entity<'a>,
    parts: Vec<Entity<'a>>,
}

/// What a mail is, by the part that says so.
#[derive(Clone, Copy)]
enum Kind {
    Status,
    Feedback,
}

/// Reads a mail; `recipient` is the one of its envelope, where it is known.
pub fn parse(trust: &Trust, recipient: &str, mail: &str, received_at: Timestamp) -> Parsed {
    let mail = Entity::read(mail);
    let parts = mail.parts();
    let returned = Returned { mail, parts };
    let Some((kind, part)) = returned.report() else {
        return unknown(if returned.is_automatic() {
            "automatic-reply"
        } else {
            "other-mail"
        });
    };
    let Some(id) = trust.notification(recipient, &returned) else {
        return unknown("unsigned-report");
    };
    let about = About {
        id,
        written_at: returned.mail.time("Date"),
        received_at,
    };
    let (kind, happenings) = match kind {
        Kind::Status => ("delivery-status", status::happenings(part, &about)),
        Kind::Feedback => {
            let happening = complaint::happening(part, &about);
            ("feedback-report", happening.into_iter().collect())
        }
    };
    Parsed::Report {
        kind: kind.to_owned(),
        report: Report {
            notification: Some(id),
            provider_message_id: None,
            source: SOURCE,
            happenings,
        },
    }
}

/// The message that a report is about, and when it came.
struct About {
    id: NotificationId,
    /// The `Date` of the report.
    written_at: Option<Timestamp>,
    received_at: Timestamp,
}

impl About {
    /// A time in a report, if it can be true: between the enqueue and the receipt of the report.
    fn when(&self, told: Option<Timestamp>) -> Timestamp {
        let told = told.into_iter().chain(self.written_at);
        let mut possible = told.filter(|at| (self.id.date()..=self.received_at).contains(at));
        possible.next().unwrap_or(self.received_at)
    }
}

fn unknown(kind: &str) -> Parsed {
    Parsed::Unknown {
        kind: kind.to_owned(),
        notification: None,
        provider_message_id: None,
    }
}

impl<'a> Returned<'a> {
    /// The part that reports something. The parameter `report-type` of the whole is missing often.
    fn report(&self) -> Option<(Kind, &Entity<'a>)> {
        let status = ["delivery-status", "global-delivery-status"];
        let status = self.part(&status).map(|part| (Kind::Status, part));
        status.or_else(|| Some((Kind::Feedback, self.part(&FEEDBACK)?)))
    }

    fn part(&self, subtypes: &[&str]) -> Option<&Entity<'a>> {
        self.parts.iter().find(|part| part.is_message(subtypes))
    }

    /// RFC 3834 5.
    fn is_automatic(&self) -> bool {
        let told = self.mail.field("Auto-Submitted");
        told.is_some_and(|told| !told.to_ascii_lowercase().starts_with("no"))
            || self.mail.field("X-Autoreply").is_some()
            || self.mail.field("X-Autorespond").is_some()
    }

    /// The header of the message that came back, or as much of the message as the report has.
    fn original(&self) -> Option<Entity<'a>> {
        let is_original = |part: &&Entity<'_>| {
            part.is_message(&["rfc822", "global", "global-headers"])
                || part.is_of("text", "rfc822-headers")
        };
        self.parts
            .iter()
            .find(is_original)
            .map(|part| Entity::read(part.body))
    }
}

impl Trust {
    fn notification(&self, recipient: &str, returned: &Returned<'_>) -> Option<NotificationId> {
        let original = returned.original();
        let feedback = returned.part(&FEEDBACK);
        let feedback = feedback.map(|part| Entity::read(part.body));
        let told = RECIPIENT_FIELDS
            .iter()
            .flat_map(|name| returned.mail.fields(name));
        let about = original.iter().chain(&feedback);
        let sent_by =
            about.flat_map(|it| SENDER_FIELDS.iter().flat_map(move |name| it.fields(name)));
        let addresses = std::iter::once(recipient).chain(told).chain(sent_by);
        let signed = addresses
            .flat_map(|text| text.split(is_between_addresses))
            .filter(|text| text.contains('@'))
            .take(ADDRESSES_MAX)
            .find_map(|address| self.tokens.read(address));
        let unsigned = || {
            let original = original.as_ref().filter(|_| self.accept_unsigned)?;
            named_by(original)
        };
        signed.or_else(unsigned)
    }
}

fn is_between_addresses(c: char) -> bool {
    c.is_whitespace() || "<>,;:\"()".contains(c)
}

/// The notification that a message of ours names in its header.
fn named_by(original: &Entity<'_>) -> Option<NotificationId> {
    let ours = original.field("X-Sendtrail-Id");
    let message_id = || {
        let (id, _domain) = original.field("Message-ID")?.split_once('@')?;
        Some(id.trim_start_matches('<'))
    };
    ours.or_else(message_id).and_then(NotificationId::parse)
}

#[cfg(test)]
mod tests;
