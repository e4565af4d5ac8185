//! The cookies that hold a session or a sign-in under way, and the secrets that are made of them.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::store::staff_sessions::AGE_MAX;

/// How the cookie is called and guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Reached by https: RFC 6265bis 4.1.3.2 ties `__Host-` to this host and to https.
    Secure,
    /// Reached by http, on this machine or in development.
    Plain,
}

/// Characters of a token: 256 bits in base64.
const TOKEN_LENGTH: usize = 43;
/// Whoever signs in elsewhere may have to look for a password, or for a telephone.
const FLOW_AGE_MAX: Duration = Duration::from_mins(10);
/// A secret, and a path of 500 characters in base64.
const FLOW_LENGTH_MAX: usize = 800;
/// Ties form tokens to their purpose.
const PURPOSE: &[u8] = b"sendtrail form";

/// The secret that the browser holds.
pub(super) struct Token(String);

impl Token {
    pub(super) fn new() -> Self {
        let secret: [u8; 32] = rand::random();
        Self(BASE64_URL_SAFE_NO_PAD.encode(secret))
    }

    /// What is kept of it. A plain digest is enough, because the token is 256 random bits.
    pub(super) fn digest(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, self.0.as_bytes()))
    }

    /// What every form of this session carries: nobody can make it who has not got the cookie.
    pub(super) fn form_token(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        hex::encode(hmac::sign(&key, PURPOSE))
    }

    pub(super) fn is_form_token(&self, given: &str) -> bool {
        let own = self.form_token();
        constant_time::verify_slices_are_equal(own.as_bytes(), given.as_bytes()).is_ok()
    }
}

impl Cookies {
    const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-sendtrail",
            Self::Plain => "sendtrail",
        }
    }

    const fn secure(self) -> &'static str {
        match self {
            Self::Secure => "; Secure",
            Self::Plain => "",
        }
    }

    /// The cookie of a sign-in that is under way elsewhere.
    const fn flow_name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-sendtrail-sign-on",
            Self::Plain => "sendtrail-sign-on",
        }
    }

    pub(super) fn read(self, headers: &HeaderMap) -> Option<Token> {
        let token = find(headers, self.name())?;
        (token.len() == TOKEN_LENGTH).then(|| Token(token.to_owned()))
    }

    pub(super) fn read_flow(self, headers: &HeaderMap) -> Option<String> {
        let flow = find(headers, self.flow_name())?;
        (flow.len() <= FLOW_LENGTH_MAX).then(|| flow.to_owned())
    }

    pub(super) fn set(self, token: &Token) -> Option<HeaderValue> {
        self.cookie(self.name(), &token.0, AGE_MAX)
    }

    pub(super) fn clear(self) -> Option<HeaderValue> {
        self.cookie(self.name(), "", Duration::ZERO)
    }

    pub(super) fn set_flow(self, flow: &str) -> Option<HeaderValue> {
        self.cookie(self.flow_name(), flow, FLOW_AGE_MAX)
    }

    pub(super) fn clear_flow(self) -> Option<HeaderValue> {
        self.cookie(self.flow_name(), "", Duration::ZERO)
    }

    /// `Lax`: the way back from the provider of single sign-on begins at another site.
    fn cookie(self, name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
        let (secure, seconds) = (self.secure(), age.as_secs());
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).ok()
    }
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let mut pairs = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|it| it.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim() == name)?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_str(text).unwrap());
        headers
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        for (cookies, begin, end) in [
            (
                Cookies::Secure,
                "__Host-sendtrail=",
                "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                Cookies::Plain,
                "sendtrail=",
                "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax",
            ),
        ] {
            let token = Token::new();
            let set = cookies.set(&token).unwrap();
            let set = set.to_str().unwrap();
            assert!(set.starts_with(begin) && set.ends_with(end), "{set}");
            let pair = set.split(';').next().unwrap();
            let read = cookies.read(&sent(&format!("a=b; {pair}; c"))).unwrap();
            assert_eq!(read.digest(), token.digest());
            assert_eq!(token.digest().len(), 64);
        }
    }

    #[test]
    fn other_cookies_and_cut_ones_are_none() {
        for text in [
            "",
            "sendtrail",
            "sendtrail=short",
            "x-sendtrail=",
            "sendtrail=;sendtrail",
        ] {
            assert!(Cookies::Plain.read(&sent(text)).is_none(), "{text}");
        }
        let plain = format!("sendtrail={}", Token::new().0);
        assert!(Cookies::Secure.read(&sent(&plain)).is_none());
    }

    #[test]
    fn a_form_token_belongs_to_its_session_and_tells_nothing_of_it() {
        let (one, other) = (Token::new(), Token::new());
        assert!(one.is_form_token(&one.form_token()));
        for wrong in [
            other.form_token(),
            String::new(),
            one.digest(),
            one.0.clone(),
        ] {
            assert!(!one.is_form_token(&wrong));
        }
    }
}
