//! Push by the Apple Push Notification service: its provider API over HTTP/2.
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>

mod reasons;
mod settings;
mod token;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, ClientBuilder, RequestBuilder};
use serde::Deserialize;
use uuid::Uuid;

pub use settings::ApnsSettings;

use super::answer::{self, Answer};
use super::http::{Reply, exchange, no_client};
use super::push::{Payloads, device_gone, not_a_device};
use super::settings::Problem;
use super::words::one_line;
use crate::clock::Clock;
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use reasons::{Meaning, meaning};
use token::{ProviderToken, Token};

const ENDPOINT: &str = "https://api.push.apple.com";
/// How long Apple is to keep a message for a device that is switched off, when the message has no
/// last moment: as long as FCM does.
const KEPT_FOR: Duration = super::fcm::TIME_TO_LIVE_MAX;
/// Apple wants connections to be kept, and takes many new ones for an attack. Whether one is still
/// good is asked by pings.
const CONNECTION_KEPT_FOR: Duration = Duration::from_hours(1);
/// No device has it: Apple says so only to those whom it knows.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Sends push messages by APNs. Cheap to clone; clones share their connection and provider token.
#[derive(Clone)]
pub struct Apns {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    base: String,
    topic: String,
    token: ProviderToken,
    clock: Clock,
}

impl std::fmt::Debug for Apns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Apns({}, {})", self.inner.base, self.inner.topic)
    }
}

impl Apns {
    /// Reads the key; connects to nothing yet.
    pub fn new(settings: &ApnsSettings, clock: Clock) -> Result<Self, Problem> {
        Self::with(settings, settings.reach().client(), clock)
    }

    pub(super) fn with(
        settings: &ApnsSettings,
        client: ClientBuilder,
        clock: Clock,
    ) -> Result<Self, Problem> {
        // Over TLS only HTTP/2 is offered, and no connection comes about where it is not taken.
        let client = client
            .http2_prior_knowledge()
            .pool_idle_timeout(CONNECTION_KEPT_FOR);
        let team = settings.team_id()?.to_owned();
        let inner = Inner {
            client: client.build().map_err(|e| no_client(&e))?,
            base: settings.reach().base(ENDPOINT),
            topic: settings.topic()?.to_owned(),
            token: ProviderToken::new(settings.signing_key()?, team, clock.clone()),
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let device = message.to.as_str();
        let payload = Payloads::of(message).and_then(|payloads| {
            // Anything else could leave the path.
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if !device.bytes().all(fits) {
                return Err(not_a_device());
            }
            payloads.fits_apns()?;
            Ok(payloads.apns)
        });
        let payload = match payload {
            Ok(payload) => payload,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let inner = &self.inner;
        let now = inner.clock.now();
        let expires_at = message.expires_at.unwrap_or_else(|| now.plus(KEPT_FOR));
        let Ok(token) = inner.token.get() else {
            return Outcome::Broken { why: cannot_sign() };
        };
        let call = inner.call(device, message.id.uuid(), &token);
        let call = call
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", expires_at.as_millis() / 1_000)
            .body(payload);
        match exchange(call, now).await {
            Ok(reply) if reply.status == 200 => Outcome::Accepted {
                // Apple gives back the one that it was given.
                provider_message_id: Some(message.id.to_string()),
            },
            Ok(reply) => self.refused(&error(&reply), &token),
            Err(fault) => answer::outcome(fault, Answer::by_status),
        }
    }

    fn refused(&self, answer: &Answer, token: &Token) -> Outcome {
        let (after, why) = (answer.retry_after, answer.trouble());
        match answer.code.as_deref().and_then(meaning) {
            Some(Meaning::Gone) => Outcome::Rejected(device_gone(one_line(&answer.text))),
            Some(Meaning::Rejected(category)) => Outcome::Rejected(answer.failure(category)),
            Some(Meaning::TryLater) => Outcome::TryLater { after, why },
            Some(Meaning::Throttled) => Outcome::Throttled { after, why },
            Some(Meaning::DeviceThrottled) => Outcome::Throttled {
                after,
                why: why.of_the_message(),
            },
            Some(Meaning::Broken) => Outcome::Broken { why },
            Some(Meaning::TokenTooOld) => self.inner.token.too_old(token, why),
            // A reason yet to be invented for a request that Apple calls bad.
            None if answer.status == 400 && answer.code.is_some() => {
                Outcome::Rejected(answer.failure(Category::Unknown))
            }
            None => answer.by_status(),
        }
    }

    /// Asks for a device that nobody has: Apple says so to those whom it knows. Sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let token = inner.token.get().map_err(|_unspecified| cannot_sign())?;
        let call = inner.call(NOBODY, inner.clock.new_uuid(now), &token);
        let call = call
            .header("apns-push-type", "background")
            .header("apns-priority", "5")
            .body(r#"{"aps":{"content-available":1}}"#);
        let reply = exchange(call, now).await.map_err(answer::Fault::trouble)?;
        let answer = error(&reply);
        match answer.code.as_deref() {
            Some("BadDeviceToken") => Ok(()),
            _ => Err(answer.trouble()),
        }
    }
}

impl Inner {
    fn call(&self, device: &str, id: Uuid, token: &Token) -> RequestBuilder {
        self.client
            .post(format!("{}/3/device/{device}", self.base))
            .header(AUTHORIZATION, token.header.clone())
            .header("apns-topic", &self.topic)
            .header("apns-id", id.to_string())
    }
}

fn cannot_sign() -> Trouble {
    Trouble::new(None, "the key cannot sign")
}

/// The reason, which is the code and all the text there is.
fn error(reply: &Reply) -> Answer {
    #[derive(Deserialize)]
    struct Error {
        reason: String,
    }
    let error = serde_json::from_slice::<Error>(&reply.body);
    let code = error.ok().map(|error| error.reason);
    Answer {
        status: reply.status,
        text: code.clone().unwrap_or_else(|| "no reason given".to_owned()),
        code,
        retry_after: reply.retry_after,
    }
}
