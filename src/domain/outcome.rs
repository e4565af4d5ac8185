//! How one attempt to send ended: the whole vocabulary of a transport, and nothing else.

use std::time::Duration;

use super::event::Failure;

/// What a transport returns for one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The provider took the message over.
    Accepted { provider_message_id: Option<String> },
    /// This message will never go: Failed.
    Rejected(Failure),
    /// Try again later with backoff; the attempt counts.
    TryLater {
        after: Option<Duration>,
        why: Trouble,
    },
    /// The provider asked us to slow down; the attempt does not count.
    Throttled {
        after: Option<Duration>,
        why: Trouble,
    },
    /// Credentials or configuration: the provider is paused and the operator told; the attempt does
    /// not count.
    Broken { why: Trouble },
    /// The request was on the wire when the answer was lost: it may or may not have gone.
    Unknown { why: Trouble },
}

/// A provider's error for operators: no addresses, tokens or bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub code: Option<String>,
    pub text: String,
    /// It lies in the message or its recipient, and says nothing about how the provider is.
    pub of_the_message: bool,
}

impl Trouble {
    pub fn new(code: Option<&str>, text: impl Into<String>) -> Self {
        Self {
            code: code.map(str::to_owned),
            text: text.into(),
            of_the_message: false,
        }
    }

    /// The same, said of this one message: others may well go.
    #[must_use]
    pub fn of_the_message(self) -> Self {
        Self {
            of_the_message: true,
            ..self
        }
    }
}

impl Outcome {
    /// The word of the attempts table and of the metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Rejected(_) => "rejected",
            Self::TryLater { .. } => "try_later",
            Self::Throttled { .. } => "throttled",
            Self::Broken { .. } => "broken",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Who asked us to try later, in a word of the attempts table.
    pub const fn cause(&self) -> Option<&'static str> {
        match self {
            Self::TryLater { why, .. } | Self::Throttled { why, .. } if why.of_the_message => {
                Some("recipient")
            }
            Self::TryLater { .. } => Some("provider"),
            Self::Throttled { .. }
            | Self::Accepted { .. }
            | Self::Rejected(_)
            | Self::Broken { .. }
            | Self::Unknown { .. } => None,
        }
    }
}
