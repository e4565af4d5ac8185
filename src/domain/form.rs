//! The form of a recipient, where it tells which kind of provider serves it; and the lanes of the
//! queue, so that what waits for one provider holds up nobody who goes by another.

use super::method::{Method, Priority};

/// The forms do not overlap, so that one list of providers serves devices of every kind. Only push
/// targets have others than the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Nothing special: any email address and number; of push targets a registration token of FCM.
    Plain,
    /// `arn:…`: an endpoint of a platform application of SNS.
    Arn,
    /// At least 64 hexadecimal digits at its beginning: a device token of APNs. Its length may
    /// change, says Apple; no known one is shorter, and no token of FCM begins so.
    Hex,
}

const APNS_TOKEN_LENGTH_MIN: usize = 64;
/// Between the lanes of one form and those of the next; more than there are priorities.
const LANES: u8 = 10;

impl Form {
    /// Of what is sent by this method.
    pub const fn all_of(method: Method) -> &'static [Self] {
        match method {
            Method::Push => &[Self::Plain, Self::Arn, Self::Hex],
            Method::Email | Method::Sms | Method::InPerson | Method::Mail | Method::Phone => {
                &[Self::Plain]
            }
        }
    }

    /// The same rule stands in SQL: `sendtrail_lane` in the migrations of PostgreSQL.
    pub(super) fn of_push_target(target: &str) -> Self {
        let target = target.as_bytes();
        let starts = |prefix: &[u8]| {
            let start = target.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let digits = target.get(..APNS_TOKEN_LENGTH_MIN);
        if starts(b"arn:") {
            Self::Arn
        } else if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            Self::Hex
        } else {
            Self::Plain
        }
    }

    /// The lane of a queue in which these wait.
    pub const fn lane(self, priority: Priority) -> u8 {
        let form = match self {
            Self::Plain => 0,
            Self::Arn => 1,
            Self::Hex => 2,
        };
        form * LANES + priority.rank()
    }
}

/// The priority of those who wait in a lane; `None`: there is no such lane.
pub fn priority_of(lane: u8) -> Option<Priority> {
    let rank = lane % LANES;
    Priority::ALL.into_iter().find(|p| p.rank() == rank)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_push_target_tells_which_service_it_belongs_to() {
        for (target, form) in [
            (
                "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/1",
                Form::Arn,
            ),
            ("ARN:aws:sns", Form::Arn),
            ("arn", Form::Plain),
            ("arna", Form::Plain),
            (&"ab".repeat(32), Form::Hex),
            (&"AB09f".repeat(32), Form::Hex),
            (&format!("{}-down", "ab".repeat(32)), Form::Hex),
            (&"ab".repeat(31), Form::Plain),
            (&format!("{}g", "a".repeat(63)), Form::Plain),
            (&format!("d:{}", "ab".repeat(32)), Form::Plain),
            ("dGVzdA:APA91bHPRgkFLJ0xyz_-", Form::Plain),
            ("", Form::Plain),
            ("é", Form::Plain),
        ] {
            assert_eq!(Form::of_push_target(target), form, "{target}");
        }
    }

    #[test]
    fn each_form_and_priority_has_a_lane_of_its_own() {
        let mut lanes = BTreeSet::new();
        for form in Form::all_of(Method::Push) {
            for priority in Priority::ALL {
                let lane = form.lane(priority);
                assert!(lanes.insert(lane), "{form:?} {priority:?}");
                assert_eq!(priority_of(lane), Some(priority));
            }
        }
        assert_eq!(Form::Plain.lane(Priority::Bulk), 2);
        assert_eq!(priority_of(3), None);
    }
}
