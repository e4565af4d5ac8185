//! The section `[apns]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::transport::http::Reach;
use crate::transport::jwt;
use crate::transport::settings::{Problem, check_rates};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApnsSettings {
    /// Instead of `https://api.push.apple.com`; that of development builds is
    /// `https://api.sandbox.push.apple.com`.
    pub endpoint_url: Option<String>,
    /// The name of the key, and the team it belongs to: ten characters each.
    pub key_id: Option<String>,
    pub team_id: Option<String>,
    /// The app's bundle id.
    pub topic: Option<String>,
    /// The key as Apple gives it: a file `AuthKey_….p8`, or what is in it.
    pub key_file: Option<PathBuf>,
    pub key: Option<SecretString>,
    /// Messages a second, at most and to begin with; none: as many as the provider takes.
    pub max_per_second: Option<f64>,
    pub initial_per_second: Option<f64>,
    pub connect_timeout_ms: u64,
    /// For one whole request, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for ApnsSettings {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            key_id: None,
            team_id: None,
            topic: None,
            key_file: None,
            key: None,
            max_per_second: None,
            initial_per_second: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
        }
    }
}

impl ApnsSettings {
    /// Reads the key's file, where there is one.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.reach().validate(&mut problems);
        check_rates(
            &mut problems,
            ("max_per_second", self.max_per_second),
            ("initial_per_second", self.initial_per_second),
        );
        problems.extend(self.key_id().err());
        problems.extend(self.team_id().err());
        problems.extend(self.topic().err());
        problems.extend(
            self.pem()
                .and_then(|(name, pem)| read(name, "", &pem))
                .err(),
        );
        problems
    }

    pub(in crate::transport) fn reach(&self) -> Reach<'_> {
        Reach {
            endpoint_url: self.endpoint_url.as_deref(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
        }
    }

    pub(super) fn signing_key(&self) -> Result<jwt::Key, Problem> {
        let (name, pem) = self.pem()?;
        read(name, self.key_id()?, &pem)
    }

    fn key_id(&self) -> Result<&str, Problem> {
        ten_characters("key_id", self.key_id.as_deref())
    }

    pub(super) fn team_id(&self) -> Result<&str, Problem> {
        ten_characters("team_id", self.team_id.as_deref())
    }

    pub(super) fn topic(&self) -> Result<&str, Problem> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        match self.topic.as_deref() {
            None => Err(Problem::new("topic", "is missing: the app's bundle id")),
            Some(topic) if topic.is_empty() || !topic.chars().all(fits) => {
                Err(Problem::new("topic", "is no bundle id: com.example.app"))
            }
            Some(topic) => Ok(topic),
        }
    }

    fn pem(&self) -> Result<(&'static str, String), Problem> {
        match (&self.key_file, &self.key) {
            (Some(path), None) => std::fs::read_to_string(path)
                .map(|pem| ("key_file", pem))
                .map_err(|e| Problem::new("key_file", format!("cannot be read: {e}"))),
            (None, Some(key)) => Ok(("key", key.expose_secret().to_owned())),
            (Some(_), Some(_)) => Err(Problem::new(
                "key",
                "and key_file exclude each other: set one of them",
            )),
            (None, None) => Err(Problem::new(
                "key_file",
                "is missing: AuthKey_….p8, made in the Apple developer account under keys",
            )),
        }
    }
}

fn read(name: &'static str, key_id: &str, pem: &str) -> Result<jwt::Key, Problem> {
    jwt::Key::es256(key_id, pem).map_err(|e| Problem::new(name, e.to_string()))
}

fn ten_characters<'a>(key: &'static str, text: Option<&'a str>) -> Result<&'a str, Problem> {
    match text {
        None => Err(Problem::new(key, "is missing: ten letters and digits")),
        Some(text) if text.len() != 10 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err(Problem::new(key, "must have ten letters and digits"))
        }
        Some(text) => Ok(text),
    }
}
