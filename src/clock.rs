//! Where time and ids come from: the system, or a hand that a test moves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::{ContextV7, Uuid};

use crate::domain::time::Timestamp;

/// The only source of the present time and of new ids. Cheap to clone; clones share their time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    context: Arc<Mutex<ContextV7>>,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Self {
        Self {
            source: Source::System,
            context: Arc::default(),
        }
    }

    /// Stands still until it is moved with [`Clock::set`].
    pub fn manual(at: Timestamp) -> Self {
        let source = Source::Manual(Arc::new(AtomicI64::new(at.as_millis())));
        Self {
            source,
            context: Arc::default(),
        }
    }

    /// Moves a manual clock; the system's clock is not ours to move and stays.
    pub fn set(&self, at: Timestamp) {
        if let Source::Manual(millis) = &self.source {
            millis.store(at.as_millis(), Ordering::SeqCst);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the Clock")]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System => Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// A `UUIDv7` of that instant. Ids of one instant made by one process ascend in the order in
    /// which they are made.
    pub fn new_uuid(&self, at: Timestamp) -> Uuid {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*context, millis / 1000, nanos))
    }

    /// A `UUIDv7` of another instant than now, however long ago. Those of one instant are in no order.
    pub fn uuid_of(&self, at: Timestamp) -> Uuid {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        let at = uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos);
        Uuid::new_v7(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_instant_ascend_and_carry_it() {
        let clock = Clock::manual(Timestamp::parse("2027-01-01T09:00:00Z").unwrap());
        let ids: Vec<Uuid> = (0..1000).map(|_| clock.new_uuid(clock.now())).collect();
        assert!(ids.is_sorted());
        assert_eq!(
            ids[0].as_u128() >> 80,
            u128::try_from(clock.now().as_millis()).unwrap()
        );
    }

    #[test]
    fn an_id_can_carry_an_instant_of_the_past() {
        let clock = Clock::manual(Timestamp::parse("2027-01-01T09:00:00Z").unwrap());
        clock.new_uuid(clock.now());
        let past = Timestamp::parse("1990-01-01T00:00:00.123Z").unwrap();
        let (one, other) = (clock.uuid_of(past), clock.uuid_of(past));
        let millis = u128::try_from(past.as_millis()).unwrap();
        assert_eq!(
            (one.as_u128() >> 80, other.as_u128() >> 80),
            (millis, millis)
        );
        assert_ne!(one, other);
    }
}
