//! The HTTP client that calls endpoints: strangers name their addresses, so it reaches the public
//! internet only, follows nobody's redirect and reads no long answer.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode};

use super::settings::WebhookSettings;
use crate::domain::public_address::is_public;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{EndpointUrl, Secret, UrlRules, unix_seconds};

/// Calls endpoints.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    client: Client,
    rules: UrlRules,
}

/// One event, ready to be sent.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// As it was kept.
    pub(super) url: &'a str,
    pub(super) id: &'a str,
    pub(super) at: Timestamp,
    pub(super) body: String,
    pub(super) secrets: &'a [Secret],
}

/// Why an event was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For the application's operators; holds no address.
    pub(super) text: String,
    pub(super) concerns: Concerns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concerns {
    /// This event; others may be taken.
    Event,
    /// The endpoint: it is in trouble, busy, or not there.
    Endpoint,
    /// The endpoint, for good: 410 Gone.
    Gone,
}

/// Idle connections to one endpoint.
const IDLE_MAX: usize = 8;
/// Below the usual minute of load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// An answer is read to its end, so that the connection can be used again; a longer one is cut.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

impl Caller {
    pub(super) fn new(settings: &WebhookSettings) -> Result<Self, reqwest::Error> {
        Self::with_rules(settings, settings.url_rules())
    }

    /// With other addresses allowed.
    pub(super) fn with_rules(
        settings: &WebhookSettings,
        rules: UrlRules,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("sendtrail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .timeout(Duration::from_millis(settings.timeout_ms))
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect could lead anywhere, a proxy would look names up by itself.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .dns_resolver(Guard { rules })
            .build()?;
        Ok(Self { client, rules })
    }

    /// The endpoint took it when it answers 2xx.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<(), Refusal> {
        // The settings may have changed since the endpoint was made.
        let url = EndpointUrl::parse(call.url, self.rules).map_err(|wrong| Refusal {
            text: format!("its address {wrong}"),
            concerns: Concerns::Endpoint,
        })?;
        self.post(url.as_str(), call).await
    }

    /// Names are looked up by [`Guard`]; an address in numbers is not.
    pub(super) async fn post(&self, url: &str, call: Call<'_>) -> Result<(), Refusal> {
        let signatures: Vec<String> = call
            .secrets
            .iter()
            .map(|secret| secret.sign(call.id, call.at, &call.body))
            .collect();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", call.id)
            .header("webhook-timestamp", unix_seconds(call.at))
            .header("webhook-signature", signatures.join(" "))
            .body(call.body);
        let mut response = request.send().await.map_err(|error| unanswered(&error))?;
        let status = response.status();
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        if status.is_success() {
            return Ok(());
        }
        Err(Refusal {
            text: format!("it answered {}", status.as_u16()),
            concerns: concerns(status),
        })
    }
}

fn concerns(status: StatusCode) -> Concerns {
    match status {
        StatusCode::GONE => Concerns::Gone,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Concerns::Endpoint,
        status if status.is_client_error() => Concerns::Event,
        _ => Concerns::Endpoint,
    }
}

/// In words of our own: those of the client hold the address.
fn unanswered(error: &reqwest::Error) -> Refusal {
    let text = if caused_by::<NotPublic>(error) {
        NotPublic.to_string()
    } else if error.is_timeout() {
        "it did not answer in time".to_owned()
    } else if error.is_connect() {
        "no connection can be made to it".to_owned()
    } else {
        "the connection broke off".to_owned()
    };
    Refusal {
        text,
        concerns: Concerns::Endpoint,
    }
}

fn caused_by<T: StdError + 'static>(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<T>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// A name leads to an address that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to an address that is not public")]
struct NotPublic;

/// Looks names up for the client and lets only public addresses through. The client connects to what
/// it is given here, so that no second look-up can have another answer.
struct Guard {
    rules: UrlRules,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.rules;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| rules.allow_private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}
