//! What happened to a notification: one event, its kind, its detail and its unique key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id::NotificationId;
use super::reason::Category;
use super::time::Timestamp;

/// Identifies a *happening*, not the envelope that told us of it: the same bounce in two envelopes
/// has one key. A `UUIDv8` (RFC 9562) made by the caller from a digest of the identifying parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub Uuid);

impl EventKey {
    /// From the first 16 bytes of a digest of the parts that identify the happening.
    pub fn from_digest(digest: [u8; 16]) -> Self {
        Self(Uuid::new_v8(digest))
    }

    /// Of what one of our own attempts brought about.
    pub fn of_attempt(attempt: u32) -> Self {
        Self::numbered(*b"our attempt\0", attempt)
    }

    /// Of what a person decided when the outcome of that attempt was not known.
    pub fn of_decision(attempt: u32) -> Self {
        Self::numbered(*b"a decision\0\0", attempt)
    }

    /// Of the acceptance that a person decided on.
    pub fn of_decided_acceptance(attempt: u32) -> Self {
        Self::numbered(*b"decided: it ", attempt)
    }

    fn numbered(words: [u8; 12], attempt: u32) -> Self {
        let mut bytes = [0; 16];
        let (head, tail) = bytes.split_at_mut(words.len());
        head.copy_from_slice(&words);
        tail.copy_from_slice(&attempt.to_be_bytes());
        Self(Uuid::new_v8(bytes))
    }

    /// Of our giving up without an attempt: it can happen once.
    pub fn of_giving_up() -> Self {
        Self(Uuid::new_v8(*b"we gave up\0\0\0\0\0\0"))
    }

    /// Of an opt-out by the link in a message; `suppression` is the entry that it made or found, so
    /// that to repeat it is nothing new, and to opt out once more later is.
    pub fn of_opting_out(suppression: Uuid) -> Self {
        Self(Uuid::new_v8(suppression.into_bytes()))
    }

    /// Of taking that opt-out back.
    pub fn of_opting_in(suppression: Uuid) -> Self {
        let mut bytes = suppression.into_bytes();
        bytes.reverse();
        Self(Uuid::new_v8(bytes))
    }
}

/// One entry of the append-only ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub notification: NotificationId,
    pub key: EventKey,
    /// The provider's time; where it gives none, the time of receipt.
    pub occurred_at: Timestamp,
    /// Who says so: `ses`, `smtp`, `sns`, `mail`, `worker`, `staff`, `recipient`, `application`,
    /// `tracking`.
    pub source: String,
    pub what: What,
}

/// How final a bounce is, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Transient,
    Undetermined,
    Permanent,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Undetermined => "undetermined",
            Self::Permanent => "permanent",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Transient, Self::Undetermined, Self::Permanent]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// What happened. The serialised form is the `detail` column of the ledger; `kind()` is its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A provider took the message over.
    Accepted {
        provider: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_message_id: Option<String>,
        /// An open of this message would be reported to us.
        #[serde(default)]
        opens_tracked: bool,
    },
    /// A provider refused the message for good.
    Rejected(Failure),
    Delivered {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response: Option<String>,
    },
    Delayed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_type: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diagnostic: Option<String>,
    },
    Bounced(Bounce),
    Complained {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feedback_type: Option<String>,
    },
    /// The recipient said "not spam": a correction of a complaint; erases nothing.
    ComplaintWithdrawn,
    Opened {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_agent: Option<String>,
        /// The user agent is a known prefetcher or image proxy.
        #[serde(default)]
        by_machine: bool,
    },
    Clicked {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_agent: Option<String>,
    },
    Unsubscribed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<String>,
    },
    /// The recipient took an opt-out back; erases nothing.
    Resubscribed,
    /// An SMS or push message that a provider had accepted did not arrive.
    Undelivered(Failure),
    /// A person decided what is to become of an attempt of unknown outcome. What follows from it has an
    /// event of its own.
    Decided {
        decision: Decision,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        staff_id: Option<String>,
    },
    /// We stopped trying: attempts exhausted, expired, cancelled, suppressed, deactivated.
    GaveUp(Failure),
}

/// What a person can decide when it is not known whether a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Send it again: a second copy does less harm than none.
    Resend,
    /// Leave it: none does less harm than a second.
    GiveUp,
    /// It went: somebody has seen it.
    Sent,
}

impl Decision {
    pub const ALL: [Self; 3] = [Self::Resend, Self::GiveUp, Self::Sent];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::GiveUp => "give_up",
            Self::Sent => "sent",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == text)
    }
}

/// Why a message will never go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub category: Category,
    /// The provider's code, as it gave it: `550`, `MessageRejected`, `EndpointDisabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The provider's own words, for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounce {
    pub severity: Severity,
    pub category: Category,
    /// The provider's finer name: `MailboxFull`, `OnAccountSuppressionList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// Enhanced status code (RFC 3463), where the bounce report has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The remote server's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
}

/// The parts of a `detail` that may hold words of a person, of its server or of its browser: those that go
/// when the person is forgotten. The rest is codes, categories and counts, which the statuses are made of.
pub const PERSONAL: [&str; 6] = [
    "response",
    "diagnostic",
    "user_agent",
    "link",
    "how",
    "provider_text",
];

impl What {
    /// The same without what is personal.
    pub fn forget(&mut self) {
        match self {
            Self::Delivered { response: text }
            | Self::Delayed {
                diagnostic: text, ..
            }
            | Self::Opened {
                user_agent: text, ..
            }
            | Self::Unsubscribed { how: text }
            | Self::Bounced(Bounce {
                diagnostic: text, ..
            })
            | Self::Rejected(Failure {
                provider_text: text,
                ..
            })
            | Self::Undelivered(Failure {
                provider_text: text,
                ..
            })
            | Self::GaveUp(Failure {
                provider_text: text,
                ..
            }) => *text = None,
            Self::Clicked { link, user_agent } => (*link, *user_agent) = (None, None),
            Self::Accepted { .. }
            | Self::Complained { .. }
            | Self::ComplaintWithdrawn
            | Self::Resubscribed
            | Self::Decided { .. } => {}
        }
    }

    /// Whether there is anything to forget.
    pub fn is_personal(&self) -> bool {
        let mut forgotten = self.clone();
        forgotten.forget();
        forgotten != *self
    }

    /// What a person decided.
    pub const fn decision(&self) -> Option<Decision> {
        if let Self::Decided { decision, .. } = self {
            Some(*decision)
        } else {
            None
        }
    }

    /// The word of the ledger and of the timeline.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Rejected(_) => "rejected",
            Self::Delivered { .. } => "delivered",
            Self::Delayed { .. } => "delayed",
            Self::Bounced(_) => "bounced",
            Self::Complained { .. } => "complained",
            Self::ComplaintWithdrawn => "complaint_withdrawn",
            Self::Opened { .. } => "opened",
            Self::Clicked { .. } => "clicked",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Resubscribed => "resubscribed",
            Self::Undelivered(_) => "undelivered",
            Self::Decided { .. } => "decided",
            Self::GaveUp(_) => "gave_up",
        }
    }
}
