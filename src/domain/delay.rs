//! Why a message is tried again later rather than now, in plain words.

/// What put a message off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Provider,
    Recipient,
    Rate,
    SetUp,
    LostAnswer,
}

impl Delay {
    /// From the words of the attempts table; `None` when such an attempt is not followed by another.
    pub fn of(outcome: &str, cause: Option<&str>) -> Option<Self> {
        match (outcome, cause) {
            ("try_later" | "throttled", Some("recipient")) => Some(Self::Recipient),
            ("try_later", _) => Some(Self::Provider),
            ("throttled", _) => Some(Self::Rate),
            ("broken", _) => Some(Self::SetUp),
            ("unknown", _) => Some(Self::LostAnswer),
            _ => None,
        }
    }

    /// The end of a sentence that begins with "Next try at ..., because".
    pub const fn because(self) -> &'static str {
        match self {
            Self::Provider => {
                "the delivery service or a mail server on the way could not take it for now"
            }
            Self::Recipient => "it could not be taken for this recipient for now",
            Self::Rate => "the delivery service asked us to send more slowly",
            Self::SetUp => "the delivery service did not accept our account or set-up",
            Self::LostAnswer => {
                "the answer was lost and it may have been sent; if feedback shows that it went, it \
                 is not sent again"
            }
        }
    }
}
