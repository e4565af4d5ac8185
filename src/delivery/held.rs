//! The claims that this worker holds, and until when each is surely its own. Its heartbeat keeps
//! alive the claims that it knows of: one whose commit was answered to nobody is in nobody's hands
//! and must run out. What was not kept alive in time may have been taken over; it must not be sent,
//! because the successor may have sent it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::ClaimId;
use crate::domain::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<ClaimId, Timestamp>>>);

impl Held {
    /// Ours until `until`: one lease after the claim was *asked* for, whenever it came.
    pub(super) fn add(&self, claim: ClaimId, until: Timestamp) {
        self.claims().insert(claim, until);
    }

    /// Everything of it is recorded.
    pub(super) fn remove(&self, claim: ClaimId) {
        self.claims().remove(&claim);
    }

    pub(super) fn all(&self) -> Vec<ClaimId> {
        self.claims().keys().copied().collect()
    }

    /// A heartbeat that began one lease before `until` found these alive.
    pub(super) fn extend(&self, alive: &[ClaimId], until: Timestamp) {
        let mut claims = self.claims();
        for claim in alive {
            if let Some(known) = claims.get_mut(claim) {
                *known = until.max(*known);
            }
        }
    }

    /// Nobody else can have taken it over.
    pub(super) fn is_sure_of(&self, claim: ClaimId, now: Timestamp) -> bool {
        self.claims().get(&claim).is_some_and(|until| now < *until)
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<ClaimId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_claim_is_ours_for_one_lease_and_longer_with_every_heartbeat_that_finds_it() {
        let (held, claim) = (Held::default(), ClaimId::new(Uuid::from_u128(1)));
        let lost = ClaimId::new(Uuid::from_u128(2));
        assert!(!held.is_sure_of(claim, at(0)), "not claimed yet");
        held.add(claim, at(30));
        held.add(lost, at(30));
        assert!(held.is_sure_of(claim, at(29)));
        assert!(!held.is_sure_of(claim, at(30)));
        held.extend(&[claim], at(40));
        assert!(held.is_sure_of(claim, at(39)));
        assert!(
            !held.is_sure_of(lost, at(31)),
            "the heartbeat did not find it"
        );
        held.extend(&[claim], at(35));
        assert!(
            held.is_sure_of(claim, at(39)),
            "a slow heartbeat takes nothing back"
        );
        held.remove(claim);
        assert!(!held.is_sure_of(claim, at(31)));
        held.extend(&[claim], at(90));
        assert!(!held.is_sure_of(claim, at(31)), "and brings nothing back");
    }
}
