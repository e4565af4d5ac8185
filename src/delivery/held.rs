//! The claims that this worker knows it holds, which its heartbeat keeps alive. A claim whose commit
//! was answered to nobody is in nobody's hands: it must run out, or its jobs would wait for ever.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::ClaimId;

#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<BTreeSet<ClaimId>>>);

impl Held {
    pub(super) fn add(&self, claim: ClaimId) {
        self.claims().insert(claim);
    }

    pub(super) fn remove(&self, claim: ClaimId) {
        self.claims().remove(&claim);
    }

    pub(super) fn all(&self) -> Vec<ClaimId> {
        self.claims().iter().copied().collect()
    }

    fn claims(&self) -> MutexGuard<'_, BTreeSet<ClaimId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
