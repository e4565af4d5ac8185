//! The signature: which text SNS signs, and whether a certificate's key fits.
//!
//! The algorithm is that of the SNS developer guide, "Verifying the signatures of Amazon SNS
//! messages"; its page on confirmations leaves out two fields, which signed messages prove.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::certificate::Certificate;
use super::envelope::{Envelope, Kind};
use super::refusal::Refusal;

/// Each field's name and value, both followed by a line feed, in the order of the names. Values are
/// as they were sent: untrimmed and not escaped.
fn text_to_sign(envelope: &Envelope) -> String {
    let mut text = String::with_capacity(envelope.message.len() + 1024);
    let mut add = |name: &str, value: &str| {
        for part in [name, "\n", value, "\n"] {
            text.push_str(part);
        }
    };
    add("Message", &envelope.message);
    add("MessageId", &envelope.raw_message_id);
    match &envelope.kind {
        Kind::Notification { subject } => {
            if let Some(subject) = subject {
                add("Subject", subject);
            }
            add("Timestamp", &envelope.raw_timestamp);
        }
        Kind::SubscriptionConfirmation(handshake) | Kind::UnsubscribeConfirmation(handshake) => {
            add("SubscribeURL", &handshake.subscribe_url);
            add("Timestamp", &envelope.raw_timestamp);
            add("Token", &handshake.token);
        }
    }
    add("TopicArn", envelope.topic.as_str());
    add("Type", envelope.kind.as_str());
    text
}

/// Refuses what no certificate could make acceptable, before one is looked for.
pub(super) fn check_version(envelope: &Envelope, accept_version_1: bool) -> Result<(), Refusal> {
    match envelope.signature_version.as_str() {
        "1" if !accept_version_1 => Err(Refusal::SignatureV1),
        "1" | "2" => Ok(()),
        _ => Err(Refusal::SignatureVersion),
    }
}

/// Version 1 is RSA with SHA-1, version 2 RSA with SHA-256, both PKCS #1 v1.5.
pub(super) fn verify(envelope: &Envelope, certificate: &Certificate) -> Result<(), Refusal> {
    let keys = certificate.keys()?;
    let key = match envelope.signature_version.as_str() {
        "1" => &keys.sha1,
        "2" => &keys.sha256,
        _ => return Err(Refusal::SignatureVersion),
    };
    let signature = STANDARD
        .decode(&envelope.signature)
        .map_err(|_not_base64| Refusal::Signature)?;
    key.verify_sig(text_to_sign(envelope).as_bytes(), &signature)
        .map_err(|_does_not_fit| Refusal::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_a_line_feed_after_every_name_and_value() {
        let body = serde_json::json!({
            "Type": "Notification",
            "MessageId": "EC1EBB1E-370c-5687-88a3-acba83d09615",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
            "Subject": "",
            "Message": " a\r\nb ",
            "Timestamp": "2026-01-15T10:00:05.000Z",
            "SignatureVersion": "2",
            "Signature": "AAAA",
            "SigningCertURL": "https://example.com/x.pem",
        });
        let envelope = Envelope::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(
            text_to_sign(&envelope),
            "Message\n a\r\nb \nMessageId\nEC1EBB1E-370c-5687-88a3-acba83d09615\nSubject\n\n\
             Timestamp\n2026-01-15T10:00:05.000Z\nTopicArn\narn:aws:sns:us-east-1:123456789012:t\n\
             Type\nNotification\n"
        );
    }
}
