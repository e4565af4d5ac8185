//! Watches the claims of all workers for signs of life. A worker is dead when the watcher itself has
//! seen no heartbeat for the length of a lease, by a clock that cannot be set: no clock of another
//! machine, and no clock on a wall, has a say.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::domain::id::ClaimId;
use crate::store::claims::Pulse;

/// What was seen of each claim.
#[derive(Debug, Default)]
pub(super) struct Watch(BTreeMap<ClaimId, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    beats: i64,
    since: Instant,
}

impl Watch {
    /// Takes note of the claims that stand and returns the dead ones. `now` must be read after they
    /// were: a heartbeat is older than the look that finds it. A claim that is returned is watched
    /// anew, so that one that cannot be taken up is tried once a lease.
    pub(super) fn dead(&mut self, pulses: &[Pulse], now: Instant) -> Vec<Pulse> {
        let mut seen = BTreeMap::new();
        let mut dead = Vec::new();
        for pulse in pulses {
            let fresh = Seen {
                beats: pulse.beats,
                since: now,
            };
            let known = self.0.remove(&pulse.claim);
            let known = known.filter(|known| known.beats == pulse.beats);
            let silent = known
                .is_some_and(|known| now.saturating_duration_since(known.since) >= pulse.lease);
            if silent {
                dead.push(*pulse);
            }
            let kept = known.filter(|_| !silent).unwrap_or(fresh);
            seen.insert(pulse.claim, kept);
        }
        self.0 = seen;
        dead
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn pulse(claim: u128, beats: i64) -> Pulse {
        Pulse {
            claim: ClaimId::new(Uuid::from_u128(claim)),
            beats,
            lease: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_claim_is_dead_when_no_heartbeat_was_seen_for_its_lease() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut look =
            |seconds, pulses: &[Pulse]| watch.dead(pulses, start + Duration::from_secs(seconds));
        assert_eq!(look(0, &[pulse(1, 0), pulse(2, 7)]), []);
        assert_eq!(look(20, &[pulse(1, 1), pulse(2, 7)]), []);
        assert_eq!(look(29, &[pulse(1, 1), pulse(2, 7)]), []);
        assert_eq!(look(30, &[pulse(1, 1), pulse(2, 7)]), [pulse(2, 7)]);
        assert_eq!(look(49, &[pulse(1, 1)]), []);
        assert_eq!(look(50, &[pulse(1, 1), pulse(2, 7)]), [pulse(1, 1)]);
    }

    #[test]
    fn each_claim_has_the_lease_that_its_worker_gave_it() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let long = Pulse {
            lease: Duration::from_mins(10),
            ..pulse(1, 0)
        };
        assert_eq!(watch.dead(&[long], start), []);
        let mut after = |seconds| watch.dead(&[long], start + Duration::from_secs(seconds));
        assert_eq!(after(599), []);
        assert_eq!(after(600), [long]);
    }

    #[test]
    fn one_that_cannot_be_taken_up_is_tried_once_a_lease() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut found = 0;
        for second in 0..=90 {
            let now = start + Duration::from_secs(second);
            found += watch.dead(&[pulse(1, 0)], now).len();
        }
        assert_eq!(found, 3);
    }
}
