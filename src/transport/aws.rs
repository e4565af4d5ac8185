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

use super::NoQuota;
use super::answer::{Answer, Fault, RETRY_AFTER_MAX, chain};
use super::settings::{Problem, check_endpoint, check_timeouts};
use super::words::impersonal;
use crate::domain::outcome::{Outcome, Trouble};

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
        check_timeouts(problems, self.connect_timeout_ms, self.timeout_ms);
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

/// Codes with which AWS says that it does not accept who we are or what we may do.
pub(super) const ACCESS_CODES: [&str; 16] = [
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
    if THROTTLE_CODES.contains(&code) {
        return Outcome::Throttled {
            after: answer.retry_after,
            why: answer.trouble(),
        };
    }
    if ACCESS_CODES.contains(&code) {
        return Outcome::Broken {
            why: answer.trouble(),
        };
    }
    answer.by_status()
}

/// Why a service does not tell our quota.
pub(super) fn no_quota(fault: Fault) -> NoQuota {
    match &fault {
        Fault::Answered(answer) if answer.is_denial() => NoQuota::Denied,
        Fault::Answered(_) | Fault::NotSent(_) | Fault::Setup(_) | Fault::Lost(_) => {
            NoQuota::Trouble(fault.trouble())
        }
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
        Fault::Answered(answer) if answer.is_denial() => Ok(()),
        Fault::Answered(answer) => Err(answer.trouble()),
    }
}
