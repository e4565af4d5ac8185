//! Providers that stand in for each other, in their order of preference: which of them has the traffic,
//! how fast it is called, and who rests. The first that is well and not paused has it all; another
//! takes over when it rests, and gives back when single messages have shown that it is well again. Time
//! is an argument.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::breaker::{Breaker, BreakerSettings, State};
use super::held::Moment;
use super::pace::{Limits, Pace, Ticket};
use crate::domain::cause_text::common;
use crate::domain::method::Method;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::time::Timestamp;
use crate::store::providers::{Health, LastError, Pause, Switch};

#[derive(Debug)]
pub(super) struct Route {
    method: Method,
    worker: String,
    /// How long a provider rests that does not accept our credentials or set-up.
    broken_pause: Duration,
    inner: Mutex<Inner>,
    /// Told when a provider may have got something to do.
    pub(super) changed: Notify,
    /// Told when there is something to tell the others.
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    lines: Vec<Line>,
    /// All of the method is paused.
    paused: Option<Pause>,
    active: Option<usize>,
    switches: Vec<Switch>,
}

/// The way by one provider.
#[derive(Debug)]
struct Line {
    name: &'static str,
    pace: Pace,
    breaker: Breaker,
    paused: Option<Pause>,
    /// Why it rests, or last did.
    rests_because: String,
    /// It refused our credentials or our set-up.
    broken: bool,
    error: Option<LastError>,
}

/// What a provider may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It rests, is paused, or another has the traffic.
    None,
    /// One message, to see whether it is well.
    One,
    /// As many as it is fast enough for; `None`: as many as one likes.
    Upto(Option<usize>),
}

/// The other providers of the route, seen from one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Another {
    None,
    /// It could have the traffic.
    IsWell,
    HasTheTraffic,
}

/// Whether a message may be handed to a provider.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clearance {
    Now(Ticket),
    /// Not before that time has passed.
    Wait(Duration),
    /// It rests or is paused: somebody else's, or later.
    No,
}

/// A claim holds no more than a provider takes within this time, so that other workers and other
/// providers can have the rest.
const HAND_SPAN_MAX: Duration = Duration::from_secs(1);
/// Being told to wait for longer, the provider rests: it is no matter of the rate.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// No provider's hint makes it rest for longer: SES names a day at most, and asking costs one call.
const REST_MAX: Duration = Duration::from_hours(1);
/// Switches that nobody has taken yet; more would be a mistake.
const SWITCHES_MAX: usize = 100;
/// An open breaker, a pause and their like in one line of a list.
const REASON_LENGTH_MAX: usize = 300;

impl Route {
    pub(super) fn new(
        method: Method,
        worker: &str,
        lines: Vec<(&'static str, Limits)>,
        rules: (BreakerSettings, Duration),
        news: Arc<Notify>,
        now: Instant,
    ) -> Self {
        let (breaker, broken_pause) = rules;
        let lines = lines.into_iter().map(|(name, limits)| Line {
            name,
            pace: Pace::new(limits, now),
            breaker: Breaker::new(breaker.clone(), now),
            paused: None,
            rests_because: String::new(),
            broken: false,
            error: None,
        });
        let inner = Inner {
            lines: lines.collect(),
            paused: None,
            active: None,
            switches: Vec::new(),
        };
        Self {
            method,
            worker: worker.to_owned(),
            broken_pause,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            news,
        }
    }

    /// Takes up what was paused before this worker began; before this nothing is sent.
    pub(super) fn begin(&self, pauses: &[Pause], now: Moment) {
        let mut inner = self.inner();
        inner.set_pauses(self.method, pauses);
        inner.active = inner.first_usable(now.steady);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// What is paused now.
    pub(super) fn set_pauses(&self, pauses: &[Pause], now: Moment) {
        let mut inner = self.inner();
        inner.set_pauses(self.method, pauses);
        self.settle(inner, "is resumed", now);
    }

    /// The provider's own word on how fast it may be called.
    pub(super) fn set_quota(&self, line: usize, per_second: f64) {
        if let Some(line) = self.inner().lines.get_mut(line) {
            line.pace.set_quota(per_second);
        }
    }

    /// What a provider may take from the queue.
    pub(super) fn turn(&self, line: usize, lease: Duration, now: Instant) -> Turn {
        let mut inner = self.inner();
        let active = inner.active;
        let Some(found) = inner.usable(line) else {
            return Turn::None;
        };
        match found.breaker.state(now) {
            State::Closed if active == Some(line) => {
                Turn::Upto(found.pace.worth(HAND_SPAN_MAX.min(lease / 8)))
            }
            // Not while one that is preferred to it is well: its health is not needed then.
            State::HalfOpen if active.is_none_or(|active| line < active) => Turn::One,
            State::Closed | State::HalfOpen | State::Open => Turn::None,
        }
    }

    /// Whether a message of so many units may be handed to a provider, `on_wire` others being under
    /// way with it.
    pub(super) fn clearance(
        &self,
        line: usize,
        units: f64,
        on_wire: usize,
        now: Instant,
    ) -> Clearance {
        let mut inner = self.inner();
        let Some(line) = inner.usable(line) else {
            return Clearance::No;
        };
        let state = line.breaker.state(now);
        if state == State::Open {
            return Clearance::No;
        }
        match line.pace.admit(units, on_wire, now) {
            Ok(mut ticket) => {
                ticket.probes = state == State::HalfOpen;
                Clearance::Now(ticket)
            }
            Err(wait) => Clearance::Wait(wait),
        }
    }

    /// Takes to heart how a call ended.
    pub(super) fn ended(&self, line: usize, ticket: Ticket, outcome: &Outcome, now: Moment) {
        let mut inner = self.inner();
        let Some(line) = inner.lines.get_mut(line) else {
            return;
        };
        let began = ticket.began;
        match outcome {
            Outcome::Accepted { .. } | Outcome::Rejected(_) => {
                line.pace.taken(ticket, now.steady);
                line.breaker.passed(began, now.steady);
            }
            Outcome::TryLater { why, .. } | Outcome::Throttled { why, .. }
                if why.of_the_message =>
            {
                line.pace.taken(ticket, now.steady);
                line.breaker.passed(began, now.steady);
            }
            Outcome::TryLater { why, .. } | Outcome::Unknown { why } => {
                line.note_error(why, now.wall);
                if let Some(because) = line.breaker.failed(began, now.steady) {
                    line.rest_for(in_short(&format!("{because}: {}", said(why))), false);
                }
            }
            Outcome::Throttled { after, why } => {
                line.note_error(why, now.wall);
                let long = after.filter(|after| *after > WAIT_MAX);
                let short = after.filter(|after| *after <= WAIT_MAX);
                line.pace.refused(ticket, short, now.steady);
                if let Some(long) = long {
                    line.breaker.rest(long.min(REST_MAX), now.steady);
                    line.rest_for(said(why), false);
                }
            }
            Outcome::Broken { why } => {
                line.note_error(why, now.wall);
                line.breaker.rest(self.broken_pause, now.steady);
                line.rest_for(said(why), true);
            }
        }
        self.settle(inner, "is well again", now);
    }

    /// What the others are like.
    pub(super) fn another(&self, line: usize, now: Instant) -> Another {
        let mut inner = self.inner();
        if inner.active.is_some_and(|active| active != line) {
            return Another::HasTheTraffic;
        }
        let mut lines = inner.lines.iter_mut().enumerate();
        if lines.any(|(at, other)| at != line && other.is_well(now)) {
            Another::IsWell
        } else {
            Another::None
        }
    }

    /// Gives the traffic to whom it belongs, and notes when it moves.
    fn settle(&self, mut inner: MutexGuard<'_, Inner>, returned: &str, now: Moment) {
        let next = inner.first_usable(now.steady);
        let before = inner.active;
        if next == before {
            return;
        }
        let name = |at: Option<usize>| Some(inner.lines.get(at?)?.name.to_owned());
        let (from, to) = (name(before), name(next));
        let reason = inner.obstacle(before, now.steady).unwrap_or_else(|| {
            let name = to.as_deref().unwrap_or("nobody");
            format!("{name} {returned}")
        });
        inner.active = next;
        if inner.switches.len() < SWITCHES_MAX {
            inner.switches.push(Switch {
                method: self.method,
                worker: self.worker.clone(),
                from,
                to,
                reason,
                at: now.wall,
            });
        }
        drop(inner);
        self.changed.notify_waiters();
        self.news.notify_one();
    }

    pub(super) fn take_switches(&self) -> Vec<Switch> {
        std::mem::take(&mut self.inner().switches)
    }

    pub(super) fn health(&self, now: Moment) -> Vec<Health> {
        let mut inner = self.inner();
        let active = inner.active;
        let lines = inner.lines.iter_mut().enumerate();
        let health = lines.map(|(at, line)| {
            let rests = line.breaker.rests_for(now.steady);
            let state = line.breaker.state(now.steady);
            Health {
                worker: self.worker.clone(),
                method: self.method,
                provider: line.name.to_owned(),
                place: i64::try_from(at + 1).unwrap_or(i64::MAX),
                active: active == Some(at),
                state: state.as_str().to_owned(),
                rests_until: rests.map(|span| now.wall.plus(span)),
                rests_because: (state != State::Closed).then(|| line.rests_because.clone()),
                broken: state != State::Closed && line.broken,
                taken_per_minute: per_minute(line.pace.measured(now.steady)),
                allowed_per_minute: line.pace.allowed().map(per_minute),
                learnt_per_minute: line.pace.learnt().map(per_minute),
                error: line.error.clone(),
                seen_at: now.wall,
            }
        });
        health.collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set_pauses(&mut self, method: Method, pauses: &[Pause]) {
        let ours = || pauses.iter().filter(|pause| pause.method == method);
        self.paused = ours().find(|pause| pause.provider.is_none()).cloned();
        for line in &mut self.lines {
            let own = ours().find(|pause| pause.provider.as_deref() == Some(line.name));
            line.paused = own.cloned();
        }
    }

    /// The line, unless an operator has paused it.
    fn usable(&mut self, line: usize) -> Option<&mut Line> {
        let line = self.lines.get_mut(line)?;
        (self.paused.is_none() && line.paused.is_none()).then_some(line)
    }

    fn first_usable(&mut self, now: Instant) -> Option<usize> {
        if self.paused.is_some() {
            return None;
        }
        self.lines.iter_mut().position(|line| line.is_well(now))
    }

    /// Why a line cannot have the traffic.
    fn obstacle(&mut self, line: Option<usize>, now: Instant) -> Option<String> {
        let line = self.lines.get_mut(line?)?;
        let name = line.name;
        if let Some(pause) = &self.paused {
            let method = pause.method;
            let words = format!("{method} is paused by {}: {}", pause.by, pause.reason);
            return Some(in_short(&words));
        }
        if let Some(pause) = &line.paused {
            let words = format!("{name} is paused by {}: {}", pause.by, pause.reason);
            return Some(in_short(&words));
        }
        let rests = line.breaker.state(now) != State::Closed;
        rests.then(|| format!("{name} rests: {}", line.rests_because))
    }
}

impl Line {
    fn is_well(&mut self, now: Instant) -> bool {
        self.paused.is_none() && self.breaker.state(now) == State::Closed
    }

    fn rest_for(&mut self, because: String, broken: bool) {
        self.rests_because = because;
        self.broken = broken;
    }

    fn note_error(&mut self, why: &Trouble, at: Timestamp) {
        self.error = Some(LastError {
            at,
            code: why.code.clone(),
            text: Some(said(why)),
        });
    }
}

/// What a provider said, without the recipient, whom an answer may name: this is kept and told for as long
/// as the provider is, whoever is forgotten.
fn said(why: &Trouble) -> String {
    common(&why.text, "")
}

fn in_short(text: &str) -> String {
    text.chars().take(REASON_LENGTH_MAX).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded; a float's cast saturates"
)]
fn per_minute(per_second: f64) -> i64 {
    (per_second * 60.0).round() as i64
}
