//! What stands in a link of ours and must come back as it was: signed with a key that nobody else has.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Signs with HMAC-SHA-256. What is signed is not hidden.
#[derive(Clone, Debug)]
pub struct Seal {
    key: hmac::Key,
}

/// Of an HMAC-SHA-256.
const TAG_LENGTH: usize = 32;

impl Seal {
    pub fn new(secret: &str) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        }
    }

    /// As a text that needs no escaping in an address. Every signature begins with its purpose, so that
    /// what is signed for one can never pass for another. None is the beginning of another one.
    pub fn seal(&self, purpose: &[u8], what: &[u8]) -> String {
        let tag = hmac::sign(&self.key, &[purpose, what].concat());
        BASE64_URL_SAFE_NO_PAD.encode([what, tag.as_ref()].concat())
    }

    /// What was sealed for that purpose; `None` for every other text.
    pub fn open(&self, purpose: &[u8], token: &str) -> Option<Vec<u8>> {
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let tag = bytes.split_off(bytes.len().checked_sub(TAG_LENGTH)?);
        // Takes as long wherever they differ.
        hmac::verify(&self.key, &[purpose, &bytes].concat(), &tag).ok()?;
        Some(bytes)
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
