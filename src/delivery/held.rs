//! The claims that this worker holds, and until when each is surely its own. Its heartbeat keeps
//! alive the claims that it knows of: one whose commit was answered to nobody is in nobody's hands
//! and must run out. What was not kept alive in time may have been taken over; it must not be sent,
//! because the successor may have sent it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::domain::id::ClaimId;
use crate::domain::time::Timestamp;

/// Now, by both clocks. The steady one cannot be set, but may stand still while the machine sleeps;
/// the other goes on meanwhile. A lease has run out as soon as one of them says so: when somebody
/// sets the clock forward, some jobs go back into the queue unsent, and that is all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) steady: Instant,
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn now(clock: &Clock) -> Self {
        Self {
            steady: Instant::now(),
            wall: clock.now(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    lease: Duration,
    /// When each claim was asked for, or its last heartbeat that found it alive was.
    claims: Arc<Mutex<BTreeMap<ClaimId, Moment>>>,
}

impl Held {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            claims: Arc::default(),
        }
    }

    /// Ours for one lease after it was *asked* for, whenever it came.
    pub(super) fn add(&self, claim: ClaimId, asked: Moment) {
        self.claims().insert(claim, asked);
    }

    /// Everything of it is recorded, or it is given up.
    pub(super) fn remove(&self, claim: ClaimId) {
        self.claims().remove(&claim);
    }

    /// Whoever worked on them is gone: they are to run out.
    pub(super) fn abandon_all(&self) {
        self.claims().clear();
    }

    pub(super) fn all(&self) -> Vec<ClaimId> {
        self.claims().keys().copied().collect()
    }

    /// A heartbeat that was sent at `sent` found these alive.
    pub(super) fn extend(&self, alive: &[ClaimId], sent: Moment) {
        let mut claims = self.claims();
        for claim in alive {
            if let Some(known) = claims.get_mut(claim)
                && known.steady < sent.steady
            {
                *known = sent;
            }
        }
    }

    /// Nobody else can have taken it over.
    pub(super) fn is_sure_of(&self, claim: ClaimId, now: Moment) -> bool {
        let lasts = |since: &Moment| {
            now.steady.saturating_duration_since(since.steady) < self.lease
                && now.wall < since.wall.plus(self.lease)
        };
        self.claims().get(&claim).is_some_and(lasts)
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<ClaimId, Moment>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    /// Moments of clocks that go alike.
    struct Clocks(Instant);

    impl Clocks {
        fn at(&self, seconds: u64) -> Moment {
            self.set_by(seconds, 0)
        }

        /// The same, when the clock on the wall was set forward by that much, or back.
        fn set_by(&self, seconds: u64, forward: i64) -> Moment {
            let wall = i64::try_from(seconds).unwrap() + forward;
            Moment {
                steady: self.0 + Duration::from_secs(seconds),
                wall: Timestamp::from_millis(wall * 1_000),
            }
        }
    }

    fn claim(number: u128) -> ClaimId {
        ClaimId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_claim_is_ours_for_one_lease_and_longer_with_every_heartbeat_that_finds_it() {
        let (clocks, held) = (Clocks(Instant::now()), Held::new(LEASE));
        let at = |seconds| clocks.at(seconds);
        let (ours, lost) = (claim(1), claim(2));
        assert!(!held.is_sure_of(ours, at(0)), "not claimed yet");
        held.add(ours, at(0));
        held.add(lost, at(0));
        assert!(held.is_sure_of(ours, at(29)));
        assert!(!held.is_sure_of(ours, at(30)));
        held.extend(&[ours], at(10));
        assert!(held.is_sure_of(ours, at(39)));
        assert!(!held.is_sure_of(lost, at(31)), "no heartbeat found it");
        held.extend(&[ours], at(5));
        let still = held.is_sure_of(ours, at(39));
        assert!(still, "a slow heartbeat takes nothing back");
        held.remove(ours);
        assert!(!held.is_sure_of(ours, at(31)));
        held.extend(&[ours], at(60));
        assert!(!held.is_sure_of(ours, at(61)), "and brings nothing back");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_claim_last_longer() {
        let (clocks, held) = (Clocks(Instant::now()), Held::new(LEASE));
        held.add(claim(1), clocks.at(0));
        assert!(held.is_sure_of(claim(1), clocks.set_by(29, -3600)));
        assert!(!held.is_sure_of(claim(1), clocks.set_by(30, -3600)));
    }

    #[test]
    fn after_the_clock_was_set_forward_the_next_heartbeat_makes_us_sure_again() {
        let (clocks, held) = (Clocks(Instant::now()), Held::new(LEASE));
        held.add(claim(1), clocks.at(0));
        assert!(!held.is_sure_of(claim(1), clocks.set_by(5, 3600)));
        held.extend(&[claim(1)], clocks.set_by(10, 3600));
        assert!(held.is_sure_of(claim(1), clocks.set_by(39, 3600)));
        assert!(held.is_sure_of(claim(1), clocks.at(39)), "and set right");
    }

    #[test]
    fn a_machine_that_slept_is_sure_of_nothing() {
        // The steady clock stood still meanwhile.
        let (clocks, held) = (Clocks(Instant::now()), Held::new(LEASE));
        held.add(claim(1), clocks.at(0));
        assert!(!held.is_sure_of(claim(1), clocks.set_by(1, 31)));
    }
}
