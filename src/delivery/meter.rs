//! How much happened lately, in a few numbers whatever the rate. Pure: the time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A span is counted in this many parts; the oldest part is forgotten as a whole.
const PARTS: u32 = 10;

/// The sum of what was added within the last span.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    part: Duration,
    /// The number of a part since `began`, and what was added in it.
    parts: VecDeque<(u64, f64)>,
}

impl Meter {
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        Self {
            began: now,
            part: span / PARTS,
            parts: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, amount: f64, now: Instant) {
        let part = self.forget_before(now);
        match self.parts.back_mut() {
            Some((last, sum)) if *last >= part => *sum += amount,
            Some(_) | None => self.parts.push_back((part, amount)),
        }
    }

    pub(super) fn total(&mut self, now: Instant) -> f64 {
        self.forget_before(now);
        self.parts.iter().map(|(_, sum)| sum).sum()
    }

    /// The number of the present part.
    fn forget_before(&mut self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        let part = since.as_micros() / self.part.as_micros().max(1);
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        while self
            .parts
            .front()
            .is_some_and(|(old, _)| old + u64::from(PARTS) <= part)
        {
            self.parts.pop_front();
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_span_is_forgotten() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut meter = Meter::new(Duration::from_secs(1), start);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        for millis in 0..1_000 {
            meter.add(2.0, at(millis));
        }
        assert!(close(meter.total(at(999)), 2_000.0));
        assert!(meter.parts.len() <= 10);
        assert!(close(meter.total(at(1_500)), 800.0));
        assert!(close(meter.total(at(2_000)), 0.0));
        meter.add(1.0, at(60_000));
        assert!(close(meter.total(at(60_000)), 1.0));
    }
}
