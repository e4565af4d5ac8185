//! Amazon SES: identity notifications and configuration set events, translated into our events.
//!
//! Both formats may report one happening (`notificationType` and `eventType`); their fields are the
//! same where it matters, and so are the keys made from them.

mod bounce;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use super::provider_text::{list_at, long, sentence, text_at, word};
use super::{Happening, Json, Parsed, Report, key};
use crate::domain::event::{Bounce, Failure, What};
use crate::domain::id::NotificationId;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::domain::user_agent;

const SOURCE: &str = "ses";
/// The tag and the header by which our own id travels inside a message.
const TAG: &str = "/mail/tags/notification_id/0";
const HEADER: &str = "X-Sendtrail-Id";
/// What SES publishes, as plain text, when an event destination is set up.
const DESTINATION_TEST: &str = "Successfully validated SNS topic for Amazon SES event publishing";
/// What it sends when a topic is set for an identity's notifications.
const IDENTITY_TEST: &str = "AmazonSnsSubscriptionSucceeded";

pub(super) fn is_test(message: &str) -> bool {
    message.trim_start().starts_with(DESTINATION_TEST)
}

/// SES's word for what happened, if the object is one of SES's.
pub(super) fn kind<'a>(value: &'a Json<'_>) -> Option<&'a str> {
    text_at(value, "/eventType").or_else(|| text_at(value, "/notificationType"))
}

pub(super) fn parse(value: &Json<'_>, word_for_it: &str, received_at: Timestamp) -> Parsed {
    if word_for_it == IDENTITY_TEST {
        return Parsed::Test;
    }
    let notification = notification(value);
    let provider_message_id = text_at(value, "/mail/messageId").map(long);
    let Some(kind) = Kind::parse(word_for_it) else {
        return Parsed::Unknown {
            kind: word(word_for_it),
            notification,
            provider_message_id,
        };
    };
    let own_id = notification.map(|id| id.to_string());
    let Some(message) = provider_message_id.as_deref().or(own_id.as_deref()) else {
        return Parsed::Unparsable {
            why: "an SES event that does not say which message it is about",
        };
    };
    let event = Event {
        value,
        kind: word_for_it,
        message,
        received_at,
    };
    let report = Report {
        happenings: event.happenings(kind),
        notification,
        provider_message_id,
        source: SOURCE,
    };
    Parsed::Report {
        kind: word_for_it.to_owned(),
        report,
    }
}

/// The tag, which event publishing gives back; else the header, which identity notifications give
/// back when they are told to include headers.
fn notification(value: &Json<'_>) -> Option<NotificationId> {
    let from_tag = text_at(value, TAG).and_then(|id| NotificationId::parse(id.trim()));
    from_tag.or_else(|| {
        list_at(value, "/mail/headers")
            .iter()
            .filter(|header| {
                text_at(header, "/name").is_some_and(|name| name.eq_ignore_ascii_case(HEADER))
            })
            .find_map(|header| NotificationId::parse(text_at(header, "/value")?.trim()))
    })
}

/// What SES may report; `notificationType` knows the first three only.
#[derive(Clone, Copy)]
enum Kind {
    Bounce,
    Complaint,
    Delivery,
    Send,
    Reject,
    Open,
    Click,
    RenderingFailure,
    DeliveryDelay,
    Subscription,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Bounce" => Self::Bounce,
            "Complaint" => Self::Complaint,
            "Delivery" => Self::Delivery,
            "Send" => Self::Send,
            "Reject" => Self::Reject,
            "Open" => Self::Open,
            "Click" => Self::Click,
            "Rendering Failure" => Self::RenderingFailure,
            "DeliveryDelay" => Self::DeliveryDelay,
            "Subscription" => Self::Subscription,
            _ => return None,
        })
    }
}

struct Event<'a> {
    value: &'a Json<'a>,
    /// SES's word for what happened.
    kind: &'a str,
    /// What identifies the message in keys: SES's id of it.
    message: &'a str,
    received_at: Timestamp,
}

impl Event<'_> {
    fn happenings(&self, kind: Kind) -> Vec<Happening> {
        let happening = match kind {
            Kind::Bounce => return self.bounces(),
            Kind::Complaint => return self.complaints(),
            Kind::Subscription => return self.unsubscribed().into_iter().collect(),
            Kind::Send => self.at("/mail/timestamp", &[], self.accepted()),
            Kind::Reject => self.at("/mail/timestamp", &[], self.rejected()),
            Kind::RenderingFailure => self.at("/mail/timestamp", &[], self.not_rendered()),
            Kind::Delivery => self.at("/delivery/timestamp", &[], self.delivered()),
            Kind::DeliveryDelay => self.at("/deliveryDelay/timestamp", &[], self.delayed()),
            Kind::Open => self.at("/open/timestamp", &[], self.opened()),
            Kind::Click => {
                let link = text_at(self.value, "/click/link");
                let what = What::Clicked {
                    link: link.map(long),
                    user_agent: self.text("/click/userAgent"),
                };
                self.at("/click/timestamp", &[link.unwrap_or_default()], what)
            }
        };
        vec![happening]
    }

    /// A happening that is identified by message, kind, time and `more`. Without a usable time it is
    /// identified by the rest: better one too few than one for each repetition.
    fn at(&self, pointer: &str, more: &[&str], what: What) -> Happening {
        let time = self.time(pointer);
        let millis = time
            .map(|at| at.as_millis().to_string())
            .unwrap_or_default();
        let parts = [&[SOURCE, self.message, self.kind, millis.as_str()], more].concat();
        Happening {
            key: key::of(&parts),
            occurred_at: time.unwrap_or(self.received_at),
            what,
        }
    }

    /// A happening that SES gave an id of its own, for one recipient; the id is the same in both
    /// formats.
    fn reported(&self, object: &str, recipient: &Json<'_>, what: What) -> Happening {
        let id = text_at(self.value, &format!("/{object}/feedbackId"));
        let address = text_at(recipient, "/emailAddress").unwrap_or_default();
        let address = address.trim().to_lowercase();
        let pointer = format!("/{object}/timestamp");
        let Some(id) = id else {
            return self.at(&pointer, &[&address], what);
        };
        Happening {
            // The kind of what, because a complaint and its withdrawal may share their id.
            key: key::of(&[SOURCE, self.message, self.kind, id, &address, what.kind()]),
            occurred_at: self.time(&pointer).unwrap_or(self.received_at),
            what,
        }
    }

    /// The recipients in a report. A report that lists none is still about the message's own.
    fn recipients(&self, pointer: &str) -> &[Json<'_>] {
        match list_at(self.value, pointer) {
            [] => &[Json::Null],
            listed => listed,
        }
    }

    fn time(&self, pointer: &str) -> Option<Timestamp> {
        text_at(self.value, pointer).and_then(|text| Timestamp::parse(text).ok())
    }

    fn text(&self, pointer: &str) -> Option<String> {
        text_at(self.value, pointer).map(sentence)
    }

    /// Opens are counted with a picture in the HTML; whether SES is told to, the caller knows.
    fn accepted(&self) -> What {
        What::Accepted {
            provider: SOURCE.to_owned(),
            provider_message_id: text_at(self.value, "/mail/messageId").map(long),
            opens_tracked: self.has_html(),
        }
    }

    /// As far as the headers say; SES leaves them out when they are longer than 10 KB.
    fn has_html(&self) -> bool {
        list_at(self.value, "/mail/headers").iter().any(|header| {
            let text = |pointer| text_at(header, pointer).unwrap_or_default().trim();
            let kind = text("/value").to_ascii_lowercase();
            text("/name").eq_ignore_ascii_case("Content-Type")
                && ["text/html", "multipart/alternative"]
                    .iter()
                    .any(|html| kind.starts_with(html))
        })
    }

    fn delivered(&self) -> What {
        What::Delivered {
            response: self.text("/delivery/smtpResponse"),
        }
    }

    fn delayed(&self) -> What {
        What::Delayed {
            delay_type: text_at(self.value, "/deliveryDelay/delayType").map(word),
            diagnostic: self.text("/deliveryDelay/delayedRecipients/0/diagnosticCode"),
        }
    }

    /// SES accepted the message and then found a virus in it.
    fn rejected(&self) -> What {
        What::Rejected(Failure {
            category: Category::ContentRejected,
            code: Some("Reject".to_owned()),
            provider_text: self.text("/reject/reason"),
        })
    }

    fn not_rendered(&self) -> What {
        What::Rejected(Failure {
            category: Category::ContentRejected,
            code: Some("RenderingFailure".to_owned()),
            provider_text: self.text("/failure/errorMessage"),
        })
    }

    fn opened(&self) -> What {
        let user_agent = text_at(self.value, "/open/userAgent");
        What::Opened {
            by_machine: user_agent.is_some_and(user_agent::is_machine),
            user_agent: user_agent.map(sentence),
        }
    }

    /// One for each recipient in the report. We send to one recipient at a time, so all of them are
    /// our recipient, under whatever alias or spelling the remote server knows them.
    fn bounces(&self) -> Vec<Happening> {
        self.recipients("/bounce/bouncedRecipients")
            .iter()
            .filter_map(|recipient| Some((recipient, self.bounce_of(recipient)?)))
            .map(|(recipient, what)| self.reported("bounce", recipient, what))
            .collect()
    }

    /// A bounce report may also tell of recipients whose mail has not failed (RFC 3464, 2.3.3).
    fn bounce_of(&self, recipient: &Json<'_>) -> Option<What> {
        let status = text_at(recipient, "/status");
        let diagnostic = text_at(recipient, "/diagnosticCode");
        let action = text_at(recipient, "/action").map(|action| action.trim().to_lowercase());
        let subtype = text_at(self.value, "/bounce/bounceSubType");
        match action.as_deref() {
            Some("failed") | None => {
                let bounce_type = text_at(self.value, "/bounce/bounceType").unwrap_or_default();
                Some(What::Bounced(Bounce {
                    severity: bounce::severity(bounce_type),
                    category: bounce::category(subtype.unwrap_or_default(), status, diagnostic),
                    subtype: subtype.map(word),
                    status: status.map(word),
                    diagnostic: diagnostic.map(sentence),
                }))
            }
            Some("delayed") => Some(What::Delayed {
                delay_type: subtype.map(word),
                diagnostic: diagnostic.map(sentence),
            }),
            Some("delivered" | "relayed" | "expanded") => Some(What::Delivered {
                response: diagnostic.map(sentence),
            }),
            Some(_) => None,
        }
    }

    /// SES lists everyone on the complaining domain the message went to; for us that is one.
    fn complaints(&self) -> Vec<Happening> {
        self.recipients("/complaint/complainedRecipients")
            .iter()
            .map(|recipient| self.reported("complaint", recipient, self.complaint()))
            .collect()
    }

    fn complaint(&self) -> What {
        let subtype = text_at(self.value, "/complaint/complaintSubType");
        let feedback = text_at(self.value, "/complaint/complaintFeedbackType");
        // Nobody complained about this message: SES did not send it, because of an earlier
        // complaint. That is what it calls a bounce when the earlier event was a bounce.
        if let Some(list) = subtype.filter(|subtype| subtype.ends_with("SuppressionList")) {
            return What::Bounced(Bounce {
                severity: bounce::severity("Permanent"),
                category: bounce::category(list, None, None),
                subtype: Some(word(list)),
                status: None,
                diagnostic: None,
            });
        }
        if feedback == Some("not-spam") {
            return What::ComplaintWithdrawn;
        }
        What::Complained {
            feedback_type: feedback.map(word),
        }
    }

    /// Preferences that were changed: an event only if the recipient left something by it.
    fn unsubscribed(&self) -> Option<Happening> {
        let opted_out = |preferences: &str| {
            let pointer = format!("/subscription/{preferences}/topicSubscriptionStatus");
            list_at(self.value, &pointer)
                .iter()
                .filter(|topic| text_at(topic, "/subscriptionStatus") == Some("OptOut"))
                .filter_map(|topic| text_at(topic, "/topicName"))
                .collect::<Vec<_>>()
        };
        let all = self
            .value
            .at("/subscription/newTopicPreferences/unsubscribeAll")
            == Some(&Json::Bool(true));
        let before = opted_out("oldTopicPreferences");
        let left = opted_out("newTopicPreferences")
            .into_iter()
            .any(|topic| !before.contains(&topic));
        let what = What::Unsubscribed {
            how: text_at(self.value, "/subscription/source").map(word),
        };
        (all || left).then(|| self.at("/subscription/timestamp", &[], what))
    }
}
