//! What the providers tell about a message: bodies of SES events and of SNS delivery status logs.
//!
//! Shapes: <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sms_stats_cloudwatch.html>.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::mail::Mail;
use super::story::{BounceKind, Happening};
use crate::domain::time::Timestamp;

/// The subject of every SNS notification made of an SES event.
pub(super) const SES_SUBJECT: &str = "Amazon SES Email Event Notification";

/// Documentation addresses (RFC 5737), so that nobody takes them for a real client.
const READER_IP: &str = "192.0.2.77";
const READER_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
const REPORTING_MTA: &str = "a8-70.smtp-out.amazonses.com";
/// SES's own: it goes on trying for this long.
const EXPIRES_AFTER: Duration = Duration::from_hours(14);

/// An email that was accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedMail {
    pub mail: Mail,
    pub message_id: String,
    pub at: Timestamp,
}

impl AcceptedMail {
    /// The JSON text of an SES event. `feedback_id` names a bounce or a complaint.
    pub(super) fn event(&self, what: Happening, at: Timestamp, feedback_id: &str) -> String {
        let (event_type, key, detail) = match what {
            Happening::Send => ("Send", "send", json!({})),
            Happening::Delivery => ("Delivery", "delivery", self.delivery(at)),
            Happening::DeliveryDelay => ("DeliveryDelay", "deliveryDelay", self.delay(at)),
            Happening::Bounce(kind) => ("Bounce", "bounce", self.bounce(kind, at, feedback_id)),
            Happening::Complaint => ("Complaint", "complaint", self.complaint(at, feedback_id)),
            Happening::Open => (
                "Open",
                "open",
                json!({"ipAddress": READER_IP, "timestamp": at, "userAgent": READER_AGENT}),
            ),
            Happening::Click => (
                "Click",
                "click",
                json!({
                    "ipAddress": READER_IP, "timestamp": at, "userAgent": READER_AGENT,
                    "link": "https://www.example.com/", "linkTags": null
                }),
            ),
            Happening::Reject => ("Reject", "reject", json!({"reason": "Bad content"})),
        };
        json!({"eventType": event_type, "mail": self.mail(), key: detail}).to_string()
    }

    fn mail(&self) -> Value {
        let mail = &self.mail;
        let headers: Vec<Value> = mail
            .headers
            .iter()
            .map(|header| json!({"name": header.name, "value": header.value}))
            .collect();
        let domain = mail.source.rsplit('@').next().unwrap_or_default();
        let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        tags.insert("ses:source-ip", vec!["127.0.0.1"]);
        tags.insert("ses:from-domain", vec![domain]);
        tags.insert("ses:caller-identity", vec!["sandbox"]);
        if let Some(name) = &mail.configuration_set {
            tags.insert("ses:configuration-set", vec![name]);
        }
        for tag in &mail.tags {
            tags.entry(&tag.name).or_default().push(&tag.value);
        }
        let mut common = json!({"messageId": self.message_id});
        if let Some(common) = common.as_object_mut() {
            for name in ["from", "to", "cc"] {
                if let Some(list) = mail.header(name) {
                    common.insert(name.to_owned(), json!([list]));
                }
            }
            if let Some(subject) = mail.header("subject") {
                common.insert("subject".to_owned(), json!(subject));
            }
        }
        json!({
            "timestamp": self.at,
            "source": mail.source,
            "sourceArn": format!("arn:aws:ses:us-east-1:000000000000:identity/{domain}"),
            "sendingAccountId": "000000000000",
            "messageId": self.message_id,
            "destination": mail.recipients,
            "headersTruncated": mail.headers_truncated,
            "headers": headers,
            "commonHeaders": common,
            "tags": tags,
        })
    }

    fn delivery(&self, at: Timestamp) -> Value {
        let millis = u64::try_from(at.since(self.at).as_millis()).unwrap_or(u64::MAX);
        json!({
            "timestamp": at,
            "processingTimeMillis": millis,
            "recipients": self.mail.recipients,
            "smtpResponse": "250 2.0.0 OK sandbox",
            "remoteMtaIp": "192.0.2.26",
            "reportingMTA": REPORTING_MTA,
        })
    }

    fn delay(&self, at: Timestamp) -> Value {
        let words = "smtp; 421 4.4.1 Unable to connect to remote host";
        json!({
            "timestamp": at,
            "delayType": "TransientCommunicationFailure",
            "expirationTime": self.at.plus(EXPIRES_AFTER),
            "delayedRecipients": self.each_recipient(&json!({"status": "4.4.1", "diagnosticCode": words})),
        })
    }

    fn bounce(&self, kind: BounceKind, at: Timestamp, feedback_id: &str) -> Value {
        let (bounce_type, subtype, status, words) = match kind {
            BounceKind::NoMailbox => (
                "Permanent",
                "General",
                "5.1.1",
                "smtp; 550 5.1.1 user unknown",
            ),
            BounceKind::MailboxFull => (
                "Transient",
                "MailboxFull",
                "5.2.2",
                "smtp; 552 5.2.2 mailbox full",
            ),
            BounceKind::AccountList => (
                "Permanent",
                "OnAccountSuppressionList",
                "5.1.1",
                "Amazon SES did not send the message to this address because it is on the \
                 suppression list for your account.",
            ),
            BounceKind::GlobalList => (
                "Permanent",
                "Suppressed",
                "5.1.1",
                "Amazon SES has suppressed sending to this address because it has a recent \
                 history of bouncing as an invalid address.",
            ),
        };
        let detail = json!({"action": "failed", "status": status, "diagnosticCode": words});
        json!({
            "feedbackId": feedback_id,
            "bounceType": bounce_type,
            "bounceSubType": subtype,
            "bouncedRecipients": self.each_recipient(&detail),
            "timestamp": at,
            "reportingMTA": format!("dns; {REPORTING_MTA}"),
        })
    }

    fn complaint(&self, at: Timestamp, feedback_id: &str) -> Value {
        json!({
            "feedbackId": feedback_id,
            "complaintSubType": null,
            "complainedRecipients": self.each_recipient(&json!({})),
            "timestamp": at,
            "userAgent": "AnyCompany Feedback Loop (V0.01)",
            "complaintFeedbackType": "abuse",
            "arrivalDate": at,
        })
    }

    /// The same detail for every recipient, with the recipient's address.
    fn each_recipient(&self, detail: &Value) -> Vec<Value> {
        let with_address = |address: &String| {
            let mut recipient = detail.clone();
            if let Some(recipient) = recipient.as_object_mut() {
                recipient.insert("emailAddress".to_owned(), json!(address));
            }
            recipient
        };
        self.mail.recipients.iter().map(with_address).collect()
    }
}

/// What the delivery status log says of a text or push message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    Success,
    /// With the words of the carrier or the push service.
    Failure(&'static str),
}

/// Where a directly published message went.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    PhoneNumber(String),
    Target(String),
}

/// A text or push message that was accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedDirect {
    pub destination: Destination,
    pub message_id: String,
    pub at: Timestamp,
}

impl AcceptedDirect {
    /// The JSON text of the delivery status log record. AWS writes these to `CloudWatch` Logs; the
    /// sandbox forwards them through its topic, as a log subscription would.
    pub(super) fn log_record(&self, receipt: Receipt) -> String {
        let (status, words) = match (receipt, &self.destination) {
            (Receipt::Failure(words), _) => ("FAILURE", words),
            (Receipt::Success, Destination::PhoneNumber(_)) => {
                ("SUCCESS", "Message has been accepted by phone carrier")
            }
            (Receipt::Success, Destination::Target(_)) => ("SUCCESS", "OK"),
        };
        let delivery = match &self.destination {
            Destination::PhoneNumber(number) => json!({
                "phoneCarrier": "Sandbox Carrier", "mcc": 310, "mnc": 270,
                "numberOfMessageParts": 1, "priceInUSD": 0.00645, "smsType": "Transactional",
                "destination": number, "providerResponse": words,
                "dwellTimeMs": 599, "dwellTimeMsUntilDeviceAck": 1344,
            }),
            Destination::Target(arn) => json!({
                "statusCode": if status == "SUCCESS" { 200 } else { 8 },
                "dwellTimeMs": 1451, "attempts": 1, "token": "sandbox-token",
                "destination": arn, "providerResponse": words,
            }),
        };
        // This log writes its time as `2016-06-28 00:40:34.558`, in UTC.
        let time = self.at.to_string().replace('T', " ").replace('Z', "");
        json!({
            "notification": {"messageId": self.message_id, "timestamp": time},
            "delivery": delivery,
            "status": status,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::mail::Tag;

    fn accepted() -> AcceptedMail {
        let mut mail =
            Mail::read(b"From: a@example.com\r\nSubject: Hi\r\nX-Sendtrail-Id: 5f1c\r\n\r\n");
        mail.source = "a@example.com".to_owned();
        mail.recipients = vec!["Bo@example.com".to_owned()];
        mail.tags.push(Tag {
            name: "notification_id".to_owned(),
            value: "5f1c".to_owned(),
        });
        AcceptedMail {
            mail,
            message_id: "0100-id".to_owned(),
            at: Timestamp::parse("2026-01-15T10:00:00Z").unwrap(),
        }
    }

    #[test]
    fn every_event_carries_the_mail_with_our_tag_and_header() {
        for (what, name) in [
            (Happening::Send, "Send"),
            (Happening::Delivery, "Delivery"),
            (Happening::DeliveryDelay, "DeliveryDelay"),
            (Happening::Bounce(BounceKind::NoMailbox), "Bounce"),
            (Happening::Complaint, "Complaint"),
            (Happening::Open, "Open"),
            (Happening::Click, "Click"),
            (Happening::Reject, "Reject"),
        ] {
            let at = Timestamp::parse("2026-01-15T10:00:01.5Z").unwrap();
            let event: Value = serde_json::from_str(&accepted().event(what, at, "f1")).unwrap();
            assert_eq!(event["eventType"], name);
            assert_eq!(event["mail"]["tags"]["notification_id"], json!(["5f1c"]));
            assert_eq!(event["mail"]["messageId"], "0100-id");
            assert_eq!(event["mail"]["destination"], json!(["Bo@example.com"]));
            assert_eq!(event["mail"]["timestamp"], "2026-01-15T10:00:00.000Z");
            assert_eq!(event["mail"]["commonHeaders"]["subject"], "Hi");
            assert_eq!(event["mail"]["headers"][2]["name"], "X-Sendtrail-Id");
        }
    }

    #[test]
    fn a_bounce_names_its_kind_its_recipient_and_its_time() {
        let at = Timestamp::parse("2026-01-15T10:00:01.5Z").unwrap();
        for (kind, bounce_type, subtype) in [
            (BounceKind::NoMailbox, "Permanent", "General"),
            (BounceKind::MailboxFull, "Transient", "MailboxFull"),
            (
                BounceKind::AccountList,
                "Permanent",
                "OnAccountSuppressionList",
            ),
            (BounceKind::GlobalList, "Permanent", "Suppressed"),
        ] {
            let event = accepted().event(Happening::Bounce(kind), at, "f1");
            let bounce = &serde_json::from_str::<Value>(&event).unwrap()["bounce"];
            assert_eq!(bounce["bounceType"], bounce_type);
            assert_eq!(bounce["bounceSubType"], subtype);
            assert_eq!(bounce["feedbackId"], "f1");
            assert_eq!(bounce["timestamp"], "2026-01-15T10:00:01.500Z");
            assert_eq!(
                bounce["bouncedRecipients"][0]["emailAddress"],
                "Bo@example.com"
            );
        }
    }

    #[test]
    fn a_log_record_has_the_shape_of_the_delivery_status_log() {
        let message = AcceptedDirect {
            destination: Destination::PhoneNumber("+15005550008".to_owned()),
            message_id: "m1".to_owned(),
            at: Timestamp::parse("2026-01-15T10:00:00Z").unwrap(),
        };
        let record: Value = serde_json::from_str(
            &message.log_record(Receipt::Failure("Phone number is opted out")),
        )
        .unwrap();
        assert_eq!(record["status"], "FAILURE");
        assert_eq!(record["notification"]["messageId"], "m1");
        assert_eq!(
            record["notification"]["timestamp"],
            "2026-01-15 10:00:00.000"
        );
        assert_eq!(record["delivery"]["destination"], "+15005550008");
        assert_eq!(
            record["delivery"]["providerResponse"],
            "Phone number is opted out"
        );
    }
}
