//! Bounces in SES's words: how final each is, and why, as far as the report says.
//!
//! Types and subtypes: SES developer guide, "Contents of event data that Amazon SES publishes".

use crate::domain::event::Severity;
use crate::domain::reason::Category;
use crate::feedback::server_words;

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

/// Why a recipient bounced: the subtype, else what the remote server said.
pub(super) fn category(subtype: &str, status: Option<&str>, diagnostic: Option<&str>) -> Category {
    let named = SUBTYPES.iter().find(|(name, _)| *name == subtype);
    match named {
        Some((_, category)) => *category,
        None => server_words::category(status, diagnostic),
    }
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
    fn otherwise_the_server_s_words_decide() {
        for subtype in ["General", "Undetermined", "SomethingNew2030", ""] {
            let said = category(subtype, Some("5.3.0"), Some("smtp; 552 5.2.2 full"));
            assert_eq!(said, Category::MailboxFull);
            assert_eq!(category(subtype, None, None), Category::Unknown);
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
