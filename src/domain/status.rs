//! Statuses: what people see, computed from the facts in this one function.

use std::fmt;

use super::facts::Facts;
use super::method::Method;

/// A status as staff read it (W6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    AwaitingSend,
    Sent,
    Unopened,
    Opened,
    Bounced,
    Failed,
}

impl Status {
    pub const ALL: [Self; 6] = [
        Self::AwaitingSend,
        Self::Sent,
        Self::Unopened,
        Self::Opened,
        Self::Bounced,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingSend => "Awaiting Send",
            Self::Sent => "Sent",
            Self::Unopened => "Unopened",
            Self::Opened => "Opened",
            Self::Bounced => "Bounced",
            Self::Failed => "Failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The statuses of an entry, the headline first. Empty for entries that staff made by hand.
/// The view `contact_history` says the same in SQL; a test compares them over all combinations.
pub fn statuses(method: Method, facts: &Facts) -> Vec<Status> {
    match method {
        Method::Email => email(facts),
        Method::Sms => vec![sms(facts)],
        Method::Push => vec![sent_or_less(facts)],
        Method::InPerson | Method::Mail | Method::Phone => Vec::new(),
    }
}

fn email(facts: &Facts) -> Vec<Status> {
    if !facts.has_evidence() {
        return vec![no_evidence(facts)];
    }
    let opened = facts
        .opened_or_implied()
        .map(|opened| (opened.first_at, Status::Opened));
    let bounced = facts
        .bounced
        .as_ref()
        .map(|bounced| (bounced.at, Status::Bounced));
    let mut found: Vec<_> = opened.into_iter().chain(bounced).collect();
    found.sort_unstable_by_key(|(at, status)| (*at, *status));
    if found.is_empty() {
        let tracked = facts.sent.as_ref().is_some_and(|sent| sent.opens_tracked);
        let unopened = facts.delivered_at.is_some() && tracked;
        return vec![if unopened {
            Status::Unopened
        } else {
            Status::Sent
        }];
    }
    found.into_iter().map(|(_, status)| status).collect()
}

fn sms(facts: &Facts) -> Status {
    if facts.opened.is_some() || facts.clicked.is_some() {
        Status::Opened
    } else if facts.delivered_at.is_some() {
        Status::Unopened
    } else {
        sent_or_less(facts)
    }
}

fn sent_or_less(facts: &Facts) -> Status {
    if facts.has_evidence() {
        Status::Sent
    } else {
        no_evidence(facts)
    }
}

fn no_evidence(facts: &Facts) -> Status {
    if facts.failed.is_some() {
        Status::Failed
    } else if facts.sent.is_some() {
        Status::Sent
    } else {
        Status::AwaitingSend
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::event::{Bounce, EventKey, Failure, Severity};
    use crate::domain::facts::{Bounced, Failed, Opened, Sent};
    use crate::domain::reason::Category;
    use crate::domain::time::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }
    fn sent(opens_tracked: bool) -> Sent {
        let key = EventKey(Uuid::nil());
        Sent {
            at: at(1),
            key,
            provider: "ses".to_owned(),
            provider_message_id: None,
            opens_tracked,
        }
    }
    fn opened(seconds: i64) -> Opened {
        Opened {
            first_at: at(seconds),
            last_at: at(seconds),
            count: 1,
            by_person_at: None,
        }
    }
    fn bounced(seconds: i64) -> Bounced {
        let bounce = Bounce {
            severity: Severity::Permanent,
            category: Category::InvalidAddress,
            subtype: None,
            status: None,
            diagnostic: None,
        };
        Bounced {
            at: at(seconds),
            key: EventKey(Uuid::nil()),
            bounce,
        }
    }
    fn failed() -> Failed {
        let failure = Failure {
            category: Category::Unknown,
            code: None,
            provider_text: None,
        };
        Failed {
            at: at(2),
            key: EventKey(Uuid::nil()),
            failure,
        }
    }

    #[test]
    fn an_email_goes_from_awaiting_send_to_sent_to_unopened_to_opened() {
        let mut facts = Facts::default();
        assert_eq!(statuses(Method::Email, &facts), [Status::AwaitingSend]);
        facts.sent = Some(sent(true));
        assert_eq!(statuses(Method::Email, &facts), [Status::Sent]);
        facts.delivered_at = Some(at(2));
        assert_eq!(statuses(Method::Email, &facts), [Status::Unopened]);
        facts.sent = Some(sent(false));
        assert_eq!(
            statuses(Method::Email, &facts),
            [Status::Sent],
            "opens are not tracked"
        );
        facts.opened = Some(opened(3));
        assert_eq!(statuses(Method::Email, &facts), [Status::Opened]);
    }

    #[test]
    fn an_email_can_be_both_opened_and_bounced_in_the_order_of_their_times() {
        let facts = Facts {
            sent: Some(sent(true)),
            opened: Some(opened(3)),
            bounced: Some(bounced(4)),
            ..Facts::default()
        };
        assert_eq!(
            statuses(Method::Email, &facts),
            [Status::Opened, Status::Bounced]
        );
        let facts = Facts {
            sent: Some(sent(true)),
            opened: Some(opened(5)),
            bounced: Some(bounced(4)),
            ..Facts::default()
        };
        assert_eq!(
            statuses(Method::Email, &facts),
            [Status::Bounced, Status::Opened]
        );
    }

    #[test]
    fn evidence_outranks_failed() {
        let mut facts = Facts {
            failed: Some(failed()),
            ..Facts::default()
        };
        assert_eq!(statuses(Method::Email, &facts), [Status::Failed]);
        facts.sent = Some(sent(false));
        assert_eq!(
            statuses(Method::Email, &facts),
            [Status::Failed],
            "sent alone is no evidence"
        );
        facts.bounced = Some(bounced(3));
        assert_eq!(statuses(Method::Email, &facts), [Status::Bounced]);
        assert_eq!(
            statuses(
                Method::Email,
                &Facts {
                    opened: Some(opened(1)),
                    ..Facts::default()
                }
            ),
            [Status::Opened]
        );
    }

    #[test]
    fn sms_and_push_know_fewer_statuses_and_manual_entries_none() {
        let delivered = Facts {
            sent: Some(sent(false)),
            delivered_at: Some(at(2)),
            ..Facts::default()
        };
        assert_eq!(statuses(Method::Sms, &delivered), [Status::Unopened]);
        assert_eq!(statuses(Method::Push, &delivered), [Status::Sent]);
        assert_eq!(statuses(Method::Phone, &delivered), []);
        let undelivered = Facts {
            sent: Some(sent(false)),
            failed: Some(failed()),
            ..Facts::default()
        };
        assert_eq!(statuses(Method::Sms, &undelivered), [Status::Failed]);
        assert_eq!(statuses(Method::Push, &undelivered), [Status::Failed]);
    }
}
