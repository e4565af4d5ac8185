//! What follows an attempt: pure, given the outcome, the counts, the time and the drawn wait.

use std::time::Duration;

use serde::Deserialize;

use super::backoff::Schedule;
use crate::domain::event::Failure;
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::store::jobs::Claimed;
use crate::store::record::Then;

/// The rules of one method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Of the waits while the provider or a server on the way is in trouble.
    pub schedule: Schedule,
    /// Of the waits while the recipient's own mailbox or server puts the message off: a full mailbox
    /// or a greylist needs minutes and hours, not seconds.
    pub mailbox_schedule: Schedule,
    /// Attempts that count (not throttled ones) before we give up.
    pub attempts_max: u32,
    /// How long after its first attempt, or after a person's decision to try it again, a message is still
    /// worth another one.
    pub horizon: Duration,
    pub on_unknown: OnUnknown,
    /// How long feedback may take to show that an attempt of unknown outcome went after all.
    pub unknown_grace: Duration,
    /// How long a provider rests whose credentials or set-up do not work.
    pub broken_pause: Duration,
}

/// What becomes of a message whose last attempt may or may not have sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It is sent again after the grace, unless feedback shows that it went.
    Resend,
    /// It waits until a person decides or feedback shows that it went.
    Hold,
}

/// The job that was tried.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Counting failures before this attempt.
    pub failures: u32,
    /// Attempts before this one, throttled ones included.
    pub attempts: u32,
    /// Whether this attempt counts, if it failed.
    pub counts: bool,
    pub now: Timestamp,
    /// When its first attempt began, or when it was decided that it is to be tried again.
    pub since: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub opens_tracked: bool,
}

impl Situation {
    /// Of the schedule of waits. What does not count comes ever later as well: it may be this message
    /// that the provider fails at.
    fn step(&self) -> u32 {
        1 + if self.counts {
            self.failures
        } else {
            self.attempts
        }
    }
}

/// No provider's hint makes us wait longer: SES names at most a day (its daily quota).
const HINT_MAX: Duration = Duration::from_hours(24);

/// The waits of a message that was refused for the provider's rate.
const REFUSED: Schedule = Schedule {
    initial: Duration::from_secs(1),
    max: Duration::from_mins(5),
    multiplier: 2.0,
};

/// When the set-up is mended, nothing should wait for longer than it takes to notice that.
const BROKEN_WAIT_MAX: Duration = Duration::from_mins(10);

impl Policy {
    /// The message that is to be sent, or what becomes of a job for which no provider is to be called.
    pub fn before<'a>(&self, claimed: &'a Claimed, now: Timestamp) -> Result<&'a Outgoing, Then> {
        if claimed.has_gone {
            return Err(Then::Settled);
        }
        if let Some(bar) = claimed.bar {
            return Err(Then::GaveUp(bar.failure()));
        }
        let failure = |category, code: &str| {
            let code = Some(code.to_owned());
            Err(Then::GaveUp(Failure {
                category,
                code,
                provider_text: None,
            }))
        };
        match &claimed.message {
            _ if claimed.expires_at.is_some_and(|at| at <= now) => {
                failure(Category::Expired, "expired")
            }
            // Only where workers died over it: otherwise the last attempt would have given up.
            _ if claimed.job.failures >= self.attempts_max => {
                failure(Category::OutcomeUnknown, "attempts")
            }
            None => failure(Category::Unknown, "unreadable"),
            Some(message) => Ok(message),
        }
    }

    pub fn follow(&self, outcome: Outcome, at: Situation) -> Then {
        match outcome {
            Outcome::Accepted {
                provider_message_id,
            } => Then::Sent {
                provider_message_id,
                opens_tracked: at.opens_tracked,
            },
            Outcome::Rejected(failure) => Then::Rejected(failure),
            Outcome::TryLater { after, why } => {
                let (schedule, category) = if why.of_the_message {
                    (self.mailbox_schedule, Category::PutOff)
                } else {
                    (self.schedule, Category::ProviderUnavailable)
                };
                let wait = no_sooner(schedule.wait(at.step()), after);
                self.again(at, wait, category, why)
            }
            Outcome::Unknown { .. } if self.on_unknown == OnUnknown::Hold => Then::Hold,
            Outcome::Unknown { why } => {
                self.again(at, self.unknown_grace, Category::OutcomeUnknown, why)
            }
            // Soon: the rate is held down for all messages, so this one need not wait for long; but ever
            // later, in case it is this message alone that is refused.
            Outcome::Throttled { after, why } => {
                let refusals = at.attempts.saturating_sub(at.failures) + 1;
                let wait = REFUSED.wait(refusals).min(self.schedule.max);
                self.in_time(at, no_sooner(wait, after), Category::ThrottledTooLong, why)
            }
            // Ever later, in case it is this message that breaks the provider: it must not do so
            // whenever the provider has rested.
            Outcome::Broken { why } => {
                let wait = self.schedule.wait(at.attempts + 1).min(BROKEN_WAIT_MAX);
                self.in_time(at, wait.max(self.broken_pause), Category::Credentials, why)
            }
        }
    }

    fn again(&self, at: Situation, wait: Duration, category: Category, why: Trouble) -> Then {
        if at.counts && at.failures + 1 >= self.attempts_max {
            return gave_up(category, why);
        }
        self.in_time(at, wait, category, why)
    }

    /// There is no next attempt after the last moment.
    fn in_time(&self, at: Situation, wait: Duration, category: Category, why: Trouble) -> Then {
        let due_at = at.now.plus(wait);
        let horizon = at.since.plus(self.horizon);
        let last = at
            .expires_at
            .map_or(horizon, |expires| expires.min(horizon));
        if due_at >= last {
            return gave_up(category, why);
        }
        Then::Again { due_at }
    }
}

/// Our own schedule, but no sooner than the provider asks for.
fn no_sooner(wait: Duration, hint: Option<Duration>) -> Duration {
    wait.max(hint.unwrap_or_default().min(HINT_MAX))
}

fn gave_up(category: Category, why: Trouble) -> Then {
    Then::GaveUp(Failure {
        category,
        code: why.code,
        provider_text: Some(why.text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        schedule: Schedule {
            initial: Duration::from_secs(10),
            max: Duration::from_mins(1),
            multiplier: 2.0,
        },
        mailbox_schedule: Schedule {
            initial: Duration::from_mins(5),
            max: Duration::from_hours(2),
            multiplier: 2.0,
        },
        attempts_max: 3,
        horizon: Duration::from_hours(72),
        on_unknown: OnUnknown::Resend,
        unknown_grace: Duration::from_mins(5),
        broken_pause: Duration::from_secs(30),
    };

    fn at(failures: u32) -> Situation {
        let now = Timestamp::from_millis(1_000_000);
        Situation {
            failures,
            attempts: failures,
            counts: true,
            now,
            since: now,
            expires_at: None,
            opens_tracked: true,
        }
    }
    fn why() -> Trouble {
        Trouble::new(Some("450"), "busy")
    }
    fn later(hint: Option<u64>) -> Outcome {
        Outcome::TryLater {
            after: hint.map(Duration::from_secs),
            why: why(),
        }
    }
    fn put_off() -> Outcome {
        Outcome::TryLater {
            after: None,
            why: why().of_the_message(),
        }
    }
    fn throttled() -> Outcome {
        Outcome::Throttled {
            after: None,
            why: why(),
        }
    }
    fn broken() -> Outcome {
        Outcome::Broken { why: why() }
    }
    fn unknown() -> Outcome {
        Outcome::Unknown { why: why() }
    }
    fn seconds(then: &Then) -> u64 {
        let Then::Again { due_at } = then else {
            panic!("{then:?}")
        };
        due_at.since(at(0).now).as_secs()
    }
    /// The longest of many waits.
    fn longest(policy: &Policy, outcome: impl Fn() -> Outcome, at: Situation) -> u64 {
        let waits = (0..200).map(|_| seconds(&policy.follow(outcome(), at)));
        waits.max().unwrap()
    }
    fn category(then: &Then) -> Category {
        let Then::GaveUp(failure) = then else {
            panic!("{then:?}")
        };
        failure.category
    }

    #[test]
    fn a_failed_attempt_is_tried_again_until_the_attempts_are_used_up() {
        assert!((8..=10).contains(&longest(&POLICY, || later(None), at(0))));
        assert!((16..=20).contains(&longest(&POLICY, || later(None), at(1))));
        let last = POLICY.follow(later(None), at(2));
        assert_eq!(category(&last), Category::ProviderUnavailable);
    }

    #[test]
    fn a_mailbox_that_puts_a_message_off_has_more_time_than_a_provider_in_trouble() {
        assert!((240..=300).contains(&longest(&POLICY, put_off, at(0))));
        assert!((480..=600).contains(&longest(&POLICY, put_off, at(1))));
        assert_eq!(category(&POLICY.follow(put_off(), at(2))), Category::PutOff);
    }

    #[test]
    fn a_providers_hint_is_honoured_within_reason() {
        assert_eq!(seconds(&POLICY.follow(later(Some(1_000)), at(0))), 1_000);
        let far = POLICY.follow(later(Some(9_999_999)), at(0));
        assert_eq!(seconds(&far), 86_400);
    }

    #[test]
    fn throttling_and_broken_credentials_use_up_no_attempts() {
        assert!(seconds(&POLICY.follow(throttled(), at(99))) <= 1);
        assert_eq!(seconds(&POLICY.follow(broken(), at(0))), 30);
    }

    #[test]
    fn a_refusal_for_the_rate_comes_back_soon_and_ever_later_if_it_is_the_messages_own() {
        let refused = |attempts| Situation { attempts, ..at(0) };
        assert!(longest(&POLICY, throttled, refused(0)) <= 1);
        assert!((6..=8).contains(&longest(&POLICY, throttled, refused(3))));
        assert!((48..=60).contains(&longest(&POLICY, throttled, refused(50))));
    }

    #[test]
    fn a_message_that_breaks_the_provider_again_and_again_comes_back_ever_later() {
        let patient = Policy {
            schedule: Schedule {
                max: Duration::from_hours(1),
                ..POLICY.schedule
            },
            ..POLICY
        };
        assert!((130..=160).contains(&longest(&patient, broken, at(4))));
        assert!((500..=600).contains(&longest(&patient, broken, at(99))));
    }

    #[test]
    fn an_unknown_outcome_waits_for_feedback_and_is_then_sent_again() {
        assert_eq!(seconds(&POLICY.follow(unknown(), at(0))), 300);
        let last = POLICY.follow(unknown(), at(2));
        assert_eq!(category(&last), Category::OutcomeUnknown);
    }

    #[test]
    fn where_a_second_copy_does_harm_an_unknown_outcome_waits_for_a_person() {
        let careful = Policy {
            on_unknown: OnUnknown::Hold,
            ..POLICY
        };
        for failures in [0, 2] {
            let then = careful.follow(unknown(), at(failures));
            assert!(matches!(then, Then::Hold), "{then:?}");
        }
    }

    #[test]
    fn nothing_is_tried_after_the_last_moment_and_the_reason_is_the_true_one() {
        let moment = Timestamp::from_millis(1_000_001);
        let expiring = Situation {
            expires_at: Some(moment),
            ..at(0)
        };
        // Tried for so long that the horizon is just about to come.
        let old = Situation {
            since: moment.minus(POLICY.horizon),
            ..at(0)
        };
        let hinted = |outcome| match outcome {
            Outcome::TryLater { why, .. } => Outcome::TryLater {
                after: Some(Duration::from_secs(1)),
                why,
            },
            Outcome::Throttled { why, .. } => Outcome::Throttled {
                after: Some(Duration::from_secs(1)),
                why,
            },
            other @ (Outcome::Accepted { .. }
            | Outcome::Rejected(_)
            | Outcome::Broken { .. }
            | Outcome::Unknown { .. }) => other,
        };
        for at in [expiring, old] {
            for (outcome, why) in [
                (later(None), Category::ProviderUnavailable),
                (put_off(), Category::PutOff),
                (throttled(), Category::ThrottledTooLong),
                (broken(), Category::Credentials),
                (unknown(), Category::OutcomeUnknown),
            ] {
                assert_eq!(category(&POLICY.follow(hinted(outcome), at)), why);
            }
        }
    }

    #[test]
    fn what_only_showed_that_a_provider_rests_is_not_given_up_and_comes_ever_later() {
        let probe = |attempts| Situation {
            attempts,
            counts: false,
            ..at(POLICY.attempts_max)
        };
        let longest = |attempts| longest(&POLICY, || later(None), probe(attempts));
        assert!(longest(0) <= 15 && longest(9) >= 30);
    }
}
