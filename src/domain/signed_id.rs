//! A notification's id and a signature over it, so that what comes back from outside with both is about
//! a message of ours. Nothing personal, no state, and no end: mail lies in mailboxes for years.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use uuid::Uuid;

use super::id::NotificationId;

const ID_LENGTH: usize = 16;

/// Makes and reads them for one purpose.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    /// Shared by clones: it is large.
    key: Arc<hmac::Key>,
    /// What every signature begins with, so that one key can never sign anything else by it.
    purpose: &'static [u8],
    /// Bytes of the HMAC-SHA-256 that are kept: 32 are all of it.
    tag_length: usize,
}

impl Signer {
    pub(super) fn new(secret: &str, purpose: &'static [u8], tag_length: usize) -> Self {
        Self {
            key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
            purpose,
            tag_length,
        }
    }

    pub(super) fn of(&self, id: NotificationId) -> Vec<u8> {
        let id = id.uuid();
        let mut bytes = id.as_bytes().to_vec();
        bytes.extend(self.tag(id.as_bytes()));
        bytes
    }

    /// The notification that these bytes of ours name; `None` for all others.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<NotificationId> {
        let (id, tag) = bytes.split_at_checked(ID_LENGTH)?;
        // Takes as long wherever they differ.
        verify_slices_are_equal(&self.tag(id), tag).ok()?;
        Uuid::from_slice(id).ok().map(NotificationId::new)
    }

    fn tag(&self, id: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&self.key, &[self.purpose, id].concat());
        let kept = tag.as_ref().iter().take(self.tag_length);
        kept.copied().collect()
    }
}
