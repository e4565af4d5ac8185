//! An entry sent once more, whoever asks for it: a program, or a person at a page. The content is the
//! first one's, frozen; the new entry names the first.

use std::fmt;

use super::digest;
use crate::domain::address::Address;
use crate::store::enqueue::{ClientRef, ContentSource, Idempotency, NewNotification};
use crate::store::history::Entry;
use crate::store::pruning::Gone;

/// How it is to be sent again.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// To another address than the first.
    pub to: Option<Address>,
    pub staff_id: Option<String>,
    /// Under one key it is sent again once.
    pub key: Option<String>,
}

/// In words for people.
pub fn gone(why: Gone) -> String {
    match why {
        Gone::Erased { at } => {
            format!("The content was deleted on {at}, when the client was erased.")
        }
        Gone::Old { at, days } => format!(
            "The content was deleted on or after {at}: it is kept for {days} days (retention.content_days)."
        ),
    }
}

/// Why an entry cannot be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    Manual,
    Method,
    NoContent,
}

impl Obstacle {
    pub const fn of(entry: &Entry) -> Option<Self> {
        if entry.manual {
            Some(Self::Manual)
        } else if !entry.method.is_resendable() {
            Some(Self::Method)
        } else if entry.content_id.is_none() {
            Some(Self::NoContent)
        } else {
            None
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "This entry was made by hand; there is nothing to send again.",
            Self::Method => "Only emails and SMS can be sent again; enqueue a new notification.",
            Self::NoContent => {
                "The content of this notification is not kept any more; enqueue a new one."
            }
        })
    }
}

impl Again {
    /// The notification that sends it again.
    pub fn of(self, first: &Entry) -> Result<NewNotification, Obstacle> {
        let content = match (Obstacle::of(first), first.content_id) {
            (Some(obstacle), _) => return Err(obstacle),
            (None, None) => return Err(Obstacle::NoContent),
            (None, Some(content)) => content,
        };
        let kept = first.to.as_deref();
        let kept = kept.and_then(|to| Address::parse(first.method, to).ok());
        let idempotency = self.key.map(|key| Idempotency {
            key,
            body_digest: digest::of(&[
                Some(format!("resend of {}", first.id)),
                self.to.as_ref().map(|to| to.as_str().to_owned()),
                self.staff_id.clone(),
            ]),
        });
        Ok(NewNotification {
            client: ClientRef {
                id: first.client_id.clone(),
                ..ClientRef::default()
            },
            method: first.method,
            to: self.to.or(kept),
            type_name: first.type_name.clone(),
            contact_type: first.contact_type.clone(),
            content: ContentSource::Frozen(content),
            files: Vec::new(),
            template: first.template.clone(),
            staff_id: self.staff_id,
            send_at: None,
            expires_at: None,
            priority: first.priority_again(),
            idempotency,
            metadata: first.metadata.clone(),
            resend_of: Some(first.id),
            tags: Some(first.tags.clone()),
        })
    }
}
