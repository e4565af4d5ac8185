//! Feedback that was refused and is not in the database yet. Whoever likes may send what is to be refused,
//! so that it is written together, once in a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Metrics;

#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<BTreeMap<&'static str, u64>>);

impl Refused {
    fn reasons(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    /// Feedback was refused for this reason.
    pub fn refused(&self, reason: &'static str) {
        self.feedback("none", reason);
        self.put_back_refused(&BTreeMap::from([(reason, 1)]));
    }

    /// What was refused since this was asked last, by reason.
    pub fn take_refused(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.refused.reasons())
    }

    /// It could not be written.
    pub fn put_back_refused(&self, refused: &BTreeMap<&'static str, u64>) {
        let mut reasons = self.refused.reasons();
        for (reason, amount) in refused {
            *reasons.entry(reason).or_default() += amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_given_out_once_and_taken_back() {
        let metrics = Metrics::default();
        metrics.refused("signature");
        metrics.refused("signature");
        let taken = metrics.take_refused();
        assert_eq!(taken, BTreeMap::from([("signature", 2)]));
        assert!(metrics.take_refused().is_empty());
        metrics.refused("stale");
        metrics.put_back_refused(&taken);
        let both = BTreeMap::from([("signature", 2), ("stale", 1)]);
        assert_eq!(metrics.take_refused(), both);
    }
}
