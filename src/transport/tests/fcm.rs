//! Each way in which a call to FCM can end, and what becomes of the message and of the access token.

use std::time::Duration;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::fake_http::{Answer, FakeHttp, answer};
use super::{ID, clock, outgoing, push, read_token, recorded, recorded_errors, send, sms, told};
use crate::clock::Clock;
use crate::domain::message::Outgoing;
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::transport::{Fcm, FcmSettings, Transport};

const TARGET: &str = "dGVzdA:APA91bHPRgkFLJ0xyz_-";

fn account() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/fcm/service_account.TEST.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The recorded account, its tokens given at `url`.
fn settings(url: &str) -> FcmSettings {
    let mut account = account();
    account["token_uri"] = json!(format!("{url}/token"));
    FcmSettings {
        endpoint_url: Some(url.to_owned()),
        service_account: Some(account.to_string().into()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..FcmSettings::default()
    }
}

fn transport(url: &str, clock: &Clock) -> Transport {
    let settings = settings(url);
    assert_eq!(settings.validate(), []);
    Transport::Fcm(Fcm::new(&settings, clock.clone()).unwrap())
}

fn message() -> Outgoing {
    outgoing(Method::Push, TARGET, push(Map::new()).content)
}

fn given(token: &str) -> Answer {
    let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
    answer(200, "", &body.to_string())
}

pub(super) fn taken(file: &str) -> Answer {
    let (status, headers, body) = recorded(&format!("fcm/{file}"));
    answer(status, &headers, &body)
}

/// The end of the message when the access token is given and FCM answers so.
pub(super) async fn one(reply: Answer) -> Outcome {
    let server = FakeHttp::start(vec![given("ya29.a"), reply]).await;
    send(&transport(&server.url, &clock()), &message()).await
}

/// The end of the message when the access token is answered so.
async fn without_token(reply: Answer) -> Outcome {
    let server = FakeHttp::start(vec![reply]).await;
    send(&transport(&server.url, &clock()), &message()).await
}

fn is_for_a_token(request: &str) -> bool {
    request.starts_with("POST /token ")
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_push_message_is_one_call_with_a_token_given_for_a_signed_claim() {
    let answers = vec![given("ya29.EXAMPLE"), taken("ok_200.json")];
    let server = FakeHttp::start(answers).await;
    let url = server.url.clone();
    let data = json!({"booking": "8812", "count": 2});
    let content = push(data.as_object().unwrap().clone()).content;
    let message = Outgoing {
        expires_at: Some(clock().now().plus(Duration::from_secs(90))),
        ..outgoing(Method::Push, TARGET, content)
    };
    let outcome = send(&transport(&url, &clock()), &message).await;
    let name = "projects/example-project/messages/0:1768471200000000%31bd1c9631bd1c96".to_owned();
    assert_eq!(told(&outcome), ("accepted", name));

    let requests = server.requests().await;
    let form = reqwest::Url::parse(&format!("http://x/?{}", body(&requests[0]))).unwrap();
    let fields: Vec<_> = form.query_pairs().collect();
    assert_eq!(fields[0].0, "grant_type");
    assert_eq!(fields[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(fields[1].0, "assertion");
    let (header, claims) = read_token(&fields[1].1, is_signed_by_the_account);
    let id = "0000000000000000000000000000000000000000";
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": id}));
    let now = clock().now().as_millis() / 1_000;
    assert_eq!(
        claims,
        json!({
            "iss": "fcm@example-project.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": format!("{url}/token"), "iat": now, "exp": now + 3600,
        })
    );

    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    let path = "POST /v1/projects/example-project/messages:send HTTP/1.1\r\n";
    assert!(head.starts_with(path), "{head}");
    assert!(
        head.contains("authorization: Bearer ya29.EXAMPLE"),
        "{head}"
    );
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        sent,
        json!({"message": {
            "token": TARGET,
            "notification": {"title": "Reminder", "body": "See you on Monday"},
            "data": {"booking": "8812", "count": "2", "notification_id": ID},
            "android": {"ttl": "90s"},
            "apns": {"headers": {"apns-expiration": (now + 90).to_string()}},
        }})
    );
}

fn is_signed_by_the_account(text: &[u8], signature: &[u8]) -> bool {
    let account = account();
    let pem = account["private_key"].as_str().unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())
        .verify(text, signature)
        .is_ok()
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_its_end() {
    let answers = vec![
        given("first"),
        taken("ok_200.json"),
        taken("ok_200.json"),
        given("second"),
        taken("ok_200.json"),
    ];
    let server = FakeHttp::start(answers).await;
    let clock = clock();
    let began = clock.now();
    let transport = transport(&server.url, &clock);
    for minutes in [0, 54, 55] {
        clock.set(began.plus(Duration::from_mins(minutes)));
        assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    }
    let requests = server.requests().await;
    let tokens: Vec<bool> = requests.iter().map(|it| is_for_a_token(it)).collect();
    assert_eq!(tokens, [true, false, false, true, false]);
    assert!(requests[4].contains("Bearer second"));
}

/// A token is fetched by one, and the others wait for it; when it is not given, they do not ask
/// one after the other.
#[tokio::test]
async fn many_messages_at_once_ask_for_one_token() {
    let mut answers = vec![given("ya29.a")];
    answers.extend((0..8).map(|_| taken("ok_200.json")));
    let server = FakeHttp::start(answers).await;
    let transport_ = transport(&server.url, &clock());
    let message = message();
    let all = (0..8).map(|_| send(&transport_, &message));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(|it| it.as_str() == "accepted"));
    let requests = server.requests().await;
    assert_eq!(requests.iter().filter(|it| is_for_a_token(it)).count(), 1);

    let server = FakeHttp::start(vec![answer(503, "", "")]).await;
    let transport_ = transport(&server.url, &clock());
    let all = (0..8).map(|_| send(&transport_, &message));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(
        outcomes
            .iter()
            .all(|it| told(it) == ("try_later", "503".to_owned())),
        "{outcomes:?}"
    );
    assert_eq!(server.requests().await.len(), 1);
}

#[tokio::test]
async fn every_recorded_error_ends_as_the_table_says() {
    let expected = [
        (
            "error_400_INVALID_ARGUMENT_bad_field.json",
            "rejected",
            "content_rejected INVALID_ARGUMENT",
        ),
        (
            "error_400_INVALID_ARGUMENT_bad_token.json",
            "rejected",
            "invalid_address INVALID_ARGUMENT",
        ),
        (
            "error_401_THIRD_PARTY_AUTH_ERROR.json",
            "broken",
            "THIRD_PARTY_AUTH_ERROR",
        ),
        (
            "error_401_UNAUTHENTICATED.json",
            "broken",
            "UNAUTHENTICATED",
        ),
        (
            "error_403_SENDER_ID_MISMATCH.json",
            "rejected",
            "invalid_address SENDER_ID_MISMATCH",
        ),
        (
            "error_404_UNREGISTERED.json",
            "rejected",
            "device_gone unregistered",
        ),
        // Of the project, not of the device.
        (
            "error_404_project_not_found_no_details.json",
            "broken",
            "NOT_FOUND",
        ),
        (
            "error_429_QUOTA_EXCEEDED.json",
            "throttled",
            "QUOTA_EXCEEDED",
        ),
        (
            "error_429_no_retry_after.json",
            "throttled",
            "QUOTA_EXCEEDED",
        ),
        ("error_500_INTERNAL.json", "try_later", "INTERNAL"),
        ("error_502_html_not_json.json", "try_later", "502"),
        ("error_503_UNAVAILABLE.json", "try_later", "UNAVAILABLE"),
        (
            "error_503_retry_after_httpdate.json",
            "try_later",
            "UNAVAILABLE",
        ),
    ];
    let files: Vec<&str> = expected.iter().map(|(file, ..)| *file).collect();
    assert_eq!(recorded_errors("fcm"), files);
    for (file, word, detail) in expected {
        let outcome = one(taken(file)).await;
        assert_eq!(told(&outcome), (word, detail.to_owned()), "{file}");
    }
}

/// Only this one: a device that is given up by mistake gets nothing any more, and nobody notices.
#[tokio::test]
async fn only_unregistered_says_that_the_device_is_gone() {
    for file in recorded_errors("fcm") {
        let gone = told(&one(taken(&file)).await).1.contains("unregistered");
        assert_eq!(gone, file == "error_404_UNREGISTERED.json", "{file}");
    }
    let elsewhere = r#"{"error": {"code": 404, "status": "UNREGISTERED", "message": "x"}}"#;
    let outcome = one(answer(404, "", elsewhere)).await;
    assert_eq!(outcome.as_str(), "broken", "without FCM's own word");
}

#[tokio::test]
async fn the_patience_that_fcm_asks_for_is_kept() {
    for (file, seconds) in [
        ("error_429_QUOTA_EXCEEDED.json", 60),
        ("error_429_no_retry_after.json", 60),
        ("error_500_INTERNAL.json", 10),
        ("error_503_UNAVAILABLE.json", 30),
        // A minute after the moment of its recording.
        ("error_503_retry_after_httpdate.json", 60),
    ] {
        let server = FakeHttp::start(vec![given("ya29.a"), taken(file)]).await;
        let recorded_at = crate::domain::time::Timestamp::parse("2026-01-15T10:00:00Z").unwrap();
        let transport = transport(&server.url, &Clock::manual(recorded_at));
        let (Outcome::Throttled { after, .. } | Outcome::TryLater { after, .. }) =
            send(&transport, &message()).await
        else {
            panic!("{file}")
        };
        assert_eq!(after, Some(Duration::from_secs(seconds)), "{file}");
    }
}

/// It may have been withdrawn before its time, which is mended by a new one; a new one that is not
/// accepted either is not.
#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let refusal = || taken("error_401_UNAUTHENTICATED.json");
    let answers = vec![
        given("old"),
        taken("ok_200.json"),
        refusal(),
        given("new"),
        refusal(),
    ];
    let server = FakeHttp::start(answers).await;
    let clock = clock();
    let transport = transport(&server.url, &clock);
    assert_eq!(send(&transport, &message()).await.as_str(), "accepted");
    clock.set(clock.now().plus(Duration::from_mins(10)));
    assert_eq!(send(&transport, &message()).await.as_str(), "try_later");
    assert_eq!(send(&transport, &message()).await.as_str(), "broken");
    let requests = server.requests().await;
    assert!(requests[4].contains("Bearer new"));
}

#[tokio::test]
async fn without_a_token_nothing_was_sent() {
    let bad_grant = r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#;
    for (reply, word, code) in [
        (answer(400, "", bad_grant), "broken", "invalid_grant"),
        (
            answer(401, "", r#"{"error": "invalid_client"}"#),
            "broken",
            "invalid_client",
        ),
        (answer(404, "", "<html>"), "broken", "404"),
        (answer(429, "", ""), "throttled", "429"),
        (answer(500, "", ""), "try_later", "500"),
        // Unknown is for messages.
        (answer(504, "", ""), "try_later", "504"),
        (answer(200, "", "welcome"), "try_later", ""),
        (Answer::Close, "try_later", ""),
        (Answer::Hang, "try_later", ""),
    ] {
        assert_eq!(told(&without_token(reply).await), (word, code.to_owned()));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_none_at_all_is_for_later() {
    for (what, lost) in [
        ("closed", Answer::Close),
        ("no answer in time", Answer::Hang),
        ("not JSON", answer(200, "", "welcome")),
        ("no id", answer(200, "", r#"{"name":""}"#)),
    ] {
        assert_eq!(one(lost).await.as_str(), "unknown", "{what}");
    }
    let nobody = transport("http://127.0.0.1:1", &clock());
    assert_eq!(send(&nobody, &message()).await.as_str(), "try_later");
}

#[tokio::test]
async fn what_is_no_push_message_for_fcm_never_leaves() {
    let transport = transport("http://127.0.0.1:1", &clock());
    let long = json!({"long": "x".repeat(4_096)});
    let long = push(long.as_object().unwrap().clone()).content;
    for (message, expected) in [
        (sms(), "content_rejected WrongMethod"),
        // An endpoint of SNS.
        (push(Map::new()), "invalid_address NotADevice"),
        (
            outgoing(Method::Push, TARGET, long),
            "content_rejected PayloadTooLarge",
        ),
    ] {
        let outcome = send(&transport, &message).await;
        assert_eq!(told(&outcome), ("rejected", expected.to_owned()));
    }
    assert_eq!(transport.name(), "fcm");
    assert!(!transport.opens_tracked(&message()));
    assert_eq!(transport.serves(), message().to.form());
}

#[tokio::test]
async fn checking_only_asks_what_would_become_of_a_message() {
    let answers = vec![
        given("ya29.a"),
        answer(200, "", r#"{"name":"projects/x/messages/fake_message_id"}"#),
        taken("error_400_INVALID_ARGUMENT_bad_field.json"),
        taken("error_404_project_not_found_no_details.json"),
    ];
    let server = FakeHttp::start(answers).await;
    let transport_ = transport(&server.url, &clock());
    transport_.check().await.unwrap();
    transport_.check().await.unwrap();
    let trouble = transport_.check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("NOT_FOUND"));
    for request in &server.requests().await[1..] {
        let body: Value = serde_json::from_str(body(request)).unwrap();
        assert_eq!(body["validate_only"], true);
    }
    let server = FakeHttp::start(vec![answer(400, "", r#"{"error":"invalid_grant"}"#)]).await;
    let trouble = transport(&server.url, &clock()).check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("invalid_grant"));
}

/// The settings with another service account.
fn with_account(change: impl FnOnce(&mut Value)) -> FcmSettings {
    let mut account = account();
    change(&mut account);
    FcmSettings {
        service_account: Some(account.to_string().into()),
        ..FcmSettings::default()
    }
}

/// The settings changed.
fn with(change: impl FnOnce(&mut FcmSettings)) -> FcmSettings {
    let mut settings = with_account(|_| {});
    change(&mut settings);
    settings
}

#[test]
fn wrong_and_missing_settings_are_named_without_the_key() {
    assert!(with(|_| {}).validate().is_empty());
    let (file, inline) = ("service_account_file", "service_account");
    let some = |text: &str| Some(text.to_owned());
    let http = "http://google.example/token";
    for (settings, key, words) in [
        (FcmSettings::default(), file, "is missing"),
        (
            with(|it| {
                it.service_account = None;
                it.service_account_file = Some("no/such/file.json".into());
            }),
            file,
            "cannot be read",
        ),
        (
            with(|it| it.service_account_file = Some("x".into())),
            inline,
            "exclude each other",
        ),
        (
            with(|it| it.service_account = Some("hunter2".into())),
            inline,
            "no JSON",
        ),
        (
            with_account(|it| it["type"] = json!("user")),
            inline,
            "not the key of a service",
        ),
        (
            with_account(|it| drop(it["client_email"].take())),
            inline,
            "\"client_email\"",
        ),
        (
            with_account(|it| it["private_key"] = json!("hunter2")),
            inline,
            "\"private_key\"",
        ),
        (
            with_account(|it| it["token_uri"] = json!(http)),
            inline,
            "in the clear",
        ),
        (
            with(|it| it.project_id = some("a/b")),
            "project_id",
            "is no project",
        ),
        (
            with(|it| it.endpoint_url = some("ftp://x")),
            "endpoint_url",
            "https://",
        ),
    ] {
        let problems = settings.validate();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].key, key);
        let text = problems[0].to_string();
        assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn no_secret_is_in_the_debug_form() {
    let settings = settings("http://127.0.0.1:1");
    let text = format!(
        "{settings:?} {:?}",
        transport("http://127.0.0.1:1", &clock())
    );
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}
