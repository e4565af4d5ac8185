//! How fast one provider is called. The rate rises by small steps while calls are taken and falls at
//! once by a share of itself when one is refused for its rate, so that any number of workers find a
//! limit that none of them knows and share it. Pure: the time is an argument.

use std::f64::consts::LN_2;
use std::time::{Duration, Instant};

use super::meter::Meter;

/// What the settings say of a provider's rate, in units a second. A unit is a message, of SMS a
/// segment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Never faster than this.
    pub max_per_second: Option<f64>,
    /// The rate to begin with, doubled every second until a call is refused. None: the provider's
    /// quota where it tells one, or else as fast as it answers.
    pub initial_per_second: Option<f64>,
    /// Refusals make it no slower than this. None: as slow as it takes.
    pub min_per_second: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Pace {
    /// The operator's limit, and the provider's own word on it.
    max: f64,
    quota: f64,
    /// Refusals make it no slower.
    min: f64,
    /// Units a second at present; infinite while nothing is known.
    rate: f64,
    /// Where the provider refused last.
    ceiling: Option<f64>,
    /// Where the return to the ceiling began.
    low: f64,
    /// Calls at the same time while nothing was ever refused.
    window: f64,
    /// When the next call may begin.
    next: Instant,
    held_until: Instant,
    cut_at: Option<Instant>,
    /// When a call last had to wait for its turn.
    waited_at: Option<Instant>,
    /// Units taken by the provider within the last second.
    taken: Meter,
}

/// A call that may begin now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) began: Instant,
    units: f64,
    /// The rate held it up: only then does its success show that the rate may rise.
    pressed: bool,
    /// It is to show whether a provider that rested is well again.
    pub(super) probes: bool,
}

/// What is left of the rate after a refusal; and after one more within [`AGAIN`] of the last.
const KEPT: f64 = 0.8;
const KEPT_AGAIN: f64 = 0.6;
const AGAIN: Duration = Duration::from_millis(2_500);
/// At least this share of what the provider took within the last second is kept.
const KEPT_OF_TAKEN: f64 = 0.5;
/// After a refusal nothing is sent for so long: providers count by the second, and what is sent in the
/// rest of it is refused as well.
const HOLD: Duration = Duration::from_millis(500);
/// The first refusal at a lower rate than this may be about the message alone.
const FIRST_CEILING_MIN: f64 = 5.0;
/// One call in ten seconds still finds out when the provider takes more.
const RATE_MIN: f64 = 0.1;
/// The return to the ceiling takes a tenth of a second for each unit: after a refusal every worker
/// gains 2 units a second each second, which evens out their shares. Up to this at high rates.
const RETURN_SECONDS_PER_UNIT: f64 = 0.1;
const RETURN_SECONDS_MAX: f64 = 12.0;
/// At low rates the return takes so many units, so that refusals stay few among them, but no longer
/// than the time beside.
const RETURN_UNITS_MIN: f64 = 40.0;
const RETURN_LOW_SECONDS_MAX: f64 = 6.0;
/// Beyond the ceiling: units a second gained each second, no more than this share of the ceiling, and
/// then ever more, until the rate doubles every second.
const STEP: f64 = 2.0;
const STEP_SHARE_MAX: f64 = 0.25;
const DOUBLING_SECONDS: f64 = 1.0;
/// Calls at the same time to begin with, and how many more with each call that was taken: a limit met
/// at the start, or shared with other workers, refuses few.
const WINDOW_FIRST: f64 = 8.0;
const WINDOW_STEP: f64 = 0.5;
/// Before looking again whether there is room in the window.
const WINDOW_WAIT: Duration = Duration::from_millis(2);
/// Timers are late, on a busy machine by tens of milliseconds: what was missed within this time is made
/// up for.
const SLACK: Duration = Duration::from_millis(100);
/// Longer than the dispatcher waits before it asks again.
const PRESSED_FOR: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let max = limits.max_per_second.unwrap_or(f64::INFINITY);
        Self {
            max,
            quota: f64::INFINITY,
            min: limits.min_per_second.unwrap_or(RATE_MIN),
            rate: limits.initial_per_second.unwrap_or(f64::INFINITY).min(max),
            ceiling: None,
            low: 0.0,
            window: WINDOW_FIRST,
            next: now,
            held_until: now,
            cut_at: None,
            waited_at: None,
            taken: Meter::new(SECOND, now),
        }
    }

    /// The provider's own word on how fast it may be called.
    pub(super) fn set_quota(&mut self, per_second: f64) {
        let at_cap = self.rate >= self.cap();
        self.quota = per_second.max(RATE_MIN);
        // Nothing but the old cap held it down, so the new one may lift it.
        let nothing_learnt = self.ceiling.is_none() && at_cap;
        self.rate = if nothing_learnt {
            self.cap()
        } else {
            self.rate.min(self.cap())
        };
    }

    fn cap(&self) -> f64 {
        self.max.min(self.quota)
    }

    /// May a call of so many units begin, `on_wire` others being under way? If not, how long to wait
    /// before asking again.
    pub(super) fn admit(
        &mut self,
        units: f64,
        on_wire: usize,
        now: Instant,
    ) -> Result<Ticket, Duration> {
        let held = self.held_until.saturating_duration_since(now);
        if self.ceiling.is_none() && is_full(on_wire, self.window) {
            return Err(WINDOW_WAIT);
        }
        let wait = if self.rate.is_finite() {
            held.max(self.next.saturating_duration_since(now))
        } else {
            held
        };
        if !wait.is_zero() {
            self.waited_at = Some(now);
            return Err(wait);
        }
        if self.rate.is_finite() {
            let made_up_from = now.checked_sub(SLACK).unwrap_or(now);
            let spacing = Duration::try_from_secs_f64(units / self.rate).unwrap_or_default();
            self.next = self.next.max(made_up_from) + spacing;
        }
        let pressed = self
            .waited_at
            .is_some_and(|at| now.saturating_duration_since(at) < PRESSED_FOR);
        Ok(Ticket {
            began: now,
            units,
            pressed,
            probes: false,
        })
    }

    /// The provider took the call, whatever it said of the message.
    pub(super) fn taken(&mut self, ticket: Ticket, now: Instant) {
        self.taken.add(ticket.units, now);
        if self.ceiling.is_none() {
            self.window += WINDOW_STEP;
        }
        if self.rate.is_finite() && ticket.pressed && !self.is_from_before_the_cut(ticket) {
            // A second's gain is made with a second's units: what is not sent teaches nothing.
            let gain = self.gain_each_second() * ticket.units / self.rate;
            self.rate = (self.rate + gain).min(self.cap());
        }
    }

    fn gain_each_second(&self) -> f64 {
        let doubling = self.rate * LN_2 / DOUBLING_SECONDS;
        match self.ceiling {
            None => doubling,
            Some(ceiling) if self.rate < ceiling => {
                let few = (RETURN_UNITS_MIN / ceiling).min(RETURN_LOW_SECONDS_MAX);
                let seconds = (ceiling * RETURN_SECONDS_PER_UNIT).max(few);
                (ceiling - self.low) / seconds.min(RETURN_SECONDS_MAX)
            }
            Some(ceiling) => {
                let step = STEP.min(ceiling * STEP_SHARE_MAX);
                (step + self.rate - ceiling).min(doubling)
            }
        }
    }

    /// The provider refused the call because of its rate.
    pub(super) fn refused(&mut self, ticket: Ticket, after: Option<Duration>, now: Instant) {
        if let Some(after) = after {
            self.held_until = self.held_until.max(now + after);
        }
        if self.is_from_before_the_cut(ticket) {
            return;
        }
        let taken = self.taken.total(now);
        let before = if self.ceiling.is_some() {
            self.rate
        } else {
            // So far the rate was a promise, and what was taken is all that is known.
            self.rate.min(taken.max(FIRST_CEILING_MIN))
        };
        let again = self
            .cut_at
            .is_some_and(|at| now.saturating_duration_since(at) < AGAIN);
        let kept = before * if again { KEPT_AGAIN } else { KEPT };
        let proven = (taken * KEPT_OF_TAKEN).min(before * KEPT);
        self.ceiling = Some(before);
        self.rate = kept.max(proven).max(self.min).min(self.cap());
        self.low = self.rate;
        self.cut_at = Some(now);
        if self.rate > self.min {
            self.held_until = self.held_until.max(now + HOLD);
            self.next = self.held_until;
        }
    }

    /// Its answer belongs to a refusal that has been taken to heart already.
    fn is_from_before_the_cut(&self, ticket: Ticket) -> bool {
        self.cut_at.is_some_and(|at| ticket.began <= at)
    }

    /// Messages worth having in hand for that time; `None`: as many as one likes.
    pub(super) fn worth(&self, span: Duration) -> Option<usize> {
        let units = self.rate * span.as_secs_f64();
        // Far below the numbers that a float cannot hold, and above zero.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "finite, rounded, at least 1; a float's cast saturates"
        )]
        let messages = || units.ceil().max(1.0) as usize;
        units.is_finite().then(messages)
    }

    /// Units a second allowed at present; `None`: no limit is known.
    pub(super) fn allowed(&self) -> Option<f64> {
        self.rate.is_finite().then_some(self.rate)
    }

    /// Units a second at which the provider refused last.
    pub(super) fn learnt(&self) -> Option<f64> {
        self.ceiling
    }

    /// Units taken within the last second.
    pub(super) fn measured(&mut self, now: Instant) -> f64 {
        self.taken.total(now)
    }
}

fn is_full(on_wire: usize, window: f64) -> bool {
    u32::try_from(on_wire).is_ok_and(|on_wire| f64::from(on_wire) >= window)
}
