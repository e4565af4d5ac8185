//! What follows an attempt: pure, given the outcome, the counts, the time and the drawn wait.

use std::time::Duration;

use super::backoff::Schedule;
use crate::domain::event::Failure;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::store::record::Then;

/// The rules of one method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    pub schedule: Schedule,
    /// Attempts that count (not throttled ones) before we give up.
    pub attempts_max: u32,
    /// How long feedback may take to show that an attempt of unknown outcome went after all.
    pub unknown_grace: Duration,
    /// How long a provider rests whose credentials or set-up do not work.
    pub broken_pause: Duration,
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
    pub fn follow(&self, outcome: Outcome, at: Situation) -> Then {
        match outcome {
            Outcome::Accepted {
                provider_message_id,
            } => Then::Sent {
                provider_message_id,
                opens_tracked: at.opens_tracked,
            },
            Outcome::Rejected(failure) => Then::Rejected(failure),
            Outcome::TryLater { after, why } => self.again(
                at,
                self.waiting(at.step(), after),
                Category::ProviderUnavailable,
                why,
            ),
            Outcome::Unknown { why } => self.again(at, self.unknown_grace, Category::Unknown, why),
            // Soon: the rate is held down for all messages, so this one need not wait for long; but ever
            // later, in case it is this message alone that is refused.
            Outcome::Throttled { after, why } => {
                let refusals = at.attempts.saturating_sub(at.failures) + 1;
                let wait = REFUSED.wait(refusals).min(self.schedule.max);
                let due_at = at
                    .now
                    .plus(wait.max(after.unwrap_or_default().min(HINT_MAX)));
                expires(at, due_at, Category::ThrottledTooLong, why)
            }
            // Ever later, in case it is this message that breaks the provider: it must not do so
            // whenever the provider has rested.
            Outcome::Broken { why } => {
                let wait = self.schedule.wait(at.attempts + 1).min(BROKEN_WAIT_MAX);
                let due_at = at.now.plus(wait.max(self.broken_pause));
                expires(at, due_at, Category::Credentials, why)
            }
        }
    }

    /// Our own schedule, but no sooner than the provider asks for.
    fn waiting(&self, failures: u32, hint: Option<Duration>) -> Duration {
        self.schedule
            .wait(failures)
            .max(hint.unwrap_or_default().min(HINT_MAX))
    }

    fn again(&self, at: Situation, wait: Duration, category: Category, why: Trouble) -> Then {
        if at.counts && at.failures + 1 >= self.attempts_max {
            return gave_up(category, why);
        }
        expires(at, at.now.plus(wait), category, why)
    }
}

/// There is no next attempt after the last moment.
fn expires(at: Situation, due_at: Timestamp, category: Category, why: Trouble) -> Then {
    match at.expires_at {
        Some(expires_at) if due_at >= expires_at => gave_up(category, why),
        _ => Then::Again { due_at },
    }
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
        attempts_max: 3,
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
            expires_at: None,
            opens_tracked: true,
        }
    }
    fn why() -> Trouble {
        Trouble::new(Some("450"), "busy")
    }
    fn seconds(then: &Then) -> u64 {
        let Then::Again { due_at } = then else {
            panic!("{then:?}")
        };
        due_at.since(at(0).now).as_secs()
    }
    fn category(then: &Then) -> Category {
        let Then::GaveUp(failure) = then else {
            panic!("{then:?}")
        };
        failure.category
    }

    #[test]
    fn a_failed_attempt_is_tried_again_until_the_attempts_are_used_up() {
        let outcome = || Outcome::TryLater {
            after: None,
            why: why(),
        };
        assert!((5..=15).contains(&seconds(&POLICY.follow(outcome(), at(0)))));
        assert!((10..=30).contains(&seconds(&POLICY.follow(outcome(), at(1)))));
        assert_eq!(
            category(&POLICY.follow(outcome(), at(2))),
            Category::ProviderUnavailable
        );
    }

    #[test]
    fn a_providers_hint_is_honoured_within_reason() {
        let after = |hint| Outcome::TryLater {
            after: Some(Duration::from_secs(hint)),
            why: why(),
        };
        assert_eq!(seconds(&POLICY.follow(after(1_000), at(0))), 1_000);
        assert_eq!(seconds(&POLICY.follow(after(9_999_999), at(0))), 86_400);
    }

    #[test]
    fn throttling_and_broken_credentials_use_up_no_attempts() {
        let throttled = Outcome::Throttled {
            after: None,
            why: why(),
        };
        let broken = Outcome::Broken { why: why() };
        assert!(seconds(&POLICY.follow(throttled, at(99))) <= 90);
        assert_eq!(seconds(&POLICY.follow(broken, at(0))), 30);
    }

    #[test]
    fn a_refusal_for_the_rate_comes_back_soon_and_ever_later_if_it_is_the_messages_own() {
        let refused = |attempts| {
            let throttled = Outcome::Throttled {
                after: None,
                why: why(),
            };
            let at = Situation { attempts, ..at(0) };
            let Then::Again { due_at } = POLICY.follow(throttled, at) else {
                panic!("it gave up")
            };
            due_at.since(at.now).as_millis()
        };
        assert!((500..=1_500).contains(&refused(0)));
        assert!((4_000..=12_000).contains(&refused(3)));
        assert!(refused(50) <= 90_000);
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
        let broken = || Outcome::Broken { why: why() };
        assert!((80..=240).contains(&seconds(&patient.follow(broken(), at(4)))));
        assert!((300..=600).contains(&seconds(&patient.follow(broken(), at(99)))));
    }

    #[test]
    fn an_unknown_outcome_waits_for_feedback_first() {
        let unknown = || Outcome::Unknown { why: why() };
        assert_eq!(seconds(&POLICY.follow(unknown(), at(0))), 300);
        assert_eq!(
            category(&POLICY.follow(unknown(), at(2))),
            Category::Unknown
        );
    }

    #[test]
    fn nothing_is_tried_after_the_last_moment() {
        let soon = Situation {
            expires_at: Some(Timestamp::from_millis(1_000_400)),
            ..at(0)
        };
        let later = Outcome::TryLater {
            after: None,
            why: why(),
        };
        let throttled = Outcome::Throttled {
            after: None,
            why: why(),
        };
        assert_eq!(
            category(&POLICY.follow(later, soon)),
            Category::ProviderUnavailable
        );
        assert_eq!(
            category(&POLICY.follow(throttled, soon)),
            Category::ThrottledTooLong
        );
    }

    #[test]
    fn what_only_showed_that_a_provider_rests_is_not_given_up_and_comes_ever_later() {
        let probe = |attempts| Situation {
            attempts,
            counts: false,
            ..at(POLICY.attempts_max)
        };
        let longest = |attempts| {
            let waits = (0..100).map(|_| {
                let later = Outcome::TryLater {
                    after: None,
                    why: why(),
                };
                seconds(&POLICY.follow(later, probe(attempts)))
            });
            waits.max().unwrap_or_default()
        };
        assert!(longest(0) <= 15 && longest(9) >= 30);
    }
}
