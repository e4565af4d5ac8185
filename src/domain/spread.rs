//! How long many things took: counted in buckets, and the quantiles that these tell.

use std::time::Duration;

/// The bucket of what has no such time.
pub const NO_TIME: i64 = 0;
/// The first bucket ends here: less is of no interest to whoever waits for a message.
const FIRST_ENDS: Duration = Duration::from_millis(50);
/// Two buckets to each doubling, so that a quantile is known to two fifths at worst; four would cost the
/// console twice its time. The last one, of what took longer than nine days, has no end.
pub const BUCKETS: i64 = 50;
const TO_A_DOUBLING: i64 = 2;
/// Each next one is longer by the root of two.
const STEPS: [f64; 2] = [1.0, std::f64::consts::SQRT_2];

/// From 1.
pub fn bucket(took: Duration) -> i64 {
    (1..BUCKETS)
        .find(|bucket| took <= ends(*bucket))
        .unwrap_or(BUCKETS)
}

/// One bucket for each doubling, the longer one: what is timed for the brakes alone need not be known
/// better, and would be twice the rows.
pub const fn coarse(bucket: i64) -> i64 {
    match bucket {
        2..BUCKETS => bucket - (bucket - 2) % TO_A_DOUBLING + 1,
        _ => bucket,
    }
}

fn ends(bucket: i64) -> Duration {
    let after = (bucket - 1).max(0);
    let doublings = u32::try_from(after / TO_A_DOUBLING).unwrap_or(0);
    let step = usize::try_from(after % TO_A_DOUBLING).ok();
    let step = step.and_then(|step| STEPS.get(step)).unwrap_or(&1.0);
    FIRST_ENDS
        .saturating_mul(2_u32.saturating_pow(doublings))
        .mul_f64(*step)
}

fn begins(bucket: i64) -> Duration {
    if bucket <= 1 {
        Duration::ZERO
    } else {
        ends(bucket - 1)
    }
}

/// About how long something in this bucket took: the middle, on the scale of the buckets.
pub fn middle(bucket: i64) -> Duration {
    match bucket {
        ..=0 => Duration::ZERO,
        1 => FIRST_ENDS / 2,
        // The root of the step.
        _ => begins(bucket).mul_f64(STEPS[1].sqrt()),
    }
}

/// How long many things took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread([i64; 50]);

impl Default for Spread {
    fn default() -> Self {
        Self([0; 50])
    }
}

impl Spread {
    pub fn add(&mut self, bucket: i64, amount: i64) {
        let place = usize::try_from(bucket - 1).ok();
        if let Some(slot) = place.and_then(|place| self.0.get_mut(place)) {
            *slot += amount;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (slot, amount) in self.0.iter_mut().zip(other.0) {
            *slot += amount;
        }
    }

    pub fn total(&self) -> i64 {
        self.0.iter().sum()
    }

    /// The time within which this share of them was done, from 0 to 1; `None` when there are none.
    /// Within a bucket they are taken to be spread evenly, on the scale of the buckets.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts far below 2 to the 52nd, and an estimate anyway"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.total();
        if total <= 0 {
            return None;
        }
        let rank = share * total as f64;
        let mut below = 0.0;
        for (bucket, amount) in (1..).zip(self.0) {
            let amount = amount as f64;
            if amount > 0.0 && below + amount >= rank {
                let part = ((rank - below) / amount).clamp(0.0, 1.0);
                let (low, high) = (begins(bucket), ends(bucket));
                return Some(if low.is_zero() {
                    high.mul_f64(part)
                } else {
                    low.mul_f64(STEPS[1].powf(part))
                });
            }
            below += amount;
        }
        Some(ends(BUCKETS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn two_buckets_double_and_the_last_has_no_end() {
        let expected = [
            (0, 1),
            (50, 1),
            (51, 2),
            (70, 2),
            (71, 3),
            (100, 3),
            (101, 4),
            (1_600, 11),
        ];
        for (took, expected) in expected {
            assert_eq!(bucket(millis(took)), expected, "{took}");
        }
        assert_eq!(bucket(Duration::from_hours(24 * 30)), BUCKETS);
        assert_eq!(bucket(Duration::MAX), BUCKETS);
        for bucket in 1..=BUCKETS {
            assert_eq!(super::bucket(middle(bucket)), bucket);
        }
    }

    #[test]
    fn what_came_back_is_known_to_a_doubling() {
        let all: Vec<i64> = (0..=BUCKETS).map(coarse).collect();
        assert_eq!(all[..11], [0, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11]);
        assert_eq!(all[46..], [47, 47, 49, 49, BUCKETS]);
    }

    #[test]
    fn quantiles_are_right_to_two_fifths() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(0.5), None);
        for took in 1..=1_000_u64 {
            spread.add(bucket(millis(took * 10)), 1);
        }
        for (share, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let found = spread.quantile(share).unwrap().as_secs_f64() * 1_000.0;
            assert!(
                found > exact / 1.42 && found < exact * 1.42,
                "{share}: {found}"
            );
        }
        // All at one place: where in the bucket nobody knows.
        for took in [51, 700, 4_321, 3_600_000] {
            let mut spread = Spread::default();
            spread.add(bucket(millis(took)), 100);
            for share in [0.01, 0.5, 0.99] {
                let off = spread
                    .quantile(share)
                    .unwrap()
                    .div_duration_f64(millis(took));
                assert!((0.70..1.42).contains(&off), "{took} {share}: {off}");
            }
        }
        let mut twice = spread.clone();
        twice.merge(&spread);
        assert_eq!(twice.total(), 2_000);
        assert_eq!(twice.quantile(0.5), spread.quantile(0.5));
    }
}
