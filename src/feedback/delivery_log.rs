//! The delivery status log of SNS: what became of text messages and push messages.
//!
//! SNS writes it to `CloudWatch` Logs (SNS developer guide, "Message delivery status"); it comes here
//! when the account forwards it to a topic. A line names the message by the id that `Publish` gave.

use std::time::Duration;

use super::provider_text::{long, sentence, text_at};
use super::{Happening, Json, Parsed, Report, key};
use crate::domain::event::{Failure, What};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

const SOURCE: &str = "sns";
/// No line says more: an SMS waits for its receipt for 72 h.
const DWELL_MAX: Duration = Duration::from_hours(72);

/// SNS's texts for SMS that failed (SNS developer guide, "SMS delivery failure reasons"), in lower
/// case, and why each is what it is to staff.
const SMS_REASONS: [(&str, Category); 16] = [
    (
        "blocked as spam by phone carrier",
        Category::PolicyOrReputation,
    ),
    (
        "phone carrier has blocked this message",
        Category::PolicyOrReputation,
    ),
    ("phone has blocked sms", Category::PolicyOrReputation),
    (
        "destination is on a blocked list",
        Category::AddressSuppressed,
    ),
    ("phone is on a blocked list", Category::AddressSuppressed),
    ("destination is blocked", Category::AddressSuppressed),
    ("invalid phone number", Category::InvalidAddress),
    ("message body is invalid", Category::ContentRejected),
    (
        "phone carrier is currently unreachable",
        Category::ProviderUnavailable,
    ),
    (
        "phone carrier is currently unavailable",
        Category::ProviderUnavailable,
    ),
    (
        "phone is currently unreachable",
        Category::ProviderUnavailable,
    ),
    (
        "phone is currently unavailable",
        Category::ProviderUnavailable,
    ),
    (OPTED_OUT, Category::Unsubscribed),
    // Our own limits: of money per message and per month.
    ("would exceed max price", Category::Credentials),
    ("no quota left", Category::Credentials),
    ("unknown error attempting to reach phone", Category::Unknown),
];
const OPTED_OUT: &str = "phone number is opted out";

/// What the push services answer, in lower case. SNS hands their words on as they are.
const PUSH_REASONS: [(&str, Category); 19] = [
    ("invalidplatformtoken", Category::InvalidAddress),
    ("endpointdisabled", Category::InvalidAddress),
    ("invalidtoken", Category::InvalidAddress),
    ("invalidregistration", Category::InvalidAddress),
    ("notregistered", Category::DeviceGone),
    ("unregistered", Category::DeviceGone),
    ("baddevicetoken", Category::InvalidAddress),
    ("devicetokennotfortopic", Category::InvalidAddress),
    ("endpoint is disabled", Category::InvalidAddress),
    ("toolarge", Category::ContentRejected),
    ("messagetoobig", Category::ContentRejected),
    ("payload", Category::ContentRejected),
    ("mismatchsenderid", Category::Credentials),
    ("providertoken", Category::Credentials),
    ("authentication", Category::Credentials),
    ("certificate", Category::Credentials),
    ("quota", Category::ThrottledTooLong),
    ("unavailable", Category::ProviderUnavailable),
    ("timeout", Category::ProviderUnavailable),
];

/// One line of the log.
pub(super) struct Line<'a> {
    value: &'a Json<'a>,
    message_id: &'a str,
    status: &'a str,
    to_phone: bool,
}

impl<'a> Line<'a> {
    /// `None` if the object is no such line.
    pub(super) fn read(value: &'a Json<'a>) -> Option<Self> {
        let destination = text_at(value, "/delivery/destination")?;
        Some(Self {
            value,
            message_id: text_at(value, "/notification/messageId")?,
            status: text_at(value, "/status")?,
            to_phone: !destination.starts_with("arn:"),
        })
    }

    fn response(&self) -> Option<&str> {
        text_at(self.value, "/delivery/providerResponse")
    }

    /// The log gives the time of the publish and how long it took from there.
    fn occurred_at(&self) -> Option<Timestamp> {
        let text = text_at(self.value, "/notification/timestamp")?;
        let published = Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1)))
            .or_else(|_| Timestamp::parse(text))
            .ok()?;
        let dwell = [
            "/delivery/dwellTimeMsUntilDeviceAck",
            "/delivery/dwellTimeMs",
        ]
        .into_iter()
        .find_map(|pointer| u64::try_from(self.value.at(pointer)?.whole()?).ok())
        .map_or(Duration::ZERO, Duration::from_millis);
        Some(published.plus(dwell.min(DWELL_MAX)))
    }

    fn whats(&self) -> Option<Vec<What>> {
        match (self.status, self.to_phone) {
            ("SUCCESS", true) => Some(vec![What::Delivered {
                response: self.response().map(sentence),
            }]),
            // The push service took it; that says nothing of the device.
            ("SUCCESS", false) => Some(Vec::new()),
            ("FAILURE", _) => Some(self.failure()),
            _ => None,
        }
    }

    fn failure(&self) -> Vec<What> {
        let response = self.response().unwrap_or_default();
        let category = if self.to_phone {
            category(&SMS_REASONS, response)
        } else {
            push_category(response)
        };
        let undelivered = What::Undelivered(Failure {
            category,
            code: self
                .value
                .at("/delivery/statusCode")
                .and_then(Json::whole)
                .map(|code| code.to_string()),
            provider_text: self.response().map(sentence),
        });
        if category != Category::Unsubscribed {
            return vec![undelivered];
        }
        let unsubscribed = What::Unsubscribed {
            how: Some("opted out of SMS".to_owned()),
        };
        vec![undelivered, unsubscribed]
    }
}

/// Why a push message failed, as far as the words of SNS say.
pub(super) fn push_category(words: &str) -> Category {
    category(&PUSH_REASONS, words)
}

fn category(reasons: &[(&str, Category)], words: &str) -> Category {
    let words = words.to_lowercase();
    let found = reasons.iter().find(|(reason, _)| words.contains(reason));
    found.map_or(Category::Unknown, |(_, category)| *category)
}

pub(super) fn parse(line: &Line<'_>, received_at: Timestamp) -> Parsed {
    let provider_message_id = Some(long(line.message_id));
    let Some(whats) = line.whats() else {
        return Parsed::Unknown {
            kind: super::provider_text::word(line.status),
            notification: None,
            provider_message_id,
        };
    };
    let occurred_at = line.occurred_at().unwrap_or(received_at);
    let happenings = whats
        .into_iter()
        .map(|what| Happening {
            // A message has one fate; a line may be written again.
            key: key::of(&[SOURCE, line.message_id, what.kind()]),
            occurred_at,
            what,
        })
        .collect();
    let report = Report {
        notification: None,
        provider_message_id,
        source: SOURCE,
        happenings,
    };
    Parsed::Report {
        kind: line.status.to_owned(),
        report,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/tests/fixtures/sns/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn report(line: &Value) -> Report {
        let parsed = super::super::parse(&line.to_string(), Timestamp::EPOCH);
        let Parsed::Report { kind, report } = parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!(Some(kind.as_str()), line["status"].as_str());
        report
    }

    #[test]
    fn a_text_message_that_reached_the_phone_is_delivered_when_the_phone_said_so() {
        let report = report(&fixture("sms_cloudwatch_success.json"));
        assert_eq!(
            report.provider_message_id.as_deref(),
            Some("34d9b400-c6dd-5444-820d-fbeb0f1f54cf")
        );
        assert_eq!(report.source, "sns");
        let [happening] = &report.happenings[..] else {
            panic!()
        };
        assert_eq!(
            happening.occurred_at.to_string(),
            "2016-06-28T00:40:35.902Z"
        );
        let response = Some("Message has been accepted by phone carrier".to_owned());
        assert_eq!(happening.what, What::Delivered { response });
    }

    fn failure(response: &str, fixture_name: &str) -> Vec<What> {
        let mut line = fixture(fixture_name);
        line["delivery"]["providerResponse"] = response.into();
        report(&line)
            .happenings
            .into_iter()
            .map(|h| h.what)
            .collect()
    }

    fn category(what: &What) -> Option<Category> {
        if let What::Undelivered(failure) = what {
            Some(failure.category)
        } else {
            None
        }
    }

    #[test]
    fn every_documented_failure_of_a_text_message_has_its_category() {
        for (response, expected) in [
            (
                "Blocked as spam by phone carrier",
                Category::PolicyOrReputation,
            ),
            (
                "Destination is on a blocked list",
                Category::AddressSuppressed,
            ),
            ("Invalid phone number", Category::InvalidAddress),
            ("Message body is invalid", Category::ContentRejected),
            (
                "Phone carrier has blocked this message",
                Category::PolicyOrReputation,
            ),
            (
                "Phone carrier is currently unreachable/unavailable",
                Category::ProviderUnavailable,
            ),
            ("Phone has blocked SMS", Category::PolicyOrReputation),
            ("Phone is on a blocked list", Category::AddressSuppressed),
            (
                "Phone is currently unreachable/unavailable",
                Category::ProviderUnavailable,
            ),
            (
                "This delivery would exceed max price",
                Category::Credentials,
            ),
            ("Unknown error attempting to reach phone", Category::Unknown),
            ("Something new", Category::Unknown),
        ] {
            let whats = failure(response, "sms_cloudwatch_failure.json");
            assert_eq!(whats.len(), 1, "{response}");
            assert_eq!(category(&whats[0]), Some(expected), "{response}");
        }
    }

    #[test]
    fn an_opted_out_phone_is_undelivered_and_unsubscribed() {
        let whats = failure("Phone number is opted out", "sms_cloudwatch_failure.json");
        assert_eq!(category(&whats[0]), Some(Category::Unsubscribed));
        assert_eq!(whats[1].kind(), "unsubscribed");
    }

    #[test]
    fn a_push_message_may_fail_but_is_never_said_to_be_delivered() {
        let mut line = fixture("mobile_push_cloudwatch_failure.json");
        let failed = report(&line);
        let What::Undelivered(failure) = &failed.happenings[0].what else {
            panic!()
        };
        assert_eq!(failure.category, Category::InvalidAddress);
        assert_eq!(failure.code.as_deref(), Some("8"));
        assert_eq!(
            failed.happenings[0].occurred_at.to_string(),
            "2015-01-26T23:29:37.129Z"
        );
        line["status"] = "SUCCESS".into();
        assert!(report(&line).happenings.is_empty());
    }

    #[test]
    fn a_line_written_twice_has_one_key_and_a_bad_time_is_the_time_of_receipt() {
        let line = fixture("sms_cloudwatch_failure.json");
        let mut again = line.clone();
        again["notification"]["timestamp"] = "soon".into();
        let (first, second) = (report(&line), report(&again));
        assert_eq!(first.happenings[0].key, second.happenings[0].key);
        assert_eq!(second.happenings[0].occurred_at, Timestamp::EPOCH);
    }

    #[test]
    fn an_unknown_status_is_kept_as_unknown() {
        let mut line = fixture("sms_cloudwatch_failure.json");
        line["status"] = "PENDING".into();
        let parsed = super::super::parse(&line.to_string(), Timestamp::EPOCH);
        assert!(matches!(parsed, Parsed::Unknown { kind, .. } if kind == "PENDING"));
    }
}
