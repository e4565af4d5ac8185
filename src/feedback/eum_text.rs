//! Text messages that clients write to a number of AWS End User Messaging: two-way SMS publishes them to
//! a topic.
//! <https://docs.aws.amazon.com/sms-voice/latest/userguide/two-way-sms-payload.html>

use super::json::Json;
use super::provider_text::{long, text_at};
use super::wish::Words;
use super::{Parsed, eum, key};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::store::inbound::{Sharing, Text};

/// <https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html>
const WORDS: Words = Words {
    stop: &[
        "ARRET",
        "CANCEL",
        "END",
        "OPT-OUT",
        "OPTOUT",
        "QUIT",
        "REMOVE",
        "STOP",
        "TD",
        "UNSUBSCRIBE",
    ],
    start: &["START", "UNSTOP"],
};

/// `None`: it is something else.
pub(super) fn parse(value: &Json<'_>) -> Option<Parsed> {
    let id = text_at(value, "/inboundMessageId")?;
    let from = text_at(value, "/originationNumber")?;
    let Ok(from) = Address::parse(Method::Sms, from) else {
        // A short code or a name has no history to enter it into.
        return Some(Parsed::Unknown {
            kind: "received".to_owned(),
            notification: None,
            provider_message_id: Some(long(id)),
        });
    };
    let body = text_at(value, "/messageBody").unwrap_or_default();
    Some(Parsed::Text(Box::new(Text {
        source: eum::SOURCE,
        provider_message_id: long(id),
        key: key::of(&[eum::SOURCE, id, "text"]),
        from,
        to: long(text_at(value, "/destinationNumber").unwrap_or_default()),
        sharing: Sharing::UnlessOwned,
        text: body.to_owned(),
        wish: WORDS.wish(body),
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::inbound::Wish;

    /// As the guide shows it.
    fn payload(body: &str) -> Value {
        json!({
            "originationNumber": "+14255550182",
            "destinationNumber": "+12125550101",
            "messageKeyword": "JOIN",
            "messageBody": body,
            "inboundMessageId": "cae173d2-66b9-564c-8309-21f858e9fb84",
            "previousPublishedMessageId": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        })
    }

    fn parsed(payload: &Value) -> Parsed {
        crate::feedback::parse(&payload.to_string(), Timestamp::EPOCH)
    }

    #[test]
    fn a_text_says_who_wrote_what_to_which_number() {
        let Parsed::Text(text) = parsed(&payload("See you at nine")) else {
            panic!("no text");
        };
        assert_eq!(text.from.as_str(), "+14255550182");
        assert_eq!(text.to, "+12125550101");
        assert_eq!((text.text.as_str(), text.wish), ("See you at nine", None));
    }

    #[test]
    fn the_words_of_the_services_list_are_heeded() {
        for (body, wish) in [
            ("Stop", Some(Wish::Stop)),
            ("opt-out", Some(Wish::Stop)),
            ("ARRET.", Some(Wish::Stop)),
            ("td", Some(Wish::Stop)),
            ("Start", Some(Wish::Start)),
            ("yes", None),
            ("stop by at nine", None),
        ] {
            let Parsed::Text(text) = parsed(&payload(body)) else {
                panic!("no text");
            };
            assert_eq!(text.wish, wish, "{body}");
        }
    }

    #[test]
    fn a_sender_without_a_number_is_kept_and_nothing_more() {
        let mut payload = payload("Hello");
        payload["originationNumber"] = json!("32665");
        assert!(matches!(parsed(&payload), Parsed::Unknown { kind, .. } if kind == "received"));
    }
}
