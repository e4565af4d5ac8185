//! The section `[fcm]`, and the service account by which Google knows us.

use std::path::PathBuf;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::transport::http::Reach;
use crate::transport::jwt;
use crate::transport::settings::{Problem, check_private_endpoint, check_rates};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcmSettings {
    /// Instead of `https://fcm.googleapis.com`.
    pub endpoint_url: Option<String>,
    /// Instead of the project that the service account belongs to.
    pub project_id: Option<String>,
    /// The key of the service account as Google gives it: a file with JSON, or the JSON itself.
    pub service_account_file: Option<PathBuf>,
    pub service_account: Option<SecretString>,
    /// Messages a second, at most and to begin with; none: as many as the provider takes.
    pub max_per_second: Option<f64>,
    pub initial_per_second: Option<f64>,
    pub connect_timeout_ms: u64,
    /// For one whole request, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for FcmSettings {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            project_id: None,
            service_account_file: None,
            service_account: None,
            max_per_second: None,
            initial_per_second: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
        }
    }
}

impl FcmSettings {
    /// Reads the file, where there is one.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.reach().validate(&mut problems);
        check_rates(
            &mut problems,
            ("max_per_second", self.max_per_second),
            ("initial_per_second", self.initial_per_second),
        );
        problems.extend(self.account().err());
        problems
    }

    pub(super) fn reach(&self) -> Reach<'_> {
        Reach {
            endpoint_url: self.endpoint_url.as_deref(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
        }
    }

    pub(super) fn account(&self) -> Result<Account, Problem> {
        let (key, json) = match (&self.service_account_file, &self.service_account) {
            (Some(path), None) => {
                let key = "service_account_file";
                let json = std::fs::read_to_string(path)
                    .map_err(|e| Problem::new(key, format!("cannot be read: {e}")))?;
                (key, json)
            }
            (None, Some(json)) => ("service_account", json.expose_secret().to_owned()),
            (Some(_), Some(_)) => {
                return Err(Problem::new(
                    "service_account",
                    "and service_account_file exclude each other: set one of them",
                ));
            }
            (None, None) => {
                return Err(Problem::new(
                    "service_account_file",
                    "is missing: the key of a service account, made in the Firebase console under \
                     project settings",
                ));
            }
        };
        let mut account = Account::read(key, &json)?;
        if let Some(project) = &self.project_id {
            project.clone_into(&mut account.project);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
        if account.project.is_empty() || !account.project.chars().all(fits) {
            return Err(Problem::new("project_id", "is no project: my-project-1234"));
        }
        Ok(account)
    }
}

/// Who we are to Google.
pub(super) struct Account {
    pub(super) project: String,
    pub(super) email: String,
    pub(super) token_url: Url,
    pub(super) key: jwt::Key,
}

impl Account {
    /// What is wrong is named by its field; its value, which may be the private key, is not.
    fn read(key: &'static str, json: &str) -> Result<Self, Problem> {
        let wrong = |what: String| Problem::new(key, what);
        let fields: Value =
            serde_json::from_str(json).map_err(|_may_quote| wrong("is no JSON".to_owned()))?;
        let field = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.ok_or_else(|| wrong(format!("has no text {name:?}")))
        };
        if field("type")? != "service_account" {
            return Err(wrong("is not the key of a service account".to_owned()));
        }
        let mut problems = Vec::new();
        check_private_endpoint(&mut problems, key, Some(field("token_uri")?));
        if let Some(problem) = problems.pop() {
            return Err(wrong(format!(
                "has a \"token_uri\" that {}",
                problem.message
            )));
        }
        let token_url = Url::parse(field("token_uri")?);
        let private_key = jwt::Key::rs256(field("private_key_id")?, field("private_key")?);
        Ok(Self {
            project: field("project_id")?.to_owned(),
            email: field("client_email")?.to_owned(),
            token_url: token_url.map_err(|_checked_above| wrong("has no token_uri".to_owned()))?,
            key: private_key.map_err(|e| wrong(format!("has a \"private_key\" that {e}")))?,
        })
    }
}
