//! An SNS message as it is posted to a subscriber, signed.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use serde::Serialize;
use uuid::Uuid;

use super::signer::Signer;
use crate::domain::time::Timestamp;

/// The sandbox's only topic.
pub(super) const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:000000000000:sendtrail-sandbox";

/// Ready to be posted, any number of times.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// What the header `x-amz-sns-message-type` says.
    pub kind: Kind,
    pub message_id: Uuid,
    pub body: String,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    SubscriptionConfirmation,
    Notification { subscription_arn: String },
}

/// Who signs, where the certificate is, and what the envelope's own time and id are.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    pub signer: &'a Signer,
    pub certificate_url: &'a str,
    pub message_id: Uuid,
    pub at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    r#type: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<&'a str>,
    timestamp: &'a str,
    signature_version: &'a str,
    signature: &'a str,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: &'a str,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<&'a str>,
}

impl Envelope {
    pub(super) fn notification(
        seal: Seal<'_>,
        subscription_arn: String,
        subject: Option<&str>,
        message: &str,
    ) -> Self {
        let unsubscribe_url = format!(
            "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription_arn}"
        );
        let body = seal.close(&Body {
            r#type: "Notification",
            subject,
            message,
            unsubscribe_url: Some(&unsubscribe_url),
            ..Body::blank()
        });
        Self {
            kind: Kind::Notification { subscription_arn },
            message_id: seal.message_id,
            body,
        }
    }

    pub(super) fn confirmation(seal: Seal<'_>, token: &str) -> Self {
        let message = format!(
            "You have chosen to subscribe to the topic {TOPIC_ARN}.\nTo confirm the subscription, \
             visit the SubscribeURL included in this message."
        );
        let subscribe_url = format!(
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC_ARN}&Token={token}"
        );
        let body = seal.close(&Body {
            r#type: "SubscriptionConfirmation",
            token: Some(token),
            message: &message,
            subscribe_url: Some(&subscribe_url),
            ..Body::blank()
        });
        Self {
            kind: Kind::SubscriptionConfirmation,
            message_id: seal.message_id,
            body,
        }
    }
}

impl Body<'_> {
    const fn blank() -> Self {
        Self {
            r#type: "",
            message_id: "",
            token: None,
            topic_arn: TOPIC_ARN,
            subject: None,
            message: "",
            subscribe_url: None,
            timestamp: "",
            signature_version: "2",
            signature: "",
            signing_cert_url: "",
            unsubscribe_url: None,
        }
    }

    /// The signed fields in the order of their names, each with a line for its name and one for its
    /// value; the last line ends like the others.
    fn text_to_sign(&self) -> String {
        let fields = [
            ("Message", Some(self.message)),
            ("MessageId", Some(self.message_id)),
            ("Subject", self.subject),
            ("SubscribeURL", self.subscribe_url),
            ("Timestamp", Some(self.timestamp)),
            ("Token", self.token),
            ("TopicArn", Some(self.topic_arn)),
            ("Type", Some(self.r#type)),
        ];
        let mut text = String::with_capacity(self.message.len() + 512);
        for (name, value) in fields {
            if let Some(value) = value {
                text.extend([name, "\n", value, "\n"]);
            }
        }
        text
    }
}

impl Seal<'_> {
    fn close(self, body: &Body<'_>) -> String {
        let message_id = self.message_id.as_hyphenated().to_string();
        let timestamp = self.at.to_string();
        let body = Body {
            message_id: &message_id,
            timestamp: &timestamp,
            signing_cert_url: self.certificate_url,
            ..*body
        };
        let signature = self.signer.sign(&body.text_to_sign());
        let signed = Body {
            signature: &signature,
            ..body
        };
        serde_json::to_string(&signed).expect("a struct of strings can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_to_sign_names_the_fields_in_order_and_ends_with_a_newline() {
        let body = Body {
            r#type: "Notification",
            message_id: "id",
            subject: Some("Hello"),
            message: "two\nlines",
            timestamp: "2026-01-15T10:00:05.000Z",
            unsubscribe_url: Some("not signed"),
            ..Body::blank()
        };
        assert_eq!(
            body.text_to_sign(),
            format!(
                "Message\ntwo\nlines\nMessageId\nid\nSubject\nHello\nTimestamp\n\
                 2026-01-15T10:00:05.000Z\nTopicArn\n{TOPIC_ARN}\nType\nNotification\n"
            )
        );
        let confirmation = Body {
            r#type: "SubscriptionConfirmation",
            token: Some("t"),
            subscribe_url: Some("u"),
            ..Body::blank()
        };
        assert_eq!(
            confirmation.text_to_sign(),
            format!(
                "Message\n\nMessageId\n\nSubscribeURL\nu\nTimestamp\n\nToken\nt\nTopicArn\n\
                 {TOPIC_ARN}\nType\nSubscriptionConfirmation\n"
            )
        );
    }
}
