//! SNS messages of this hour, signed with the key of the fixtures.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sendtrail::app::Overrides;
use sendtrail::clock::Clock;
use serde_json::{Value, json};

/// The topic of the fixtures.
pub(super) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ses-feedback";
/// What the fixtures say as `SigningCertURL`.
const CERTIFICATE_URL: &str = "https://sns.us-east-1.amazonaws.com/\
                               SimpleNotificationService-00000000000000000000000000000000.pem";

/// A file under `tests/fixtures/sns`.
pub(super) fn fixture(path: &str) -> String {
    let path = format!("{}/tests/fixtures/sns/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The certificate of the fixtures is trusted, so that none is fetched.
pub(super) fn trust() -> Overrides {
    let pem = fixture("test-signing/cert.pem");
    Overrides {
        trust: vec![(CERTIFICATE_URL.to_owned(), pem)],
        ..Overrides::default()
    }
}

/// An envelope with a new `MessageId` around the message, dated now.
pub(super) fn envelope(message: &str) -> Value {
    let clock = Clock::system();
    let now = clock.now();
    let mut envelope = json!({
        "Type": "Notification",
        "MessageId": clock.new_uuid(now).to_string(),
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": now.to_string(),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
    });
    let mut text = String::new();
    for name in ["Message", "MessageId", "Timestamp", "TopicArn", "Type"] {
        text.extend([name, "\n", envelope[name].as_str().unwrap(), "\n"]);
    }
    envelope["Signature"] = sign(&text).into();
    envelope
}

fn sign(text: &str) -> String {
    let pem = fixture("test-signing/key.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = KeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .unwrap();
    STANDARD.encode(signature)
}

/// SES's report of an open of the message with our id.
pub(super) fn open_of(id: &str) -> String {
    let event = json!({
        "eventType": "Open",
        "mail": {
            "timestamp": Clock::system().now().to_string(),
            "messageId": "0100019bb1c2d3e4-11112222-3333-4444-5555-666677778888-000000",
            "destination": ["ana@example.com"],
            "tags": {"notification_id": [id]},
        },
        "open": {
            "timestamp": Clock::system().now().to_string(),
            "ipAddress": "192.0.2.1",
            "userAgent": "Mozilla/5.0",
        },
    });
    event.to_string()
}
