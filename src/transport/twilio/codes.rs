//! Twilio's error codes: the one table that says what each means for a message. Of the answer to a
//! send, and of the status callbacks, which use the same codes.
//! <https://www.twilio.com/docs/api/errors>

use crate::domain::reason::Category;

/// What a code says about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It will never go.
    Rejected(Category),
    /// It may go when it is tried again.
    TryLater,
    /// The same, and it lies with the recipient's phone or carrier: other messages may well go.
    PutOff,
    /// Too many at once.
    Throttled,
    /// Too many at once from this sender.
    SenderThrottled,
    /// Our account or set-up is not accepted.
    Broken,
    /// It cannot be sent from this sender: our set-up, or that of the one business whose own it is.
    WrongSender,
    /// It may have gone or not.
    Unknown,
}

use Meaning::{
    Broken, PutOff, Rejected, SenderThrottled, Throttled, TryLater, Unknown, WrongSender,
};

const CODES: [(u32, Meaning); 31] = [
    // The account.
    (20003, Broken), // Authenticate
    (20404, Broken), // no such account
    (20429, Throttled),
    (20500, Unknown), // an internal error, perhaps after the message was taken
    (20503, TryLater),
    (30002, Broken), // account suspended
    // The recipient.
    (21211, Rejected(Category::InvalidAddress)), // invalid To
    (21217, Rejected(Category::InvalidAddress)), // not a number
    (21614, Rejected(Category::InvalidAddress)), // not a mobile number
    (21610, Rejected(Category::Unsubscribed)),   // the recipient said STOP
    (30003, PutOff),                             // switched off or out of reach
    (30004, Rejected(Category::PolicyOrReputation)), // blocked
    (30005, Rejected(Category::InvalidAddress)), // unknown handset
    (30006, Rejected(Category::InvalidAddress)), // landline
    // The sender and what it may do. Where only some recipients are out of its reach, the others
    // must not wait.
    (21212, WrongSender),                     // invalid From
    (21603, WrongSender),                     // no From
    (21606, WrongSender),                     // From cannot send text messages
    (21659, WrongSender),                     // From is no number of Twilio's
    (21660, WrongSender),                     // From is another account's
    (30034, WrongSender),                     // From is not registered for the United States
    (21608, Rejected(Category::Credentials)), // a trial account, and To is not verified
    (21408, Rejected(Category::Credentials)), // the recipient's country is not switched on
    (21612, Rejected(Category::Credentials)), // no route from From to this To
    (21611, SenderThrottled),                 // the queue of From is full
    (30001, SenderThrottled),                 // queue overflow
    // The content.
    (21602, Rejected(Category::ContentRejected)), // no text
    (21617, Rejected(Category::ContentRejected)), // more than 1,600 characters
    (30007, Rejected(Category::PolicyOrReputation)), // filtered by the carrier
    // The carriers.
    (30008, Rejected(Category::Unknown)), // unknown error
    (30410, PutOff),                      // the carrier did not answer in time
    (30500, PutOff),                      // the carrier failed
];

impl Meaning {
    /// Why a message did not arrive that Twilio had taken and now reports under this code: it is not
    /// tried again by itself, whatever an answer to a send would call for.
    pub const fn category(self) -> Category {
        match self {
            Self::Rejected(category) => category,
            Self::TryLater | Self::PutOff => Category::ProviderUnavailable,
            Self::Throttled | Self::SenderThrottled => Category::ThrottledTooLong,
            Self::Broken | Self::WrongSender => Category::Credentials,
            Self::Unknown => Category::Unknown,
        }
    }
}

/// `None`: a code that is not in the table.
pub fn meaning(code: u32) -> Option<Meaning> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, meaning)| *meaning)
}
