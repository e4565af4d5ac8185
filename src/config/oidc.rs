//! What the settings say of single sign-on by OpenID Connect.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Environment, Settings};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    pub issuer: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
    pub label: String,
}

/// A button has one line.
const LABEL_LENGTH_MAX: usize = 60;

impl Oidc {
    /// An empty text is none: so a variable can take a setting away.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref().filter(|text| !text.is_empty())
    }

    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref().filter(|text| !text.is_empty())
    }

    pub fn client_secret(&self) -> Option<SecretString> {
        let secret = self.client_secret.clone();
        secret.filter(|secret| !secret.expose_secret().is_empty())
    }
}

impl Settings {
    /// Every wrong value, by its key.
    pub(super) fn wrong_oidc(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let label = self.oidc.label.trim();
        if label.is_empty() || label.chars().count() > LABEL_LENGTH_MAX {
            wrong.push(format!(
                "oidc.label must have 1 to {LABEL_LENGTH_MAX} characters"
            ));
        }
        let Some(issuer) = self.oidc.issuer() else {
            if self.oidc.client_id().is_some() || self.oidc.client_secret().is_some() {
                wrong.push("oidc.issuer is missing: without it there is no single sign-on".into());
            }
            return wrong;
        };
        if let Some(why) = self.wrong_issuer(issuer) {
            wrong.push(format!("oidc.issuer {why}"));
        }
        if self.oidc.client_id().is_none() {
            wrong.push("oidc.client_id is missing: the provider gives it".into());
        }
        let reached = self.public_url().is_some() || self.http.listen.ip().is_loopback();
        if !reached || self.public_url().is_none() && self.environment == Environment::Production {
            let why = "the provider sends people back to it";
            wrong.push(format!(
                "http.public_url must be set for oidc.issuer: {why}"
            ));
        }
        wrong
    }

    fn wrong_issuer(&self, issuer: &str) -> Option<&'static str> {
        let parsed = reqwest::Url::parse(issuer).ok().filter(|url| {
            url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let Some(url) = parsed else {
            return Some(
                "is not an address: write it as the provider does, like https://login.example.com",
            );
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
        let local = is_loopback && self.environment == Environment::Development;
        match url.scheme() {
            "https" => None,
            "http" if local => None,
            _ => Some("must begin with https://; http:// is for 127.0.0.1 in development alone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::set;

    #[test]
    fn there_is_no_single_sign_on_unless_it_is_set_up() {
        let none = set(&[]).unwrap();
        assert_eq!((none.oidc.issuer(), none.oidc.client_id()), (None, None));
        let set = set(&[
            ("OIDC__ISSUER", "https://login.example.com/tenant"),
            ("OIDC__CLIENT_ID", "sendtrail"),
            ("OIDC__CLIENT_SECRET", ""),
        ]);
        let set = set.unwrap();
        assert_eq!(set.oidc.issuer(), Some("https://login.example.com/tenant"));
        assert!(set.oidc.client_secret().is_none());
        assert!(!set.oidc.label.is_empty());
    }

    #[test]
    fn what_is_missing_or_insecure_is_named() {
        let id = ("OIDC__CLIENT_ID", "sendtrail");
        let good = ("OIDC__ISSUER", "https://login.example.com");
        for (given, words) in [
            (&[id][..], "oidc.issuer is missing"),
            (&[good], "oidc.client_id is missing"),
            (
                &[("OIDC__ISSUER", "login.example.com"), id],
                "oidc.issuer is not an address",
            ),
            (
                &[("OIDC__ISSUER", "https://a.example/?b=c"), id],
                "oidc.issuer is not an address",
            ),
            (
                &[("OIDC__ISSUER", "http://login.example.com"), id],
                "must begin with https://",
            ),
            (
                &[
                    ("OIDC__ISSUER", "http://127.0.0.1:1"),
                    id,
                    ("ENVIRONMENT", "production"),
                ],
                "must begin with https://",
            ),
            (
                &[good, id, ("ENVIRONMENT", "production")],
                "http.public_url must be set for oidc.issuer",
            ),
            (
                &[good, id, ("HTTP__LISTEN", "0.0.0.0:8025")],
                "http.public_url must be set for oidc.issuer",
            ),
            (&[good, id, ("OIDC__LABEL", " ")], "oidc.label"),
        ] {
            let error = set(given).unwrap_err();
            assert!(error.contains(words), "{words} in {error}");
        }
        let local = set(&[("OIDC__ISSUER", "http://127.0.0.1:9000"), id]);
        assert!(local.is_ok(), "{local:?}");
    }
}
