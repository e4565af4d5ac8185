//! AWS End User Messaging SMS: what became of text messages.
//!
//! It publishes its events to a topic (AWS End User Messaging SMS guide, "Event types for SMS"). An
//! event names the message by the id that `SendTextMessage` gave, and gives back the context that came
//! with the message, in which our own id travels.

use super::provider_text::{long, sentence, text_at, word};
use super::{Happening, Json, Parsed, Report, key};
use crate::domain::event::{Failure, What};
use crate::domain::id::NotificationId;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

pub(super) const SOURCE: &str = "end_user_messaging";
/// Where our own id travels.
const CONTEXT: &str = "/context/notification_id";

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The service or the carrier has it. `SUCCESSFUL` is the last word where phones give no receipts:
    /// even then nobody has seen the message arrive.
    Accepted,
    Delivered,
    Failed(Category),
    /// Nobody knows, after 72 hours. That is no failure.
    Lost,
}

const KINDS: [(&str, Kind); 15] = [
    ("TEXT_QUEUED", Kind::Accepted),
    ("TEXT_PENDING", Kind::Accepted),
    ("TEXT_SENT", Kind::Accepted),
    ("TEXT_SUCCESSFUL", Kind::Accepted),
    ("TEXT_DELIVERED", Kind::Delivered),
    ("TEXT_INVALID", Kind::Failed(Category::InvalidAddress)),
    (
        "TEXT_INVALID_MESSAGE",
        Kind::Failed(Category::ContentRejected),
    ),
    (
        "TEXT_UNREACHABLE",
        Kind::Failed(Category::ProviderUnavailable),
    ),
    (
        "TEXT_CARRIER_UNREACHABLE",
        Kind::Failed(Category::ProviderUnavailable),
    ),
    ("TEXT_BLOCKED", Kind::Failed(Category::PolicyOrReputation)),
    (
        "TEXT_CARRIER_BLOCKED",
        Kind::Failed(Category::PolicyOrReputation),
    ),
    ("TEXT_SPAM", Kind::Failed(Category::PolicyOrReputation)),
    // By a rule of one's own account.
    (
        "TEXT_PROTECT_BLOCKED",
        Kind::Failed(Category::PolicyOrReputation),
    ),
    ("TEXT_TTL_EXPIRED", Kind::Failed(Category::Expired)),
    ("TEXT_UNKNOWN", Kind::Lost),
];

/// Text messages, and what else the service carries, of which this version knows nothing.
const FAMILIES: [&str; 4] = ["TEXT_", "MEDIA_", "RCS_", "VOICE_"];

/// One event.
pub(super) struct Event<'a> {
    value: &'a Json<'a>,
    kind: &'a str,
    message_id: &'a str,
}

impl<'a> Event<'a> {
    /// `None` if the object is no such event.
    pub(super) fn read(value: &'a Json<'a>) -> Option<Self> {
        let kind = text_at(value, "/eventType")?;
        let known = FAMILIES.iter().any(|family| kind.starts_with(family));
        Some(Self {
            value,
            kind: Some(kind).filter(|_| known)?,
            message_id: text_at(value, "/messageId")?,
        })
    }

    fn what(&self, kind: Kind) -> Option<What> {
        let words = || text_at(self.value, "/messageStatusDescription").map(sentence);
        // Not its name but this says whether more will come.
        let is_final = self.value.at("/isFinal") != Some(&Json::Bool(false));
        match kind {
            Kind::Accepted => Some(What::Accepted {
                provider: SOURCE.to_owned(),
                provider_message_id: Some(long(self.message_id)),
                opens_tracked: false,
            }),
            Kind::Delivered => Some(What::Delivered { response: words() }),
            Kind::Failed(category) if is_final => Some(What::Undelivered(Failure {
                category,
                code: Some(self.kind.to_owned()),
                provider_text: words(),
            })),
            Kind::Failed(_) => Some(What::Delayed {
                delay_type: Some(self.kind.to_owned()),
                diagnostic: words(),
            }),
            Kind::Lost => None,
        }
    }
}

pub(super) fn parse(event: &Event<'_>, received_at: Timestamp) -> Parsed {
    let context = text_at(event.value, CONTEXT);
    let notification = context.and_then(|id| NotificationId::parse(id.trim()));
    let provider_message_id = Some(long(event.message_id));
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == event.kind) else {
        return Parsed::Unknown {
            kind: word(event.kind),
            notification,
            provider_message_id,
        };
    };
    let millis = event.value.at("/eventTimestamp").and_then(Json::whole);
    let happening = event.what(*kind).map(|what| Happening {
        // Without a usable time the kind alone tells it from others: better one too few.
        key: key::of(&[
            SOURCE,
            event.message_id,
            event.kind,
            &millis.map(|at| at.to_string()).unwrap_or_default(),
        ]),
        occurred_at: millis.map_or(received_at, Timestamp::from_millis),
        what,
    });
    Parsed::Report {
        kind: event.kind.to_owned(),
        report: Report {
            notification,
            provider_message_id,
            source: SOURCE,
            happenings: happening.into_iter().collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn fixtures() -> BTreeMap<String, Value> {
        let folder = format!("{}/tests/fixtures/eum", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap();
        let read = |file: std::fs::DirEntry| {
            let name = file.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let name = name.strip_suffix(".json").unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        };
        files.map(|file| read(file.unwrap())).collect()
    }

    fn report(event: &Value) -> Report {
        let parsed = super::super::parse(&event.to_string(), Timestamp::EPOCH);
        let Parsed::Report { kind, report } = parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!(Some(kind.as_str()), event["eventType"].as_str());
        report
    }

    /// In a word, for the table below.
    fn told(report: &Report) -> String {
        match report.happenings.first().map(|h| &h.what) {
            Some(What::Undelivered(failure)) => {
                assert!(failure.provider_text.is_some());
                format!("undelivered {}", failure.category.as_str())
            }
            Some(what) => what.kind().to_owned(),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn every_event_says_what_became_of_the_message() {
        let told: Vec<(String, String)> = fixtures()
            .iter()
            .map(|(name, event)| (name.clone(), told(&report(event))))
            .collect();
        let expected = [
            ("TEXT_BLOCKED", "undelivered policy_or_reputation"),
            ("TEXT_CARRIER_BLOCKED", "undelivered policy_or_reputation"),
            (
                "TEXT_CARRIER_UNREACHABLE",
                "undelivered provider_unavailable",
            ),
            ("TEXT_DELIVERED", "delivered"),
            ("TEXT_DELIVERED_sender_id_no_mcc", "delivered"),
            ("TEXT_INVALID", "undelivered invalid_address"),
            ("TEXT_INVALID_MESSAGE", "undelivered content_rejected"),
            ("TEXT_PENDING", "accepted"),
            ("TEXT_PROTECT_BLOCKED", "undelivered policy_or_reputation"),
            ("TEXT_QUEUED", "accepted"),
            ("TEXT_SENT", "accepted"),
            ("TEXT_SPAM", "undelivered policy_or_reputation"),
            ("TEXT_SUCCESSFUL", "accepted"),
            ("TEXT_SUCCESSFUL_final_country_without_dlr", "accepted"),
            ("TEXT_TTL_EXPIRED", "undelivered expired"),
            ("TEXT_UNKNOWN", "nothing"),
            ("TEXT_UNREACHABLE", "undelivered provider_unavailable"),
        ];
        let expected = expected.map(|(name, told)| (name.to_owned(), told.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn an_event_names_its_message_by_both_ids_and_has_a_time_of_its_own() {
        let event = &fixtures()["TEXT_DELIVERED"];
        let report = report(event);
        let ours = "5f1c7f0e-0b5e-4c3a-9d55-0a1b2c3d4e5f";
        assert_eq!(report.notification, NotificationId::parse(ours));
        let theirs = "862a8790-60c0-4430-9b2b-658bd0000001";
        assert_eq!(report.provider_message_id.as_deref(), Some(theirs));
        assert_eq!(report.source, "end_user_messaging");
        let at = report.happenings[0].occurred_at;
        assert_eq!(at, Timestamp::from_millis(1_768_471_203_470));
    }

    #[test]
    fn a_failure_that_is_not_final_is_a_delay() {
        let mut event = fixtures()["TEXT_UNREACHABLE"].clone();
        event["isFinal"] = json!(false);
        assert_eq!(told(&report(&event)), "delayed");
        event.as_object_mut().unwrap().remove("isFinal");
        assert_eq!(told(&report(&event)), "undelivered provider_unavailable");
    }

    #[test]
    fn repetitions_are_one_happening_and_later_events_are_others() {
        let all = fixtures();
        let key = |event: &Value| report(event).happenings[0].key;
        let mut again = all["TEXT_DELIVERED"].clone();
        again["messageStatus"] = json!("of the future");
        assert_eq!(key(&all["TEXT_DELIVERED"]), key(&again));
        again["eventTimestamp"] = json!(1);
        assert_ne!(key(&all["TEXT_DELIVERED"]), key(&again));
        assert_ne!(key(&all["TEXT_DELIVERED"]), key(&all["TEXT_SENT"]));
    }

    #[test]
    fn unknown_kinds_are_told_apart_from_events_of_ses() {
        let mut event = fixtures()["TEXT_DELIVERED"].clone();
        for kind in ["TEXT_TELEPATHY", "RCS_READ"] {
            event["eventType"] = json!(kind);
            let parsed = super::super::parse(&event.to_string(), Timestamp::EPOCH);
            let Parsed::Unknown {
                kind: found,
                notification: Some(_),
                provider_message_id: Some(_),
            } = parsed
            else {
                panic!("{parsed:?}")
            };
            assert_eq!(found, kind);
        }
    }
}
