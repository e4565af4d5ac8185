//! `[webhooks]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

use crate::delivery::Schedule;
use crate::domain::webhook::UrlRules;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    pub allow_http: bool,
    pub allow_private_addresses: bool,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub retry_initial_ms: u64,
    pub retry_max_ms: u64,
    pub give_up_after_days: u32,
    pub keep_days: u32,
}

/// After a kill an endpoint waits for so long and some seconds more.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Nobody repairs after a month what was not missed for so long.
const DAYS_MAX: u32 = 365;
/// The shape of the waits; the first and the longest are settings.
const RETRY_MULTIPLIER: f64 = 2.0;

impl WebhookSettings {
    /// What is wrong, each with its key.
    pub fn validate(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |ok: bool, text: String| {
            if !ok {
                wrong.push(text);
            }
        };
        check(
            (1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms),
            format!("timeout_ms must be from 1 to {TIMEOUT_MS_MAX}"),
        );
        check(
            (1..=self.timeout_ms).contains(&self.connect_timeout_ms),
            "connect_timeout_ms must be from 1 to timeout_ms".to_owned(),
        );
        check(
            self.retry_initial_ms >= 1,
            "retry_initial_ms must be at least 1".to_owned(),
        );
        check(
            self.retry_max_ms >= self.retry_initial_ms,
            "retry_max_ms must be at least retry_initial_ms".to_owned(),
        );
        check(
            (1..=DAYS_MAX).contains(&self.give_up_after_days),
            format!("give_up_after_days must be from 1 to {DAYS_MAX}"),
        );
        check(
            (self.give_up_after_days..=DAYS_MAX).contains(&self.keep_days),
            format!("keep_days must be from give_up_after_days to {DAYS_MAX}"),
        );
        wrong
    }

    pub const fn url_rules(&self) -> UrlRules {
        UrlRules {
            allow_http: self.allow_http,
            allow_private: self.allow_private_addresses,
        }
    }

    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) const fn schedule(&self) -> Schedule {
        Schedule {
            initial: Duration::from_millis(self.retry_initial_ms),
            max: Duration::from_millis(self.retry_max_ms),
            multiplier: RETRY_MULTIPLIER,
        }
    }

    pub(super) fn give_up_after(&self) -> Duration {
        days(self.give_up_after_days)
    }

    pub(super) fn keep(&self) -> Duration {
        days(self.keep_days)
    }
}

fn days(days: u32) -> Duration {
    Duration::from_hours(24 * u64::from(days))
}
