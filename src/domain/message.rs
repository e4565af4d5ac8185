//! What is to be sent, and to whom.

use serde_json::{Map, Value};

use super::address::Address;
use super::id::NotificationId;
use super::method::Method;
use super::time::Timestamp;
use super::unsubscribe::Unsubscribe;

/// The content of a notification, as it is sent and as it is shown afterwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// At least one of `text` and `html` is present.
    Email {
        subject: String,
        text: Option<String>,
        html: Option<String>,
    },
    Sms {
        text: String,
    },
    Push {
        title: Option<String>,
        text: String,
        data: Map<String, Value>,
    },
}

impl Content {
    pub const fn method(&self) -> Method {
        match self {
            Self::Email { .. } => Method::Email,
            Self::Sms { .. } => Method::Sms,
            Self::Push { .. } => Method::Push,
        }
    }
}

/// One message handed to a transport.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Travels inside the message (SES tag `notification_id`, header `X-Sendtrail-Id`), so that
    /// feedback can name it.
    pub id: NotificationId,
    pub to: Address,
    pub content: Content,
    /// After this the provider is not to try any more, where it can be told.
    pub expires_at: Option<Timestamp>,
    /// On bulk email, where the program can be reached from outside.
    pub unsubscribe: Option<Unsubscribe>,
}
