//! The envelope: an SNS message as posted to an HTTP endpoint, read strictly and not yet believed.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

use super::super::json::Json;
use super::refusal::Refusal;
use crate::domain::time::Timestamp;

/// Largest body read, in bytes. SNS publishes 256 KiB at most to HTTP endpoints; escaping JSON in
/// JSON about doubles it, non-ASCII text may grow more.
pub const BODY_MAX: usize = 1024 * 1024;
/// In characters. SNS takes subjects of up to 100.
const SUBJECT_MAX: usize = 256;
/// In bytes. Tokens seen have 232 to 288 hexadecimal digits.
const TOKEN_MAX: usize = 1024;
/// In bytes. A subscription address holds a topic ARN and a token.
const ADDRESS_MAX: usize = 2048;
/// In bytes of base64: a signature by an RSA key of 8192 bits has 1368.
const SIGNATURE_MAX: usize = 1368;
/// The name part of a topic ARN (SNS `CreateTopic`).
const TOPIC_NAME_MAX: usize = 256;

/// One SNS message. Nothing in it is trustworthy before [`super::Verifier::judge`] has said so;
/// message attributes and the unsubscribe address are not covered by the signature and are not
/// read at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    pub kind: Kind,
    /// Unique for each published message and the same for every repetition of it.
    pub message_id: Uuid,
    pub topic: TopicArn,
    pub message: String,
    /// When SNS took the message from its publisher.
    pub sent_at: Timestamp,
    /// As they were written, because the signature covers the text and not the value.
    pub(super) raw_message_id: String,
    pub(super) raw_timestamp: String,
    pub(super) signature_version: String,
    pub(super) signature: String,
    pub(super) signing_cert_url: String,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// Absent and empty subjects differ: the signature covers one and not the other.
    Notification { subject: Option<String> },
    /// Somebody asked SNS to send messages of the topic here.
    SubscriptionConfirmation(Handshake),
    /// Somebody asked SNS to stop.
    UnsubscribeConfirmation(Handshake),
}

/// What confirms a subscription, or restores one that was ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// For the API call `ConfirmSubscription`.
    pub token: String,
    /// Never visited: whoever chooses an address that we visit chooses whom we talk to.
    pub(super) subscribe_url: String,
}

/// `arn:partition:sns:region:account:name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicArn {
    text: String,
    partition: String,
    region: String,
}

impl Envelope {
    /// Reads a body. Every field that the signature covers must have exactly its shape: values are
    /// joined by line feeds and not escaped when they are signed, so a genuine signature also fits
    /// a message whose fields were cut elsewhere.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > BODY_MAX {
            return Err(Refusal::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_not_text| Refusal::NotJson)?;
        let Ok(Json::Object(members)) = Json::parse(text) else {
            return Err(Refusal::NotJson);
        };
        let mut fields = Fields::read(members)?;
        if fields.lacks("Type") || fields.lacks("Signature") {
            return Err(Refusal::RawDelivery);
        }
        let raw_message_id = fields.take("MessageId")?;
        let raw_timestamp = fields.take("Timestamp")?;
        Ok(Self {
            message_id: message_id(&raw_message_id)?,
            sent_at: timestamp(&raw_timestamp)?,
            topic: TopicArn::parse(&fields.take("TopicArn")?).ok_or(Refusal::Field {
                name: "TopicArn",
                fault: "is not arn:PARTITION:sns:REGION:ACCOUNT:NAME",
            })?,
            kind: kind(&mut fields)?,
            message: fields.take("Message")?,
            signature_version: fields.short("SignatureVersion", 8)?,
            signature: fields.short("Signature", SIGNATURE_MAX)?,
            signing_cert_url: fields.short("SigningCertURL", ADDRESS_MAX)?,
            raw_message_id,
            raw_timestamp,
        })
    }
}

impl Kind {
    /// The word in the field `Type`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Notification { .. } => "Notification",
            Self::SubscriptionConfirmation(_) => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation(_) => "UnsubscribeConfirmation",
        }
    }
}

impl TopicArn {
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "sns", region, account, name] = parts.as_slice() else {
            return None;
        };
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 32
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let bare = name.strip_suffix(".fifo").unwrap_or(name);
        let valid = word(partition)
            && word(region)
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !bare.is_empty()
            && name.len() <= TOPIC_NAME_MAX
            && bare
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        valid.then(|| Self {
            text: text.to_owned(),
            partition: partition.to_owned(),
            region: region.to_owned(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn partition(&self) -> &str {
        &self.partition
    }

    pub fn region(&self) -> &str {
        &self.region
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Shows neither message nor subject nor token.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("message_id", &self.message_id)
            .field("topic", &self.topic.as_str())
            .field("sent_at", &self.sent_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shows no token: it is a credential for as long as it is valid.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

fn kind(fields: &mut Fields<'_>) -> Result<Kind, Refusal> {
    match fields.take("Type")?.as_str() {
        "Notification" => Ok(Kind::Notification {
            subject: subject(fields)?,
        }),
        "SubscriptionConfirmation" => Ok(Kind::SubscriptionConfirmation(handshake(fields)?)),
        "UnsubscribeConfirmation" => Ok(Kind::UnsubscribeConfirmation(handshake(fields)?)),
        _ => Err(Refusal::Field {
            name: "Type",
            fault: "is none of the three types of SNS messages",
        }),
    }
}

fn subject(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    if fields.lacks("Subject") {
        return Ok(None);
    }
    let subject = fields.take("Subject")?;
    if subject.chars().any(char::is_control) || subject.chars().count() > SUBJECT_MAX {
        return Err(Refusal::Field {
            name: "Subject",
            fault: "has control characters or is too long",
        });
    }
    Ok(Some(subject))
}

fn handshake(fields: &mut Fields<'_>) -> Result<Handshake, Refusal> {
    Ok(Handshake {
        token: fields.short("Token", TOKEN_MAX)?,
        subscribe_url: fields.short("SubscribeURL", ADDRESS_MAX)?,
    })
}

/// The hyphenated form and no other.
fn message_id(text: &str) -> Result<Uuid, Refusal> {
    Some(text)
        .filter(|text| text.len() == 36)
        .and_then(|text| Uuid::try_parse(text).ok())
        .ok_or(Refusal::Field {
            name: "MessageId",
            fault: "is not a UUID",
        })
}

/// `2027-01-01T09:00:00.000Z` and no other form.
fn timestamp(text: &str) -> Result<Timestamp, Refusal> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";
    let shaped = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| {
            if *shape == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == *shape
            }
        });
    Some(text)
        .filter(|_| shaped)
        .and_then(|text| Timestamp::parse(text).ok())
        .ok_or(Refusal::Field {
            name: "Timestamp",
            fault: "is not a time like 2027-01-01T09:00:00.000Z",
        })
}

/// The fields not taken yet. Those that nobody takes are tolerated.
struct Fields<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Fields<'a> {
    /// A name that occurs twice is refused: two readers may take two different fields for the one.
    fn read(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Result<Self, Refusal> {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Refusal::RepeatedKey);
        }
        Ok(Self(members))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(found, _)| found == name)
    }

    /// SNS writes an absent subject as `null` in some of its forms.
    fn lacks(&self, name: &str) -> bool {
        let found = self.position(name).and_then(|i| self.0.get(i));
        found.is_none_or(|(_, value)| *value == Json::Null)
    }

    fn take(&mut self, name: &'static str) -> Result<String, Refusal> {
        let found = self.position(name).map(|i| self.0.swap_remove(i));
        match found {
            Some((_, Json::Text(text))) => Ok(text.into_owned()),
            None => Err(Refusal::Field {
                name,
                fault: "is missing",
            }),
            Some(_) => Err(Refusal::Field {
                name,
                fault: "is not a text",
            }),
        }
    }

    /// A text of at most `max` visible ASCII characters.
    fn short(&mut self, name: &'static str, max: usize) -> Result<String, Refusal> {
        let text = self.take(name)?;
        if text.len() > max || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::Field {
                name,
                fault: "is too long or has characters that do not belong there",
            });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn notification() -> Value {
        json!({
            "Type": "Notification",
            "MessageId": "ec1ebb1e-370c-5687-88a3-acba83d09615",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:ses-feedback",
            "Message": "hello\nworld",
            "Timestamp": "2026-01-15T10:00:05.120Z",
            "SignatureVersion": "2",
            "Signature": "AAAA",
            "SigningCertURL": "https://example.com/x.pem",
        })
    }

    fn parse(value: &Value) -> Result<Envelope, Refusal> {
        Envelope::parse(value.to_string().as_bytes())
    }

    fn with(name: &str, value: impl Into<Value>) -> Result<Envelope, Refusal> {
        let mut body = notification();
        body[name] = value.into();
        parse(&body)
    }

    #[test]
    fn a_notification_is_read_with_absent_null_empty_and_present_subjects() {
        let subject = |envelope: Envelope| match envelope.kind {
            Kind::Notification { subject } => subject,
            Kind::SubscriptionConfirmation(_) | Kind::UnsubscribeConfirmation(_) => panic!(),
        };
        assert_eq!(subject(parse(&notification()).unwrap()), None);
        assert_eq!(subject(with("Subject", Value::Null).unwrap()), None);
        assert_eq!(subject(with("Subject", "").unwrap()), Some(String::new()));
        assert_eq!(
            subject(with("Subject", "Grüße ☕").unwrap()),
            Some("Grüße ☕".to_owned())
        );
        assert!(with("SomethingNew", json!({"a": [1]})).is_ok());
    }

    #[test]
    fn each_field_must_have_its_shape() {
        let two_lines = "11405cc3-9ac7-56d5-b45d-079e8f7a8edf\nSubject\nHello";
        for (name, bad) in [
            ("Type", json!("notification")),
            ("Type", json!(7)),
            ("MessageId", json!(two_lines)),
            ("MessageId", json!("ec1ebb1e370c568788a3acba83d09615")),
            ("MessageId", json!("{c1ebb1e-370c-5687-88a3-acba83d0961}")),
            ("MessageId", Value::Null),
            ("TopicArn", json!("arn:aws:sns:us-east-1:123456789012:a:b")),
            ("TopicArn", json!("arn:aws:sqs:us-east-1:123456789012:a")),
            ("TopicArn", json!("arn:aws:sns:us-east-1:12345678901x:a")),
            ("TopicArn", json!("arn:aws:sns:us-east-1:123456789012:a\n")),
            ("TopicArn", json!("arn:aws:sns:US-EAST-1:123456789012:a")),
            ("TopicArn", json!("arn:aws:sns::123456789012:a")),
            ("Message", json!({"a": 1})),
            ("Timestamp", json!("2026-01-15T10:00:05Z")),
            ("Timestamp", json!("2026-01-15T10:00:05.120+00:00")),
            ("Timestamp", json!("2026-01-15t10:00:05.120z")),
            ("Timestamp", json!("2026-13-15T10:00:05.120Z")),
            ("Timestamp", json!("2026-01-15T10:00:05.120Z\n")),
            ("Subject", json!("two\nlines")),
            ("Subject", json!("x".repeat(257))),
            ("Signature", json!("x".repeat(1369))),
            ("SigningCertURL", json!("https://example.com/ x.pem")),
            ("SignatureVersion", json!("2\n")),
        ] {
            let refusal = with(name, bad.clone()).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Field { name: found, .. } if found == name),
                "{name} {bad}: {refusal}"
            );
        }
    }

    #[test]
    fn a_confirmation_needs_its_token_and_address() {
        let mut body = notification();
        body["Type"] = "SubscriptionConfirmation".into();
        assert_eq!(
            parse(&body).unwrap_err().to_string(),
            "the field Token is missing: not a message that SNS makes"
        );
        body["Token"] = "abc".into();
        body["SubscribeURL"] = "https://example.com/".into();
        assert_eq!(
            parse(&body).unwrap().kind.as_str(),
            "SubscriptionConfirmation"
        );
        body["Token"] = "a b".into();
        assert!(parse(&body).is_err());
    }

    #[test]
    fn what_is_no_envelope_is_refused_each_for_its_own_reason() {
        for (body, refusal) in [
            (&b""[..], Refusal::NotJson),
            (b"Successfully validated SNS topic", Refusal::NotJson),
            (b"[]", Refusal::NotJson),
            (b"\"text\"", Refusal::NotJson),
            (b"{\"Type\":\"\xff\"}", Refusal::NotJson),
            (b"{} {}", Refusal::NotJson),
            (b"{}", Refusal::RawDelivery),
            (br#"{"eventType":"Bounce"}"#, Refusal::RawDelivery),
            (
                br#"{"Type":"Notification","Signature":null}"#,
                Refusal::RawDelivery,
            ),
            (
                br#"{"Type":"Notification","Type":"Notification"}"#,
                Refusal::RepeatedKey,
            ),
            (br#"{"a":1,"\u0061":2}"#, Refusal::RepeatedKey),
        ] {
            assert_eq!(Envelope::parse(body), Err(refusal), "{body:?}");
        }
        assert_eq!(
            Envelope::parse(&vec![b' '; BODY_MAX + 1]),
            Err(Refusal::TooLarge)
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
        let deep = format!("{{\"x\":{}", "[".repeat(BODY_MAX - 16));
        assert_eq!(Envelope::parse(deep.as_bytes()), Err(Refusal::NotJson));
        let deep = format!("{{\"x\":{}", "{\"y\":".repeat(150_000));
        assert_eq!(Envelope::parse(deep.as_bytes()), Err(Refusal::NotJson));
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?}", with("Subject", "secret subject").unwrap());
        assert!(
            !shown.contains("secret") && !shown.contains("hello"),
            "{shown}"
        );
    }
}
