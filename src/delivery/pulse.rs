//! The worker's pulse: whether its claims are surely its own. Who was suspended, or cut off from the
//! database, for longer than the lease may find them taken over; what is still in hand then must not
//! be sent, because the successor may have sent it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;

#[derive(Debug)]
pub(super) struct Pulse {
    lease: Duration,
    beats: Mutex<Beats>,
}

#[derive(Clone, Copy, Debug)]
struct Beats {
    /// When the last heartbeat that succeeded began.
    last: Timestamp,
    /// Claims that were asked for before this may have been taken over.
    doubt_before: Timestamp,
}

/// When a claim was asked for, and when it was in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) asked_at: Timestamp,
    pub(super) got_at: Timestamp,
}

impl Pulse {
    pub(super) fn new(lease: Duration, now: Timestamp) -> Self {
        let beats = Mutex::new(Beats {
            last: now,
            doubt_before: now,
        });
        Self { lease, beats }
    }

    /// A heartbeat that began then has extended the claims that are still ours.
    pub(super) fn beat(&self, began: Timestamp) {
        let mut beats = self.beats();
        if began >= beats.last.plus(self.lease) {
            // It cannot tell which are: they could lapse since the one before.
            beats.doubt_before = began;
        }
        beats.last = began;
    }

    pub(super) fn is_sure_of(&self, taken: Taken, now: Timestamp) -> bool {
        let Beats { last, doubt_before } = *self.beats();
        let extended_at = if taken.got_at < last {
            last
        } else {
            taken.asked_at
        };
        taken.asked_at >= doubt_before && now < extended_at.plus(self.lease)
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    fn taken(asked: i64, got: i64) -> Taken {
        Taken {
            asked_at: at(asked),
            got_at: at(got),
        }
    }

    fn pulse() -> Pulse {
        Pulse::new(Duration::from_secs(30), at(0))
    }

    #[test]
    fn a_claim_is_ours_for_one_lease_and_longer_with_every_heartbeat() {
        let pulse = pulse();
        let claim = taken(1, 2);
        assert!(pulse.is_sure_of(claim, at(30)));
        assert!(!pulse.is_sure_of(claim, at(31)));
        for beat in [10, 20, 30, 40] {
            pulse.beat(at(beat));
        }
        assert!(pulse.is_sure_of(claim, at(69)));
        assert!(!pulse.is_sure_of(claim, at(70)));
    }

    #[test]
    fn a_heartbeat_that_began_before_the_claim_was_made_does_not_extend_it() {
        let pulse = pulse();
        pulse.beat(at(10));
        let claim = taken(5, 12);
        assert!(pulse.is_sure_of(claim, at(34)));
        assert!(!pulse.is_sure_of(claim, at(35)));
    }

    #[test]
    fn who_was_away_for_longer_than_the_lease_is_sure_of_nothing_it_held() {
        let pulse = pulse();
        let (old, older) = (taken(20, 21), taken(1, 2));
        pulse.beat(at(10));
        pulse.beat(at(40));
        assert!(!pulse.is_sure_of(old, at(41)));
        assert!(!pulse.is_sure_of(older, at(41)));
        assert!(
            pulse.is_sure_of(taken(41, 42), at(43)),
            "what it takes anew"
        );
        pulse.beat(at(50));
        assert!(!pulse.is_sure_of(old, at(51)), "and it stays so");
    }
}
