//! What every AWS service has in common: the client's configuration, and the meaning of errors.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, StalledStreamProtectionConfig,
};
use aws_sdk_sesv2::error::{BoxError, ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret as _, SecretString};

use super::settings::{Problem, check_endpoint, check_timeout};
use super::words::{impersonal, one_line};
use crate::domain::event::Failure;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;

/// How to reach one AWS service, taken from its section of the configuration.
#[derive(Debug)]
pub struct Access<'a> {
    pub endpoint_url: Option<&'a str>,
    pub region: Option<&'a str>,
    /// The access key: its id, and its secret.
    pub key_id: Option<&'a SecretString>,
    pub key_secret: Option<&'a SecretString>,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
}

impl Access<'_> {
    pub fn validate(&self, problems: &mut Vec<Problem>) {
        check_endpoint(problems, "endpoint_url", self.endpoint_url);
        check_timeout(problems, "connect_timeout_ms", self.connect_timeout_ms);
        check_timeout(problems, "timeout_ms", self.timeout_ms);
        if self.connect_timeout_ms >= self.timeout_ms {
            // The other way round a connection that was never made would look like a lost answer.
            problems.push(Problem::new(
                "timeout_ms",
                "must be longer than connect_timeout_ms",
            ));
        }
        if self.key_id.is_some() != self.key_secret.is_some() {
            problems.push(Problem::new(
                "secret_access_key",
                "and access_key_id go together: set both, or neither to use the standard AWS chain",
            ));
        }
    }

    /// No retries: the SDK's own could send a message twice. Explicit time-outs. Credentials and
    /// region from the settings, or else from the standard AWS chain.
    pub async fn config(&self) -> SdkConfig {
        let connect = Duration::from_millis(self.connect_timeout_ms);
        let answer = Duration::from_millis(self.timeout_ms);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .read_timeout(answer)
            .operation_attempt_timeout(connect + answer)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts);
        if let Some(url) = self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = self.region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let (Some(id), Some(secret)) = (self.key_id, self.key_secret) {
            let (id, secret) = (id.expose_secret(), secret.expose_secret());
            let keys = Credentials::new(id, secret, None, None, "sendtrail settings");
            loader = loader.credentials_provider(keys);
        }
        // Boxed: the loader's future is large, and this happens once.
        Box::pin(loader.load()).await
    }
}

/// Knows whether a call got as far as the network: until then it looks for credentials and signs.
#[derive(Clone, Debug, Default)]
pub(super) struct Departure(Arc<AtomicBool>);

impl Departure {
    fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Departure {
    fn name(&self) -> &'static str {
        "Departure"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// How a call failed, as far as it decides what may have happened to the message.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// No connection: nothing was sent.
    NotSent(String),
    /// The request could not be made: credentials or configuration.
    Setup(String),
    /// The request was on the wire, and no answer that could be read came back.
    Lost(String),
    Answered(Answer),
}

/// A service's error answer.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) text: String,
    pub(super) retry_after: Option<Duration>,
}

/// A server may ask for patience, but not for more than this.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

impl Fault {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, departure: &Departure) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let SdkError::ServiceError(context) = error {
            let (raw, error) = (context.raw(), context.err());
            if !raw.status().is_success() {
                return Self::Answered(Answer {
                    status: raw.status().as_u16(),
                    code: error.code().map(str::to_owned),
                    text: error.message().unwrap_or("no explanation").to_owned(),
                    retry_after: retry_after(raw),
                });
            }
        }
        let text = chain(error);
        if !departure.has_happened() {
            Self::Setup(text)
        } else if matches!(error, SdkError::DispatchFailure(_)) && was_never_connected(&text) {
            Self::NotSent(text)
        } else {
            // A time-out, a broken connection, an answer that broke off, a success that could not
            // be read.
            Self::Lost(text)
        }
    }
}

/// In seconds; the other form, a date, is not used by AWS.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The connector says so only in words: hyper-util's `ErrorKind::Connect`, and the time-out that
/// the SDK puts around connecting. A test holds each of them to it.
fn was_never_connected(chain: &str) -> bool {
    chain.contains("client error (Connect)") || chain.contains("HTTP connect timeout occurred")
}

/// The error and its causes in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Codes with which AWS says that it does not accept who we are or what we may do.
const ACCESS_CODES: [&str; 16] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes with which AWS asks for fewer requests.
const THROTTLE_CODES: [&str; 7] = [
    "RequestLimitExceeded",
    "RequestThrottled",
    "Throttled",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "KMSThrottling",
];

/// What an answer means whatever the service; the services look at their own codes first.
pub(super) fn common(answer: &Answer) -> Outcome {
    let code = answer.code.as_deref().unwrap_or_default();
    let why = answer.trouble();
    if THROTTLE_CODES.contains(&code) || answer.status == 429 {
        return Outcome::Throttled {
            after: answer.retry_after,
            why,
        };
    }
    if ACCESS_CODES.contains(&code) {
        return Outcome::Broken { why };
    }
    match answer.status {
        // A gateway gave up waiting: what is behind it may have done the work (RFC 9110 15.6.5).
        504 => Outcome::Unknown { why },
        413 => Outcome::Rejected(answer.failure(Category::ContentRejected)),
        // Not our service, or not as us: wrong address, proxy, redirect.
        300..=399 | 401 | 403 | 404 | 405 | 407 => Outcome::Broken { why },
        // 5xx; and what we have never heard of may be about this message or about all of them:
        // neither give the message up at once nor stop the others.
        _ => Outcome::TryLater {
            after: answer.retry_after,
            why,
        },
    }
}

/// The outcome of a call that failed, `classify` being the service's own table.
pub(super) fn outcome(fault: Fault, classify: impl FnOnce(&Answer) -> Outcome) -> Outcome {
    match fault {
        Fault::NotSent(text) => Outcome::TryLater {
            after: None,
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Setup(text) => Outcome::Broken {
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Lost(text) => Outcome::Unknown {
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Answered(answer) => classify(&answer),
    }
}

/// The verdict of a call that sends nothing. A key that may send and nothing else is a good key.
pub(super) fn verdict(fault: Fault) -> Result<(), Trouble> {
    match fault {
        Fault::Setup(text) => {
            let text = impersonal(&text);
            let remedy = "set region, access_key_id and secret_access_key in its section, or the \
                          standard AWS variables";
            Err(Trouble::new(None, format!("{text}: {remedy}")))
        }
        Fault::NotSent(text) | Fault::Lost(text) => Err(Trouble::new(None, impersonal(&text))),
        Fault::Answered(answer) => match answer.code.as_deref() {
            Some("AccessDenied" | "AccessDeniedException" | "AuthorizationError") => Ok(()),
            _ => Err(answer.trouble()),
        },
    }
}

impl Answer {
    pub(super) fn trouble(&self) -> Trouble {
        let text = match &self.code {
            Some(code) => format!("{code}: {}", self.text),
            None => format!("HTTP {}: {}", self.status, self.text),
        };
        let status = self.status.to_string();
        Trouble::new(
            Some(self.code.as_deref().unwrap_or(&status)),
            impersonal(&text),
        )
    }

    pub(super) fn failure(&self, category: Category) -> Failure {
        Failure {
            category,
            code: self.code.clone().or_else(|| Some(self.status.to_string())),
            provider_text: Some(one_line(&self.text)),
        }
    }
}
