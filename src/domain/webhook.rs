//! Outbound webhooks: the events that applications are told of, where they may be sent, and the
//! secret that signs them (the specification Standard Webhooks).

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use url::{Host, Url};

use super::event::What;
use super::public_address::is_public;
use super::time::Timestamp;

/// Every word of the field `type`.
pub const EVENTS: [&str; 11] = [
    "notification.sent",
    "notification.failed",
    "notification.delivered",
    "notification.delayed",
    "notification.bounced",
    "notification.opened",
    "notification.clicked",
    "notification.complained",
    "notification.complaint_withdrawn",
    "notification.unsubscribed",
    "notification.resubscribed",
];

/// What applications are told of it. A decision is a matter of ours; what follows from it is an event
/// of its own.
pub const fn event(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Accepted { .. } => "notification.sent",
        What::Rejected(_) | What::Undelivered(_) | What::GaveUp(_) => "notification.failed",
        What::Delivered { .. } => "notification.delivered",
        What::Delayed { .. } => "notification.delayed",
        What::Bounced(_) => "notification.bounced",
        What::Opened { .. } => "notification.opened",
        What::Clicked { .. } => "notification.clicked",
        What::Complained { .. } => "notification.complained",
        What::ComplaintWithdrawn => "notification.complaint_withdrawn",
        What::Unsubscribed { .. } => "notification.unsubscribed",
        What::Resubscribed => "notification.resubscribed",
        What::Decided { .. } => return None,
    })
}

/// Which addresses an endpoint may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlRules {
    /// `http://` too, so that whoever is on the way can read and change what is sent.
    pub allow_http: bool,
    /// Addresses of private networks and of this machine too.
    pub allow_private: bool,
}

/// The address of an endpoint. It may hold a password of the application's, so it is not logged.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

/// Why an address cannot be an endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongUrl {
    #[error("is not an address: write it like https://example.com/webhooks")]
    NotAnAddress,
    #[error("is too long: at most {URL_LENGTH_MAX} characters")]
    TooLong,
    #[error("must begin with https://")]
    NotHttps,
    #[error("must not hold a user name or password: the signature shows who calls")]
    Credentials,
    #[error("must not have a fragment (#…): it would not be sent")]
    Fragment,
    #[error("is not public: addresses of private networks and of this machine are not called")]
    NotPublic,
}

/// What servers and proxies take.
pub const URL_LENGTH_MAX: usize = 2_000;

impl EndpointUrl {
    /// By the parser of the HTTP client, so that both see the same host.
    pub fn parse(text: &str, rules: UrlRules) -> Result<Self, WrongUrl> {
        if text.len() > URL_LENGTH_MAX {
            return Err(WrongUrl::TooLong);
        }
        let url = Url::parse(text).map_err(|_unreadable| WrongUrl::NotAnAddress)?;
        match url.scheme() {
            "https" => {}
            "http" if rules.allow_http => {}
            "http" => return Err(WrongUrl::NotHttps),
            _ => return Err(WrongUrl::NotAnAddress),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WrongUrl::Credentials);
        }
        if url.fragment().is_some() {
            return Err(WrongUrl::Fragment);
        }
        // A name is looked at once more when it is known where it leads.
        let public = match url.host() {
            None => return Err(WrongUrl::NotAnAddress),
            Some(Host::Ipv4(v4)) => is_public(v4.into()),
            Some(Host::Ipv6(v6)) => is_public(v6.into()),
            Some(Host::Domain(name)) => !is_local_name(name),
        };
        if !public && !rules.allow_private {
            return Err(WrongUrl::NotPublic);
        }
        Ok(Self(url))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointUrl([hidden])")
    }
}

/// RFC 6761 6.3. The parser has made the letters small.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// What both sides know of one endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

const SECRET_PREFIX: &str = "whsec_";

impl Secret {
    pub fn new(random: [u8; 32]) -> Self {
        Self(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random)))
    }

    /// `None` for what is no secret of this form.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = Self(text.to_owned());
        secret.key().map(|_| secret)
    }

    /// As it is kept, and shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn key(&self) -> Option<hmac::Key> {
        let encoded = self.0.strip_prefix(SECRET_PREFIX)?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// The `v1,…` of the header `webhook-signature`. `id` is that of `webhook-id`, `at` that of
    /// `webhook-timestamp`.
    pub fn sign(&self, id: &str, at: Timestamp, body: &str) -> String {
        let signed = format!("{id}.{}.{body}", unix_seconds(at));
        let key = self.key().expect("a secret is parsed before it is kept");
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([hidden])")
    }
}

/// As the header `webhook-timestamp` has it.
pub const fn unix_seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Decision;

    const STRICT: UrlRules = UrlRules {
        allow_http: false,
        allow_private: false,
    };

    #[test]
    fn an_endpoint_is_public_and_encrypted_unless_the_settings_say_otherwise() {
        for good in [
            "https://example.com/hooks?tenant=7",
            "https://example.com:8443/",
            "https://1.1.1.1/hooks",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(EndpointUrl::parse(good, STRICT).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", WrongUrl::NotAnAddress),
            ("example.com/hooks", WrongUrl::NotAnAddress),
            ("ftp://example.com/", WrongUrl::NotAnAddress),
            ("file:///etc/passwd", WrongUrl::NotAnAddress),
            ("https://", WrongUrl::NotAnAddress),
            ("http://example.com/", WrongUrl::NotHttps),
            ("https://ana:secret@example.com/", WrongUrl::Credentials),
            ("https://1.1.1.1@example.com/", WrongUrl::Credentials),
            ("https://example.com/#a", WrongUrl::Fragment),
            ("https://localhost/", WrongUrl::NotPublic),
            ("https://LOCALHOST./", WrongUrl::NotPublic),
            ("https://a.localhost/", WrongUrl::NotPublic),
            ("https://127.0.0.1/", WrongUrl::NotPublic),
            ("https://127.1/", WrongUrl::NotPublic),
            ("https://2130706433/", WrongUrl::NotPublic),
            ("https://0x7f.0.0.1/", WrongUrl::NotPublic),
            ("https://0177.0.0.1/", WrongUrl::NotPublic),
            ("https://169.254.169.254/latest/", WrongUrl::NotPublic),
            ("https://[::1]/", WrongUrl::NotPublic),
            ("https://[::ffff:10.0.0.1]/", WrongUrl::NotPublic),
        ] {
            assert_eq!(EndpointUrl::parse(bad, STRICT), Err(why), "{bad}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_LENGTH_MAX));
        assert_eq!(EndpointUrl::parse(&long, STRICT), Err(WrongUrl::TooLong));
        let free = UrlRules {
            allow_http: true,
            allow_private: true,
        };
        assert!(EndpointUrl::parse("http://127.0.0.1:8080/", free).is_ok());
    }

    #[test]
    fn the_signature_is_that_of_the_specification_s_example() {
        let secret = Secret::parse("whsec_plJ3nmyCDGBKInavdOK15jsl").unwrap();
        let at = Timestamp::from_millis(1_731_705_121_999);
        let body = r#"{"event_type":"ping","data":{"success":true}}"#;
        assert_eq!(
            secret.sign("msg_loFOjxBNrRLzqYUf", at, body),
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
        );
    }

    #[test]
    fn a_secret_is_of_one_form_and_is_never_shown_by_accident() {
        let secret = Secret::new([7; 32]);
        assert_eq!(Secret::parse(secret.reveal()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains("Bwc"));
        for bad in ["", "whsec_", "whsec_!!", "plJ3nmyCDGBKInavdOK15jsl"] {
            assert_eq!(Secret::parse(bad), None, "{bad:?}");
        }
        let url = EndpointUrl::parse("https://example.com/token-1", STRICT).unwrap();
        assert!(!format!("{url:?}").contains("token-1"));
    }

    #[test]
    fn every_event_has_its_word_and_a_decision_has_none() {
        let clicked = event(&What::Clicked {
            link: None,
            user_agent: None,
        })
        .unwrap();
        assert!(EVENTS.contains(&clicked));
        let decided = What::Decided {
            decision: Decision::Resend,
            staff_id: None,
        };
        assert_eq!(event(&decided), None);
    }
}
