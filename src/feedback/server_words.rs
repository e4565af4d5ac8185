//! What a remote mail server said of a recipient that mail was returned for: how final that is, and why.
//!
//! Status codes: RFC 3463 and the IANA registry of enhanced status codes; replies: RFC 5321 4.2.1.

use crate::domain::event::Severity;
use crate::domain::reason::Category;

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

/// How final: by the class of the status code, else of the reply. A message that was given up after days of
/// trying is lost as well; the severity speaks of the address.
pub(super) fn severity(status: Option<&str>, diagnostic: Option<&str>) -> Severity {
    let in_reply = diagnostic.and_then(|reply| {
        let mut numbers = reply.split(|c: char| !c.is_ascii_digit() && c != '.');
        numbers.find(|number| is_reply_code(number) || numbers_of(number).is_some())
    });
    let status = status.filter(|status| numbers_of(status).is_some());
    match status.or(in_reply).and_then(|code| code.chars().next()) {
        Some('5') => Severity::Permanent,
        Some('4') => Severity::Transient,
        Some(_) | None => Severity::Undetermined,
    }
}

fn is_reply_code(text: &str) -> bool {
    text.len() == 3 && text.starts_with(['4', '5']) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Why: by the status code, else by a code in the server's reply, else by its words. Nothing is guessed:
/// a report that says nothing is `Unknown`.
pub(super) fn category(status: Option<&str>, diagnostic: Option<&str>) -> Category {
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
    match numbers_of(code)? {
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

/// Class, subject and detail of the status code of a failure.
fn numbers_of(code: &str) -> Option<(u16, u16, u16)> {
    let numbers: Vec<u16> = code
        .split('.')
        .map(|part| part.parse().ok().filter(|_| part.len() <= 3))
        .collect::<Option<_>>()?;
    match *numbers.as_slice() {
        [class @ (4 | 5), subject, detail] => Some((class, subject, detail)),
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
    fn the_class_of_the_status_says_how_final_it_is_and_else_that_of_the_reply() {
        use Severity::{Permanent, Transient, Undetermined};
        for (status, reply, expected) in [
            (Some("5.1.1"), Some("smtp; 450 busy"), Permanent),
            (Some("4.4.7"), Some("smtp; 550 no"), Transient),
            (Some("2.0.0"), Some("smtp; 550 5.1.1 no"), Permanent),
            (Some("banana"), Some("smtp; 450-4.2.2 full"), Transient),
            (
                None,
                Some("X-Postfix; from [198.51.100.5]: 550 no"),
                Permanent,
            ),
            (None, Some("delivered in 1234 ms"), Undetermined),
            (None, Some("smtp; 250 ok"), Undetermined),
            (None, None, Undetermined),
        ] {
            assert_eq!(severity(status, reply), expected, "{status:?} {reply:?}");
        }
    }

    #[test]
    fn the_status_the_reply_and_the_words_are_asked_in_turn() {
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
            assert_eq!(category(status, reply), expected, "{status:?} {reply:?}");
        }
    }
}
