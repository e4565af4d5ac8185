//! An instant: whole milliseconds since 1970, UTC.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whole milliseconds since 1970-01-01T00:00:00Z. Both databases keep exactly this precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

#[derive(Debug, thiserror::Error)]
#[error("not a time: write it as RFC 3339, for example 2027-01-01T09:00:00Z")]
pub struct NotATime;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-31T23:59:59.999Z: the last instant that both databases and RFC 3339 can write.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Clamped to the range from the year 1 to the year 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_135_596_800_000, Self::MAX.0))
    }

    /// For constants; the caller sees that it can be written.
    pub(super) const fn of_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 (any offset); what is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        text.trim()
            .parse::<jiff::Timestamp>()
            .map(|t| Self::from_millis(t.as_millisecond()))
            .map_err(|_not_rfc3339| NotATime)
    }

    /// Reads RFC 3339 as its section 5.6 has it, and nothing else: what callers are promised, and
    /// what SQL reads too. Providers are read with [`Timestamp::parse`], which takes more.
    pub fn parse_strictly(text: &str) -> Result<Self, NotATime> {
        let text = text.trim();
        if is_rfc3339(text.as_bytes()) {
            Self::parse(text)
        } else {
            Err(NotATime)
        }
    }

    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// For people, to the second: `2027-01-01 09:00:00 UTC`.
    pub fn plainly(self) -> String {
        let text = self.to_string();
        let text = text.split('.').next().unwrap_or_default();
        format!("{} UTC", text.replace('T', " "))
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// `2027-01-01T09:00:00Z`: the form; whether there is such a day is seen by the parser.
fn is_rfc3339(text: &[u8]) -> bool {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    const OFFSET: &[u8] = b"+00:00";
    const HOURS_MAX: &[u8] = b"23:59";
    let Some((date_time, rest)) = text.split_at_checked(DATE_TIME.len()) else {
        return false;
    };
    let fraction = match rest.split_first() {
        Some((b'.', digits)) => digits.iter().take_while(|b| b.is_ascii_digit()).count() + 1,
        Some(_) | None => 0,
    };
    let Some((_, zone)) = rest.split_at_checked(fraction) else {
        return false;
    };
    let is_zone = match zone.split_first() {
        Some((b'Z' | b'z', [])) => true,
        Some((_, hours)) => is_like(zone, OFFSET) && hours <= HOURS_MAX,
        None => false,
    };
    // A point and no digit after it would be a fraction of length 1.
    is_like(date_time, DATE_TIME) && fraction != 1 && fraction <= 1 + FRACTION_DIGITS_MAX && is_zone
}

/// Nanoseconds.
const FRACTION_DIGITS_MAX: usize = 9;

/// A digit where the pattern has one, and otherwise the same character, `T` and `+` apart, which
/// have other forms (RFC 3339 5.6).
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let fits = |(b, wanted): (&u8, &u8)| match wanted {
        b'0' => b.is_ascii_digit(),
        b'T' => matches!(b, b'T' | b't' | b' '),
        b'+' => matches!(b, b'+' | b'-'),
        other => b == other,
    };
    text.len() == pattern.len() && text.iter().zip(pattern).all(fits)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2027-01-01T09:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i32::try_from(self.0.rem_euclid(1_000)).unwrap_or(0);
        match jiff::Timestamp::new(self.0.div_euclid(1_000), millis * 1_000_000) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        let t = Timestamp::parse("2027-01-01T10:00:00.1239+01:00").unwrap();
        assert_eq!(t.to_string(), "2027-01-01T09:00:00.123Z");
        assert_eq!(Timestamp::parse(&t.to_string()).unwrap(), t);
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        for text in ["0001-01-01T00:00:00.001Z", "9999-12-30T22:00:00.999Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn arithmetic_stays_within_what_can_be_written() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
        assert!(Timestamp::parse("yesterday").is_err());
        assert!(Timestamp::parse("2027-01-01").is_err());
    }

    #[test]
    fn callers_write_rfc_3339_and_nothing_else() {
        let at = Timestamp::parse("2027-01-01T09:00:00.123Z").unwrap();
        for good in [
            "2027-01-01T09:00:00.123Z",
            " 2027-01-01t09:00:00.123999999z ",
            "2027-01-01 10:30:00.123+01:30",
            "2026-12-31T10:00:00.123-23:00",
        ] {
            assert_eq!(Timestamp::parse_strictly(good).ok(), Some(at), "{good}");
        }
        let leap = Timestamp::parse_strictly("2016-12-31T23:59:60Z").unwrap();
        assert_eq!(leap.to_string(), "2016-12-31T23:59:59.000Z");
        for bad in [
            "",
            "2027-01-01",
            "2027-01-01T09:00Z",
            "2027-01-01T09:00:00",
            "2027-01-01T09:00:00.Z",
            "2027-01-01T09:00:00,5Z",
            "2027-01-01T09:00:00.1234567890Z",
            "2027-01-01T09:00:00+0100",
            "2027-01-01T09:00:00+24:00",
            "2027-01-01T09:00:00+01:60",
            "2027-01-01T09:00:00+01:00:00",
            "2027-01-01T09:00:00+01:00[Europe/Berlin]",
            "+002027-01-01T09:00:00Z",
            "20270101T090000Z",
            "2027-02-29T09:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T09:00:61Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(Timestamp::parse_strictly(bad).is_err(), "{bad}");
        }
    }
}
