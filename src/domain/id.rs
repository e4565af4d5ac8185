//! Identifiers: newtypes over UUIDs, so that one kind cannot be taken for another.

use std::fmt;

use uuid::Uuid;

use super::time::Timestamp;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }
            pub const fn uuid(self) -> Uuid {
                self.0
            }
            /// Reads the hyphenated or simple form; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

id! {
    /// A line of the contact log: a notification or a manual entry. A `UUIDv7` (RFC 9562): it carries
    /// the entry's date, so ids in order are entries in order of date.
    NotificationId
}
id! {
    /// One worker's hold on one batch of jobs; the fencing token.
    ClaimId
}

impl NotificationId {
    /// From its 16 bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// The smallest id an entry of that instant or later can have: date filters become id ranges.
    pub fn floor(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(Uuid::from_u128(u128::from(millis) << 80))
    }

    /// The date that the id carries.
    pub fn date(self) -> Timestamp {
        let millis = self.0.as_u128() >> 80;
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_date_and_the_floor_is_below_it() {
        let at = Timestamp::parse("2027-01-01T09:00:00.123Z").unwrap();
        let seconds = u64::try_from(at.as_millis()).unwrap() / 1000;
        let id = NotificationId::new(Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            123_000_000,
        )));
        assert_eq!(id.date(), at);
        assert!(NotificationId::floor(at) <= id);
        assert!(id < NotificationId::floor(Timestamp::from_millis(at.as_millis() + 1)));
    }
}
