//! Events of a platform application of SNS: push messages that failed for good.
//!
//! SNS publishes them to the topic in the attribute `EventDeliveryFailure` (SNS developer guide, "Mobile
//! app events"). No sample of the vendor's is at hand, so every field but two may be absent.

use super::delivery_log::push_category;
use super::provider_text::{long, sentence, text_at, word};
use super::{Happening, Json, Parsed, Report, key};
use crate::domain::event::{Failure, What};
use crate::domain::time::Timestamp;

const SOURCE: &str = "sns";
const DELIVERY_FAILURE: &str = "DeliveryFailure";

/// `None` if the object is no such event, or does not say which message it is about.
pub(super) fn parse(value: &Json<'_>, received_at: Timestamp) -> Option<Parsed> {
    let kind = text_at(value, "/EventType").filter(|kind| *kind == DELIVERY_FAILURE)?;
    let message_id = text_at(value, "/MessageId")?;
    let failure_type = text_at(value, "/FailureType");
    let words = text_at(value, "/FailureMessage");
    let all = [failure_type, words].map(Option::unwrap_or_default);
    let time = text_at(value, "/Time").and_then(|text| Timestamp::parse(text).ok());
    let happening = Happening {
        // A message to one device fails once.
        key: key::of(&[SOURCE, message_id, kind]),
        occurred_at: time.unwrap_or(received_at),
        what: What::Undelivered(Failure {
            category: push_category(&all.join(" ")),
            code: failure_type.map(word),
            provider_text: words.map(sentence),
        }),
    };
    Some(Parsed::Report {
        kind: kind.to_owned(),
        report: Report {
            notification: None,
            provider_message_id: Some(long(message_id)),
            source: SOURCE,
            happenings: vec![happening],
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::reason::Category;

    #[test]
    fn a_push_message_that_failed_for_good_is_undelivered_with_its_reason() {
        for (failure_type, words, category) in [
            (
                "InvalidPlatformToken",
                "Platform token associated with the endpoint is not valid",
                Category::InvalidAddress,
            ),
            (
                "EndpointDisabled",
                "Endpoint is disabled",
                Category::InvalidAddress,
            ),
            ("Other", "of the future", Category::Unknown),
        ] {
            let event = json!({
                "EventType": "DeliveryFailure", "FailureType": failure_type,
                "FailureMessage": words, "MessageId": "2e3a7720", "DeliveryAttempts": 1,
                "Time": "2026-01-15T10:00:05.123Z",
            });
            let parsed = super::super::parse(&event.to_string(), Timestamp::EPOCH);
            let Parsed::Report { kind, report } = parsed else {
                panic!("{parsed:?}")
            };
            assert_eq!(kind, "DeliveryFailure");
            assert_eq!(report.provider_message_id.as_deref(), Some("2e3a7720"));
            let happening = &report.happenings[0];
            assert_eq!(
                happening.occurred_at.to_string(),
                "2026-01-15T10:00:05.123Z"
            );
            let expected = Failure {
                category,
                code: Some(failure_type.to_owned()),
                provider_text: Some(words.to_owned()),
            };
            assert_eq!(happening.what, What::Undelivered(expected));
        }
    }

    #[test]
    fn other_events_of_the_application_are_unknown() {
        let event = json!({"EventType": "EndpointCreated", "EndpointArn": "arn:aws:sns:x"});
        let parsed = super::super::parse(&event.to_string(), Timestamp::EPOCH);
        assert!(matches!(parsed, Parsed::Unknown { .. }), "{parsed:?}");
    }
}
