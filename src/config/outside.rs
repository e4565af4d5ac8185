//! What the settings say of the way to us from outside: our public address, and the links in bulk
//! email that lead there.

use secrecy::ExposeSecret as _;

use super::{EmailProvider, Environment, Settings};

/// The address is part of a header line of every bulk email: RFC 5322 2.1.1 allows 998 characters.
const PUBLIC_URL_LENGTH_MAX: usize = 500;
/// As many characters as a random secret of 96 bits has in base64.
const SECRET_LENGTH_MIN: usize = 16;

impl Settings {
    /// Where we are reached from outside, without a slash at its end.
    pub fn public_url(&self) -> Option<&str> {
        let url = self.http.public_url.as_deref()?.trim_end_matches('/');
        (!url.is_empty()).then_some(url)
    }

    /// In which our proxy names the address of whoever asks.
    pub fn client_address_header(&self) -> Option<reqwest::header::HeaderName> {
        http_name(self.http.client_address_header.as_deref()?)
    }

    /// Pages are reached by https alone.
    pub fn is_https(&self) -> bool {
        self.public_url()
            .is_some_and(|url| url.starts_with("https:"))
    }

    /// Why what a business asked to learn of its emails cannot be learnt.
    pub fn tracking_trouble(&self) -> Option<&'static str> {
        let by_smtp = self.email.providers.contains(&EmailProvider::Smtp);
        if self.public_url().is_none() && !self.sandbox.enabled {
            Some(
                "http.public_url is not set, so no link of ours can be put into email and nothing is \
                 tracked: set it to the address at which recipients reach /t/…",
            )
        } else if !by_smtp || self.smtp.message_tags {
            Some(
                "no email goes by SMTP but to SES, which tracks by itself: set ses.track_opens and an \
                 event destination there, or add smtp to email.providers",
            )
        } else {
            None
        }
    }

    /// What bulk email lacks. Who sends none needs nothing.
    pub(super) fn missing_outside(&self) -> Option<String> {
        let none = self.public_url().is_none() && !self.email.providers.is_empty();
        (none && !self.sandbox.enabled).then(|| {
            "http.public_url is not set, so bulk email carries no List-Unsubscribe link, which \
             large mailbox providers demand, and no opens and clicks are tracked by us: set it to the \
             address at which recipients reach /u/… and /t/…"
                .to_owned()
        })
    }

    /// Every wrong value, by its key.
    pub(super) fn wrong_outside(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(why) = self.public_url().and_then(|url| self.wrong_url(url)) {
            wrong.push(format!("http.public_url {why}"));
        }
        let header = self.http.client_address_header.as_deref();
        if header.is_some_and(|name| http_name(name).is_none()) {
            let key = "http.client_address_header";
            wrong.push(format!(
                "{key} must be the name of a header: X-Forwarded-For"
            ));
        }
        let secret = self.web.unsubscribe_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose_secret().len() < SECRET_LENGTH_MIN) {
            wrong.push(format!(
                "web.unsubscribe_secret must have at least {SECRET_LENGTH_MIN} characters"
            ));
        }
        let mailto = self.email.unsubscribe_mailto.as_deref();
        if mailto.is_some_and(|mailbox| !is_mailbox(mailbox)) {
            let key = "email.unsubscribe_mailto";
            wrong.push(format!("{key} must be a bare address: leave@example.com"));
        }
        wrong
    }

    fn wrong_url(&self, url: &str) -> Option<&'static str> {
        let parsed = reqwest::Url::parse(url).ok().filter(|parsed| {
            let has_more = parsed.query().is_some() || parsed.fragment().is_some();
            let is_plain = url
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
            let named = parsed.username().is_empty() && parsed.password().is_none();
            matches!(parsed.scheme(), "http" | "https")
                && (parsed.has_host() && named && is_plain && !has_more)
                && url.len() <= PUBLIC_URL_LENGTH_MAX
        });
        let Some(parsed) = parsed else {
            return Some("is not an address: write it like https://notify.example.com");
        };
        let insecure = parsed.scheme() != "https" && self.environment == Environment::Production;
        insecure.then_some("must begin with https:// in production: RFC 8058 knows no other")
    }
}

fn http_name(name: &str) -> Option<reqwest::header::HeaderName> {
    name.parse().ok()
}

/// In ASCII, and without what would end its place in a header.
fn is_mailbox(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>,?&#%\"".contains(&b);
    let parts = text.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
        && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::set;

    #[test]
    fn a_public_address_is_one_of_the_web_and_ends_without_a_slash() {
        for (given, read) in [
            ("https://notify.example.com", "https://notify.example.com"),
            ("https://example.com/notify/", "https://example.com/notify"),
            ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
        ] {
            let settings = set(&[("HTTP__PUBLIC_URL", given)]).unwrap();
            assert_eq!(settings.public_url(), Some(read));
            assert_eq!(settings.missing_outside(), None);
        }
        for wrong in [
            "notify.example.com",
            "ftp://example.com",
            "https://",
            "https://example.com/?a=b",
            "https://example.com/#a",
            "https://ana:secret@example.com",
            "https://example.com/>\u{e9}",
            &format!("https://example.com/{}", "p".repeat(500)),
        ] {
            let error = set(&[("HTTP__PUBLIC_URL", wrong)]).unwrap_err();
            assert!(
                error.contains("http.public_url is not an address"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn the_header_of_the_proxy_is_named_or_there_is_none() {
        let named = set(&[("HTTP__CLIENT_ADDRESS_HEADER", "X-Forwarded-For")]).unwrap();
        let header = named.client_address_header().unwrap();
        assert_eq!(header.as_str(), "x-forwarded-for");
        assert_eq!(set(&[]).unwrap().client_address_header(), None);
        let error = set(&[("HTTP__CLIENT_ADDRESS_HEADER", "two words")]).unwrap_err();
        assert!(error.contains("http.client_address_header"), "{error}");
    }

    #[test]
    fn production_asks_for_https_and_short_secrets_are_refused() {
        let error = set(&[
            ("ENVIRONMENT", "production"),
            ("HTTP__PUBLIC_URL", "http://notify.example.com"),
            ("WEB__UNSUBSCRIBE_SECRET", "short"),
            ("EMAIL__UNSUBSCRIBE_MAILTO", "Leave <leave@example.com>"),
        ])
        .unwrap_err();
        for words in [
            "http.public_url must begin with https://",
            "web.unsubscribe_secret must have at least 16",
            "email.unsubscribe_mailto must be a bare address",
        ] {
            assert!(error.contains(words), "{words} in {error}");
        }
        assert!(!error.contains("short"), "a secret is not repeated");
    }

    #[test]
    fn without_an_address_it_is_said_that_bulk_email_has_no_link() {
        let warnings = set(&[]).unwrap().warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("http.public_url"));
        let empty = set(&[("HTTP__PUBLIC_URL", "")]).unwrap();
        assert_eq!(empty.public_url(), None);
        for no_need in [("SANDBOX__ENABLED", "true"), ("EMAIL__PROVIDERS", "")] {
            assert_eq!(set(&[no_need]).unwrap().missing_outside(), None);
        }
    }
}
