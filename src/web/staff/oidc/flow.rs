//! A sign-in under way. The browser keeps one secret of it, from which all others follow, so that the
//! server keeps nothing.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Characters of the secret: 256 bits in base64.
const SECRET_LENGTH: usize = 43;

pub(super) struct Flow {
    secret: String,
    next: String,
}

impl Flow {
    /// `next`: where to go afterwards.
    pub(super) fn new(next: &str) -> Self {
        let secret: [u8; 32] = rand::random();
        Self {
            secret: BASE64_URL_SAFE_NO_PAD.encode(secret),
            next: next.to_owned(),
        }
    }

    /// As the cookie has it; `None` for anything that is not ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (secret, next) = text.split_once('.')?;
        if secret.len() != SECRET_LENGTH {
            return None;
        }
        let next = BASE64_URL_SAFE_NO_PAD.decode(next).ok()?;
        Some(Self {
            secret: secret.to_owned(),
            next: String::from_utf8(next).ok()?,
        })
    }

    pub(super) fn next(&self) -> &str {
        &self.next
    }

    /// Ties the answer to this browser.
    pub(super) fn state(&self) -> String {
        self.derived(b"sendtrail sign-on state")
    }

    pub(super) fn is_state(&self, given: &str) -> bool {
        equal(&self.state(), given)
    }

    /// Ties the ID token to this sign-in.
    pub(super) fn nonce(&self) -> String {
        self.derived(b"sendtrail sign-on nonce")
    }

    pub(super) fn is_nonce(&self, given: &str) -> bool {
        equal(&self.nonce(), given)
    }

    /// Shows the provider that who redeems the code is who asked for it (RFC 7636 4.1).
    pub(super) fn verifier(&self) -> String {
        self.derived(b"sendtrail sign-on verifier")
    }

    /// RFC 7636 4.2, S256.
    pub(super) fn challenge(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.verifier().as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    fn derived(&self, purpose: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose))
    }
}

fn equal(own: &str, given: &str) -> bool {
    constant_time::verify_slices_are_equal(own.as_bytes(), given.as_bytes()).is_ok()
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = BASE64_URL_SAFE_NO_PAD.encode(&self.next);
        write!(f, "{}.{next}", self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_comes_back_from_its_cookie_with_the_same_secrets() {
        let flow = Flow::new("/entries/1?a=b;c");
        let read = Flow::parse(&flow.to_string()).unwrap();
        assert_eq!(read.next(), "/entries/1?a=b;c");
        assert!(read.is_state(&flow.state()) && read.is_nonce(&flow.nonce()));
        assert_eq!(read.challenge(), flow.challenge());
        let secrets = [
            flow.state(),
            flow.nonce(),
            flow.verifier(),
            flow.secret.clone(),
        ];
        for (i, secret) in secrets.iter().enumerate() {
            assert_eq!(
                secret.len(),
                43,
                "RFC 7636 4.1 wants 43 characters at least"
            );
            assert!(secrets.iter().skip(i + 1).all(|other| other != secret));
        }
        let other = Flow::new("/");
        assert!(!other.is_state(&flow.state()) && !other.is_state(""));
    }

    #[test]
    fn what_is_not_ours_is_no_flow() {
        let good = Flow::new("/").to_string();
        for wrong in ["", "short.Lw", &good.replace('.', ""), &format!("{good}%")] {
            assert!(Flow::parse(wrong).is_none(), "{wrong}");
        }
    }
}
