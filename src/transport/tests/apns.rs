//! Each way in which a call to APNs can end, and what becomes of the message and of the provider
//! token.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use h2::Reason;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::fake_h2::{Answer, FakeH2, closing};
use super::{ID, clock, outgoing, push, read_token, recorded, recorded_errors, send, sms, told};
use crate::clock::Clock;
use crate::domain::message::Outgoing;
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::transport::{Apns, ApnsSettings, Transport};

const DEVICE: &str = "abababababababababababababababababababababababababababababababab";

fn fixture(file: &str) -> String {
    let path = format!("{}/tests/fixtures/apns/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub(super) fn settings(url: &str) -> ApnsSettings {
    ApnsSettings {
        endpoint_url: Some(url.to_owned()),
        key_id: Some("ABC123DEFG".to_owned()),
        team_id: Some("DEF123GHIJ".to_owned()),
        topic: Some("com.example.app".to_owned()),
        key: Some(fixture("AuthKey_ABC123DEFG.TEST.p8").into()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..ApnsSettings::default()
    }
}

pub(super) fn transport(url: &str, clock: &Clock) -> Transport {
    let settings = settings(url);
    assert_eq!(settings.validate(), []);
    Transport::Apns(Apns::new(&settings, clock.clone()).unwrap())
}

pub(super) fn message() -> Outgoing {
    outgoing(Method::Push, DEVICE, push(Map::new()).content)
}

pub(super) fn accepted() -> Answer {
    Answer::Status(200, String::new())
}

pub(super) fn taken(file: &str) -> Answer {
    let (status, _headers, body) = recorded(&format!("apns/{file}"));
    Answer::Status(status, body)
}

pub(super) async fn one(answer: Answer) -> Outcome {
    let server = FakeH2::start(vec![answer]).await;
    send(&transport(&server.url(), &clock()), &message()).await
}

fn is_signed_by_the_key(text: &[u8], signature: &[u8]) -> bool {
    let pem = fixture("AuthKey_ABC123DEFG.TEST.pub.pem");
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap();
    // The point is the end of the structure: 0x04 and two numbers of 32 bytes.
    let point = &der[der.len() - 65..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(text, signature)
        .is_ok()
}

#[tokio::test]
async fn a_push_message_is_one_call_over_http2_that_names_our_id() {
    let server = FakeH2::start(vec![accepted()]).await;
    let data = json!({"booking": "8812", "count": 2});
    let content = push(data.as_object().unwrap().clone()).content;
    let message = Outgoing {
        expires_at: Some(clock().now().plus(Duration::from_secs(90))),
        ..outgoing(Method::Push, DEVICE, content)
    };
    let outcome = send(&transport(&server.url(), &clock()), &message).await;
    assert_eq!(told(&outcome), ("accepted", ID.to_owned()));
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), &seen.path),
        ("POST", &format!("/3/device/{DEVICE}"))
    );
    let now = clock().now().as_millis() / 1_000;
    for (name, value) in [
        ("apns-id", ID),
        ("apns-topic", "com.example.app"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", &(now + 90).to_string()),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    let token = seen.headers["authorization"]
        .strip_prefix("bearer ")
        .unwrap();
    let (header, claims) = read_token(token, is_signed_by_the_key);
    assert_eq!(
        header,
        json!({"alg": "ES256", "typ": "JWT", "kid": "ABC123DEFG"})
    );
    assert_eq!(claims, json!({"iss": "DEF123GHIJ", "iat": now}));
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        body,
        json!({
            "aps": {"alert": {"title": "Reminder", "body": "See you on Monday"}},
            "booking": "8812", "count": 2, "notification_id": ID,
        })
    );
}

/// Apple's own answer to silence is not documented; FCM keeps messages for as long.
#[tokio::test]
async fn a_message_without_a_last_moment_is_kept_for_four_weeks() {
    let server = FakeH2::start(vec![accepted()]).await;
    send(&transport(&server.url(), &clock()), &message()).await;
    let until = clock().now().plus(Duration::from_hours(24 * 28));
    let expected = (until.as_millis() / 1_000).to_string();
    assert_eq!(server.seen()[0].headers["apns-expiration"], expected);
}

#[tokio::test]
async fn a_provider_token_is_used_for_three_quarters_of_an_hour() {
    let server = FakeH2::start((0..4).map(|_| accepted()).collect()).await;
    let clock = clock();
    let began = clock.now();
    let transport = transport(&server.url(), &clock);
    for minutes in [0, 20, 44, 45] {
        clock.set(began.plus(Duration::from_mins(minutes)));
        assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    }
    let seen = server.seen();
    let token = |index: usize| &seen[index].headers["authorization"];
    assert_eq!(token(0), token(1));
    assert_eq!(token(0), token(2));
    assert_ne!(token(0), token(3));
}

#[tokio::test]
async fn every_recorded_error_ends_as_the_table_says() {
    let broken = |reason: &str| ("broken", reason.to_owned());
    let invalid = |reason: &str| ("rejected", format!("invalid_address {reason}"));
    let content = |reason: &str| ("rejected", format!("content_rejected {reason}"));
    for file in recorded_errors("apns") {
        let (_, status_and_reason) = file.strip_suffix(".json").unwrap().split_once('_').unwrap();
        let (_status, reason) = status_and_reason.split_once('_').unwrap();
        let expected = match reason {
            "Unregistered" | "ExpiredToken" => ("rejected", "device_gone unregistered".to_owned()),
            "BadDeviceToken" | "DeviceTokenNotForTopic" | "MissingDeviceToken" | "BadPath" => {
                invalid(reason)
            }
            "BadCollapseId" | "BadExpirationDate" | "BadMessageId" | "BadPriority"
            | "DuplicateHeaders" | "InvalidPushType" | "PayloadEmpty" | "PayloadTooLarge" => {
                content(reason)
            }
            "BadTopic"
            | "MissingTopic"
            | "TopicDisallowed"
            | "BadCertificate"
            | "BadCertificateEnvironment"
            | "BadEnvironmentKeyIdInToken"
            | "Forbidden"
            | "InvalidProviderToken"
            | "MissingProviderToken"
            | "UnrelatedKeyIdInToken"
            | "MethodNotAllowed"
            // Of a token that was made a moment ago.
            | "ExpiredProviderToken" => broken(reason),
            "TooManyRequests" | "TooManyProviderTokenUpdates" => ("throttled", reason.to_owned()),
            "IdleTimeout" | "InternalServerError" | "ServiceUnavailable" | "Shutdown" => {
                ("try_later", reason.to_owned())
            }
            "unknown_reason" => ("rejected", "unknown SomethingNew2030".to_owned()),
            other => panic!("{other} is recorded and not expected"),
        };
        assert_eq!(told(&one(taken(&file)).await), expected, "{file}");
    }
    assert_eq!(recorded_errors("apns").len(), 33);
}

#[tokio::test]
async fn without_a_reason_the_status_tells() {
    for (status, word) in [
        (400, "try_later"),
        (403, "broken"),
        (404, "broken"),
        (429, "throttled"),
        (500, "try_later"),
        (502, "try_later"),
        (504, "unknown"),
    ] {
        let outcome = one(Answer::Status(status, "<html>".to_owned())).await;
        assert_eq!(told(&outcome), (word, status.to_string()));
    }
}

/// An old one is replaced. One that is new by our clock would be replaced by one that Apple's clock
/// takes for as old, and too many new ones are refused as well.
#[tokio::test]
async fn a_provider_token_that_is_too_old_is_replaced_once() {
    let expired = || taken("error_403_ExpiredProviderToken.json");
    let answers = vec![accepted(), expired(), accepted(), expired(), accepted()];
    let server = FakeH2::start(answers).await;
    let clock = clock();
    let transport = transport(&server.url(), &clock);
    let minute = |minutes| clock.set(clock.now().plus(Duration::from_mins(minutes)));
    assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    minute(30);
    assert_eq!(send(&transport, &message()).await.as_str(), "try_later");
    minute(1);
    assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    minute(1);
    let outcome = send(&transport, &message()).await;
    let Outcome::Broken { why } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.text.contains("the clock of this machine"), "{why:?}");
    assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    let seen = server.seen();
    let token = |index: usize| &seen[index].headers["authorization"];
    assert_eq!(token(0), token(1));
    assert_ne!(token(1), token(2));
    assert_eq!((token(2), token(2)), (token(3), token(4)));
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_request_not_looked_at_is_for_later() {
    for (what, answer, word) in [
        ("no answer in time", Answer::Hang, "unknown"),
        ("reset", Answer::Reset(Reason::INTERNAL_ERROR), "unknown"),
        ("cancelled", Answer::Reset(Reason::CANCEL), "unknown"),
        ("broken off", Answer::BreakOff(200), "unknown"),
        (
            "refused",
            Answer::Reset(Reason::REFUSED_STREAM),
            "try_later",
        ),
    ] {
        assert_eq!(one(answer).await.as_str(), word, "{what}");
    }
    let transport_ = transport(&closing().await, &clock());
    let outcome = send(&transport_, &message()).await;
    assert_eq!(outcome.as_str(), "try_later", "{outcome:?}");
    let nobody = transport("http://127.0.0.1:1", &clock());
    assert_eq!(send(&nobody, &message()).await.as_str(), "try_later");
}

#[tokio::test]
async fn what_is_no_push_message_for_apple_never_leaves() {
    let transport = transport("http://127.0.0.1:1", &clock());
    let too_long = json!({"long": "x".repeat(4_096)});
    let too_long = push(too_long.as_object().unwrap().clone()).content;
    let to = |target| outgoing(Method::Push, target, push(Map::new()).content);
    for (message, expected) in [
        (sms(), "content_rejected WrongMethod"),
        (push(Map::new()), "invalid_address NotADevice"),
        (to("../../other"), "invalid_address NotADevice"),
        (to("a?b"), "invalid_address NotADevice"),
        (to("a%2fb"), "invalid_address NotADevice"),
        (
            outgoing(Method::Push, DEVICE, too_long),
            "content_rejected PayloadTooLarge",
        ),
    ] {
        let outcome = send(&transport, &message).await;
        assert_eq!(told(&outcome), ("rejected", expected.to_owned()));
    }
    assert_eq!(transport.name(), "apns");
    assert!(!transport.opens_tracked(&message()));
    assert_eq!(transport.serves(), message().to.form());
}

#[tokio::test]
async fn a_payload_may_have_4096_bytes_and_no_more() {
    let with = |length: usize| {
        let data = json!({"long": "x".repeat(length)});
        let content = push(data.as_object().unwrap().clone()).content;
        outgoing(Method::Push, DEVICE, content)
    };
    let server = FakeH2::start(vec![accepted(), accepted()]).await;
    let transport = transport(&server.url(), &clock());
    send(&transport, &with(0)).await;
    let room = 4_096 - server.seen()[0].body.len();
    assert_eq!(send(&transport, &with(room)).await.as_str(), "accepted");
    assert_eq!(server.seen()[1].body.len(), 4_096);
    let Outcome::Rejected(failure) = send(&transport, &with(room + 1)).await else {
        panic!("one byte too much was taken")
    };
    let words = "the push message has 4097 bytes, above 4096";
    assert_eq!(failure.provider_text.as_deref(), Some(words));
}

#[tokio::test]
async fn checking_asks_for_a_device_that_nobody_has() {
    let answers = vec![
        taken("error_400_BadDeviceToken.json"),
        taken("error_403_InvalidProviderToken.json"),
    ];
    let server = FakeH2::start(answers).await;
    let transport = transport(&server.url(), &clock());
    transport.check().await.unwrap();
    let trouble = transport.check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("InvalidProviderToken"));
    let seen = server.seen();
    assert_eq!(seen[0].path, format!("/3/device/{}", "0".repeat(64)));
    assert_eq!(seen[0].headers["apns-push-type"], "background");
}
