//! The section `[smtp]`: which server, how to reach it, as whom.

use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::extension::ClientId;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::domain::bounce_address::BounceAddress;
use crate::transport::ses::check_configuration_set;
use crate::transport::settings::{Problem, check_rates, check_timeout, is_loopback};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpSettings {
    /// `smtp://host:port`, with `?tls=required` (STARTTLS), `?tls=opportunistic` or `?tls=none`;
    /// or `smtps://host:port` (TLS from the first byte). `user:password@` may stand before the
    /// host, which is why it is a secret.
    pub url: Option<SecretString>,
    /// Instead of the URL's.
    pub username: Option<String>,
    pub password: Option<SecretString>,
    /// The name given in EHLO; none: the machine's.
    pub hello_name: Option<String>,
    /// PEM file with the certificates of a private authority, trusted beside the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// Connections at the same time, so messages at the same time.
    pub max_connections: usize,
    /// Messages a second, at most and to begin with; none: as many as the server takes.
    pub max_per_second: Option<f64>,
    pub initial_per_second: Option<f64>,
    /// A connection is closed after this many messages, so that load spreads over a fleet of
    /// servers behind one name.
    pub messages_per_connection: u32,
    /// A connection unused for this long is not used again. Servers close idle ones after minutes
    /// at best (Postfix: 300 s, SES: 10 s).
    pub idle_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// For the greeting with all that belongs to it, and for the envelope.
    pub command_timeout_ms: u64,
    /// For the message and the server's word on it. RFC 5321 4.5.3.2.6 asks for ten minutes; the
    /// shorter, the more answers are lost.
    pub data_timeout_ms: u64,
    /// Adds the headers of SES's SMTP interface: `X-SES-MESSAGE-TAGS` with our id, and
    /// `X-SES-CONFIGURATION-SET`.
    pub message_tags: bool,
    pub configuration_set: Option<String>,
    /// Where bounces go; each message has an address of its own made of it as its envelope sender. None: to
    /// the address that the message is from.
    pub bounce_address: Option<String>,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            url: None,
            username: None,
            password: None,
            hello_name: None,
            tls_ca_file: None,
            max_connections: 16,
            max_per_second: None,
            initial_per_second: None,
            messages_per_connection: 1_000,
            idle_timeout_ms: 8_000,
            connect_timeout_ms: 10_000,
            command_timeout_ms: 30_000,
            data_timeout_ms: 120_000,
            message_tags: false,
            configuration_set: None,
            bounce_address: None,
        }
    }
}

/// More connections than this are refused by every provider, and use up file handles.
const CONNECTIONS_MAX: usize = 1_000;

impl SmtpSettings {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(problem) = self.server() {
            problems.push(problem);
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.max_connections) {
            problems.push(Problem::new(
                "max_connections",
                format!("must be 1 to {CONNECTIONS_MAX}"),
            ));
        }
        check_rates(
            &mut problems,
            ("max_per_second", self.max_per_second),
            ("initial_per_second", self.initial_per_second),
        );
        if self.messages_per_connection == 0 {
            problems.push(Problem::new("messages_per_connection", "must be 1 or more"));
        }
        for (key, millis) in [
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("command_timeout_ms", self.command_timeout_ms),
            ("data_timeout_ms", self.data_timeout_ms),
        ] {
            check_timeout(&mut problems, key, millis);
        }
        check_configuration_set(&mut problems, self.configuration_set.as_deref());
        if self.configuration_set.is_some() && !self.message_tags {
            problems.push(Problem::new(
                "configuration_set",
                "is written only with message_tags = true, which is for SES",
            ));
        }
        if let Err(problem) = self.bounces() {
            problems.push(problem);
        }
        problems
    }

    pub(super) fn bounces(&self) -> Result<Option<BounceAddress>, Problem> {
        let address = self.bounce_address.as_deref().map(BounceAddress::parse);
        let address = address.transpose();
        address.map_err(|why| Problem::new("bounce_address", why.to_string()))
    }

    pub(super) fn server(&self) -> Result<Server, Problem> {
        let Some(url) = &self.url else {
            return Err(Problem::new("url", "is missing: smtp://host:port"));
        };
        let url = Url::parse(url.expose_secret())
            .map_err(|e| Problem::new("url", format!("is no address: {e}")))?;
        let host = match url.host_str() {
            Some(host) if !host.is_empty() => host.trim_matches(['[', ']']).to_owned(),
            _ => return Err(Problem::new("url", "names no host: smtp://host:port")),
        };
        let (security, default_port) = security(&url)?;
        let username = match (&self.username, url.username()) {
            (Some(name), _) => Some(name.clone()),
            (None, "") => None,
            (None, encoded) => Some(percent_decoded(encoded)?),
        };
        let password = match (&self.password, url.password()) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(encoded)) => Some(SecretString::from(percent_decoded(encoded)?)),
            (None, None) => None,
        };
        let login = match (username, password) {
            (None, None) => None,
            (Some(username), Some(password)) => Some(Login { username, password }),
            (Some(_), None) => return Err(Problem::new("password", "is missing for the username")),
            (None, Some(_)) => return Err(Problem::new("username", "is missing for the password")),
        };
        let in_the_clear = matches!(security, Security::None | Security::Opportunistic);
        if login.is_some() && in_the_clear && !is_loopback(&host) {
            return Err(Problem::new(
                "url",
                "would send the password in the clear: use smtps:// or ?tls=required",
            ));
        }
        Ok(Server {
            port: url.port().unwrap_or(default_port),
            host,
            security,
            login,
            hello: self.hello()?,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            command_timeout: Duration::from_millis(self.command_timeout_ms),
            data_timeout: Duration::from_millis(self.data_timeout_ms),
        })
    }

    fn hello(&self) -> Result<ClientId, Problem> {
        let Some(name) = &self.hello_name else {
            return Ok(ClientId::default());
        };
        let fits = (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        if !fits {
            return Err(Problem::new("hello_name", "must be a domain name"));
        }
        Ok(ClientId::Domain(name.clone()))
    }
}

/// The server as the dialogue needs it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
    pub(super) hello: ClientId,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
    pub(super) data_timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: SecretString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    None,
    /// STARTTLS where it is offered.
    Opportunistic,
    /// STARTTLS or nothing.
    Required,
    /// TLS from the first byte.
    Implicit,
}

/// The security that a URL asks for, and the port that goes with it.
fn security(url: &Url) -> Result<(Security, u16), Problem> {
    let mut tls = None;
    for (key, value) in url.query_pairs() {
        if key != "tls" {
            return Err(Problem::new("url", "may have no parameter but tls"));
        }
        tls = Some(value);
    }
    if !matches!(url.path(), "" | "/") {
        return Err(Problem::new("url", "may have no path"));
    }
    match (url.scheme(), tls.as_deref()) {
        ("smtp", None | Some("none")) => Ok((Security::None, 25)),
        ("smtp", Some("opportunistic")) => Ok((Security::Opportunistic, 587)),
        ("smtp", Some("required")) => Ok((Security::Required, 587)),
        ("smtps", None | Some("required")) => Ok((Security::Implicit, 465)),
        ("smtp" | "smtps", Some(_)) => Err(Problem::new(
            "url",
            "has an unknown tls: required, opportunistic or none",
        )),
        _ => Err(Problem::new("url", "must begin with smtp:// or smtps://")),
    }
}

fn percent_decoded(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::new("url", "has a percent sign that encodes nothing");
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2).ok_or_else(wrong)?;
        bytes.extend(hex::decode(code).map_err(|_not_hex| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_not_utf8| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Server, Problem> {
        let settings = SmtpSettings {
            url: Some(url.into()),
            ..SmtpSettings::default()
        };
        settings.server()
    }

    #[test]
    fn a_url_says_host_port_security_and_login() {
        for (url, host, port, security) in [
            ("smtp://localhost", "localhost", 25, Security::None),
            (
                "smtp://127.0.0.1:2525?tls=none",
                "127.0.0.1",
                2525,
                Security::None,
            ),
            ("smtp://[::1]:2525", "::1", 2525, Security::None),
            (
                "smtp://mail.example?tls=required",
                "mail.example",
                587,
                Security::Required,
            ),
            (
                "smtp://mail.example/?tls=opportunistic",
                "mail.example",
                587,
                Security::Opportunistic,
            ),
            (
                "smtps://mail.example",
                "mail.example",
                465,
                Security::Implicit,
            ),
        ] {
            let found = server(url).unwrap();
            assert_eq!(
                (found.host.as_str(), found.port, found.security),
                (host, port, security),
                "{url}"
            );
            assert!(found.login.is_none());
        }
        let login = server("smtps://us%40er:p%3Aw@mail.example")
            .unwrap()
            .login
            .unwrap();
        assert_eq!(login.username, "us@er");
        assert_eq!(login.password.expose_secret(), "p:w");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for url in [
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://mail.example?tls=maybe",
            "smtp://mail.example?ssl=yes",
            "smtp://mail.example/path",
            "smtps://u:p%zz@mail.example",
            "smtp://user:password@mail.example:25",
            "smtp://user:password@mail.example:25?tls=opportunistic",
        ] {
            assert_eq!(server(url).unwrap_err().key, "url", "{url}");
        }
        assert_eq!(
            server("smtps://user@mail.example").unwrap_err().key,
            "password"
        );
        let settings = SmtpSettings {
            url: Some("smtp://localhost".into()),
            hello_name: Some("a b".to_owned()),
            max_connections: 0,
            messages_per_connection: 0,
            command_timeout_ms: 0,
            configuration_set: Some("my set".to_owned()),
            ..SmtpSettings::default()
        };
        let keys: Vec<&str> = settings.validate().iter().map(|p| p.key).collect();
        assert_eq!(
            keys,
            [
                "hello_name",
                "max_connections",
                "messages_per_connection",
                "command_timeout_ms",
                "configuration_set",
                "configuration_set"
            ]
        );
        assert!(
            SmtpSettings::default()
                .validate()
                .iter()
                .all(|p| p.key == "url")
        );
    }

    #[test]
    fn settings_are_read_and_unknown_keys_refused() {
        let read = |text| serde_json::from_str::<SmtpSettings>(text);
        let settings = read(r#"{"url": "smtp://localhost", "max_connections": 4}"#).unwrap();
        assert_eq!(settings.max_connections, 4);
        assert_eq!(settings.server().unwrap().port, 25);
        let error = read(r#"{"max_conections": 4}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `max_conections`"), "{error}");
    }

    #[test]
    fn no_secret_is_in_the_debug_form() {
        let settings = SmtpSettings {
            url: Some("smtps://user:hunter2@mail.example".into()),
            password: Some("hunter2".into()),
            ..SmtpSettings::default()
        };
        assert!(!format!("{settings:?} {:?}", settings.server()).contains("hunter2"));
    }
}
