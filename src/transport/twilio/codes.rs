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
    /// Too many at once.
    Throttled,
    /// Our account or set-up is not accepted.
    Broken,
    /// It may have gone or not.
    Unknown,
}

use Meaning::{Broken, Rejected, Throttled, TryLater, Unknown};

const CODES: [(u32, Meaning); 26] = [
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
    (30003, TryLater),                           // switched off or out of reach
    (30004, Rejected(Category::PolicyOrReputation)), // blocked
    (30005, Rejected(Category::InvalidAddress)), // unknown handset
    (30006, Rejected(Category::InvalidAddress)), // landline
    // The sender and what it may do. Where only some recipients are out of its reach, the others
    // must not wait.
    (21212, Broken),                          // invalid From
    (21606, Broken),                          // From cannot send text messages
    (21408, Rejected(Category::Credentials)), // the recipient's country is not switched on
    (21612, Rejected(Category::Credentials)), // no route from From to this To
    (21611, Throttled),                       // the queue of From is full
    (30001, Throttled),                       // queue overflow
    (30034, Broken),                          // From is not registered for the United States
    // The content.
    (21617, Rejected(Category::ContentRejected)), // more than 1,600 characters
    (30007, Rejected(Category::PolicyOrReputation)), // filtered by the carrier
    // The carriers.
    (30008, Rejected(Category::Unknown)), // unknown error
    (30410, TryLater),                    // the carrier did not answer in time
    (30500, TryLater),                    // the carrier failed
];

/// `None`: a code that is not in the table.
pub fn meaning(code: u32) -> Option<Meaning> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, meaning)| *meaning)
}
