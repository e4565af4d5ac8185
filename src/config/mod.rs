//! Settings: compiled-in defaults, then a file, then the environment. Unknown keys are errors, and
//! every wrong value is named at once.

mod oidc;
mod outside;
mod providers;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::delivery::{
    BreakerSettings, DeliverySettings, MethodRules, OnUnknown, Retention, Rules,
};
use crate::domain::brake;
use crate::feedback::bounce_mail::BounceSettings;
use crate::feedback::sns::SnsSettings as TopicSettings;
use crate::intake::SqsSettings;
use crate::traces::TraceSettings;
use crate::transport::{ApnsSettings, EmailSettings, FcmSettings, SesSettings, SmtpSettings};
use crate::transport::{SnsSettings, TwilioSettings};
use crate::webhooks::{OperationsSettings, WebhookSettings};

pub use oidc::Oidc;
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
    pub oidc: Oidc,
    pub email: Email,
    pub sms: Sms,
    pub push: Push,
    pub ses: SesSettings,
    pub smtp: SmtpSettings,
    pub sns: SnsSettings,
    pub twilio: TwilioSettings,
    pub fcm: FcmSettings,
    pub apns: ApnsSettings,
    pub feedback: Feedback,
    pub bounces: BounceSettings,
    pub retention: Retained,
    pub intake: Intake,
    pub delivery: DeliverySettings,
    pub brakes: brake::Rules,
    pub webhooks: WebhookSettings,
    pub traces: TraceSettings,
    pub operations: OperationsSettings,
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
    pub public_url: Option<String>,
    pub client_address_header: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    pub sample_staff: bool,
    pub unsubscribe_secret: Option<SecretString>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub from: String,
    pub unsubscribe_mailto: Option<String>,
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<EmailProvider>,
    pub unknown: OnUnknown,
    pub retry_horizon_hours: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sms {
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<SmsProvider>,
    pub unknown: OnUnknown,
    pub retry_horizon_hours: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    #[serde(deserialize_with = "words::list")]
    pub providers: Vec<PushProvider>,
    pub unknown: OnUnknown,
    pub retry_horizon_hours: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    pub keep_messages_days: u32,
    pub keep_unmatched_days: u32,
    pub sns: TopicSettings,
    pub sqs: SqsSettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retained {
    pub content_days: u32,
    pub entries_days: u32,
    pub buried_days: u32,
    pub causes_days: u32,
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
const LISTS: [&str; 7] = [
    "email.providers",
    "sms.providers",
    "push.providers",
    "feedback.sns.topics",
    "feedback.sqs.queues",
    "intake.sqs.queues",
    "operations.webhook_urls",
];

/// A month: nothing that is later than this is a notification any more.
const RETRY_HORIZON_HOURS_MAX: u64 = 720;

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
        let horizons = [
            ("email", self.email.retry_horizon_hours),
            ("sms", self.sms.retry_horizon_hours),
            ("push", self.push.retry_horizon_hours),
        ];
        for (method, hours) in horizons {
            if !(1..=RETRY_HORIZON_HOURS_MAX).contains(&hours) {
                wrong.push(format!(
                    "{method}.retry_horizon_hours must be from 1 to {RETRY_HORIZON_HOURS_MAX}"
                ));
            }
        }
        let feedback = self.feedback.validate();
        wrong.extend(feedback.iter().map(|problem| format!("feedback.{problem}")));
        let bounces = self.bounces.validate();
        wrong.extend(bounces.iter().map(|problem| format!("bounces.{problem}")));
        let intake = self.intake.sqs.validate();
        wrong.extend(intake.iter().map(|problem| format!("intake.sqs.{problem}")));
        let brakes = self.brakes.validate();
        wrong.extend(
            brakes
                .iter()
                .map(|(key, text)| format!("brakes.{key} {text}")),
        );
        let webhooks = self.webhooks.validate();
        wrong.extend(webhooks.iter().map(|problem| format!("webhooks.{problem}")));
        let traces = self.traces.validate();
        wrong.extend(traces.iter().map(|problem| format!("traces.{problem}")));
        let operations = self.operations.validate();
        wrong.extend(
            operations
                .iter()
                .map(|problem| format!("operations.{problem}")),
        );
        wrong.extend(providers::wrong(self));
        wrong.extend(self.wrong_outside());
        wrong.extend(self.wrong_oidc());
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
        if self.webhooks.allow_http {
            let why = "what is sent could be read and changed on its way";
            wrong.push(format!(
                "webhooks.allow_http must be false in production: {why}"
            ));
        }
        if self.web.sample_staff {
            let why = "everybody can read their passwords";
            wrong.push(format!(
                "web.sample_staff must be false in production: {why}"
            ));
        }
        let bounces = self.bounces.validate_production();
        wrong.extend(bounces.map(|problem| format!("bounces.{problem}")));
        if !self.email.providers.is_empty() && self.email.from.contains("no-reply@example.com") {
            wrong.push("email.from must be your own address in production".into());
        }
    }

    /// What is allowed and seldom meant.
    pub fn warnings(&self) -> Vec<String> {
        let delivery = self.delivery.warnings().into_iter();
        let delivery = delivery.map(|text| format!("delivery.{text}"));
        let of_providers = self.missing_of_providers();
        delivery
            .chain(self.missing_outside())
            .chain(of_providers)
            .collect()
    }

    pub fn email_settings(&self) -> EmailSettings {
        EmailSettings {
            from: self.email.from.clone(),
        }
    }

    /// What each method has rules of its own for.
    pub fn rules(&self) -> Rules {
        let rules = |on_unknown, hours| MethodRules {
            horizon: Duration::from_hours(hours),
            on_unknown,
        };
        Rules {
            email: rules(self.email.unknown, self.email.retry_horizon_hours),
            sms: rules(self.sms.unknown, self.sms.retry_horizon_hours),
            push: rules(self.push.unknown, self.push.retry_horizon_hours),
        }
    }

    /// The delivery rules in force: the sandbox has its own, faster ones.
    pub fn delivery_in_force(&self) -> DeliverySettings {
        let mut delivery = self.delivery.clone();
        if self.sandbox.enabled {
            delivery.attempts_max = self.sandbox.attempts_max;
            delivery.retry_initial_ms = self.sandbox.retry_initial_ms;
            delivery.retry_max_ms = self.sandbox.retry_max_ms;
            delivery.mailbox_retry_initial_ms = self.sandbox.retry_initial_ms;
            delivery.mailbox_retry_max_ms = self.sandbox.retry_max_ms;
            delivery.unknown_grace_ms = self.sandbox.unknown_grace_ms;
            // A story that fails is about its own message. Only of a provider that is shut do so many
            // calls fail in a row, and the first that goes well shows that it is open again.
            delivery.breaker = BreakerSettings {
                failures: 20,
                error_share: 1.0,
                volume_min: 20,
                rest_ms: self.sandbox.retry_initial_ms,
                rest_max_ms: self.sandbox.retry_max_ms,
                probes: 1,
            };
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

impl Feedback {
    fn validate(&self) -> Vec<String> {
        let topics = self.sns.validate();
        let mut wrong: Vec<String> = topics
            .iter()
            .map(|problem| format!("sns.{problem}"))
            .collect();
        let queues = self.sqs.validate_feedback();
        wrong.extend(queues.iter().map(|problem| format!("sqs.{problem}")));
        // A kept message is how its repetition is recognised.
        let kept = self.retention().inbox;
        if kept.is_some_and(|kept| kept < Duration::from_secs(self.sns.max_age_seconds)) {
            wrong.push(
                "keep_messages_days must not be shorter than feedback.sns.max_age_seconds".into(),
            );
        }
        wrong
    }

    pub fn retention(&self) -> Retention {
        Retention {
            inbox: for_days(self.keep_messages_days),
            unmatched: for_days(self.keep_unmatched_days),
        }
    }
}

impl Retained {
    /// How long the content of messages is kept; `None`: for ever.
    pub fn content(&self) -> Option<Duration> {
        for_days(self.content_days)
    }

    /// The same of whole entries.
    pub fn entries(&self) -> Option<Duration> {
        for_days(self.entries_days)
    }

    /// The same of messages from queues that could not be enqueued.
    pub fn buried(&self) -> Option<Duration> {
        for_days(self.buried_days)
    }

    /// The same of causes of failures, since they were last seen, and of their counts.
    pub fn causes(&self) -> Option<Duration> {
        for_days(self.causes_days)
    }
}

fn for_days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

impl Sandbox {
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub fn late(&self) -> Duration {
        Duration::from_millis(self.late_ms)
    }
}
