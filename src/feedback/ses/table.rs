//! Every type and subtype of bounce that SES names, with what staff read of it.

use serde_json::json;

use super::super::{Parsed, parse};
use crate::domain::event::{Severity, What};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

const PERMANENT: &str = "Permanent";
const TRANSIENT: &str = "Transient";

/// Without a report of the remote server: what the words of SES alone say.
const TABLE: [(&str, &str, Category); 17] = [
    (PERMANENT, "General", Category::Unknown),
    (PERMANENT, "NoEmail", Category::InvalidAddress),
    (PERMANENT, "Suppressed", Category::AddressSuppressed),
    (
        PERMANENT,
        "OnAccountSuppressionList",
        Category::AddressSuppressed,
    ),
    (
        PERMANENT,
        "OnTenantSuppressionList",
        Category::AddressSuppressed,
    ),
    (
        PERMANENT,
        "EmailValidationSuppressed",
        Category::AddressSuppressed,
    ),
    (PERMANENT, "UnsubscribedRecipient", Category::Unsubscribed),
    (PERMANENT, "SomethingNew2030", Category::Unknown),
    (TRANSIENT, "General", Category::Unknown),
    (TRANSIENT, "MailboxFull", Category::MailboxFull),
    (TRANSIENT, "CustomTimeoutExceeded", Category::Expired),
    (TRANSIENT, "MessageTooLarge", Category::ContentRejected),
    (TRANSIENT, "ContentRejected", Category::ContentRejected),
    (TRANSIENT, "AttachmentRejected", Category::ContentRejected),
    (TRANSIENT, "SomethingNew2030", Category::Unknown),
    ("Undetermined", "Undetermined", Category::Unknown),
    ("SomethingNew2030", "", Category::Unknown),
];

fn words(bounce_type: &str, subtype: &str, status: Option<&str>) -> (Severity, Category) {
    let event = json!({
        "eventType": "Bounce",
        "mail": {"messageId": "m"},
        "bounce": {
            "bounceType": bounce_type, "bounceSubType": subtype, "feedbackId": "f",
            "bouncedRecipients": [{"emailAddress": "ana@example.com", "status": status}],
        },
    });
    let Parsed::Report { report, .. } = parse(&event.to_string(), Timestamp::EPOCH) else {
        panic!("{event}")
    };
    let What::Bounced(bounce) = &report.happenings[0].what else {
        panic!("{report:?}")
    };
    (bounce.severity, bounce.category)
}

#[test]
fn every_bounce_has_a_category_a_sentence_and_where_there_is_one_a_remedy() {
    for (bounce_type, subtype, category) in TABLE {
        let severity = match bounce_type {
            PERMANENT => Severity::Permanent,
            TRANSIENT => Severity::Transient,
            _ => Severity::Undetermined,
        };
        let found = words(bounce_type, subtype, None);
        assert_eq!(found, (severity, category), "{bounce_type} {subtype}");
        assert!(category.sentence().ends_with('.'));
        // Without a cause there is nothing to advise.
        assert_eq!(category.remedy().is_some(), category != Category::Unknown);
    }
}

#[test]
fn the_remote_servers_status_tells_more_where_the_subtype_does_not() {
    for (bounce_type, subtype, _) in TABLE.iter().filter(|(_, _, c)| *c == Category::Unknown) {
        for (status, category) in [
            ("5.1.1", Category::InvalidAddress),
            ("5.2.2", Category::MailboxFull),
            ("5.7.1", Category::PolicyOrReputation),
        ] {
            assert_eq!(words(bounce_type, subtype, Some(status)).1, category);
        }
    }
}

/// A suppressed address is not one that does not exist: SES reports 5.1.1 for both.
#[test]
fn the_subtype_is_believed_before_the_status() {
    for (bounce_type, subtype, category) in TABLE.iter().filter(|(_, _, c)| *c != Category::Unknown)
    {
        assert_eq!(words(bounce_type, subtype, Some("5.1.1")).1, *category);
    }
}
