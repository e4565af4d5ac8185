//! The section `[twilio]`.

use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::sms_sender::SmsSender;
use crate::transport::http::Reach;
use crate::transport::settings::{Problem, check_rates};

/// Half a day: who asks later, asks once at most before nothing more is to be expected.
const POLL_AFTER_SECONDS_MAX: u64 = 43_200;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwilioSettings {
    /// Instead of `https://api.twilio.com`.
    pub endpoint_url: Option<String>,
    pub account_sid: Option<String>,
    /// The account's own secret. To send, an API key does as well; what Twilio reports is signed with
    /// this one.
    pub auth_token: Option<SecretString>,
    /// While the token is changed at Twilio: the other one, by which reports may be signed too.
    pub secondary_auth_token: Option<SecretString>,
    /// An API key, which can be revoked without touching the account.
    pub api_key_sid: Option<String>,
    pub api_key_secret: Option<SecretString>,
    /// Who the messages are from: a number, a short code or a name; or else a messaging service.
    pub from: Option<String>,
    pub messaging_service_sid: Option<String>,
    /// Where Twilio reports what became of a message.
    pub status_callback_url: Option<String>,
    /// Twilio is asked for a message of which it has not reported the end for so long; 0: never.
    pub poll_after_seconds: u64,
    /// Segments a second, at most and to begin with; none: as many as the provider takes.
    pub max_per_second: Option<f64>,
    pub initial_per_second: Option<f64>,
    pub connect_timeout_ms: u64,
    /// For one whole request, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for TwilioSettings {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            account_sid: None,
            auth_token: None,
            secondary_auth_token: None,
            api_key_sid: None,
            api_key_secret: None,
            from: None,
            messaging_service_sid: None,
            status_callback_url: None,
            poll_after_seconds: 900,
            max_per_second: None,
            initial_per_second: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
        }
    }
}

impl TwilioSettings {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.reach().validate(&mut problems);
        check_rates(
            &mut problems,
            ("max_per_second", self.max_per_second),
            ("initial_per_second", self.initial_per_second),
        );
        problems.extend(self.account().err());
        problems.extend(self.login().err());
        problems.extend(self.sender().err());
        problems.extend(self.callback().err());
        if self.poll_after_seconds > POLL_AFTER_SECONDS_MAX {
            problems.push(Problem::new(
                "poll_after_seconds",
                "must be from 1 to 43200, or 0 for never",
            ));
        }
        problems
    }

    /// What is allowed and seldom meant.
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        if self.status_callback_url.is_none() {
            warnings.push(Problem::new(
                "status_callback_url",
                "is not set, so Twilio does not report whether messages arrive: set it to the \
                 address at which Twilio reaches /webhooks/twilio",
            ));
        }
        if self.auth_token.is_none() {
            warnings.push(Problem::new(
                "auth_token",
                "is not set, so what Twilio reports cannot be verified and is refused: Twilio signs \
                 with it, also where messages are sent with an API key",
            ));
        }
        warnings
    }

    pub(super) fn reach(&self) -> Reach<'_> {
        Reach {
            endpoint_url: self.endpoint_url.as_deref(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
        }
    }

    pub(super) fn account(&self) -> Result<&str, Problem> {
        let key = "account_sid";
        match self.account_sid.as_deref() {
            None => Err(Problem::new(key, "is missing: AC and 32 characters")),
            Some(sid) if !is_sid(sid, "AC") => {
                Err(Problem::new(key, "is none: AC and 32 characters 0-9, a-f"))
            }
            Some(sid) => Ok(sid),
        }
    }

    /// The name and the secret that Twilio asks for: of the API key, or else of the account.
    pub(super) fn login(&self) -> Result<(&str, &SecretString), Problem> {
        match (&self.api_key_sid, &self.api_key_secret, &self.auth_token) {
            (Some(sid), Some(_), _) if !is_sid(sid, "SK") => Err(Problem::new(
                "api_key_sid",
                "is none: SK and 32 characters 0-9, a-f",
            )),
            (Some(sid), Some(secret), _) => Ok((sid, secret)),
            (None, None, Some(token)) => Ok((self.account_sid.as_deref().unwrap_or(""), token)),
            (None, None, None) => Err(Problem::new(
                "auth_token",
                "is missing: set it, or api_key_sid and api_key_secret",
            )),
            (Some(_), None, _) => Err(Problem::new(
                "api_key_secret",
                "is missing for the api_key_sid",
            )),
            (None, Some(_), _) => Err(Problem::new(
                "api_key_sid",
                "is missing for the api_key_secret",
            )),
        }
    }

    /// The parameter that names the sender, and its value.
    pub(super) fn sender(&self) -> Result<(&'static str, &str), Problem> {
        match (&self.from, &self.messaging_service_sid) {
            (Some(from), None) if is_sender(from) => Ok(("From", from)),
            (Some(_), None) => Err(Problem::new(
                "from",
                "is no sender: a number like +14155550123, a short code, or a name of up to 11 \
                 letters, digits, hyphens and spaces",
            )),
            (None, Some(sid)) if is_sid(sid, "MG") => Ok(("MessagingServiceSid", sid)),
            (None, Some(_)) => Err(Problem::new(
                "messaging_service_sid",
                "is none: MG and 32 characters 0-9, a-f",
            )),
            (Some(_), Some(_)) => Err(Problem::new(
                "messaging_service_sid",
                "and from exclude each other: set one of them",
            )),
            (None, None) => Err(Problem::new(
                "from",
                "is missing: set it, or messaging_service_sid",
            )),
        }
    }

    /// The address for status callbacks. Twilio tells us only once unless the address says
    /// otherwise, in a part that is not sent (connection overrides): five more tries when we cannot
    /// be reached or are in trouble.
    pub(super) fn callback(&self) -> Result<Option<Url>, Problem> {
        let Some(url) = &self.status_callback_url else {
            return Ok(None);
        };
        match Url::parse(url) {
            Ok(mut url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                if url.fragment().is_none() {
                    url.set_fragment(Some("rc=5&rp=ct,rt,5xx"));
                }
                Ok(Some(url))
            }
            Ok(_) | Err(_) => Err(Problem::new(
                "status_callback_url",
                "is not an address: our own as Twilio sees it, \
                 https://notify.example.com/webhooks/twilio",
            )),
        }
    }
}

/// Two letters and 32 hexadecimal digits.
pub(super) fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What every provider takes as a sender, and what Twilio takes besides: spaces in a name, and a
/// short code of 3 to 8 digits.
fn is_sender(from: &str) -> bool {
    let is_short_code = (3..=8).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_digit());
    let plain = from.replace(' ', "-");
    let is_plain = SmsSender::parse(&plain).is_ok_and(|sender| sender.as_str() == plain);
    is_short_code || is_plain
}
