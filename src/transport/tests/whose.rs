//! Whose trouble it is: what a provider says of one message must not slow or stop the others; what it
//! says of itself must.

use super::fake_http::{Answer, answer};
use super::{apns, fcm, twilio};
use crate::domain::outcome::Outcome;

/// The word of the outcome, and whether it lies in the message.
fn told(outcome: &Outcome) -> (&'static str, bool) {
    let of_the_message = match outcome {
        Outcome::Accepted { .. } | Outcome::Rejected(_) => panic!("{outcome:?}"),
        Outcome::TryLater { why, .. }
        | Outcome::Throttled { why, .. }
        | Outcome::Broken { why }
        | Outcome::Unknown { why } => why.of_the_message,
    };
    (outcome.as_str(), of_the_message)
}

#[tokio::test]
async fn apple_may_have_had_too_much_for_one_device_or_of_us() {
    for (file, word, of_the_message) in [
        ("error_429_TooManyRequests.json", "throttled", true),
        (
            "error_429_TooManyProviderTokenUpdates.json",
            "throttled",
            false,
        ),
        ("error_500_InternalServerError.json", "try_later", false),
        ("error_503_ServiceUnavailable.json", "try_later", false),
        ("error_503_Shutdown.json", "try_later", false),
    ] {
        let outcome = apns::one(apns::taken(file)).await;
        assert_eq!(told(&outcome), (word, of_the_message), "{file}");
    }
}

/// The answer to a quota that is exceeded.
fn exceeded(description: &str) -> Answer {
    let body = serde_json::json!({"error": {
        "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded", "details": [
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
             "errorCode": "QUOTA_EXCEEDED"},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"subject": "projects/device-shop", "description": description}]},
        ],
    }});
    answer(429, "", &body.to_string())
}

#[tokio::test]
async fn fcm_may_have_had_too_much_for_one_device_or_of_the_project() {
    for (file, word) in [
        ("error_429_QUOTA_EXCEEDED.json", "throttled"),
        ("error_500_INTERNAL.json", "try_later"),
        ("error_502_html_not_json.json", "try_later"),
        ("error_503_UNAVAILABLE.json", "try_later"),
    ] {
        let outcome = fcm::one(fcm::taken(file)).await;
        assert_eq!(told(&outcome), (word, false), "{file}");
    }
    for (description, of_the_message) in [
        ("Device message rate exceeded", true),
        ("Message rate exceeded", false),
        ("", false),
    ] {
        let outcome = fcm::one(exceeded(description)).await;
        assert_eq!(
            told(&outcome),
            ("throttled", of_the_message),
            "{description}"
        );
    }
}

#[tokio::test]
async fn a_phone_out_of_reach_and_a_carrier_in_trouble_say_nothing_of_twilio() {
    for (status, code, word, of_the_message) in [
        (400, 30_003, "try_later", true),
        (400, 30_410, "try_later", true),
        (400, 30_500, "try_later", true),
        // Unheard of: perhaps the message's, perhaps all messages'.
        (400, 29_999, "try_later", true),
        (429, 20_429, "throttled", false),
        // The sender is all messages' alike.
        (400, 21_611, "throttled", false),
        (400, 30_001, "throttled", false),
        (503, 20_503, "try_later", false),
        (500, 20_500, "unknown", false),
    ] {
        let outcome = twilio::one(twilio::error(status, code)).await;
        assert_eq!(told(&outcome), (word, of_the_message), "{code}");
    }
}
