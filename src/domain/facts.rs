//! Facts: a pure fold of a notification's events. Commutative, associative and idempotent, so no
//! order, repetition or delay of events can change the result.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{Bounce, Event, EventKey, Failure, Severity, What};
use super::time::Timestamp;

/// An open this soon after the delivery, or after the send where no delivery is reported (SMTP), is
/// taken for a scanner's or a prefetcher's.
pub const PREFETCH_WINDOW: Duration = Duration::from_secs(3);

/// What is known about one notification. Every part is set once and merged by a rule that does not
/// depend on the order of arrival; ties are broken by event key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub sent: Option<Sent>,
    pub failed: Option<Failed>,
    pub delivered_at: Option<Timestamp>,
    pub delayed: Option<Delayed>,
    pub bounced: Option<Bounced>,
    pub complained: Option<Complained>,
    pub opened: Option<Opened>,
    pub clicked: Option<Clicked>,
    pub unsubscribed_at: Option<Timestamp>,
}

/// The earliest acceptance by a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Timestamp,
    pub key: EventKey,
    pub provider: String,
    pub provider_message_id: Option<String>,
    pub opens_tracked: bool,
}

/// The earliest Rejected, Undelivered or `GaveUp`.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    pub at: Timestamp,
    pub key: EventKey,
    pub failure: Failure,
}

/// The latest delay.
#[derive(Clone, Debug, PartialEq)]
pub struct Delayed {
    pub at: Timestamp,
    pub key: EventKey,
    pub delay_type: Option<String>,
}

/// The most severe bounce; of those the earliest.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounced {
    pub at: Timestamp,
    pub key: EventKey,
    pub bounce: Bounce,
}

/// The earliest complaint.
#[derive(Clone, Debug, PartialEq)]
pub struct Complained {
    pub at: Timestamp,
    pub key: EventKey,
    pub feedback_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: i64,
    /// The latest open whose user agent is not a known machine's.
    pub by_person_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Clicked {
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: i64,
}

impl Facts {
    /// The facts of a set of events; events with one key are one event.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let distinct: BTreeMap<EventKey, &Event> =
            events.into_iter().map(|event| (event.key, event)).collect();
        let mut facts = Self::default();
        for event in distinct.into_values() {
            facts.apply(event);
        }
        facts
    }

    /// Merges one event that has not been applied before (the ledger's unique key sees to that).
    pub fn apply(&mut self, event: &Event) {
        let (at, key) = (event.occurred_at, event.key);
        match &event.what {
            What::Accepted {
                provider,
                provider_message_id,
                opens_tracked,
            } => {
                let sent = Sent {
                    at,
                    key,
                    provider: provider.clone(),
                    provider_message_id: provider_message_id.clone(),
                    opens_tracked: *opens_tracked,
                };
                self.accept(sent);
            }
            What::Rejected(failure) | What::Undelivered(failure) | What::GaveUp(failure) => {
                let failed = Failed {
                    at,
                    key,
                    failure: failure.clone(),
                };
                keep_least(&mut self.failed, failed, |f| (f.at, f.key));
            }
            What::Delivered { .. } => earliest(&mut self.delivered_at, at),
            What::Delayed { delay_type, .. } => {
                let delayed = Delayed {
                    at,
                    key,
                    delay_type: delay_type.clone(),
                };
                keep_least(&mut self.delayed, delayed, |d| Reverse((d.at, d.key)));
            }
            What::Bounced(bounce) => {
                let bounced = Bounced {
                    at,
                    key,
                    bounce: bounce.clone(),
                };
                keep_least(&mut self.bounced, bounced, |b| {
                    (Reverse(b.bounce.severity), b.at, b.key)
                });
            }
            What::Complained { feedback_type } => {
                let complained = Complained {
                    at,
                    key,
                    feedback_type: feedback_type.clone(),
                };
                keep_least(&mut self.complained, complained, |c| (c.at, c.key));
            }
            What::ComplaintWithdrawn | What::Resubscribed | What::Decided { .. } => {}
            What::Opened { by_machine, .. } => self.open(at, *by_machine),
            What::Clicked { .. } => self.click(at),
            What::Unsubscribed { .. } => earliest(&mut self.unsubscribed_at, at),
        }
    }

    /// A provider may report its acceptance beside our own record of it. The earlier one is kept;
    /// what either of them knows about open tracking holds.
    fn accept(&mut self, new: Sent) {
        let tracked = new.opens_tracked || self.sent.as_ref().is_some_and(|s| s.opens_tracked);
        keep_least(&mut self.sent, new, |s| (s.at, s.key));
        if let Some(sent) = &mut self.sent {
            sent.opens_tracked = tracked;
        }
    }

    fn open(&mut self, at: Timestamp, by_machine: bool) {
        let by_person_at = (!by_machine).then_some(at);
        let opened = self.opened.get_or_insert(Opened {
            first_at: at,
            last_at: at,
            count: 0,
            by_person_at,
        });
        opened.first_at = opened.first_at.min(at);
        opened.last_at = opened.last_at.max(at);
        opened.count = opened.count.saturating_add(1);
        opened.by_person_at = opened.by_person_at.max(by_person_at);
    }

    fn click(&mut self, at: Timestamp) {
        let clicked = self.clicked.get_or_insert(Clicked {
            first_at: at,
            last_at: at,
            count: 0,
        });
        clicked.first_at = clicked.first_at.min(at);
        clicked.last_at = clicked.last_at.max(at);
        clicked.count = clicked.count.saturating_add(1);
    }

    /// The opens that are known or implied: a click implies that the message was open at that time, with
    /// pictures or without. An implied open counts no image loads.
    pub fn opened_or_implied(&self) -> Option<Opened> {
        let implied = self.clicked.as_ref().map(|clicked| Opened {
            first_at: clicked.first_at,
            last_at: clicked.last_at,
            count: 0,
            by_person_at: Some(clicked.last_at),
        });
        let (Some(opened), Some(implied)) = (&self.opened, &implied) else {
            return self.opened.clone().or(implied);
        };
        Some(Opened {
            first_at: opened.first_at.min(implied.first_at),
            last_at: opened.last_at.max(implied.last_at),
            count: opened.count,
            by_person_at: opened.by_person_at.max(implied.by_person_at),
        })
    }

    /// Every open so far looks machine-made: by its user agent, or seconds after it arrived.
    pub fn opens_likely_automatic(&self) -> bool {
        if self.opened.is_none() || self.clicked.is_some() {
            return false;
        }
        let by_person_at = self.opened.as_ref().and_then(|opened| opened.by_person_at);
        let sent_at = self.sent.as_ref().map(|sent| sent.at);
        let arrived_at = self.delivered_at.or(sent_at);
        by_person_at
            .is_none_or(|at| arrived_at.is_some_and(|arrived| at <= arrived.plus(PREFETCH_WINDOW)))
    }

    /// Something proves that the message went, whatever our own attempts say.
    pub fn has_evidence(&self) -> bool {
        self.delivered_at.is_some()
            || self.opened.is_some()
            || self.clicked.is_some()
            || self.complained.is_some()
            || self.bounced.is_some()
    }

    /// The bounce is one that says "this address does not work".
    pub fn bounced_permanently(&self) -> bool {
        self.bounced
            .as_ref()
            .is_some_and(|b| b.bounce.severity == Severity::Permanent)
    }
}

fn earliest(slot: &mut Option<Timestamp>, at: Timestamp) {
    *slot = Some(slot.map_or(at, |known| known.min(at)));
}

fn keep_least<T, K: Ord>(slot: &mut Option<T>, new: T, rank: impl Fn(&T) -> K) {
    if slot.as_ref().is_none_or(|known| rank(&new) < rank(known)) {
        *slot = Some(new);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::event::Decision;
    use crate::domain::id::NotificationId;
    use crate::domain::reason::Category;

    fn any_failure() -> impl Strategy<Value = Failure> {
        (0..Category::ALL.len()).prop_map(|i| Failure {
            category: Category::ALL[i],
            code: None,
            provider_text: Some(format!("words {i}")),
        })
    }

    fn any_what() -> impl Strategy<Value = What> {
        prop_oneof![
            ("[ab]", any::<bool>()).prop_map(|(id, opens_tracked)| What::Accepted {
                provider: "ses".to_owned(),
                provider_message_id: Some(id),
                opens_tracked,
            }),
            any_failure().prop_map(What::Rejected),
            any_failure().prop_map(What::Undelivered),
            any_failure().prop_map(What::GaveUp),
            Just(What::Delivered { response: None }),
            "[ab]".prop_map(|d| What::Delayed {
                delay_type: Some(d),
                diagnostic: None
            }),
            (0..3_usize, "[ab]").prop_map(|(s, subtype)| What::Bounced(Bounce {
                severity: [
                    Severity::Transient,
                    Severity::Undetermined,
                    Severity::Permanent
                ][s],
                category: Category::Unknown,
                subtype: Some(subtype),
                status: None,
                diagnostic: None,
            })),
            "[ab]".prop_map(|f| What::Complained {
                feedback_type: Some(f)
            }),
            Just(What::ComplaintWithdrawn),
            Just(What::Decided {
                decision: Decision::Resend,
                staff_id: None
            }),
            any::<bool>().prop_map(|by_machine| What::Opened {
                user_agent: None,
                by_machine
            }),
            Just(What::Clicked {
                link: None,
                user_agent: None
            }),
            Just(What::Unsubscribed { how: None }),
        ]
    }

    /// Few instants, so that ties are common; the key is the position, so that it is unique.
    fn any_events() -> impl Strategy<Value = Vec<Event>> {
        prop::collection::vec((any_what(), 0..6_i64), 0..12).prop_map(|whats| {
            whats
                .into_iter()
                .enumerate()
                .map(|(i, (what, at))| Event {
                    notification: NotificationId::new(Uuid::nil()),
                    key: EventKey(Uuid::from_u128(u128::try_from(i).unwrap())),
                    occurred_at: Timestamp::from_millis(at * 1000),
                    source: "test".to_owned(),
                    what,
                })
                .collect()
        })
    }

    fn shuffled_with_repetitions() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
        any_events().prop_flat_map(|events| {
            let repeated: Vec<Event> = events
                .iter()
                .cloned()
                .cycle()
                .take(events.len() * 3)
                .collect();
            (Just(events), Just(repeated).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn any_order_and_repetition_gives_the_same_facts((events, noisy) in shuffled_with_repetitions()) {
            prop_assert_eq!(Facts::fold(&events), Facts::fold(&noisy));
        }

        #[test]
        fn applying_one_by_one_equals_the_fold((events, noisy) in shuffled_with_repetitions()) {
            let mut seen = std::collections::BTreeSet::new();
            let mut facts = Facts::default();
            for event in &noisy {
                if seen.insert(event.key) {
                    facts.apply(event);
                }
            }
            prop_assert_eq!(facts, Facts::fold(&events));
        }
    }

    #[test]
    fn an_open_within_seconds_of_delivery_is_likely_automatic_a_later_one_is_not() {
        let event = |key: u128, at: i64, what| Event {
            notification: NotificationId::new(Uuid::nil()),
            key: EventKey(Uuid::from_u128(key)),
            occurred_at: Timestamp::from_millis(at),
            source: "ses".to_owned(),
            what,
        };
        let delivered = event(1, 1_000, What::Delivered { response: None });
        let soon = event(
            2,
            2_000,
            What::Opened {
                user_agent: None,
                by_machine: false,
            },
        );
        let proxy = event(
            3,
            900_000,
            What::Opened {
                user_agent: None,
                by_machine: true,
            },
        );
        let person = event(
            6,
            950_000,
            What::Opened {
                user_agent: None,
                by_machine: false,
            },
        );
        let sent = event(
            4,
            0,
            What::Accepted {
                provider: "smtp".to_owned(),
                provider_message_id: None,
                opens_tracked: true,
            },
        );
        let late = event(
            5,
            3_001,
            What::Opened {
                user_agent: None,
                by_machine: false,
            },
        );
        assert!(Facts::fold([&sent, &soon]).opens_likely_automatic());
        assert!(!Facts::fold([&sent, &soon, &late]).opens_likely_automatic());
        let events = [delivered, soon, proxy, person];
        assert!(Facts::fold(&events[..3]).opens_likely_automatic());
        assert!(!Facts::fold(&events).opens_likely_automatic());
        assert_eq!(Facts::fold(&events).opened.unwrap().count, 3);
    }
}
