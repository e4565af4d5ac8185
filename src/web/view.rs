//! What the pages show: plain values, filled by the caller. Every text may be hostile; the templates
//! escape it.

use std::fmt;

use super::staff::Head;
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

/// One entry with all that is known about it.
#[derive(Clone)]
pub struct Entry {
    pub head: Head,
    pub line: Line,
    /// The address it went to; empty for an entry that staff made by hand.
    pub to: String,
    /// What happened, the earliest first.
    pub timeline: Vec<Step>,
    pub subject: Option<String>,
    pub text: Option<String>,
    /// Shown in a frame without scripts, forms or anything from outside.
    pub html: Option<String>,
    pub metadata: Vec<(String, String)>,
    /// Why it failed or bounced.
    pub reason: Option<Reason>,
}

/// One happening of the timeline.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: Timestamp,
    pub sentence: String,
    pub detail: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Reason {
    pub sentence: String,
    /// What staff can do about it.
    pub remedy: Option<String>,
    /// The provider's own words.
    pub provider_text: Option<String>,
}

// By hand: names, addresses and messages are not for logs.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.id)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.line.id)
    }
}
