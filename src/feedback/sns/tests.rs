//! Whole judgements over messages that AWS signed (`tests/fixtures/sns/kat`) and over generated
//! ones (`signed_ses`, `signed_control`, `negative`), and over some that are signed here.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

const OUR_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ses-feedback";
const TEST_CERTIFICATE: &str = "test-signing/cert.pem";
/// All real certificates had expired by then.
const LATER: &str = "2026-11-22T12:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn settings(topic: &str) -> SnsSettings {
    SnsSettings {
        topics: vec![
            "arn:aws:sns:us-east-1:123456789012:another".to_owned(),
            topic.to_owned(),
        ],
        ..SnsSettings::default()
    }
}

fn verifier(topic: &str, certificate: &str) -> Verifier {
    Verifier::new(
        settings(topic),
        Certificates::given(&fixture(certificate)).unwrap(),
    )
}

async fn judge(message: &Value, now: Timestamp) -> Result<Envelope, Refusal> {
    let verifier = verifier(OUR_TOPIC, TEST_CERTIFICATE);
    verifier
        .judge(message.to_string().as_bytes(), false, now)
        .await
}

fn label(judgement: &Result<Envelope, Refusal>) -> Option<&'static str> {
    judgement.as_ref().err().map(Refusal::label)
}

fn own_time(message: &Value) -> Timestamp {
    at(message["Timestamp"].as_str().unwrap())
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&fixture(path)).unwrap()
}

fn files(folder: &str) -> Vec<String> {
    let path = format!("{}/tests/fixtures/sns/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

/// A notification as SNS sends it, changed by `change` and then signed with the test key.
fn signed(change: impl FnOnce(&mut Value)) -> Value {
    let mut message = json!({
        "Type": "Notification",
        "MessageId": "ec1ebb1e-370c-5687-88a3-acba83d09615",
        "TopicArn": OUR_TOPIC,
        "Message": "hello",
        "Timestamp": "2026-01-15T10:00:05.123Z",
        "SignatureVersion": "2",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem",
    });
    change(&mut message);
    let text: String = [
        "Message",
        "MessageId",
        "Subject",
        "Timestamp",
        "TopicArn",
        "Type",
    ]
    .into_iter()
    .filter_map(|name| Some(format!("{name}\n{}\n", message[name].as_str()?)))
    .collect();
    let pem = String::from_utf8(fixture("test-signing/key.pem")).unwrap();
    let der: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    message["Signature"] = STANDARD.encode(signature).into();
    message
}

#[tokio::test]
async fn every_real_message_is_accepted_at_its_time_and_refused_today() {
    let manifest = json_of("kat/manifest.json");
    let messages = manifest.as_array().unwrap();
    assert_eq!(messages.len(), 12);
    for entry in messages {
        let name = entry["message"].as_str().unwrap();
        let body = fixture(&format!("kat/{name}"));
        let message: Value = serde_json::from_slice(&body).unwrap();
        let topic = message["TopicArn"].as_str().unwrap();
        let certificate = format!("kat/{}", entry["cert"].as_str().unwrap());

        let accepting = verifier(topic, &certificate);
        let envelope = accepting
            .judge(&body, false, own_time(&message))
            .await
            .unwrap();
        assert_eq!(envelope.kind.as_str(), entry["type"], "{name}");
        assert_eq!(
            envelope.message,
            message["Message"].as_str().unwrap(),
            "{name}"
        );
        let refusal = accepting.judge(&body, false, at(LATER)).await.unwrap_err();
        assert_eq!(refusal.label(), "certificate_validity", "{name}");
        let refusal = verifier(OUR_TOPIC, &certificate)
            .judge(&body, false, own_time(&message))
            .await
            .unwrap_err();
        assert_eq!(refusal.label(), "foreign_topic", "{name}");

        let version_2_only = SnsSettings {
            accept_signature_v1: false,
            ..settings(topic)
        };
        let certificates = Certificates::given(&fixture(&certificate)).unwrap();
        let judgement = Verifier::new(version_2_only, certificates)
            .judge(&body, false, own_time(&message))
            .await;
        let version_1 = entry["signature_version"] == "1";
        assert_eq!(
            judgement.err(),
            version_1.then_some(Refusal::SignatureV1),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_real_message_does_not_fit_another_certificate_or_one_changed_character() {
    let body = fixture("kat/java-v2_notification_v2.json");
    let message: Value = serde_json::from_slice(&body).unwrap();
    let topic = message["TopicArn"].as_str().unwrap();
    let other = verifier(topic, TEST_CERTIFICATE);
    assert_eq!(
        other.judge(&body, false, own_time(&message)).await,
        Err(Refusal::Signature)
    );
    let mut changed = message.clone();
    changed["Message"] = format!("{} ", message["Message"].as_str().unwrap()).into();
    let genuine = verifier(topic, "kat/java-v2_cert_7506a1e3.pem");
    assert_eq!(
        genuine
            .judge(changed.to_string().as_bytes(), false, own_time(&message))
            .await,
        Err(Refusal::Signature)
    );
}

#[tokio::test]
async fn every_generated_notification_of_our_topic_is_accepted_and_is_understood() {
    let names = files("signed_ses");
    assert_eq!(names.len(), 67);
    for name in names {
        let message = json_of(&name);
        let judgement = judge(&message, own_time(&message)).await;
        if name.contains("other_account_topic") {
            assert_eq!(judgement.unwrap_err().label(), "foreign_topic", "{name}");
            continue;
        }
        let envelope = judgement.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let parsed = crate::feedback::parse(&envelope.message, own_time(&message));
        let about_ses = !name.contains("utf8_subject") && !name.contains("empty_subject");
        assert_eq!(
            about_ses,
            !matches!(parsed, crate::feedback::Parsed::Unparsable { .. }),
            "{name}"
        );
    }
}

#[tokio::test]
async fn every_tampered_message_is_refused_for_its_own_reason() {
    let cases = json_of("negative/tampered_must_fail.json");
    let cases = cases.as_object().unwrap();
    assert_eq!(cases.len(), 12);
    for (name, message) in cases {
        let refusal = judge(message, at("2026-01-15T10:00:06.000Z"))
            .await
            .unwrap_err();
        let expected = if name.starts_with("TopicArn=") {
            "foreign_topic"
        } else if name.starts_with("SignatureVersion=3") {
            "signature_version"
        } else if name.starts_with("Signature=not base64") || name.starts_with("Type=") {
            "field"
        } else {
            "signature"
        };
        assert_eq!(refusal.label(), expected, "{name}");
        assert_ne!(refusal.class(), Class::Unavailable, "{name}");
    }
}

#[tokio::test]
async fn a_genuine_signature_over_fields_that_were_cut_elsewhere_is_refused() {
    let cases = json_of("negative/malleable_signature_verifies_but_reject.json");
    let recut = &cases["real_aws_signature_messageid_swallows_subject"];
    let topic = recut["TopicArn"].as_str().unwrap();
    let refusal = verifier(topic, "kat/php-ruby_cert_7ff53184.pem")
        .judge(recut.to_string().as_bytes(), false, own_time(recut))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Field {
                name: "MessageId",
                ..
            }
        ),
        "{refusal}"
    );

    let original = &cases["test_key_original"];
    assert!(judge(original, own_time(original)).await.is_ok());
    let recut = &cases["test_key_recut"];
    let refusal = judge(recut, own_time(recut)).await.unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Field {
                name: "Subject",
                ..
            }
        ),
        "{refusal}"
    );
}

#[tokio::test]
async fn confirmations_are_accepted_only_with_the_address_of_their_own_topic_and_token() {
    for (name, expected) in [
        ("subscription_confirmation", None),
        ("unsubscribe_confirmation", None),
        (
            "subscription_confirmation_other_topic",
            Some("foreign_topic"),
        ),
        (
            "subscription_confirmation_ssrf_url",
            Some("subscribe_address"),
        ),
        (
            "subscription_confirmation_url_topic_mismatch",
            Some("subscribe_address"),
        ),
    ] {
        let message = json_of(&format!("signed_control/{name}.json"));
        let judgement = judge(&message, own_time(&message)).await;
        assert_eq!(label(&judgement), expected, "{name}");
        if let Ok(envelope) = judgement {
            let token = match envelope.kind {
                Kind::Notification { .. } => panic!("{name}"),
                Kind::SubscriptionConfirmation(shake) | Kind::UnsubscribeConfirmation(shake) => {
                    shake.token
                }
            };
            assert_eq!(token, message["Token"].as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn certificates_are_refused_for_name_key_and_validity() {
    let message = signed(|_| {});
    for (certificate, expected) in [
        ("cert.pem", None),
        ("cert_wrong_cn.pem", Some("certificate_name")),
        ("cert_optin_region_cn.pem", Some("certificate_name")),
        ("cert_ec_key.pem", Some("certificate_key")),
        ("cert_expired.pem", Some("certificate_validity")),
        ("cert_not_yet_valid.pem", Some("certificate_validity")),
    ] {
        let judgement = verifier(OUR_TOPIC, &format!("test-signing/{certificate}"))
            .judge(message.to_string().as_bytes(), false, own_time(&message))
            .await;
        assert_eq!(label(&judgement), expected, "{certificate}");
        assert!(
            judgement
                .err()
                .is_none_or(|refusal| refusal.class() == Class::Forged)
        );
    }
}

#[tokio::test]
async fn a_region_signs_under_its_own_name_and_from_its_own_host() {
    let topic = "arn:aws:sns:af-south-1:123456789012:t";
    let there = "https://sns.af-south-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem";
    let message = signed(|message| {
        message["TopicArn"] = topic.into();
        message["SigningCertURL"] = there.into();
    });
    let elsewhere = signed(|message| message["TopicArn"] = topic.into());
    let unknown_topic = "arn:aws:sns:zz-fake-1:123456789012:t";
    let unknown = signed(|message| message["TopicArn"] = unknown_topic.into());
    for (topic, message, certificate, expected) in [
        (topic, &message, "cert_optin_region_cn.pem", None),
        (topic, &message, "cert.pem", Some("certificate_name")),
        (topic, &elsewhere, "cert.pem", Some("certificate_address")),
        (unknown_topic, &unknown, "cert.pem", Some("unknown_region")),
    ] {
        let judgement = verifier(topic, &format!("test-signing/{certificate}"))
            .judge(message.to_string().as_bytes(), false, own_time(message))
            .await;
        assert_eq!(label(&judgement), expected);
    }
}

#[tokio::test]
async fn messages_are_accepted_for_longer_than_sns_repeats_them() {
    for (now, expected) in [
        // The last try of a delivery policy, which may go on for an hour, and twice that.
        ("2026-01-15T11:00:35.123Z", None),
        ("2026-01-15T12:00:05.123Z", None),
        ("2026-01-15T12:00:05.124Z", Some("stale")),
        ("2026-01-15T09:45:05.123Z", None),
        ("2026-01-15T09:45:05.122Z", Some("from_the_future")),
    ] {
        let judgement = judge(&signed(|_| {}), at(now)).await;
        assert_eq!(label(&judgement), expected, "{now}");
        let sent_again = judgement.is_err_and(|refusal| refusal.class() == Class::Unavailable);
        assert_eq!(sent_again, expected == Some("from_the_future"), "{now}");
    }
}

#[tokio::test]
async fn without_listed_topics_nobody_is_let_in() {
    let message = signed(|_| {});
    let certificates = Certificates::given(&fixture(TEST_CERTIFICATE)).unwrap();
    let refusal = Verifier::new(SnsSettings::default(), certificates)
        .judge(message.to_string().as_bytes(), false, own_time(&message))
        .await
        .unwrap_err();
    assert_eq!(refusal, Refusal::NoTopics);
    assert!(refusal.to_string().contains("feedback.sns.topics"));
}

#[tokio::test]
async fn raw_delivery_is_refused_with_and_without_its_header() {
    let verifier = verifier(OUR_TOPIC, TEST_CERTIFICATE);
    let message = signed(|_| {}).to_string();
    let now = at("2026-01-15T10:00:06Z");
    for (body, header) in [
        (message.as_str(), true),
        (r#"{"eventType":"Bounce"}"#, false),
    ] {
        let refusal = verifier
            .judge(body.as_bytes(), header, now)
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::RawDelivery);
        assert_eq!(refusal.class(), Class::NotSns);
    }
    let too_large = vec![b'x'; BODY_MAX + 1];
    for header in [true, false] {
        let refusal = verifier.judge(&too_large, header, now).await.unwrap_err();
        assert_eq!(refusal.class(), Class::TooLarge);
    }
}

#[tokio::test]
async fn only_what_a_certificate_could_make_acceptable_is_asked_for_again() {
    use futures_util::FutureExt;
    let unreachable =
        || Certificates::fetched_by(|_url| std::future::ready(Err("no connection")).boxed());
    let verifier = Verifier::new(settings(OUR_TOPIC), unreachable());
    let now = at("2026-01-15T10:00:06Z");
    let genuine = signed(|_| {}).to_string();
    let judgement = verifier.judge(genuine.as_bytes(), false, now).await;
    // So that SNS sends it again.
    assert_eq!(judgement.unwrap_err().class(), Class::Unavailable);

    let foreign = signed(|m| m["TopicArn"] = "arn:aws:sns:us-east-1:999999999999:t".into());
    let elsewhere = signed(|m| {
        m["SigningCertURL"] = "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem".into();
    });
    let old = signed(|m| m["Timestamp"] = "2026-01-15T08:00:05.999Z".into());
    let version = signed(|m| m["SignatureVersion"] = "3".into());
    for (message, expected) in [
        (foreign, "foreign_topic"),
        (elsewhere, "certificate_address"),
        (old, "stale"),
        (version, "signature_version"),
    ] {
        let refusal = verifier
            .judge(message.to_string().as_bytes(), false, now)
            .await
            .unwrap_err();
        assert_eq!(refusal.label(), expected);
        assert_eq!(refusal.class(), Class::Forged);
    }
}

#[tokio::test]
async fn a_trust_anchor_replaces_address_and_name_but_not_validity_or_signature() {
    let url = "http://127.0.0.1:8025/signing.pem";
    let message = signed(|message| message["SigningCertURL"] = url.into());
    let mut tampered = message.clone();
    tampered["Message"] = "other".into();
    let now = own_time(&message);
    for (anchor, certificate, message, expected) in [
        (url, "cert.pem", &message, None),
        (url, "cert_wrong_cn.pem", &message, None),
        (
            url,
            "cert_expired.pem",
            &message,
            Some("certificate_validity"),
        ),
        (url, "cert_ec_key.pem", &message, Some("certificate_key")),
        (url, "cert.pem", &tampered, Some("signature")),
        (
            "http://127.0.0.1:8025/",
            "cert.pem",
            &message,
            Some("certificate_address"),
        ),
    ] {
        let mut certificates = Certificates::over_https().unwrap();
        let pem = fixture(&format!("test-signing/{certificate}"));
        certificates.trust(anchor, &pem).unwrap();
        let judgement = Verifier::new(settings(OUR_TOPIC), certificates)
            .judge(message.to_string().as_bytes(), false, now)
            .await;
        assert_eq!(label(&judgement), expected, "{anchor} {certificate}");
    }
}

#[tokio::test]
async fn a_check_names_every_step_and_the_one_that_failed() {
    let message = signed(|_| {});
    let verifier = verifier(OUR_TOPIC, TEST_CERTIFICATE);
    let results = |findings: &Findings| -> Vec<StepResult> {
        findings.steps.iter().map(|step| step.result).collect()
    };
    let body = message.to_string();
    let findings = verifier.check(body.as_bytes(), own_time(&message)).await;
    assert!(findings.verdict.is_ok());
    assert_eq!(results(&findings), [StepResult::Passed; 9]);

    let mut tampered = message.clone();
    tampered["Message"] = "other".into();
    let body = tampered.to_string();
    let findings = verifier.check(body.as_bytes(), own_time(&message)).await;
    assert_eq!(findings.verdict.unwrap_err(), Refusal::Signature);
    let named: Vec<_> = findings
        .steps
        .iter()
        .map(|step| (step.stage.as_str(), step.result))
        .collect();
    assert_eq!(named[6], ("validity", StepResult::Passed));
    assert_eq!(named[7], ("signature", StepResult::Failed));
    assert_eq!(named[8], ("age", StepResult::NotReached));
    assert!(
        findings.steps[7]
            .explanation
            .contains("SNS did not sign this")
    );
}

#[test]
fn settings_have_defaults_and_refuse_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<SnsSettings>(text);
    assert_eq!(read("{}").unwrap(), SnsSettings::default());
    assert_eq!(
        read(r#"{"max_age_seconds":60}"#).unwrap().max_age_seconds,
        60
    );
    assert!(read(r#"{"topic":[]}"#).is_err());
}
