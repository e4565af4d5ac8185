//! SMS by Twilio: `Messages` of its API of 2010-04-01.
//! <https://www.twilio.com/docs/messaging/api/message-resource>

mod codes;
mod look_up;
mod settings;

use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use codes::{Meaning, meaning};
pub use look_up::State;
pub use settings::TwilioSettings;

use super::answer::{self, Answer, accepted, refused};
use super::http::{Reply, exchange, no_client};
use super::settings::Problem;
use crate::clock::Clock;
use crate::domain::message::{Content, Outgoing};
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;

const ENDPOINT: &str = "https://api.twilio.com";
/// How long Twilio may keep a message in its queue at most, in seconds (`ValidityPeriod`).
const VALIDITY_SECONDS_MAX: u64 = 36_000;
/// The parameter of the callback address by which feedback names the notification. The signature
/// covers it.
pub const ID_PARAMETER: &str = "notification_id";

/// Sends text messages by Twilio. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Twilio {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    /// Of the account: everything of ours is below it.
    account_url: String,
    username: String,
    secret: SecretString,
    sender: (&'static str, String),
    callback: Option<Url>,
    clock: Clock,
}

impl std::fmt::Debug for Twilio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Twilio({})", self.inner.account_url)
    }
}

impl Twilio {
    /// Connects to nothing yet.
    pub fn new(settings: &TwilioSettings, clock: Clock) -> Result<Self, Problem> {
        let reach = settings.reach();
        let account = settings.account()?;
        let (username, secret) = settings.login()?;
        let (parameter, sender) = settings.sender()?;
        let inner = Inner {
            client: reach.client().build().map_err(|e| no_client(&e))?,
            account_url: format!("{}/2010-04-01/Accounts/{account}", reach.base(ENDPOINT)),
            username: username.to_owned(),
            secret: secret.clone(),
            sender: (parameter, sender.to_owned()),
            callback: settings.callback()?,
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let Content::Sms { text } = &message.content else {
            return Outcome::Rejected(refused("WrongMethod", "only SMS can be sent this way"));
        };
        let inner = &self.inner;
        let now = inner.clock.now();
        let sender = match &message.sender {
            Some(own) => ("From", own.clone()),
            None => inner.sender.clone(),
        };
        let to = message.to.as_str().to_owned();
        let mut form = vec![("To", to), sender, ("Body", text.clone())];
        if let Some(callback) = &inner.callback {
            let mut callback = callback.clone();
            let id = message.id.to_string();
            callback.query_pairs_mut().append_pair(ID_PARAMETER, &id);
            form.push(("StatusCallback", callback.into()));
        }
        if let Some(expires_at) = message.expires_at {
            let seconds = expires_at.since(now).as_secs().min(VALIDITY_SECONDS_MAX);
            form.push(("ValidityPeriod", seconds.max(1).to_string()));
        }
        let call = inner.client.post(inner.url("Messages.json")).form(&form);
        match exchange(inner.signed(call), now).await {
            Ok(reply) if (200..300).contains(&reply.status) => accepted(sid(&reply)),
            Ok(reply) => classify(&error(&reply), message.sender.is_some()),
            Err(fault) => answer::outcome(fault, Answer::by_status),
        }
    }

    /// Asks for the first of the account's numbers; sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let inner = &self.inner;
        let url = inner.url("IncomingPhoneNumbers.json?PageSize=1");
        let call = inner.signed(inner.client.get(url));
        match exchange(call, inner.clock.now()).await {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(error(&reply).trouble()),
            Err(fault) => Err(fault.trouble()),
        }
    }
}

impl Inner {
    fn url(&self, resource: &str) -> String {
        format!("{}/{resource}", self.account_url)
    }

    fn signed(&self, call: RequestBuilder) -> RequestBuilder {
        call.basic_auth(&self.username, Some(self.secret.expose_secret()))
    }
}

fn sid(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Created {
        sid: String,
    }
    let created = serde_json::from_slice::<Created>(&reply.body);
    created.ok().map(|created| created.sid)
}

/// What Twilio says beside the status; a gateway before it says something else.
fn error(reply: &Reply) -> Answer {
    #[derive(Deserialize)]
    struct Error {
        code: u32,
        message: String,
    }
    let error = serde_json::from_slice::<Error>(&reply.body).ok();
    Answer {
        status: reply.status,
        code: error.as_ref().map(|error| error.code.to_string()),
        text: error.map_or_else(|| "no explanation".to_owned(), |error| error.message),
        retry_after: reply.retry_after,
    }
}

/// `of_own_sender`: the sender is a business's own, and what is wrong with it must not stop or slow
/// the others.
fn classify(answer: &Answer, of_own_sender: bool) -> Outcome {
    let code = answer.code.as_ref().and_then(|code| code.parse().ok());
    let (after, why) = (answer.retry_after, answer.trouble());
    match code.and_then(meaning) {
        Some(Meaning::Rejected(category)) => Outcome::Rejected(answer.failure(category)),
        Some(Meaning::TryLater) => Outcome::TryLater { after, why },
        Some(Meaning::PutOff) => Outcome::TryLater {
            after,
            why: why.of_the_message(),
        },
        Some(Meaning::SenderThrottled) if of_own_sender => Outcome::Throttled {
            after,
            why: why.of_the_message(),
        },
        Some(Meaning::Throttled | Meaning::SenderThrottled) => Outcome::Throttled { after, why },
        Some(Meaning::WrongSender) if of_own_sender => {
            Outcome::Rejected(answer.failure(Category::Credentials))
        }
        Some(Meaning::Broken | Meaning::WrongSender) => Outcome::Broken { why },
        Some(Meaning::Unknown) => Outcome::Unknown { why },
        // There is no way to name a message before it is sent, so that Twilio could tell a
        // repetition: what may have been done is not done again at once.
        None if matches!(answer.status, 500 | 502) => Outcome::Unknown { why },
        None => answer.by_status(),
    }
}
