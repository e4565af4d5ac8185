//! Bounces in SES's words: how final each is, and why, as far as the report says.
//!
//! Types and subtypes: SES developer guide, "Contents of event data that Amazon SES publishes".
//! Status codes: RFC 3463 and the IANA registry of enhanced status codes.

use crate::domain::event::Severity;
use crate::domain::reason::Category;

/// Every published bounce is final for its message; `Transient` speaks of the address only.
pub(super) fn severity(bounce_type: &str) -> Severity {
    match bounce_type {
        "Permanent" => Severity::Permanent,
        "Transient" => Severity::Transient,
        _ => Severity::Undetermined,
    }
}

/// The subtypes that say why. All others (`General`, `Undetermined`, those still to be invented)
/// leave it to the remote server's words.
const SUBTYPES: [(&str, Category); 11] = [
    ("NoEmail", Category::InvalidAddress),
    ("Suppressed", Category::AddressSuppressed),
    ("OnAccountSuppressionList", Category::AddressSuppressed),
    ("OnTenantSuppressionList", Category::AddressSuppressed),
    ("EmailValidationSuppressed", Category::AddressSuppressed),
    ("UnsubscribedRecipient", Category::Unsubscribed),
    ("MailboxFull", Category::MailboxFull),
    ("MessageTooLarge", Category::ContentRejected),
    ("ContentRejected", Category::ContentRejected),
    ("AttachmentRejected", Category::ContentRejected),
    // The time limit for deliveries that our own configuration set gives.
    ("CustomTimeoutExceeded", Category::Expired),
];

/// Words of mail servers that give no usable code, in lower case; the first that occurs decides.
const WORDS: [(&str, Category); 17] = [
    ("mailbox full", Category::MailboxFull),
    ("mailbox is full", Category::MailboxFull),
    ("over quota", Category::MailboxFull),
    ("quota exceeded", Category::MailboxFull),
    ("user unknown", Category::InvalidAddress),
    ("unknown user", Category::InvalidAddress),
    ("no such user", Category::InvalidAddress),
    ("recipient unknown", Category::InvalidAddress),
    ("unknown recipient", Category::InvalidAddress),
    ("does not exist", Category::InvalidAddress),
    ("no such mailbox", Category::InvalidAddress),
    ("spam", Category::PolicyOrReputation),
    ("blocked", Category::PolicyOrReputation),
    ("blacklist", Category::PolicyOrReputation),
    ("dmarc", Category::PolicyOrReputation),
    ("timed out", Category::ProviderUnavailable),
    ("unable to connect", Category::ProviderUnavailable),
];

/// Why a recipient bounced: the subtype, else the status code of the bounce report, else a code in
/// the server's reply, else its words. Nothing is guessed: a report that says nothing is `Unknown`.
pub(super) fn category(subtype: &str, status: Option<&str>, diagnostic: Option<&str>) -> Category {
    let named = SUBTYPES.iter().find(|(name, _)| *name == subtype);
    if let Some((_, category)) = named {
        return *category;
    }
    let in_reply = diagnostic.and_then(|reply| {
        reply
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(by_status)
    });
    status
        .and_then(by_status)
        .or(in_reply)
        .or_else(|| diagnostic.and_then(by_words))
        .unwrap_or(Category::Unknown)
}

/// By enhanced status code `class.subject.detail`; `None` for what is no such code and for codes
/// that say nothing, such as 5.0.0.
fn by_status(code: &str) -> Option<Category> {
    let numbers: Vec<u16> = code
        .split('.')
        .map(|part| part.parse().ok().filter(|_| part.len() <= 3))
        .collect::<Option<_>>()?;
    let &[class @ (4 | 5), subject, detail] = numbers.as_slice() else {
        return None;
    };
    match (class, subject, detail) {
        // 1.7 and 1.8 are about the sender's address, not the recipient's.
        (_, 1, 7 | 8) | (_, 7, _) => Some(Category::PolicyOrReputation),
        // 4.4 is "no route": the domain has no mail server.
        (_, 1, _) | (5, 2, 0 | 1) | (5, 4, 4) => Some(Category::InvalidAddress),
        (_, 2, 2) => Some(Category::MailboxFull),
        (_, 2, 3) | (_, 3, 4) | (_, 6, _) => Some(Category::ContentRejected),
        (_, 4, _) | (4, 2 | 3, _) => Some(Category::ProviderUnavailable),
        _ => None,
    }
}

fn by_words(reply: &str) -> Option<Category> {
    let reply = reply.to_lowercase();
    WORDS
        .iter()
        .find(|(words, _)| reply.contains(words))
        .map(|(_, category)| *category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subtype_decides_where_it_says_why() {
        // SES writes 5.1.1 for a suppressed address, whose mailbox may be fine.
        for (subtype, expected) in SUBTYPES {
            assert_eq!(
                category(subtype, Some("5.1.1"), Some("550 5.1.1 no")),
                expected
            );
            assert_eq!(category(subtype, None, None), expected);
        }
    }

    #[test]
    fn otherwise_the_status_the_reply_and_the_words_are_asked_in_turn() {
        use Category::{
            ContentRejected, InvalidAddress, MailboxFull, PolicyOrReputation, ProviderUnavailable,
            Unknown,
        };
        for (status, reply, expected) in [
            (None, None, Unknown),
            (Some("5.0.0"), None, Unknown),
            (Some("5.1.1"), None, InvalidAddress),
            (Some("5.1.10"), None, InvalidAddress),
            (Some("5.1.8"), None, PolicyOrReputation),
            (Some("5.2.2"), Some("smtp; 550 5.1.1 no"), MailboxFull),
            (Some("4.2.2"), None, MailboxFull),
            (Some("5.2.1"), None, InvalidAddress),
            (Some("4.2.1"), None, ProviderUnavailable),
            (Some("5.3.4"), None, ContentRejected),
            (Some("5.3.0"), Some("smtp; 552 5.2.2 full"), MailboxFull),
            (Some("5.4.4"), None, InvalidAddress),
            (Some("4.4.7"), None, ProviderUnavailable),
            (Some("5.7.1"), None, PolicyOrReputation),
            (
                Some("5.0.0"),
                Some("smtp; 550 User Unknown"),
                InvalidAddress,
            ),
            (
                None,
                Some("smtp; 550-5.1.1 The account\n550 5.1.1"),
                InvalidAddress,
            ),
            (
                None,
                Some("550 [192.0.2.1] blocked, see 1.2.3"),
                PolicyOrReputation,
            ),
            (None, Some("mail from 5.6.7.8 refused"), Unknown),
            (Some("banana"), Some("550 something"), Unknown),
            (Some("5.1.99999"), None, Unknown),
            (Some("2.1.5"), None, Unknown),
        ] {
            for subtype in ["General", "Undetermined", "SomethingNew2030", ""] {
                assert_eq!(
                    category(subtype, status, reply),
                    expected,
                    "{status:?} {reply:?}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_type_is_undetermined() {
        assert_eq!(severity("Permanent"), Severity::Permanent);
        assert_eq!(severity("Transient"), Severity::Transient);
        assert_eq!(severity("Undetermined"), Severity::Undetermined);
        assert_eq!(severity("SomethingNew2030"), Severity::Undetermined);
    }
}
