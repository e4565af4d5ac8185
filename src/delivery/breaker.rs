//! Whether a provider may be called: closed, it may; open, it rests; half-open, one message at a time
//! shows whether it is well again. Pure: the time is an argument.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::meter::Meter;

/// `[delivery.breaker]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failed calls in a row.
    pub failures: u32,
    /// Or this share of the calls within ten seconds, once there are so many.
    pub error_share: f64,
    pub volume_min: u32,
    /// How long a provider rests the first time, and at most: each time twice as long.
    pub rest_ms: u64,
    pub rest_max_ms: u64,
    /// Calls in a row that must go well before it has all the traffic again.
    pub probes: u32,
}

impl BreakerSettings {
    /// What is wrong, with the key it is wrong at.
    pub fn validate(&self) -> Vec<(&'static str, &'static str)> {
        let counts = 1..=1_000;
        let share = self.error_share > 0.0 && self.error_share <= 1.0;
        let rest = self.rest_ms >= 10 && self.rest_max_ms >= self.rest_ms;
        let checks = [
            (
                counts.contains(&self.failures),
                "breaker.failures",
                "must be from 1 to 1000",
            ),
            (
                share,
                "breaker.error_share",
                "must be above 0 and at most 1",
            ),
            (
                self.volume_min >= 1,
                "breaker.volume_min",
                "must be at least 1",
            ),
            (
                rest,
                "breaker.rest_ms",
                "must be at least 10 and at most rest_max_ms",
            ),
            (
                counts.contains(&self.probes),
                "breaker.probes",
                "must be from 1 to 1000",
            ),
        ];
        let wrong = checks.into_iter().filter(|(ok, _, _)| !ok);
        wrong.map(|(_, key, text)| (key, text)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// The word in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Since when it is in this state. Calls that began earlier say nothing about it.
    since: Instant,
    until: Instant,
    /// Failures in a row while closed, successes in a row while half-open.
    in_a_row: u32,
    /// Rests without a good time between them.
    rests: u32,
    calls: Meter,
    failures: Meter,
}

/// The errors' share is taken of the calls within this time.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

impl Breaker {
    pub(super) fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self {
            settings,
            state: State::Closed,
            since: now,
            until: now,
            in_a_row: 0,
            rests: 0,
            calls: Meter::new(WINDOW, now),
            failures: Meter::new(WINDOW, now),
        }
    }

    pub(super) fn state(&mut self, now: Instant) -> State {
        if self.state == State::Open && now >= self.until {
            self.enter(State::HalfOpen, now);
        }
        self.state
    }

    /// Until when it rests.
    pub(super) fn rests_for(&mut self, now: Instant) -> Option<Duration> {
        let rests = self.state(now) == State::Open;
        rests.then(|| self.until.saturating_duration_since(now))
    }

    /// The provider answered as one that is well.
    pub(super) fn passed(&mut self, began: Instant, now: Instant) {
        if began < self.since {
            return;
        }
        match self.state(now) {
            State::Closed => {
                self.in_a_row = 0;
                self.calls.add(1.0, now);
            }
            State::HalfOpen => {
                self.in_a_row += 1;
                if self.in_a_row >= self.settings.probes {
                    self.enter(State::Closed, now);
                }
            }
            State::Open => {}
        }
    }

    /// The provider did not answer, or with trouble of its own. Why it rests now, if it does.
    pub(super) fn failed(&mut self, began: Instant, now: Instant) -> Option<String> {
        if began < self.since {
            return None;
        }
        let why = match self.state(now) {
            State::Closed => self.enough_failed(now)?,
            State::HalfOpen => "it is not well yet".to_owned(),
            State::Open => return None,
        };
        if self.state == State::Closed && now - self.since > self.longest() {
            self.rests = 0;
        }
        let rest = Duration::from_millis(self.settings.rest_ms);
        let rest = rest.saturating_mul(2_u32.saturating_pow(self.rests));
        self.rests += 1;
        self.rest(rest.min(self.longest()), now);
        Some(why)
    }

    fn enough_failed(&mut self, now: Instant) -> Option<String> {
        self.in_a_row += 1;
        self.calls.add(1.0, now);
        self.failures.add(1.0, now);
        if self.in_a_row >= self.settings.failures {
            return Some(format!("{} calls in a row failed", self.in_a_row));
        }
        let (calls, failures) = (self.calls.total(now), self.failures.total(now));
        let many = calls >= f64::from(self.settings.volume_min)
            && failures >= calls * self.settings.error_share;
        many.then(|| format!("{failures:.0} of {calls:.0} calls failed"))
    }

    /// It is not called for so long, however it was so far.
    pub(super) fn rest(&mut self, span: Duration, now: Instant) {
        let until = now + span;
        if self.state(now) == State::Open {
            self.until = self.until.max(until);
        } else {
            self.enter(State::Open, now);
            self.until = until;
        }
    }

    fn longest(&self) -> Duration {
        Duration::from_millis(self.settings.rest_max_ms)
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.in_a_row = 0;
        // What led to the rest must not lead to the next one.
        self.calls = Meter::new(WINDOW, now);
        self.failures = Meter::new(WINDOW, now);
    }
}
