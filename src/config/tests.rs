//! The settings as an operator gives them.

use super::*;

/// What the environment makes of the defaults.
pub(super) fn load(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let variables = variables
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Settings::load(None, Some(variables))
}

/// The same, by the names without their prefix, and with what is wrong in words.
pub(super) fn set(settings: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = settings.iter();
    let variables = variables.map(|(k, v)| (format!("SENDTRAIL__{k}"), (*v).to_owned()));
    Settings::load(None, Some(variables.collect())).map_err(|error| error.to_string())
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
    let in_force = settings.delivery_in_force();
    assert_eq!(in_force.retry_max_ms, settings.sandbox.retry_max_ms);
    assert_eq!(in_force.breaker.rest_max_ms, settings.sandbox.retry_max_ms);
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
    let later = load(&[("SENDTRAIL__SMS__PROVIDERS", "sns,end_user_messaging")]);
    let error = later.unwrap_err().to_string();
    assert!(error.contains("not available yet"), "{error}");
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
        ("SENDTRAIL__DELIVERY__BREAKER__ERROR_SHARE", "1.5"),
        ("SENDTRAIL__SES__MAX_PER_SECOND", "0"),
        ("SENDTRAIL__EMAIL__PROVIDERS", "ses,ses"),
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
        "delivery.breaker.error_share",
        "ses.max_per_second",
        "email.providers names ses twice",
    ] {
        assert!(error.contains(key), "{key} in {error}");
    }
}

#[test]
fn a_lease_that_a_slow_database_outlasts_is_warned_of() {
    let reached = ("SENDTRAIL__HTTP__PUBLIC_URL", "https://notify.example.com");
    assert!(load(&[reached]).unwrap().warnings().is_empty());
    let short = load(&[reached, ("SENDTRAIL__DELIVERY__LEASE_SECONDS", "9")]).unwrap();
    let [warning] = short.warnings().try_into().unwrap();
    assert!(warning.starts_with("delivery.lease_seconds"), "{warning}");
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
fn feedback_is_kept_for_days_or_for_ever_and_never_shorter_than_it_may_be_repeated() {
    let days = |days| {
        let variables = [
            ("SENDTRAIL__FEEDBACK__KEEP_MESSAGES_DAYS", days),
            ("SENDTRAIL__FEEDBACK__SNS__MAX_AGE_SECONDS", "90000"),
        ];
        load(&variables).map(|settings| settings.feedback.retention().inbox)
    };
    assert_eq!(days("0").unwrap(), None);
    assert_eq!(days("2").unwrap(), Some(Duration::from_hours(48)));
    let error = days("1").unwrap_err().to_string();
    assert!(error.contains("feedback.keep_messages_days"), "{error}");
}

#[test]
fn what_nobody_sees_to_is_kept_for_a_while() {
    let retention = load(&[]).unwrap().retention;
    assert_eq!(retention.buried(), Some(Duration::from_hours(24 * 90)));
    assert_eq!(retention.causes(), Some(Duration::from_hours(24 * 400)));
    let none = [
        ("SENDTRAIL__RETENTION__BURIED_DAYS", "0"),
        ("SENDTRAIL__RETENTION__CAUSES_DAYS", "0"),
    ];
    let retention = load(&none).unwrap().retention;
    assert_eq!((retention.buried(), retention.causes()), (None, None));
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
        "\"pigeon\" must be one of: sns, twilio for key `sms.providers`",
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
fn production_refuses_the_sandbox_and_sample_staff() {
    let error = load(&[
        ("SENDTRAIL__ENVIRONMENT", "production"),
        ("SENDTRAIL__SANDBOX__ENABLED", "true"),
        ("SENDTRAIL__WEB__SAMPLE_STAFF", "true"),
    ])
    .unwrap_err()
    .to_string();
    for key in ["sandbox.enabled", "web.sample_staff", "email.from"] {
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
