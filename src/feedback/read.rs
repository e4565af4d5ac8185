//! What a message says, by whatever way it came, now or when it is read again.

use std::sync::Arc;

use tracing::warn;

use super::bounce_mail::{self, Trust};
use super::inbox::{Message, kind_of};
use super::sns::{Envelope, Kind};
use super::{Parsed, twilio};
use crate::domain::event::{Severity, What};
use crate::domain::time::Timestamp;
use crate::store::feedback::{Incoming, Report};
use crate::store::inbound::Text;
use crate::store::inbox::{Reader, Reading, UNPARSABLE};

/// The source of messages in the envelope of SNS.
pub(super) const SNS: &str = "sns";
/// Of messages without an envelope from a queue.
pub(super) const SQS: &str = "sqs";
/// Of events that `EventBridge` put into a queue.
pub(super) const EVENTBRIDGE: &str = "eventbridge";
/// Of what Twilio posts.
pub(super) const TWILIO: &str = "twilio";
/// Of mail that came back.
pub(super) const MAIL: &str = "mail";
/// The kind of what a client wrote.
const RECEIVED: &str = "received";
/// How `EventBridge` names SES.
pub(super) const AWS_SES: &str = "aws.ses";

#[derive(Debug)]
pub(super) struct Understood {
    pub(super) kind: String,
    /// From a closed vocabulary.
    pub(super) metric_kind: &'static str,
    pub(super) report: Option<Report>,
    /// What a client wrote.
    pub(super) text: Option<Box<Text>>,
}

/// A message as it came.
pub(super) struct Raw {
    pub(super) source: &'static str,
    pub(super) message_id: String,
    pub(super) topic: String,
    pub(super) received_at: Timestamp,
    pub(super) body: Arc<str>,
}

impl Understood {
    /// What is kept: the message with what was found in it.
    pub(super) fn of(self, raw: Raw) -> Message {
        Message {
            incoming: Incoming {
                source: raw.source,
                message_id: raw.message_id,
                topic: raw.topic,
                received_at: raw.received_at,
                kind: self.kind,
                body: raw.body,
                report: self.report,
            },
            text: self.text,
            kind: self.metric_kind,
        }
    }
}

/// Reads the messages of the inbox as they were read when they came. `opens_tracked`: SES is set up to
/// report opens; `trust`: which mail is believed.
pub fn reader(opens_tracked: bool, trust: Trust) -> Reader {
    Reader::new(move |message| {
        let (body, at) = (message.body.as_str(), message.received_at);
        let understood = match message.source.as_str() {
            SNS => match Envelope::parse(body.as_bytes()) {
                Ok(envelope) => of_envelope(&envelope, at, opens_tracked),
                // It was an envelope when it was kept.
                Err(_damaged) => unparsable("not an envelope"),
            },
            SQS | EVENTBRIDGE => of_text(body, at, opens_tracked),
            TWILIO => {
                let (_, query) = message.topic.split_once('?').unwrap_or_default();
                understand(twilio::parse(query, body, at), opens_tracked)
            }
            MAIL => understand(
                bounce_mail::parse(&trust, &message.topic, body, at),
                opens_tracked,
            ),
            _ => return None,
        };
        // Of texts that clients wrote nothing is applied anew: they are entries of their own.
        Some(Reading {
            kind: understood.kind,
            report: understood.report,
        })
    })
}

pub(super) fn of_envelope(
    envelope: &Envelope,
    received_at: Timestamp,
    opens_tracked: bool,
) -> Understood {
    match &envelope.kind {
        Kind::Notification { .. } => of_text(&envelope.message, received_at, opens_tracked),
        Kind::SubscriptionConfirmation(_) | Kind::UnsubscribeConfirmation(_) => Understood {
            kind: envelope.kind.as_str().to_owned(),
            metric_kind: "subscription",
            report: None,
            text: None,
        },
    }
}

/// What the text inside an envelope, or without one, says.
pub(super) fn of_text(message: &str, received_at: Timestamp, opens_tracked: bool) -> Understood {
    understand(super::parse(message, received_at), opens_tracked)
}

/// What was found, by the provider's word and by one of a closed vocabulary, and what is to be applied.
pub(super) fn understand(parsed: Parsed, opens_tracked: bool) -> Understood {
    let nothing = |kind, metric_kind| Understood {
        kind,
        metric_kind,
        report: None,
        text: None,
    };
    match parsed {
        Parsed::Report { kind, mut report } => {
            if !opens_tracked {
                forget_tracking(&mut report);
            }
            let first = report.happenings.first();
            Understood {
                kind,
                metric_kind: first.map_or("nothing", |h| metric_kind(&h.what)),
                report: Some(report).filter(|report| !report.happenings.is_empty()),
                text: None,
            }
        }
        Parsed::Text(text) => {
            let nothing = nothing(RECEIVED.to_owned(), kind_of(&text));
            Understood {
                text: Some(text),
                ..nothing
            }
        }
        Parsed::Test => nothing("test".to_owned(), "test"),
        Parsed::Unknown { kind, .. } => nothing(kind, "unknown"),
        Parsed::Unparsable { why } => unparsable(why),
    }
}

/// Bounces that may pass have a word of their own: an alarm watches the others.
const fn metric_kind(what: &What) -> &'static str {
    if let What::Bounced(bounce) = what
        && matches!(bounce.severity, Severity::Transient)
    {
        return "soft_bounced";
    }
    what.kind()
}

fn unparsable(why: &'static str) -> Understood {
    warn!(
        why,
        "a verified message could not be understood; it is kept"
    );
    Understood {
        kind: UNPARSABLE.to_owned(),
        metric_kind: UNPARSABLE,
        report: None,
        text: None,
    }
}

/// Whether opens are reported cannot be seen from one message; only whether they could be.
fn forget_tracking(report: &mut Report) {
    for happening in &mut report.happenings {
        if let What::Accepted { opens_tracked, .. } = &mut happening.what {
            *opens_tracked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_does_not_await_opens_that_ses_does_not_report() {
        let event = r#"{"eventType": "Send", "mail": {"messageId": "m", "headers":
            [{"name": "Content-Type", "value": "text/html"}]}}"#;
        for tracked in [true, false] {
            let report = of_text(event, Timestamp::EPOCH, tracked).report.unwrap();
            let What::Accepted { opens_tracked, .. } = report.happenings[0].what else {
                panic!("{report:?}")
            };
            assert_eq!(opens_tracked, tracked);
        }
    }
}
