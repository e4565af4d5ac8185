//! How much content a courier has in its hands: messages claimed and not yet sent are in memory, and
//! a claim of large ones must not fill it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of content in one claim; 200 usual messages are a tenth of it.
pub(super) const CLAIM_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Of content in the hands of one courier: enough for the network and the next claims, and with what
/// is made of it on the way (MIME) a fraction of the memory that the program may take.
const HAND_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is counted: a semaphore has no place for so many bytes on every machine.
const UNIT: u64 = 1024;

/// The space of one courier.
#[derive(Clone, Debug)]
pub(super) struct Load(Arc<Semaphore>);

/// A message's part of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Load {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(units(HAND_BYTES_MAX) as usize)))
    }
}

impl Load {
    /// Waits until there is space for one claim.
    pub(super) async fn space(&self) -> Option<OwnedSemaphorePermit> {
        self.take(units(CLAIM_BYTES_MAX)).await
    }

    /// Divides the space of a claim among its messages; what they do not need is free again. For one
    /// that is larger than a claim may be, waits until there is space for it; it takes all there is
    /// if it is larger than that.
    pub(super) async fn divide(
        &self,
        mut space: Option<OwnedSemaphorePermit>,
        bytes: Vec<u64>,
    ) -> Vec<Share> {
        let needed: u64 = bytes.iter().sum();
        let missing = units(needed.min(HAND_BYTES_MAX)).saturating_sub(units(CLAIM_BYTES_MAX));
        if missing > 0
            && let (Some(space), Some(more)) = (&mut space, self.take(missing).await)
        {
            space.merge(more);
        }
        let shares = bytes.into_iter().map(|bytes| {
            let permit = space.as_mut().and_then(|space| {
                let most = space.num_permits();
                space.split((units(bytes) as usize).min(most))
            });
            Share { _permit: permit }
        });
        shares.collect()
    }

    async fn take(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}

/// Rounded up.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// How many claims of such messages fit into the hand at the same time.
    async fn claims(message: u64, messages: usize) -> usize {
        let (load, mut held) = (Load::default(), Vec::new());
        loop {
            let claim = async {
                let space = load.space().await;
                load.divide(space, vec![message; messages]).await
            };
            match tokio::time::timeout(Duration::from_millis(20), claim).await {
                Ok(shares) if held.len() < 1_000 => held.push(shares),
                _ => return held.len(),
            }
        }
    }

    #[tokio::test]
    async fn what_is_in_the_hand_is_bounded_by_its_bytes() {
        assert_eq!(claims(MIB, 4).await, 4, "16 MiB in all");
        assert_eq!(claims(2_048, 200).await, 31, "and space for one more claim");
        assert_eq!(claims(100 * MIB, 1).await, 1, "alone");
    }

    #[tokio::test]
    async fn what_was_sent_makes_space() {
        let load = Load::default();
        for _ in 0..100 {
            let space = load.space().await;
            drop(load.divide(space, vec![10 * MIB]).await);
        }
        assert_eq!(load.0.available_permits(), 16 * 1024);
    }
}
