//! When to try again: exponential with jitter. The only file that names the `backoff` crate, which
//! computes the interval; what would replace it is in `docs/decisions/`.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The shape of the waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The wait after the first failure, before jitter.
    pub initial: Duration,
    /// No wait is longer, before jitter.
    pub max: Duration,
    pub multiplier: f64,
}

/// A wait is drawn from its own length plus or minus this part of it, so that what failed together
/// is not tried again together.
const JITTER: f64 = 0.5;

impl Schedule {
    /// The wait after that many failures (1 for the first).
    pub fn wait(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.multiplier.powi(exponent);
        let grown = self.initial.as_secs_f64() * factor;
        let interval = Duration::try_from_secs_f64(grown)
            .unwrap_or(self.max)
            .min(self.max);
        let mut backoff = ExponentialBackoff {
            current_interval: interval,
            initial_interval: interval,
            max_interval: self.max,
            multiplier: self.multiplier,
            randomization_factor: JITTER,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        backoff.next_backoff().unwrap_or(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_maximum_and_are_spread() {
        let schedule = Schedule {
            initial: Duration::from_secs(10),
            max: Duration::from_mins(1),
            multiplier: 2.0,
        };
        for (failures, centre) in [(0, 10), (1, 10), (2, 20), (3, 40), (4, 60), (1_000, 60)] {
            let waits: Vec<f64> = (0..200)
                .map(|_| schedule.wait(failures).as_secs_f64())
                .collect();
            let (low, high) = (f64::from(centre) * 0.5, f64::from(centre) * 1.5);
            assert!(
                waits.iter().all(|wait| (low..=high).contains(wait)),
                "{failures}"
            );
            assert!(
                waits.iter().any(|wait| *wait < low * 1.5),
                "{failures}: spread"
            );
            assert!(
                waits.iter().any(|wait| *wait > high * 0.8),
                "{failures}: spread"
            );
        }
    }
}
