//! Which story an email address stands for, and what happens in it, when, and how it is told. Pure.

use std::time::Duration;

/// What the provider answers to the request to send an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accept,
    /// Refused for good, at once.
    Reject,
    /// Throttled [`THROTTLED_TIMES`] times, accepted after that.
    ThrottleFirst,
    /// Accepted, but the connection closes where the answer should be.
    Lose,
    /// An error of the provider's own, always.
    Fail,
}

/// How often `throttled@` is told to slow down before it is accepted.
pub(super) const THROTTLED_TIMES: u32 = 2;

/// What happens to an accepted email; SES event publishing has one event type for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Send,
    Delivery,
    DeliveryDelay,
    Bounce(BounceKind),
    Complaint,
    Open,
    Click,
    Reject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BounceKind {
    /// The mailbox does not exist: permanent.
    NoMailbox,
    /// The mailbox is full and SES gave up trying: transient.
    MailboxFull,
    /// On the account's own suppression list: nothing was sent.
    AccountList,
    /// On the suppression list that all SES accounts share.
    GlobalList,
}

/// How the happenings are told to the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Prompt,
    /// Before the sender has its answer.
    Early,
    /// Long after they happened.
    Late,
    Thrice,
    Reversed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    pub answer: Answer,
    happenings: &'static [Happening],
    telling: Telling,
}

/// One feedback message of a story; durations count from the acceptance of the email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub happening: Happening,
    pub happens_after: Duration,
    pub told_after: Duration,
    /// How often the same message, with the same `MessageId`, is posted.
    pub copies: u8,
}

const DELIVERED: &[Happening] = &[Happening::Send, Happening::Delivery];
const BOUNCED: &[Happening] = &[Happening::Send, Happening::Bounce(BounceKind::NoMailbox)];

impl Story {
    /// Addresses at `simulator.test` and at the SES mailbox simulator choose their story, in upper
    /// or lower case and with any label after a `+`; every other address is simply delivered to.
    /// SES mailbox simulator: <https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html>
    pub(super) fn of(address: &str) -> Self {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let name = local.split('+').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let story = match domain.to_ascii_lowercase().as_str() {
            "simulator.test" => ours(&name),
            "simulator.amazonses.com" => simulator(&name),
            _elsewhere => None,
        };
        story.unwrap_or(plain(DELIVERED))
    }

    /// Feedback goes out before the answer does.
    pub(super) fn is_early(&self) -> bool {
        self.telling == Telling::Early
    }

    /// In the order in which they are told. `gap` lies between two happenings, `late` before the
    /// telling of a late one.
    pub(super) fn steps(&self, gap: Duration, late: Duration) -> Vec<Step> {
        // Happenings are told in whole milliseconds and must differ, or they would have no order.
        let gap = match self.telling {
            Telling::Early => MILLISECOND,
            Telling::Prompt | Telling::Late | Telling::Thrice | Telling::Reversed => {
                gap.max(MILLISECOND)
            }
        };
        let mut at = Duration::ZERO;
        let mut steps: Vec<Step> = Vec::with_capacity(self.happenings.len());
        for &happening in self.happenings {
            at += gap;
            steps.push(Step {
                happening,
                happens_after: at,
                told_after: at,
                copies: if self.telling == Telling::Thrice {
                    3
                } else {
                    1
                },
            });
        }
        match self.telling {
            Telling::Prompt | Telling::Early | Telling::Thrice => {}
            Telling::Late => steps.iter_mut().for_each(|step| step.told_after += late),
            Telling::Reversed => {
                steps.reverse();
                for step in &mut steps {
                    at += gap;
                    step.told_after = at;
                }
            }
        }
        steps
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

const fn plain(happenings: &'static [Happening]) -> Story {
    answered(Answer::Accept, happenings)
}

const fn answered(answer: Answer, happenings: &'static [Happening]) -> Story {
    Story {
        answer,
        happenings,
        telling: Telling::Prompt,
    }
}

const fn told(telling: Telling, happenings: &'static [Happening]) -> Story {
    Story {
        answer: Answer::Accept,
        happenings,
        telling,
    }
}

/// The stories of `simulator.test`.
fn ours(name: &str) -> Option<Story> {
    use Happening::{Bounce, Click, Complaint, Delivery, DeliveryDelay, Open, Reject, Send};
    const OPENED: &[Happening] = &[Send, Delivery, Open];
    Some(match name {
        "delivered" => plain(DELIVERED),
        "opened" => plain(OPENED),
        "clicked" => plain(&[Send, Delivery, Open, Click]),
        "bounced" => plain(BOUNCED),
        "mailbox-full" => plain(&[Send, Bounce(BounceKind::MailboxFull)]),
        "suppressed" => plain(&[Send, Bounce(BounceKind::AccountList)]),
        "bounced-then-opened" => plain(&[Send, Bounce(BounceKind::NoMailbox), Open]),
        "opened-then-bounced" => plain(&[Send, Delivery, Open, Bounce(BounceKind::NoMailbox)]),
        "complained" => plain(&[Send, Delivery, Complaint]),
        "delayed" => plain(&[Send, DeliveryDelay, Delivery]),
        "virus" => plain(&[Send, Reject]),
        "rejected" => answered(Answer::Reject, &[]),
        "throttled" => answered(Answer::ThrottleFirst, DELIVERED),
        "lost-answer" => answered(Answer::Lose, DELIVERED),
        "down" => answered(Answer::Fail, &[]),
        "early" => told(Telling::Early, DELIVERED),
        "late" => told(Telling::Late, DELIVERED),
        "duplicate" => told(Telling::Thrice, OPENED),
        "shuffled" => told(Telling::Reversed, OPENED),
        _unknown => return None,
    })
}

/// The SES mailbox simulator. `ooto@` is delivered: the out-of-office reply goes to the return path.
fn simulator(name: &str) -> Option<Story> {
    use Happening::{Bounce, Complaint, Delivery, Send};
    Some(match name {
        "success" | "ooto" => plain(DELIVERED),
        "bounce" => plain(BOUNCED),
        "complaint" => plain(&[Send, Delivery, Complaint]),
        "suppressionlist" => plain(&[Send, Bounce(BounceKind::GlobalList)]),
        _unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_mins(1);

    fn told(address: &str) -> Vec<Happening> {
        let steps = Story::of(address).steps(GAP, LATE);
        assert!(
            steps.is_sorted_by_key(|step| step.told_after),
            "{address} is told in order"
        );
        steps.iter().map(|step| step.happening).collect()
    }

    #[test]
    fn every_address_has_its_story() {
        use Happening::{Bounce, Click, Complaint, Delivery, DeliveryDelay, Open, Reject, Send};
        let table: &[(&str, &[Happening])] = &[
            ("delivered", &[Send, Delivery]),
            ("opened", &[Send, Delivery, Open]),
            ("clicked", &[Send, Delivery, Open, Click]),
            ("bounced", &[Send, Bounce(BounceKind::NoMailbox)]),
            ("mailbox-full", &[Send, Bounce(BounceKind::MailboxFull)]),
            ("suppressed", &[Send, Bounce(BounceKind::AccountList)]),
            (
                "bounced-then-opened",
                &[Send, Bounce(BounceKind::NoMailbox), Open],
            ),
            (
                "opened-then-bounced",
                &[Send, Delivery, Open, Bounce(BounceKind::NoMailbox)],
            ),
            ("complained", &[Send, Delivery, Complaint]),
            ("delayed", &[Send, DeliveryDelay, Delivery]),
            ("virus", &[Send, Reject]),
            ("rejected", &[]),
            ("throttled", &[Send, Delivery]),
            ("lost-answer", &[Send, Delivery]),
            ("early", &[Send, Delivery]),
            ("late", &[Send, Delivery]),
            ("duplicate", &[Send, Delivery, Open]),
            ("shuffled", &[Open, Delivery, Send]),
            ("down", &[]),
            ("anything-else", &[Send, Delivery]),
        ];
        for (name, happenings) in table {
            assert_eq!(
                told(&format!("{name}@simulator.test")),
                *happenings,
                "{name}"
            );
        }
        let simulator: &[(&str, &[Happening])] = &[
            ("success", &[Send, Delivery]),
            ("ooto", &[Send, Delivery]),
            ("bounce", &[Send, Bounce(BounceKind::NoMailbox)]),
            ("complaint", &[Send, Delivery, Complaint]),
            ("suppressionlist", &[Send, Bounce(BounceKind::GlobalList)]),
        ];
        for (name, happenings) in simulator {
            assert_eq!(
                told(&format!("{name}@simulator.amazonses.com")),
                *happenings,
                "{name}"
            );
        }
    }

    #[test]
    fn case_and_label_do_not_matter_but_the_domain_does() {
        assert_eq!(
            Story::of("Rejected+job-7@Simulator.Test").answer,
            Answer::Reject
        );
        assert_eq!(Story::of("rejected@example.com").answer, Answer::Accept);
        assert_eq!(
            Story::of("rejected@simulator.amazonses.com").answer,
            Answer::Accept
        );
        assert_eq!(Story::of("").answer, Answer::Accept);
    }

    #[test]
    fn happenings_keep_their_order_in_time_however_they_are_told() {
        for name in [
            "early",
            "late",
            "duplicate",
            "shuffled",
            "bounced-then-opened",
        ] {
            let story = Story::of(&format!("{name}@simulator.test"));
            for gap in [Duration::ZERO, GAP] {
                let mut steps = story.steps(gap, LATE);
                assert!(
                    steps
                        .iter()
                        .all(|step| step.told_after >= step.happens_after)
                );
                if name == "shuffled" {
                    steps.reverse();
                }
                let times: Vec<_> = steps.iter().map(|step| step.happens_after).collect();
                assert!(times.is_sorted_by(|a, b| a < b), "{name} {times:?}");
            }
        }
    }

    #[test]
    fn late_feedback_tells_of_what_happened_long_before() {
        let steps = Story::of("late@simulator.test").steps(GAP, LATE);
        assert!(
            steps
                .iter()
                .all(|step| step.told_after == step.happens_after + LATE)
        );
    }

    #[test]
    fn duplicates_are_told_three_times() {
        let steps = Story::of("duplicate@simulator.test").steps(GAP, LATE);
        assert!(steps.iter().all(|step| step.copies == 3));
    }
}
