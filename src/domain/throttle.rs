//! How long attempts to sign in must wait after failures.

use std::time::Duration;

/// After so many failures in a row each one more closes the door, twice as long each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    pub free: i64,
}

/// Of one account: more than a person mistypes. A guesser has some hundred guesses a day.
pub const OF_ACCOUNT: Limit = Limit { free: 5 };
/// Of one network address: a whole office may share one.
pub const OF_ADDRESS: Limit = Limit { free: 30 };
/// The wait after the first failure that is not free.
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// Long enough against guessing; short, because whoever guesses locks out the owner meanwhile.
pub const WAIT_MAX: Duration = Duration::from_mins(15);
/// Failures older than this count no more.
pub const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

impl Limit {
    pub fn wait(self, failures: i64) -> Duration {
        let beyond = failures.saturating_sub(self.free);
        if beyond <= 0 {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(beyond - 1).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        WAIT_FIRST.saturating_mul(factor).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_after_some_free_failures_up_to_a_limit() {
        let seconds = |failures| OF_ACCOUNT.wait(failures).as_secs();
        let waits: Vec<u64> = (0..9).map(seconds).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 2, 4, 8]);
        assert_eq!(seconds(14), 512);
        assert_eq!(seconds(15), 900);
        assert_eq!(seconds(i64::MAX), 900);
        assert_eq!(OF_ADDRESS.wait(30), Duration::ZERO);
        assert_eq!(OF_ADDRESS.wait(31), WAIT_FIRST);
    }
}
