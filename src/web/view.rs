//! What the pages show: plain values, filled by the caller. Every text may be hostile; the templates
//! escape it.

use std::fmt;

use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// One line of the history: the columns of W2 and the client.
#[derive(Clone)]
pub struct Line {
    pub id: NotificationId,
    pub date: Timestamp,
    /// The staff member's name, `Automated` or `No Staff` (W3).
    pub user: String,
    pub client_id: String,
    pub client_name: String,
    pub method: Method,
    pub type_name: String,
    /// In short.
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub contact_type: String,
    /// The headline first; empty for an entry that staff made by hand.
    pub statuses: Vec<Badge>,
    pub channel: Channel,
    /// It can be sent again (W11).
    pub resendable: bool,
}

/// A status with its reason.
#[derive(Clone, Debug)]
pub struct Badge {
    pub status: Status,
    /// The sentence shown on hover and focus; may be empty.
    pub hover: String,
    /// Since when the status holds; shown behind the sentence.
    pub time: Option<Timestamp>,
}

// By hand: names, addresses and messages are not for logs.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.id)
    }
}
