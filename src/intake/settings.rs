//! `[intake.sqs]` and `[feedback.sqs]` of the configuration.

use std::time::Duration;

use aws_sdk_sqs::Client;
use secrecy::SecretString;
use serde::Deserialize;

use crate::transport::{AwsAccess, Problem};

/// Which queues to read, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqsSettings {
    /// `URL` of a queue of the business `default`, or `BUSINESS=URL`.
    pub queues: Vec<String>,
    pub endpoint_url: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<SecretString>,
    pub secret_access_key: Option<SecretString>,
    pub receivers: usize,
    pub wait_seconds: u16,
    pub visibility_seconds: u16,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
}

/// A queue, and whose notifications come by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub business: String,
    pub url: String,
}

impl Queue {
    /// Its own name: account and region are not for logs.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}

const BUSINESS_DEFAULT: &str = "default";
/// Without a wait an empty queue would be asked again and again without a pause.
const WAIT_SECONDS_MIN: u16 = 1;
/// Amazon SQS, `ReceiveMessage`: the longest poll.
const WAIT_SECONDS_MAX: u16 = 20;
/// Longer than the longest time that a commit may take (see the time-outs of `store`), so that a
/// message does not come again while it is being enqueued.
const VISIBILITY_SECONDS_MIN: u16 = 30;
/// The SQS limit of 12 hours.
const VISIBILITY_SECONDS_MAX: u16 = 43_200;
/// Each holds up to ten messages of up to a megabyte.
const RECEIVERS_MAX: usize = 32;

impl SqsSettings {
    /// Of queues that bring feedback, which belongs to no business.
    pub fn validate_feedback(&self) -> Vec<Problem> {
        let mut problems = self.validate();
        for text in &self.queues {
            if parse(text).is_some_and(|queue| queue.url != text.trim()) {
                let why =
                    format!("has {text:?}: feedback belongs to no business, write the URL alone");
                problems.push(Problem::new("queues", why));
            }
        }
        problems
    }

    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.access().validate(&mut problems);
        let mut check = |ok: bool, key, text: String| {
            if !ok {
                problems.push(Problem::new(key, text));
            }
        };
        for queue in &self.queues {
            let is_url = parse(queue).is_some();
            check(
                is_url,
                "queues",
                format!(
                    "has {queue:?}: write https://sqs.eu-west-1.amazonaws.com/123456789012/name for the \
                 business {BUSINESS_DEFAULT}, or BUSINESS=https://… for another"
                ),
            );
        }
        check(
            (1..=RECEIVERS_MAX).contains(&self.receivers),
            "receivers",
            format!("must be from 1 to {RECEIVERS_MAX}"),
        );
        check(
            (WAIT_SECONDS_MIN..=WAIT_SECONDS_MAX).contains(&self.wait_seconds),
            "wait_seconds",
            format!("must be from {WAIT_SECONDS_MIN} to {WAIT_SECONDS_MAX}"),
        );
        check(
            (VISIBILITY_SECONDS_MIN..=VISIBILITY_SECONDS_MAX).contains(&self.visibility_seconds),
            "visibility_seconds",
            format!("must be from {VISIBILITY_SECONDS_MIN} to {VISIBILITY_SECONDS_MAX}"),
        );
        // A poll without messages is answered at its end.
        let answered = Duration::from_secs(u64::from(self.wait_seconds) + 1);
        check(
            Duration::from_millis(self.timeout_ms) >= answered,
            "timeout_ms",
            "must be a second longer than wait_seconds".to_owned(),
        );
        problems
    }

    /// The queues that can be read; [`SqsSettings::validate`] names the others.
    pub fn queues(&self) -> Vec<Queue> {
        self.queues.iter().filter_map(|text| parse(text)).collect()
    }

    pub async fn client(&self) -> Client {
        Client::new(&self.access().config().await)
    }

    fn access(&self) -> AwsAccess<'_> {
        AwsAccess {
            endpoint_url: self.endpoint_url.as_deref(),
            region: self.region.as_deref(),
            key_id: self.access_key_id.as_ref(),
            key_secret: self.secret_access_key.as_ref(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
        }
    }
}

fn parse(text: &str) -> Option<Queue> {
    let is_url = |text: &str| {
        reqwest::Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.path().len() > 1)
    };
    let (business, url) = match text.split_once('=') {
        Some((business, url)) if !is_url(text) => (business.trim(), url.trim()),
        Some(_) | None => (BUSINESS_DEFAULT, text.trim()),
    };
    (is_url(url) && !business.is_empty()).then(|| Queue {
        business: business.to_owned(),
        url: url.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_belongs_to_the_default_business_unless_another_is_named() {
        let queue = |business: &str, url: &str| {
            Some(Queue {
                business: business.to_owned(),
                url: url.to_owned(),
            })
        };
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/in";
        assert_eq!(parse(url), queue("default", url));
        assert_eq!(parse(&format!(" acme = {url} ")), queue("acme", url));
        let odd = "http://127.0.0.1:4566/queue/eu-west-1/000000000000/in?a=b";
        assert_eq!(parse(odd), queue("default", odd));
        for wrong in [
            "",
            "in",
            "acme=in",
            "=https://x/y",
            "ftp://x/y",
            "https://x",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
