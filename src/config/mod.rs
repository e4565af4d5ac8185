//! Settings: compiled-in defaults, then a file, then the environment. Unknown keys are errors, and
//! every wrong value is named at once.

mod words;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::delivery::DeliverySettings;
use crate::feedback::sns::SnsSettings as TopicSettings;
use crate::intake::SqsSettings;
use crate::transport::{EmailSettings, SesSettings, SmtpSettings, SnsSettings};

pub use words::{EmailProvider, Environment, LogFormat, PushProvider, SmsProvider};

/// The documentation of every setting, and its default.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub environment: Environment,
    pub database: Database,
    pub http: Http,
    pub web: Web,
    pub email: Email,
    pub sms: Sms,
    pub push: Push,
    pub ses: SesSettings,
    pub smtp: SmtpSettings,
    pub sns: SnsSettings,
    pub feedback: Feedback,
    pub intake: Intake,
    pub delivery: DeliverySettings,
    pub sandbox: Sandbox,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Holds a password.
    pub url: SecretString,
    pub connections: u32,
    pub migrate_on_start: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    pub open_history: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub from: String,
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<EmailProvider>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sms {
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<SmsProvider>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<PushProvider>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    pub sns: TopicSettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    pub sqs: SqsSettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub smtp_listen: SocketAddr,
    pub latency_ms: u64,
    pub late_ms: u64,
    pub attempts_max: u32,
    pub retry_initial_ms: u64,
    pub retry_max_ms: u64,
    pub unknown_grace_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// The keys of lists; in a variable their items are separated by commas.
const LISTS: [&str; 5] = [
    "email.providers",
    "sms.providers",
    "push.providers",
    "feedback.sns.topics",
    "intake.sqs.queues",
];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read at all.
    #[error(transparent)]
    Load(#[from] config::ConfigError),
    /// One line per wrong value: its key and what is allowed.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Settings {
    /// Loads and checks the settings. `environment` are the variables to take `SENDTRAIL__…` from;
    /// `None` means the process's own.
    pub fn load(
        file: Option<&Path>,
        environment: Option<config::Map<String, String>>,
    ) -> Result<Self, Error> {
        // All values are taken as texts: to guess their types would change passwords such as 007.
        let variables = config::Environment::with_prefix("SENDTRAIL")
            .prefix_separator("__")
            .separator("__")
            .source(environment);
        let mut given = config::Config::builder();
        if let Some(file) = file {
            given = given.add_source(config::File::from(file).format(config::FileFormat::Toml));
        }
        given = given.add_source(variables);
        let read = given.clone().build()?;
        for key in LISTS {
            // A file has a list there, a variable one text.
            if let Ok(text) = read.get_string(key) {
                let items = text.split(',').map(str::trim);
                let items: Vec<&str> = items.filter(|item| !item.is_empty()).collect();
                given = given.set_override(key, items)?;
            }
        }
        let given = given.build()?;
        let loaded = over_defaults().add_source(given.clone()).build()?;
        let Ok(settings) = loaded.try_deserialize::<Self>() else {
            return Err(Error::Wrong(each_wrong(given)?));
        };
        let wrong = settings.validate();
        if wrong.is_empty() {
            Ok(settings)
        } else {
            Err(Error::Wrong(wrong))
        }
    }

    /// Every wrong value, by its key.
    fn validate(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let url = self.database.url.expose_secret();
        if !["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|s| url.starts_with(s))
        {
            wrong.push("database.url must begin with sqlite: or postgres://".to_owned());
        }
        if !(2..=1000).contains(&self.database.connections) {
            wrong.push("database.connections must be from 2 to 1000".to_owned());
        }
        let delivery = self.delivery.validate();
        let in_force = self.delivery_in_force().validate();
        let by_sandbox = in_force.iter().filter(|found| !delivery.contains(found));
        wrong.extend(by_sandbox.map(|(key, text)| format!("sandbox.{key} {text}")));
        wrong.extend(
            delivery
                .iter()
                .map(|(key, text)| format!("delivery.{key} {text}")),
        );
        let topics = self.feedback.sns.validate();
        wrong.extend(
            topics
                .iter()
                .map(|problem| format!("feedback.sns.{problem}")),
        );
        let mut sections = vec![("email", self.email_settings().validate())];
        if self.email.providers.contains(&EmailProvider::Ses) {
            sections.push(("ses", self.ses.validate()));
        }
        if self.email.providers.contains(&EmailProvider::Smtp) && !self.sandbox.enabled {
            sections.push(("smtp", self.smtp.validate()));
        }
        sections.push(("sns", self.sns.validate()));
        sections.push(("intake.sqs", self.intake.sqs.validate()));
        for (section, problems) in sections {
            wrong.extend(
                problems
                    .iter()
                    .map(|problem| format!("{section}.{problem}")),
            );
        }
        if self.environment == Environment::Production {
            self.validate_production(&mut wrong);
        }
        wrong
    }

    /// What is convenient in development and dangerous in production.
    fn validate_production(&self, wrong: &mut Vec<String>) {
        if self.sandbox.enabled {
            wrong.push("sandbox.enabled must be false in production: nothing would be sent".into());
        }
        if self.web.open_history {
            wrong.push("web.open_history must be false in production: it has no sign-in".into());
        }
        if !self.email.providers.is_empty() && self.email.from.contains("no-reply@example.com") {
            wrong.push("email.from must be your own address in production".into());
        }
    }

    pub fn email_settings(&self) -> EmailSettings {
        EmailSettings {
            from: self.email.from.clone(),
        }
    }

    /// The delivery rules in force: the sandbox has its own, faster ones.
    pub fn delivery_in_force(&self) -> DeliverySettings {
        let mut delivery = self.delivery.clone();
        if self.sandbox.enabled {
            delivery.attempts_max = self.sandbox.attempts_max;
            delivery.retry_initial_ms = self.sandbox.retry_initial_ms;
            delivery.retry_max_ms = self.sandbox.retry_max_ms;
            delivery.unknown_grace_ms = self.sandbox.unknown_grace_ms;
        }
        delivery
    }
}

fn over_defaults() -> config::ConfigBuilder<config::builder::DefaultState> {
    config::Config::builder().add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
}

/// Every setting that was given and cannot be used, found by trying each alone; and what is wrong
/// with the values of the others.
fn each_wrong(given: config::Config) -> Result<Vec<String>, config::ConfigError> {
    let mut wrong = Vec::new();
    let mut usable = over_defaults();
    let mut leaves = Vec::new();
    flatten(String::new(), given.cache, &mut leaves);
    for (key, value) in leaves {
        let alone = over_defaults()
            .set_override(&key, value.clone())
            .and_then(|builder| builder.build()?.try_deserialize::<Settings>());
        match alone {
            Ok(_) => usable = usable.set_override(&key, value)?,
            Err(error) => wrong.push(error.to_string()),
        }
    }
    let rest: Settings = usable.build()?.try_deserialize()?;
    wrong.extend(rest.validate());
    Ok(wrong)
}

/// The settings with their full names.
fn flatten(key: String, value: config::Value, leaves: &mut Vec<(String, config::Value)>) {
    let config::ValueKind::Table(table) = value.kind else {
        leaves.push((key, value));
        return;
    };
    let table: std::collections::BTreeMap<_, _> = table.into_iter().collect();
    for (name, value) in table {
        let below = if key.is_empty() {
            name
        } else {
            format!("{key}.{name}")
        };
        flatten(below, value, leaves);
    }
}

impl Sandbox {
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub fn late(&self) -> Duration {
        Duration::from_millis(self.late_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Settings::load(None, Some(variables))
    }

    #[test]
    fn the_defaults_are_valid_and_every_setting_is_documented() {
        load(&[]).unwrap();
    }

    #[test]
    fn the_environment_overrides_and_lists_are_separated_by_commas() {
        let settings = load(&[
            ("SENDTRAIL__DATABASE__URL", "sqlite:other.sqlite"),
            ("SENDTRAIL__EMAIL__PROVIDERS", "smtp,ses"),
            ("SENDTRAIL__SMTP__URL", "smtp://127.0.0.1:2525"),
            ("SENDTRAIL__HTTP__LISTEN", "127.0.0.1:0"),
            (
                "SENDTRAIL__FEEDBACK__SNS__TOPICS",
                "arn:aws:sns:us-east-1:123456789012:ses-feedback",
            ),
            ("SENDTRAIL__SES__REGION", "eu-west-1"),
            ("SENDTRAIL_OTHER", "is not ours"),
        ])
        .unwrap();
        assert_eq!(settings.database.url.expose_secret(), "sqlite:other.sqlite");
        assert_eq!(
            settings.email.providers,
            [EmailProvider::Smtp, EmailProvider::Ses]
        );
        assert_eq!(settings.feedback.sns.topics.len(), 1);
        let none = load(&[("SENDTRAIL__FEEDBACK__SNS__TOPICS", "")]).unwrap();
        assert!(none.feedback.sns.topics.is_empty());
    }

    #[test]
    fn a_password_of_digits_stays_as_it_is() {
        for password in ["007", "1e3", "TRUE", "inf", "+5", "0x10", " 7"] {
            let settings = load(&[("SENDTRAIL__SMTP__PASSWORD", password)]).unwrap();
            let read = settings.smtp.password.unwrap();
            assert_eq!(read.expose_secret(), password);
        }
        let settings = load(&[
            ("SENDTRAIL__DELIVERY__BATCH", "50"),
            ("SENDTRAIL__DELIVERY__RETRY_MULTIPLIER", "1.5"),
            ("SENDTRAIL__SANDBOX__ENABLED", "true"),
            ("SENDTRAIL__EMAIL__PROVIDERS", "smtp, ses"),
        ])
        .unwrap();
        assert_eq!(settings.delivery.batch, 50);
        assert!((settings.delivery.retry_multiplier - 1.5).abs() < f64::EPSILON);
        assert!(settings.sandbox.enabled);
        assert_eq!(settings.email.providers.len(), 2);
        assert!(load(&[("SENDTRAIL__DELIVERY__BATCH", "many")]).is_err());
        assert!(load(&[("SENDTRAIL__SANDBOX__ENABLED", "perhaps")]).is_err());
    }

    #[test]
    fn the_production_example_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/production.example.toml");
        let settings = Settings::load(Some(&path), Some(config::Map::new())).unwrap();
        assert_eq!(settings.environment, Environment::Production);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load(&[("SENDTRAIL__DATABASE__URI", "x")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("uri"), "{error}");
        let error = load(&[("SENDTRAIL__EMAIL__PROVIDERS", "pigeon")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("pigeon"), "{error}");
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let error = load(&[
            ("SENDTRAIL__DATABASE__URL", "mysql://x"),
            ("SENDTRAIL__DELIVERY__BATCH", "0"),
            ("SENDTRAIL__EMAIL__FROM", "nobody"),
            ("SENDTRAIL__FEEDBACK__SNS__TOPICS", "my-topic"),
            ("SENDTRAIL__SANDBOX__ENABLED", "true"),
            ("SENDTRAIL__SANDBOX__ATTEMPTS_MAX", "0"),
            ("SENDTRAIL__DELIVERY__BROKEN_PAUSE_MS", "0"),
        ])
        .unwrap_err()
        .to_string();
        for key in [
            "database.url",
            "delivery.batch",
            "email.from",
            "feedback.sns.topics",
            "sandbox.attempts_max",
            "delivery.broken_pause_ms",
        ] {
            assert!(error.contains(key), "{key} in {error}");
        }
    }

    #[test]
    fn a_topic_that_could_never_report_is_named() {
        let topics = |topics| load(&[("SENDTRAIL__FEEDBACK__SNS__TOPICS", topics)]);
        assert!(topics("arn:aws:sns:us-east-1:123456789012:a, ").is_ok());
        for wrong in [
            "ses-feedback",
            "arn:aws:sns:us-east-1:123456789012:a:6b0e71bd",
            "arn:aws:sqs:us-east-1:123456789012:a",
            "arn:aws:sns:zz-fake-1:123456789012:a",
        ] {
            assert!(topics(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_wrong_types_and_wrong_values_are_named_together() {
        let error = load(&[
            ("SENDTRAIL__DATABASE__URI", "x"),
            ("SENDTRAIL__DATABASE__CONNECTIONS", "many"),
            ("SENDTRAIL__CELLAR__DEPTH", "x"),
            ("SENDTRAIL__LOG__FORMAT", "xml"),
            ("SENDTRAIL__SMS__PROVIDERS", "sns,pigeon"),
            ("SENDTRAIL__DELIVERY__BATCH", "0"),
        ])
        .unwrap_err()
        .to_string();
        for words in [
            "`uri`",
            "database.connections",
            "`cellar`",
            "\"xml\" must be one of: text, json for key `log.format`",
            "\"pigeon\" must be one of: sns for key `sms.providers`",
            "delivery.batch",
        ] {
            assert!(error.contains(words), "{words} in {error}");
        }
        assert_eq!(error.lines().count(), 6, "{error}");
    }

    #[test]
    fn a_method_without_providers_is_switched_off() {
        let settings = load(&[("SENDTRAIL__SMS__PROVIDERS", "")]).unwrap();
        assert!(settings.sms.providers.is_empty());
    }

    #[test]
    fn production_refuses_the_sandbox_and_the_open_page() {
        let error = load(&[
            ("SENDTRAIL__ENVIRONMENT", "production"),
            ("SENDTRAIL__SANDBOX__ENABLED", "true"),
            ("SENDTRAIL__WEB__OPEN_HISTORY", "true"),
        ])
        .unwrap_err()
        .to_string();
        for key in ["sandbox.enabled", "web.open_history", "email.from"] {
            assert!(error.contains(key), "{key} in {error}");
        }
    }

    #[test]
    fn secrets_are_not_in_the_debug_form() {
        let settings = load(&[
            (
                "SENDTRAIL__DATABASE__URL",
                "postgres://u:hunter2@127.0.0.1/x",
            ),
            ("SENDTRAIL__SES__ACCESS_KEY_ID", "AKIA"),
            ("SENDTRAIL__SES__SECRET_ACCESS_KEY", "hunter3"),
        ])
        .unwrap();
        let text = format!("{settings:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("hunter3"),
            "{text}"
        );
    }
}
