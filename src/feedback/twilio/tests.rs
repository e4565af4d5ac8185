//! Signatures and statuses: against what Twilio's own library signs, its documented callbacks,
//! and a corpus of what others may post.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::verifier::is_digest_of;
use super::*;
use crate::domain::event::What;
use crate::domain::reason::Category;
use crate::store::feedback::Report;
use crate::transport::TwilioSettings;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const SID: &str = "SM00000000000000000000000000000001";
const ADDRESS: &str = "https://hooks.example.com/webhooks/twilio/status";
const QUERY: &str = "nid=5f1c7f0e";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

fn fixture(file: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/twilio/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn settings(address: &str, token: &str) -> TwilioSettings {
    TwilioSettings {
        account_sid: Some(ACCOUNT.to_owned()),
        auth_token: Some(token.into()),
        from: Some("+15005550001".to_owned()),
        status_callback_url: Some(address.to_owned()),
        ..TwilioSettings::default()
    }
}

fn verifier() -> Verifier {
    Verifier::new(&settings(ADDRESS, "12345"), None)
}

/// Every documented callback: its name, its body and its signature.
fn callbacks() -> Vec<(String, String, String)> {
    let folder = format!("{}/tests/fixtures/twilio", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let callbacks = names.filter(|name| name.starts_with("callback_"));
    callbacks
        .map(|name| {
            let file = fixture(&name);
            let signature = word(&file["headers"]["x-twilio-signature"]).to_owned();
            (name, word(&file["body"]).to_owned(), signature)
        })
        .collect()
}

fn sign(token: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn judge(
    verifier: &Verifier,
    query: &str,
    body: &str,
    signature: &str,
) -> Result<Genuine, Refusal> {
    verifier.judge(&Post {
        signatures: &[signature.as_bytes()],
        content_type: FORM,
        query: Some(query),
        body: body.as_bytes(),
    })
}

#[test]
fn what_twilios_own_library_signs_is_genuine() {
    let known = fixture("signature_kat.json");
    let token = word(&known["token"]);
    let cases = known["cases"].as_array().unwrap();
    assert!(cases.len() >= 6);
    for case in cases {
        let (address, query) = word(&case["url"]).split_once('?').unwrap();
        let pairs = case["params"].as_array().into_iter().flatten();
        let pairs = pairs.map(|pair| (word(&pair[0]).to_owned(), word(&pair[1]).to_owned()));
        let signed = Form::of(pairs.collect()).unwrap().signed_text();
        let signature = STANDARD.decode(word(&case["signature"])).unwrap();
        // As it is written, and with and without the port that its scheme has anyway.
        let other = address.replace(":443/", "/").replace(":80/", "/");
        for address in [address, &other] {
            let verifier = Verifier::new(&settings(address, token), None);
            assert!(
                verifier.has_signed(Some(query), &signed, &signature),
                "{address}"
            );
            assert!(!verifier.has_signed(Some("foo=1"), &signed, &signature));
            let guess = Verifier::new(&settings(address, "guess"), None);
            assert!(!guess.has_signed(Some(query), &signed, &signature));
        }
        if let Some(body) = case["json_body"].as_str() {
            assert!(is_digest_of(Some(query), body.as_bytes()));
            assert!(!is_digest_of(Some(query), format!("{body} ").as_bytes()));
            assert!(!is_digest_of(
                Some(&format!("{query}&{query}")),
                body.as_bytes()
            ));
        }
    }
}

#[test]
fn every_documented_callback_is_genuine_and_no_other_byte_is() {
    let callbacks = callbacks();
    assert!(callbacks.len() > 20);
    let verifier = verifier();
    for (name, body, signature) in &callbacks {
        let judged = judge(&verifier, QUERY, body, signature);
        assert!(judged.is_ok(), "{name}: {judged:?}");
        let forged = [
            (QUERY, body.replace("Status=", "Status=x")),
            (
                QUERY,
                body.replace(SID, "SM00000000000000000000000000000002"),
            ),
            (QUERY, format!("{body}&New=1")),
            (QUERY, format!("{body}&MessageStatus=delivered&X=")),
            ("nid=5f1c7f0f", body.clone()),
            ("nid=5f1c7f0e&", body.clone()),
            ("", body.clone()),
        ];
        for (query, body) in forged {
            let refused = judge(&verifier, query, &body, signature).unwrap_err();
            assert_eq!(refused, Refusal::Signature, "{name} {query} {body}");
        }
        // Their order is not signed, and what is there twice counts once.
        let mut parts: Vec<&str> = body.split('&').rev().collect();
        parts.push(parts[0]);
        let again = judge(&verifier, QUERY, &parts.join("&"), signature).unwrap();
        let at = Timestamp::EPOCH;
        let id = |genuine: &Genuine| genuine.raw(at).message_id;
        assert_eq!(id(&again), id(&judged.unwrap()), "it is the same message");
    }
}

#[test]
fn the_address_is_ours_and_not_the_requests() {
    let (_, body, signature) = callbacks().remove(0);
    for (address, is_ours) in [
        ("https://hooks.example.com:443/webhooks/twilio/status", true),
        (
            "https://hooks.example.com/webhooks/twilio/status?a=b#rc=5",
            true,
        ),
        ("http://hooks.example.com/webhooks/twilio/status", false),
        (
            "https://hooks.example.com:8443/webhooks/twilio/status",
            false,
        ),
        ("https://hooks.example.com/webhooks/twilio/status/", false),
        ("https://hooks.example.com/webhooks/twilio", false),
        ("https://10.0.0.7/webhooks/twilio/status", false),
    ] {
        let verifier = Verifier::new(&settings(address, "12345"), None);
        let judged = judge(&verifier, QUERY, &body, &signature);
        assert_eq!(judged.is_ok(), is_ours, "{address}");
    }
    // Where no address is set for reports, texts come to the public one.
    let mut alone = settings("", "12345");
    alone.status_callback_url = None;
    let verifier = Verifier::new(&alone, Some("https://notify.example.com"));
    let body = format!("AccountSid={ACCOUNT}&Body=hi");
    let signed = format!("https://notify.example.com{PATH}AccountSid{ACCOUNT}Bodyhi");
    let signature = sign("12345", &signed);
    let post = Post {
        signatures: &[signature.as_bytes()],
        content_type: FORM,
        query: None,
        body: body.as_bytes(),
    };
    assert!(verifier.judge(&post).is_ok());
}

#[test]
fn while_the_token_is_changed_both_are_good() {
    let (_, body, signature) = callbacks().remove(0);
    let mut changing = settings(ADDRESS, "the new one");
    let judged =
        |settings: &TwilioSettings| judge(&Verifier::new(settings, None), QUERY, &body, &signature);
    assert_eq!(judged(&changing).unwrap_err(), Refusal::Signature);
    changing.secondary_auth_token = Some("12345".into());
    assert!(judged(&changing).is_ok());
}

/// Signatures, content type and body, and why they are refused.
type Forgery<'a> = (&'a [&'a [u8]], &'a str, &'a [u8], Refusal);

fn assert_refused(cases: &[Forgery<'_>]) {
    for (signatures, content_type, body, refusal) in cases {
        let post = Post {
            signatures,
            content_type,
            query: Some(QUERY),
            body,
        };
        assert_eq!(verifier().judge(&post).unwrap_err(), *refusal);
        let set_up_or_not = if *refusal == Refusal::TooLarge {
            Refusal::TooLarge
        } else {
            Refusal::NotSetUp
        };
        let refused = Verifier::default().judge(&post).unwrap_err();
        assert_eq!(refused, set_up_or_not);
    }
}

#[test]
fn without_its_one_signature_nothing_is_twilios() {
    let (_, body, signature) = callbacks().remove(0);
    let (body, signature) = (body.as_bytes(), signature.as_bytes());
    assert_refused(&[
        (&[], FORM, body, Refusal::NoSignature),
        (&[signature, signature], FORM, body, Refusal::Signature),
        (&[b"?"], FORM, body, Refusal::Signature),
        (&[b""], FORM, body, Refusal::Signature),
        (&[&signature[..8]], FORM, body, Refusal::Signature),
    ]);
}

#[test]
fn what_is_not_twilios_or_not_ours_is_refused_for_its_reason() {
    let (_, body, signature) = callbacks().remove(0);
    let ours: &[&[u8]] = &[signature.as_bytes()];
    let foreign = body.replace(ACCOUNT, "AC11111111111111111111111111111111");
    let signed = Form::read(&foreign).unwrap().signed_text();
    let theirs = sign("12345", &format!("{ADDRESS}?{QUERY}{signed}"));
    let many = "a=b&".repeat(201);
    let large = format!("{body}&Body={}", "x".repeat(BODY_MAX));
    let json = format!(r#"{{"AccountSid":"{ACCOUNT}"}}"#);
    let nobody = body.replace("AccountSid", "Account");
    let body = body.as_bytes();
    assert_refused(&[
        (ours, "text/plain", body, Refusal::NotTwilios),
        (ours, "", body, Refusal::NotTwilios),
        (ours, "application/json", body, Refusal::NotTwilios),
        (ours, FORM, json.as_bytes(), Refusal::NotTwilios),
        (ours, FORM, b"\xff\xfe", Refusal::NotTwilios),
        (ours, FORM, many.as_bytes(), Refusal::TooManyParameters),
        (ours, FORM, large.as_bytes(), Refusal::TooLarge),
        (ours, FORM, nobody.as_bytes(), Refusal::NoAccount),
        (
            &[theirs.as_bytes()],
            FORM,
            foreign.as_bytes(),
            Refusal::ForeignAccount,
        ),
    ]);
}

#[test]
fn a_json_body_needs_its_digest_in_the_signed_address() {
    let body =
        format!(r#"{{"AccountSid":"{ACCOUNT}","MessageSid":"{SID}","MessageStatus":"read"}}"#);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let query = format!("a=b&bodySHA256={}", hex::encode(digest));
    let judge = |query: &str, body: &str| {
        verifier().judge(&Post {
            signatures: &[sign("12345", &format!("{ADDRESS}?{query}")).as_bytes()],
            content_type: "application/json",
            query: Some(query),
            body: body.as_bytes(),
        })
    };
    let genuine = judge(&query, &body).unwrap();
    let report = report(parse(&genuine.query, &genuine.body, Timestamp::EPOCH));
    assert_eq!(report.happenings[0].what.kind(), "opened");
    for (query, body) in [
        (query.as_str(), body.replace("read", "sent")),
        ("a=b", body.clone()),
        ("bodySHA256=00", body.clone()),
        ("bodySHA256=xy", body),
    ] {
        assert_eq!(judge(query, &body).unwrap_err(), Refusal::BodyDigest);
    }
}

fn report(parsed: Parsed) -> Report {
    let Parsed::Report { report, .. } = parsed else {
        panic!("{parsed:?}")
    };
    report
}

#[test]
fn every_status_and_error_code_has_its_event() {
    let undelivered = |category| Some(("undelivered", Some(category)));
    let now = Timestamp::parse("2026-01-15T10:05:00Z").unwrap();
    for (name, body, _) in callbacks() {
        let report = report(parse(QUERY, &body, now));
        let stem = name.trim_end_matches(".json");
        let expected = match stem.strip_prefix("callback_").unwrap() {
            "delivered" => Some(("delivered", None)),
            "read" => Some(("opened", None)),
            "canceled" => undelivered(Category::Cancelled),
            "failed_21610" => undelivered(Category::Unsubscribed),
            "failed_30001" | "undelivered_30001" => undelivered(Category::ThrottledTooLong),
            "undelivered_30002" | "undelivered_30034" => undelivered(Category::Credentials),
            "undelivered_30003" | "undelivered_30410" | "undelivered_30500" => {
                undelivered(Category::ProviderUnavailable)
            }
            "undelivered_30004" | "undelivered_30007" => undelivered(Category::PolicyOrReputation),
            "undelivered_30005" | "undelivered_30006" => undelivered(Category::InvalidAddress),
            "undelivered_30008" => undelivered(Category::Unknown),
            "accepted"
            | "queued"
            | "scheduled"
            | "sending"
            | "sent"
            | "unknown_extra_param_empty_value" => Some(("accepted", None)),
            other => panic!("{other}"),
        };
        let first = &report.happenings[0];
        let category = if let What::Undelivered(failure) = &first.what {
            Some(failure.category)
        } else {
            None
        };
        assert_eq!(Some((first.what.kind(), category)), expected, "{name}");
        assert_eq!(report.provider_message_id.as_deref(), Some(SID));
        assert_eq!((report.source, first.occurred_at), ("twilio", now));
        let left = stem.ends_with("_21610");
        assert_eq!(report.happenings.len(), 1 + usize::from(left), "{name}");
        assert_eq!(
            report
                .happenings
                .iter()
                .any(|h| h.what.kind() == "unsubscribed"),
            left
        );
    }
}

#[test]
fn our_id_is_read_from_the_address_and_a_bad_one_is_none() {
    let id = uuid::Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001);
    let named = |query: &str| {
        let body = format!("MessageSid={SID}&MessageStatus=sent");
        report(parse(query, &body, Timestamp::EPOCH)).notification
    };
    let ours = Some(NotificationId::new(id));
    assert_eq!(named(&format!("a=b&notification_id={id}")), ours);
    for bad in ["", "notification_id=", "notification_id=7", "x=%FF&y"] {
        assert_eq!(named(bad), None, "{bad}");
    }
}

#[test]
fn what_is_not_known_is_kept_and_no_error() {
    let parse = |body: &str| parse("", body, Timestamp::EPOCH);
    let unknown = parse(&format!("MessageSid={SID}&MessageStatus=teleported"));
    assert!(matches!(unknown, Parsed::Unknown { kind, .. } if kind == "teleported"));
    for body in ["", "a=b", "MessageStatus=sent", "{", "{}"] {
        let parsed = parse(body);
        assert!(matches!(parsed, Parsed::Unparsable { .. }), "{body}");
    }
    let code = report(parse(&format!(
        "MessageSid={SID}&MessageStatus=failed&ErrorCode=99999&ErrorMessage=Because"
    )));
    let What::Undelivered(failure) = &code.happenings[0].what else {
        panic!()
    };
    assert_eq!(failure.category, Category::Unknown);
    assert_eq!(failure.code.as_deref(), Some("99999"));
    assert_eq!(failure.provider_text.as_deref(), Some("Because"));
}

/// A status that is asked for comes with its time, a callback without.
#[test]
fn twilios_own_time_is_used_where_it_is_told_and_not_still_to_come() {
    let now = Timestamp::parse("2026-01-15T10:05:00Z").unwrap();
    for (told, at) in [
        (
            "Thu, 15 Jan 2026 10:00:00 +0000",
            "2026-01-15T10:00:00.000Z",
        ),
        (
            "Thu, 15 Jan 2026 11:00:00 +0000",
            "2026-01-15T10:05:00.000Z",
        ),
        ("soon", "2026-01-15T10:05:00.000Z"),
    ] {
        let pairs = [
            ("MessageSid", SID),
            ("MessageStatus", "delivered"),
            ("DateUpdated", told),
        ];
        let pairs = pairs.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let body = Form::of(pairs.into()).unwrap().body();
        let report = report(parse("", &body, now));
        assert_eq!(report.happenings[0].occurred_at.to_string(), at);
    }
}

proptest! {
    #[test]
    fn no_body_and_no_query_makes_it_panic(query in ".*", body in ".*", raw in any::<Vec<u8>>()) {
        parse(&query, &body, Timestamp::EPOCH);
        let post = Post {
            signatures: &[&raw],
            content_type: FORM,
            query: Some(&query),
            body: &raw,
        };
        prop_assert!(verifier().judge(&post).is_err());
    }
}
