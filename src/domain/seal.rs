//! What stands in a link of ours and must come back as it was: signed with a key that nobody else has.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::id::NotificationId;

/// Signs with HMAC-SHA-256. What is signed is not hidden.
#[derive(Clone, Debug)]
pub struct Seal {
    /// Shared by clones: it is large.
    key: Arc<hmac::Key>,
}

/// Of an HMAC-SHA-256.
const TAG_LENGTH: usize = 32;

impl Seal {
    pub fn new(secret: &str) -> Self {
        Self {
            key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
        }
    }

    /// As a text that needs no escaping in an address. Every signature begins with its purpose, so that
    /// what is signed for one can never pass for another. None is the beginning of another one.
    pub fn seal(&self, purpose: &[u8], what: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.sealed(purpose, what, TAG_LENGTH))
    }

    /// What was sealed for that purpose; `None` for every other text.
    pub fn open(&self, purpose: &[u8], token: &str) -> Option<Vec<u8>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        self.opened(purpose, bytes, TAG_LENGTH)
    }

    /// A notification's id, and nothing personal.
    pub(super) fn seal_id(&self, purpose: &[u8], id: NotificationId) -> String {
        self.seal(purpose, id.uuid().as_bytes())
    }

    pub(super) fn open_id(&self, purpose: &[u8], token: &str) -> Option<NotificationId> {
        NotificationId::from_bytes(&self.open(purpose, token)?)
    }

    /// The same in bytes, and with the first bytes of the signature alone.
    pub(super) fn sealed(&self, purpose: &[u8], what: &[u8], tag_length: usize) -> Vec<u8> {
        [what, &self.tag(purpose, what, tag_length)].concat()
    }

    pub(super) fn opened(
        &self,
        purpose: &[u8],
        mut bytes: Vec<u8>,
        tag_length: usize,
    ) -> Option<Vec<u8>> {
        let tag = bytes.split_off(bytes.len().checked_sub(tag_length)?);
        // Takes as long wherever they differ.
        verify_slices_are_equal(&self.tag(purpose, &bytes, tag_length), &tag).ok()?;
        Some(bytes)
    }

    fn tag(&self, purpose: &[u8], what: &[u8], length: usize) -> Vec<u8> {
        let mut tag = hmac::sign(&self.key, &[purpose, what].concat())
            .as_ref()
            .to_vec();
        tag.truncate(length);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_for_one_purpose_is_opened_for_no_other() {
        let seal = Seal::new("a secret of some length");
        let token = seal.seal(b"one\0", b"what");
        assert_eq!(seal.open(b"one\0", &token).as_deref(), Some(&b"what"[..]));
        assert_eq!(seal.open(b"two\0", &token), None);
        assert_eq!(Seal::new("another secret").open(b"one\0", &token), None);
        let empty = seal.seal(b"one\0", b"");
        assert_eq!(seal.open(b"one\0", &empty).as_deref(), Some(&b""[..]));
    }
}
