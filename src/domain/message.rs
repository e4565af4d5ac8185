//! What is to be sent, and to whom.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::address::Address;
use super::id::NotificationId;
use super::mailbox::Mailbox;
use super::method::Method;
use super::time::Timestamp;
use super::tracking::{Links, OptIn};
use super::unsubscribe::Unsubscribe;

/// The content of a notification, as it is sent and as it is shown afterwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// At least one of `text` and `html` is present.
    Email {
        subject: String,
        text: Option<String>,
        html: Option<String>,
        /// Where answers go; else to the business's own address for them.
        reply_to: Option<Mailbox>,
        attachments: Vec<Attachment>,
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

/// A file of an email. Its bytes are kept apart, once, under their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub name: String,
    pub content_type: String,
    /// What the HTML shows it by, as `cid:…`: an image within the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// The template that a content was made from, at the version that was current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRef {
    pub name: String,
    pub version: Uuid,
}

/// One message handed to a transport.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Travels inside the message (SES tag `notification_id`, header `X-Sendtrail-Id`), so that
    /// feedback can name it.
    pub id: NotificationId,
    pub to: Address,
    pub content: Content,
    /// On bulk email, where the program can be reached from outside.
    pub unsubscribe: Option<Unsubscribe>,
    /// What its business asked to learn of it by links of ours.
    pub tracking: OptIn,
    /// Makes them; none where nobody outside can reach us.
    pub tracking_links: Option<Links>,
    /// After this the provider is not to try any more, where it can be told.
    pub expires_at: Option<Timestamp>,
    /// Who it is from, if not the sender of the settings: a mailbox, or for SMS a number or a name.
    pub sender: Option<String>,
    /// Where answers go unless the content says so itself.
    pub reply_to: Option<Mailbox>,
    /// The bytes of the content's attachments, in their order.
    pub files: Vec<Bytes>,
}
