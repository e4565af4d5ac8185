//! Webhooks for operators: they are told of trouble, and of its end, where nothing else watches the
//! program. Any number of processes may run this: a row in the database decides which of them writes the
//! news, and which of them sends it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::caller::{Call, Caller, Concerns};
use super::settings::WebhookSettings;
use crate::clock::Clock;
use crate::domain::brake::State;
use crate::domain::matter::{Concern, Matter};
use crate::domain::method::Priority;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{EndpointUrl, Secret, UrlRules};
use crate::store::matters::News;
use crate::store::providers::Pause;
use crate::store::{Error, Store};

/// `[operations]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsSettings {
    pub webhook_urls: Vec<String>,
    pub webhook_secret: Option<SecretString>,
}

/// Watches, and tells.
#[derive(Clone, Debug)]
pub struct Teller {
    pub store: Store,
    pub clock: Clock,
    pub settings: OperationsSettings,
    /// Time-outs, and the waits between attempts.
    pub webhooks: WebhookSettings,
}

/// How often is looked for trouble.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often is looked for news that are due.
const POLL: Duration = Duration::from_secs(1);
/// News claimed together; sent one after the other.
const BATCH: i64 = 16;
/// Addresses that are told: people, a chat, a pager.
const URLS_MAX: usize = 10;
/// As the alarms for Prometheus have them.
const URGENT_AGE: Duration = Duration::from_mins(1);
const NORMAL_AGE: Duration = Duration::from_mins(15);
/// So long nothing went that was due.
const NOTHING_FOR: Duration = Duration::from_mins(10);
/// Jobs of a lane among which the oldest is looked for.
const JOBS_LOOKED_AT: i64 = 10_000;
/// Brakes that are on; what is beyond would be told of as over.
const BRAKES_MAX: i64 = 10_000;
/// Operators name their own addresses, most of them within.
const RULES: UrlRules = UrlRules {
    allow_http: true,
    allow_private: true,
};

impl OperationsSettings {
    /// What is wrong, each with its key.
    pub fn validate(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for url in &self.webhook_urls {
            // It may hold a token: it is not repeated.
            if let Err(why) = EndpointUrl::parse(url, RULES) {
                wrong.push(format!("webhook_urls has an address that {why}"));
            }
        }
        if self.webhook_urls.len() > URLS_MAX {
            wrong.push(format!("webhook_urls may have up to {URLS_MAX} addresses"));
        }
        if self.secret().is_none()
            && (!self.webhook_urls.is_empty() || self.webhook_secret.is_some())
        {
            wrong.push(
                "webhook_secret must be whsec_ and at least one byte in base64, for example whsec_ \
                 followed by what `openssl rand -base64 32` prints"
                    .to_owned(),
            );
        }
        wrong
    }

    fn secret(&self) -> Option<Secret> {
        Secret::parse(self.webhook_secret.as_ref()?.expose_secret())
    }
}

impl Teller {
    /// Until it is told to stop; at once where nobody is to be told.
    pub fn start(self, stop: CancellationToken) -> Result<(), reqwest::Error> {
        let Some(secret) = self.settings.secret() else {
            return Ok(());
        };
        if self.settings.webhook_urls.is_empty() {
            return Ok(());
        }
        let caller = Caller::with_rules(&self.webhooks, RULES)?;
        let sending = Sending {
            teller: self.clone(),
            caller,
            secrets: Arc::new([secret]),
        };
        tokio::spawn(self.watch(stop.clone()));
        tokio::spawn(sending.run(stop));
        Ok(())
    }

    async fn watch(self, stop: CancellationToken) {
        loop {
            if let Err(failed) = self.look().await {
                warn!(error = %failed, "cannot look for what operators are to be told of");
            }
            let pause = tokio::time::sleep(LOOK_EVERY);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Looks once, and writes what is news.
    pub async fn look(&self) -> Result<(), Error> {
        let seen = self.seen().await?;
        let urls = &self.settings.webhook_urls;
        self.store.note_matters(&seen, urls).await
    }

    /// All trouble that there is at this moment.
    async fn seen(&self) -> Result<Vec<Concern>, Error> {
        let mut seen = Vec::new();
        let mut add = |matter, subject: String| seen.push(Concern { matter, subject });
        for alarm in self.store.alarms().await? {
            add(Matter::Alarm(alarm.kind), alarm.subject);
        }
        for health in self.store.provider_health().await? {
            let provider = format!("{} {}", health.method.as_str(), health.provider);
            if health.broken {
                add(Matter::CredentialsBroken, provider);
            } else if health.state != "closed" {
                add(Matter::ProviderRests, provider);
            }
        }
        let pauses = self.store.provider_pauses().await?;
        for pause in &pauses {
            let provider = pause.provider.as_deref().unwrap_or("all");
            add(
                Matter::ProviderPaused,
                format!("{} {provider}", pause.method.as_str()),
            );
        }
        if self.store.count_held(1).await? > 0 {
            add(Matter::Held, "messages".to_owned());
        }
        if self.store.count_buried(1).await? > 0 {
            add(Matter::Buried, "messages".to_owned());
        }
        for endpoint in self.store.disabled_webhooks().await? {
            add(Matter::WebhookDisabled, endpoint.id.to_string());
        }
        let brakes = self.store.brakes_on(BRAKES_MAX).await?;
        for brake in &brakes {
            let subject = format!("{} {}", brake.business, brake.kind.as_str());
            match brake.state {
                State::Warned => add(Matter::BrakeWarned, subject),
                State::Held => add(Matter::BrakeHeld, subject),
                State::Ok => {}
            }
        }
        let brakes_held = brakes.iter().any(|brake| brake.state == State::Held);
        self.queues(&pauses, brakes_held, &mut seen).await?;
        Ok(seen)
    }

    /// What waits for too long.
    async fn queues(
        &self,
        pauses: &[Pause],
        brakes_held: bool,
        seen: &mut Vec<Concern>,
    ) -> Result<(), Error> {
        let mut add = |matter, subject: String| seen.push(Concern { matter, subject });
        let now = self.clock.now();
        let mut stands = BTreeSet::new();
        for depth in self.store.depth(JOBS_LOOKED_AT).await? {
            let age = now.since(depth.oldest_due_at);
            let queue = format!("{} {}", depth.method.as_str(), depth.priority.as_str());
            match depth.priority {
                Priority::High if age > URGENT_AGE => add(Matter::UrgentQueueOld, queue),
                Priority::Normal if age > NORMAL_AGE => add(Matter::QueueOld, queue),
                Priority::High | Priority::Normal | Priority::Bulk => {}
            }
            // What a brake holds, or an operator paused, is told of as that.
            let is_held = depth.priority == Priority::Bulk && brakes_held;
            let mut pauses = pauses.iter().filter(|pause| pause.provider.is_none());
            let is_paused = pauses.any(|pause| pause.method == depth.method);
            if age >= NOTHING_FOR && !is_held && !is_paused {
                stands.insert(depth.method);
            }
        }
        if !stands.is_empty() {
            for method in self.store.sent_since(now.minus(NOTHING_FOR)).await? {
                stands.remove(&method);
            }
        }
        for method in stands {
            add(Matter::NothingSent, method.as_str().to_owned());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Sending {
    teller: Teller,
    caller: Caller,
    secrets: Arc<[Secret; 1]>,
}

impl Sending {
    async fn run(self, stop: CancellationToken) {
        let Teller {
            store, webhooks, ..
        } = &self.teller;
        // All of a batch may be slow.
        let lease = webhooks
            .timeout()
            .saturating_mul(u32::try_from(BATCH).unwrap_or(u32::MAX));
        loop {
            match store.claim_news(BATCH, lease).await {
                Ok(news) => {
                    for item in news {
                        self.tell(&item).await;
                    }
                }
                Err(failed) => warn!(error = %failed, "cannot look for news for operators"),
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(POLL))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn tell(&self, news: &News) {
        let Teller {
            store,
            clock,
            settings,
            webhooks,
        } = &self.teller;
        let now = clock.now();
        let mut again_at = None;
        // Whoever was taken off the list is told no more.
        if settings.webhook_urls.contains(&news.url) {
            match self.send(news, now).await {
                Ok(()) => info!(
                    alarm = news.matter.as_str(),
                    cleared = news.is_cleared,
                    "operators were told"
                ),
                Err(why) => {
                    let late = now >= news.at.plus(webhooks.give_up_after());
                    warn!(
                        alarm = news.matter.as_str(),
                        why,
                        given_up = late,
                        "operators could not be told"
                    );
                    again_at = (!late).then(|| now.plus(webhooks.schedule().wait(news.attempts)));
                }
            }
        }
        if let Err(failed) = store.end_news(news.id, again_at).await {
            warn!(error = %failed, "cannot record that operators were told; they are told again");
        }
    }

    /// An answer of 410 ends nothing: the operator wrote the address into the settings.
    async fn send(&self, news: &News, at: Timestamp) -> Result<(), String> {
        let body = body(news).map_err(|failed| {
            error!(error = %failed, "news for operators cannot be written as JSON");
            "it cannot be written".to_owned()
        })?;
        let id = format!("msg_{}", news.id.simple());
        let call = Call {
            url: &news.url,
            id: &id,
            at,
            body,
            secrets: self.secrets.as_slice(),
        };
        match self.caller.call(call).await {
            Ok(()) => Ok(()),
            Err(refusal) => match refusal.concerns {
                Concerns::Event | Concerns::Endpoint | Concerns::Gone => Err(refusal.text),
            },
        }
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    word: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    alarm: &'static str,
    subject: &'a str,
    since: Timestamp,
    text: &'static str,
    remedy: &'static str,
}

fn body(news: &News) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Payload {
        word: if news.is_cleared {
            "alarm.cleared"
        } else {
            "alarm.raised"
        },
        timestamp: news.at,
        data: Data {
            alarm: news.matter.as_str(),
            subject: &news.subject,
            since: news.since,
            text: news.matter.sentence(),
            remedy: news.matter.remedy(),
        },
    })
}
