//! When to try again: exponential with full jitter. The only file that names the `backoff` crate, which
//! computes the interval; what would replace it is in `docs/decisions/`.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The shape of the waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The longest wait after the first failure.
    pub initial: Duration,
    /// No wait is longer.
    pub max: Duration,
    pub multiplier: f64,
}

/// Full jitter: a wait is anything between nothing and its longest, so that what failed together is
/// spread as evenly as can be. The crate spreads around a centre, by up to this part of it.
const JITTER: f64 = 1.0;

impl Schedule {
    /// The wait after that many failures (1 for the first).
    pub fn wait(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.multiplier.powi(exponent);
        let grown = self.initial.as_secs_f64() * factor;
        let longest = Duration::try_from_secs_f64(grown)
            .unwrap_or(self.max)
            .min(self.max);
        let centre = longest / 2;
        let mut backoff = ExponentialBackoff {
            current_interval: centre,
            initial_interval: centre,
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
        for (failures, longest) in [(0, 10), (1, 10), (2, 20), (3, 40), (4, 60), (1_000, 60)] {
            let longest = f64::from(longest);
            let waits: Vec<f64> = (0..400)
                .map(|_| schedule.wait(failures).as_secs_f64())
                .collect();
            assert!(
                waits.iter().all(|wait| (0.0..=longest).contains(wait)),
                "{failures}"
            );
            // Each tenth has its share: 40 of 400, give or take six standard deviations.
            for tenth in 0..10 {
                let from = longest * f64::from(tenth) / 10.0;
                let within = from..from + longest / 10.0;
                let share = waits.iter().filter(|wait| within.contains(wait)).count();
                assert!(
                    (5..=75).contains(&share),
                    "{failures}: {share} in {within:?}"
                );
            }
        }
    }
}
