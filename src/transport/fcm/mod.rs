//! Push by Firebase Cloud Messaging: its HTTP API, version 1.
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>

mod account;
mod bearer;
mod errors;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub use account::FcmSettings;

use super::answer::{self, accepted};
use super::http::{Reply, exchange, no_client};
use super::push::{Payloads, not_a_device};
use super::settings::Problem;
use crate::clock::Clock;
use crate::domain::form::Form;
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};
use bearer::{Bearer, NoToken, Token};
use errors::Refusal;

const ENDPOINT: &str = "https://fcm.googleapis.com";
/// The longest that FCM keeps a message for a device, and what it does when we say nothing.
pub(super) const TIME_TO_LIVE_MAX: Duration = Duration::from_hours(24 * 28);
/// Nobody listens to it, and a check is only judged, never sent.
const CHECK_TOPIC: &str = "sendtrail-check";

/// Sends push messages by FCM. Cheap to clone; clones share connections and access token.
#[derive(Clone)]
pub struct Fcm {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    url: String,
    bearer: Bearer,
    clock: Clock,
}

impl std::fmt::Debug for Fcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fcm({})", self.inner.url)
    }
}

impl Fcm {
    /// Reads the service account; connects to nothing yet.
    pub fn new(settings: &FcmSettings, clock: Clock) -> Result<Self, Problem> {
        let reach = settings.reach();
        let client = reach.client().build().map_err(|e| no_client(&e))?;
        let account = settings.account()?;
        let (base, project) = (reach.base(ENDPOINT), &account.project);
        let inner = Inner {
            url: format!("{base}/v1/projects/{project}/messages:send"),
            bearer: Bearer::new(client.clone(), account, clock.clone()),
            client,
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let fields = Payloads::of(message).and_then(|payloads| {
            if message.to.form() == Form::Arn {
                return Err(not_a_device());
            }
            payloads.fits_fcm()?;
            Ok(payloads.fcm)
        });
        let fields = match fields {
            Ok(fields) => self.inner.addressed(fields, message),
            Err(failure) => return Outcome::Rejected(failure),
        };
        let token = match self.inner.bearer.token().await {
            Ok(token) => token,
            Err(none) => return none.outcome(),
        };
        let body = json!({ "message": fields });
        match self.inner.call(&token, &body).await {
            Ok(reply) if reply.status == 200 => accepted(name(&reply)),
            Ok(reply) => {
                let refusal = Refusal::read(&reply);
                if refusal.is_of_the_token() {
                    let why = refusal.answer.trouble();
                    return self.inner.bearer.refused(&token, why).await;
                }
                refusal.outcome()
            }
            Err(fault) => answer::outcome(fault, answer::Answer::by_status),
        }
    }

    /// Asks for an access token, and what FCM would do with a message; sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let token = self.inner.bearer.token().await.map_err(NoToken::trouble)?;
        let body = json!({ "validate_only": true, "message": { "topic": CHECK_TOPIC } });
        let reply = self.inner.call(&token, &body).await;
        let reply = reply.map_err(answer::Fault::trouble)?;
        match reply.status {
            // What it thinks of the message is not the question.
            200 | 400 => Ok(()),
            _ => Err(Refusal::read(&reply).answer.trouble()),
        }
    }
}

impl Inner {
    async fn call(&self, token: &Token, body: &Value) -> Result<Reply, answer::Fault> {
        let call = self.client.post(&self.url).bearer_auth(token.text());
        exchange(call.json(body), self.clock.now()).await
    }

    /// The message with its device and its last moment, for Android and for iPhones behind FCM.
    fn addressed(&self, mut fields: Map<String, Value>, message: &Outgoing) -> Map<String, Value> {
        fields.insert("token".to_owned(), json!(message.to.as_str()));
        if let Some(expires_at) = message.expires_at {
            let span = expires_at.since(self.clock.now()).min(TIME_TO_LIVE_MAX);
            let ttl = format!("{}s", span.as_secs());
            fields.insert("android".to_owned(), json!({ "ttl": ttl }));
            let until = (expires_at.as_millis() / 1_000).to_string();
            let headers = json!({ "headers": { "apns-expiration": until } });
            fields.insert("apns".to_owned(), headers);
        }
        fields
    }
}

/// `projects/*/messages/{message_id}`.
fn name(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Sent {
        name: String,
    }
    let sent = serde_json::from_slice::<Sent>(&reply.body);
    sent.ok().map(|sent| sent.name)
}
