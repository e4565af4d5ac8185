//! Which story a phone number or a device stands for, whichever provider it is sent by. Pure.

/// How the provider answers, where it has nothing against the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Accept,
    /// Throttled twice, accepted after that.
    ThrottleFirst,
    /// Accepted, but the connection closes where the answer should be.
    Lose,
    /// An error of the provider's own, always.
    Fail,
}

/// How a text message goes. The last four digits of `+1500555….` choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextStory {
    Delivered,
    /// The carrier takes it and never says what became of it.
    SentOnly,
    /// Delivered, but nobody is told: who wants to know has to ask.
    Untold,
    Invalid,
    /// Blocked by the carrier.
    Blocked,
    /// The phone is out of reach.
    Unreachable,
    OptedOut,
    /// Throttled at first, then delivered.
    Throttled,
    /// Delivered, but the answer to the send is lost.
    LostAnswer,
    Down,
}

impl TextStory {
    pub(super) fn of(number: &str) -> Self {
        match number.strip_prefix("+1500555") {
            Some("0001") => Self::Invalid,
            Some("0004") => Self::Blocked,
            Some("0006") => Self::SentOnly,
            Some("0008") => Self::Unreachable,
            Some("0009") => Self::OptedOut,
            // As the status codes of HTTP: no content, too many requests, request time-out, server error.
            Some("0204") => Self::Untold,
            Some("0429") => Self::Throttled,
            Some("0408") => Self::LostAnswer,
            Some("0500") => Self::Down,
            Some(_) | None => Self::Delivered,
        }
    }

    pub(super) const fn admission(self) -> Admission {
        match self {
            Self::Throttled => Admission::ThrottleFirst,
            Self::LostAnswer => Admission::Lose,
            Self::Down => Admission::Fail,
            Self::Delivered
            | Self::SentOnly
            | Self::Untold
            | Self::Invalid
            | Self::Blocked
            | Self::Unreachable
            | Self::OptedOut => Admission::Accept,
        }
    }
}

/// How a push message goes. The end of its target decides. A push service's acceptance is no proof
/// of delivery, and there is no later success: `delivered` is accepted and that is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushStory {
    Accepted,
    /// The target is none that the provider would send to, and may become one again.
    Disabled,
    /// The app is gone from the device.
    Unregistered,
    Throttled,
    LostAnswer,
    Down,
}

impl PushStory {
    pub(super) fn of(target: &str) -> Self {
        for (end, story) in [
            ("disabled", Self::Disabled),
            ("unregistered", Self::Unregistered),
            ("throttled", Self::Throttled),
            ("lost-answer", Self::LostAnswer),
            ("down", Self::Down),
        ] {
            if target.ends_with(end) {
                return story;
            }
        }
        Self::Accepted
    }

    pub(super) const fn admission(self) -> Admission {
        match self {
            Self::Throttled => Admission::ThrottleFirst,
            Self::LostAnswer => Admission::Lose,
            Self::Down => Admission::Fail,
            Self::Accepted | Self::Disabled | Self::Unregistered => Admission::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digits_choose_the_story_of_a_text_message() {
        for (number, story) in [
            ("+15005550001", TextStory::Invalid),
            ("+15005550004", TextStory::Blocked),
            ("+15005550006", TextStory::SentOnly),
            ("+15005550007", TextStory::Delivered),
            ("+15005550008", TextStory::Unreachable),
            ("+15005550009", TextStory::OptedOut),
            ("+15005550204", TextStory::Untold),
            ("+15005550429", TextStory::Throttled),
            ("+15005550408", TextStory::LostAnswer),
            ("+15005550500", TextStory::Down),
            ("+15005550123", TextStory::Delivered),
            ("+14155550001", TextStory::Delivered),
            ("", TextStory::Delivered),
        ] {
            assert_eq!(TextStory::of(number), story, "{number}");
        }
    }

    #[test]
    fn the_end_of_a_target_chooses_the_story_of_a_push_message() {
        for (target, story) in [
            ("arn:x/delivered", PushStory::Accepted),
            ("arn:x/1234", PushStory::Accepted),
            ("device-disabled", PushStory::Disabled),
            ("device-unregistered", PushStory::Unregistered),
            ("device-throttled", PushStory::Throttled),
            ("device-lost-answer", PushStory::LostAnswer),
            ("device-down", PushStory::Down),
        ] {
            assert_eq!(PushStory::of(target), story, "{target}");
        }
    }
}
