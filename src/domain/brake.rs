//! Brakes: the bulk email of a business is held when too much of its email comes back, before its
//! provider stops all of it.

use serde::Deserialize;

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Addresses that do not work.
    Bounce,
    Complaint,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Bounce, Self::Complaint];

    /// The word of the table, of the API and of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Of the emails that it counts.
    const fn verb(self) -> &'static str {
        match self {
            Self::Bounce => "bounced for good",
            Self::Complaint => "were complained about as spam",
        }
    }

    /// What there is to do before it is lifted.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Bounce => {
                "Find out where the addresses come from, and take out those that nobody has confirmed. \
                 Addresses that bounced are suppressed already."
            }
            Self::Complaint => {
                "Write only to those who asked for it, and see that every message has a link to end it. \
                 Those who complained are suppressed already."
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    /// Nothing is held.
    Warned,
    /// Bulk email waits until somebody lifts the brake.
    Held,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Ok, Self::Warned, Self::Held];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warned => "warned",
            Self::Held => "held",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// `[brakes]` of the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub enabled: bool,
    /// Fewer emails than these say nothing.
    pub volume_min: i64,
    pub bounce_warn: f64,
    pub bounce_hold: f64,
    pub complaint_warn: f64,
    pub complaint_hold: f64,
}

impl Rules {
    /// What is wrong, with the key it is wrong at.
    pub fn validate(&self) -> Vec<(&'static str, &'static str)> {
        let share = |rate: f64| rate > 0.0 && rate <= 1.0;
        let checks = [
            (self.volume_min >= 1, "volume_min", "must be at least 1"),
            (
                share(self.bounce_warn) && self.bounce_warn <= self.bounce_hold,
                "bounce_warn",
                "must be a share above 0, and not above bounce_hold",
            ),
            (
                share(self.bounce_hold),
                "bounce_hold",
                "must be a share above 0, 1 at most",
            ),
            (
                share(self.complaint_warn) && self.complaint_warn <= self.complaint_hold,
                "complaint_warn",
                "must be a share above 0, and not above complaint_hold",
            ),
            (
                share(self.complaint_hold),
                "complaint_hold",
                "must be a share above 0, 1 at most",
            ),
        ];
        let wrong = checks.into_iter().filter(|(ok, ..)| !ok);
        wrong.map(|(_, key, text)| (key, text)).collect()
    }

    const fn limits(&self, kind: Kind) -> (f64, f64) {
        match kind {
            Kind::Bounce => (self.bounce_warn, self.bounce_hold),
            Kind::Complaint => (self.complaint_warn, self.complaint_hold),
        }
    }

    /// What becomes of a brake when so much was sent and came back. Only a person ends a hold: the rate
    /// falls by itself when bulk mail rests, whatever was wrong with it.
    pub fn judge(&self, kind: Kind, count: Count, before: State) -> State {
        let (warn, hold) = self.limits(kind);
        if before == State::Held {
            State::Held
        } else if count.sent < self.volume_min || count.rate() < warn {
            State::Ok
        } else if count.rate() < hold {
            State::Warned
        } else {
            State::Held
        }
    }

    /// Why a brake is in its state, for staff.
    pub fn why(&self, kind: Kind, count: Count, state: State) -> String {
        let (warn, hold) = self.limits(kind);
        let limit = match state {
            State::Ok => return format!("{}.", count.plainly(kind)),
            State::Warned => format!("from {} on bulk email is held", percent(hold)),
            State::Held => format!("the limit is {}", percent(hold)),
        };
        let warned = if state == State::Warned {
            format!(", above the {} that is healthy", percent(warn))
        } else {
            String::new()
        };
        format!("{}{warned}; {limit}.", count.plainly(kind))
    }
}

/// Emails that were sent, and how many of them came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub sent: i64,
    pub returned: i64,
}

impl Count {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a day, far below 2 to the 52nd"
    )]
    pub fn rate(self) -> f64 {
        if self.sent <= 0 {
            0.0
        } else {
            self.returned as f64 / self.sent as f64
        }
    }

    fn plainly(self, kind: Kind) -> String {
        let Self { sent, returned } = self;
        let (verb, rate) = (kind.verb(), percent(self.rate()));
        format!("{returned} of {sent} emails of the last 24 hours {verb} ({rate})")
    }
}

/// `0.12 %`.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        enabled: true,
        volume_min: 1_000,
        bounce_warn: 0.05,
        bounce_hold: 0.10,
        complaint_warn: 0.001,
        complaint_hold: 0.005,
    };

    fn judged(kind: Kind, sent: i64, returned: i64) -> State {
        RULES.judge(kind, Count { sent, returned }, State::Ok)
    }

    #[test]
    fn a_brake_warns_then_holds_and_says_nothing_below_its_volume() {
        assert_eq!(judged(Kind::Bounce, 999, 999), State::Ok);
        assert_eq!(judged(Kind::Bounce, 1_000, 49), State::Ok);
        assert_eq!(judged(Kind::Bounce, 1_000, 50), State::Warned);
        assert_eq!(judged(Kind::Bounce, 1_000, 100), State::Held);
        assert_eq!(judged(Kind::Complaint, 1_000, 1), State::Warned);
        assert_eq!(judged(Kind::Complaint, 1_000, 5), State::Held);
        assert_eq!(judged(Kind::Complaint, 0, 5), State::Ok);
    }

    #[test]
    fn a_warning_ends_by_itself_and_a_hold_does_not() {
        let fine = Count {
            sent: 10_000,
            returned: 1,
        };
        assert_eq!(RULES.judge(Kind::Bounce, fine, State::Warned), State::Ok);
        assert_eq!(RULES.judge(Kind::Bounce, fine, State::Held), State::Held);
    }

    #[test]
    fn the_reason_is_in_words() {
        let count = Count {
            sent: 5_230,
            returned: 612,
        };
        assert_eq!(
            RULES.why(Kind::Bounce, count, State::Held),
            "612 of 5230 emails of the last 24 hours bounced for good (11.7 %); the limit is 10 %."
        );
        assert_eq!(percent(0.001), "0.1 %");
    }

    #[test]
    fn wrong_limits_are_named() {
        assert!(RULES.validate().is_empty());
        let wrong = Rules {
            bounce_warn: 0.2,
            volume_min: 0,
            ..RULES
        };
        let keys: Vec<&str> = wrong.validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["volume_min", "bounce_warn"]);
    }
}
