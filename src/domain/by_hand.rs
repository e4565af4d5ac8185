//! What staff may enter by hand: the limits of a contact and of the task that follows it.

use std::time::Duration;

use super::method::Method;
use super::time::Timestamp;

/// A page of text, so that a note of a long talk fits.
pub const DESCRIPTION_LENGTH_MAX: usize = 4_000;
/// As names of notifications and contact types.
pub const NAME_LENGTH_MAX: usize = 200;

/// 1990-01-01T00:00:00Z. Earlier ones are mistyped years: the product's own records do not reach
/// back so far.
pub const EARLIEST: Timestamp = Timestamp::of_millis(631_152_000_000);
/// A contact has happened, and the zone or the clock of whoever enters it may be off by hours.
pub const AHEAD_MAX: Duration = Duration::from_hours(24);
/// Nobody plans further, and a mistyped year would never come up.
pub const DUE_AHEAD_MAX: Duration = Duration::from_hours(24 * 366 * 10);

/// What a contact is called that was entered without a name of its own.
pub const fn name_of(method: Method) -> &'static str {
    match method {
        Method::Email => "Email",
        Method::Sms => "SMS",
        Method::Push => "Push message",
        Method::InPerson => "Visit",
        Method::Mail => "Letter",
        Method::Phone => "Phone call",
    }
}

/// What is due within it is soon: a day, whose end each viewer's zone would put elsewhere.
pub const DUE_SOON: Duration = Duration::from_hours(24);

/// Why a contact cannot have been at that time.
pub fn check_date(at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    if at < EARLIEST {
        Err("is before 1990: check the year")
    } else if at > now.plus(AHEAD_MAX) {
        Err("is more than a day in the future: a contact is entered once it has happened")
    } else {
        Ok(())
    }
}

/// Why a task cannot be due at that time. It may be overdue from the start.
pub fn check_due(at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    if at < EARLIEST {
        Err("is before 1990: check the year")
    } else if at > now.plus(DUE_AHEAD_MAX) {
        Err("is more than ten years ahead: check the year")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_has_happened_and_in_our_time() {
        let now = Timestamp::parse("2027-01-01T09:00:00Z").unwrap();
        let at = |text| Timestamp::parse(text).unwrap();
        assert_eq!(EARLIEST, at("1990-01-01T00:00:00Z"));
        for (text, good) in [
            ("2027-01-01T09:00:00Z", true),
            ("1990-01-01T00:00:00Z", true),
            ("1989-12-31T23:59:59.999Z", false),
            ("2027-01-02T09:00:00Z", true),
            ("2027-01-02T09:00:00.001Z", false),
        ] {
            assert_eq!(check_date(at(text), now).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("0207-01-01T00:00:00Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2036-12-31T00:00:00Z", true),
            ("2038-01-01T00:00:00Z", false),
        ] {
            assert_eq!(check_due(at(text), now).is_ok(), good, "{text}");
        }
    }
}
