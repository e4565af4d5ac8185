//! Posts signed messages to the webhook, as SNS does to an HTTP subscriber.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use tokio::sync::{Semaphore, watch};

use super::envelope::{Envelope, Kind, Seal, TOPIC_ARN};
use super::signer::Signer;
use crate::clock::Clock;

/// SNS gives an endpoint 15 s to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Concurrent posts: enough to keep a webhook busy, few enough not to crowd out its other guests.
const POSTS_MAX: usize = 64;
/// Like SNS's, but in seconds instead of minutes: 12 tries in about 26 s outlast a restart.
const TRIES_MAX: u32 = 12;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A webhook that answered the confirmation message but did not confirm is asked again: there is no
/// operator here who would subscribe anew.
const CONFIRMATION_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Poster {
    client: reqwest::Client,
    signer: Signer,
    certificate_url: String,
    clock: Clock,
    subscription: watch::Sender<Subscription>,
    free_posts: Arc<Semaphore>,
    posted: AtomicU64,
    retried: AtomicU64,
    dropped: AtomicU64,
}

/// The webhook's subscription to the topic.
#[derive(Clone, Debug, PartialEq)]
struct Subscription {
    /// Empty while it is not known.
    url: String,
    /// Proves to us that the webhook has read its confirmation message.
    token: String,
    arn: String,
    confirmed: bool,
}

/// What has become of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered with success, copies included.
    pub posted: u64,
    /// Posted again after an answer that allows it, or none.
    pub retried: u64,
    /// Given up: refused with 4xx, tries used up, or never confirmed.
    pub dropped: u64,
}

impl Poster {
    pub(super) fn new(
        signer: Signer,
        certificate_url: String,
        webhook_url: String,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let subscription = watch::Sender::new(Subscription::to(webhook_url, &clock));
        Ok(Self {
            client,
            signer,
            certificate_url,
            clock,
            subscription,
            free_posts: Arc::new(Semaphore::new(POSTS_MAX)),
            posted: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    pub(super) fn certificate_url(&self) -> &str {
        &self.certificate_url
    }

    pub(super) fn certificate_pem(&self) -> &str {
        self.signer.certificate_pem()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            posted: self.posted.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Subscribes another address; it has to confirm for itself. The same address changes nothing.
    pub(super) fn subscribe(&self, url: String) {
        self.subscription.send_if_modified(|subscription| {
            let is_new = subscription.url != url;
            if is_new {
                *subscription = Subscription::to(url, &self.clock);
            }
            is_new
        });
    }

    #[cfg(test)]
    pub(super) fn token(&self) -> String {
        self.subscription.borrow().token.clone()
    }

    #[cfg(test)]
    pub(super) fn webhook_url(&self) -> String {
        self.subscription.borrow().url.clone()
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.subscription.borrow().confirmed
    }

    /// The subscription's ARN when the token is the one that was posted.
    pub(super) fn confirm(&self, token: &str) -> Option<String> {
        let mut arn = None;
        self.subscription.send_if_modified(|subscription| {
            if subscription.token != token {
                return false;
            }
            arn = Some(subscription.arn.clone());
            !std::mem::replace(&mut subscription.confirmed, true)
        });
        arn
    }

    /// Posts the confirmation message to every address that becomes known, until it confirms.
    pub(super) async fn keep_subscribed(&self) {
        let mut changes = self.subscription.subscribe();
        loop {
            let now = changes.borrow_and_update().clone();
            if !now.confirmed && !now.url.is_empty() {
                self.ask_to_confirm(&now, &mut changes).await;
            } else if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Until the subscription changes. A post is never cut short: the webhook confirms while it is
    /// still answering it. Unlike SNS, a 4xx is tried again too: the webhook may only be starting.
    async fn ask_to_confirm(
        &self,
        now: &Subscription,
        changes: &mut watch::Receiver<Subscription>,
    ) {
        let envelope = Envelope::confirmation(self.seal(), &now.token);
        let mut pause = PAUSE_FIRST;
        loop {
            let wait = if self.post(&now.url, &envelope).await == Answer::Ok {
                self.count_posted();
                CONFIRMATION_WAIT
            } else {
                self.count_retried();
                pause = (pause * 2).min(PAUSE_MAX);
                pause
            };
            if tokio::time::timeout(wait, changes.changed()).await.is_ok() {
                return;
            }
        }
    }

    /// Waits for the confirmation, then posts one message the given number of times, each until it
    /// is taken or given up.
    pub(super) async fn publish(&self, subject: Option<&str>, message: &str, copies: u8) {
        let mut changes = self.subscription.subscribe();
        let Ok(subscription) = changes
            .wait_for(|now| now.confirmed)
            .await
            .map(|s| s.clone())
        else {
            return;
        };
        let envelope = Envelope::notification(self.seal(), subscription.arn, subject, message);
        for _copy in 0..copies {
            self.deliver(&subscription.url, &envelope).await;
        }
    }

    /// For other messages to a webhook.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(super) fn count_posted(&self) {
        self.posted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn seal(&self) -> Seal<'_> {
        let at = self.clock.now();
        Seal {
            signer: &self.signer,
            certificate_url: &self.certificate_url,
            message_id: self.clock.new_uuid(at),
            at,
        }
    }

    async fn deliver(&self, url: &str, envelope: &Envelope) {
        let mut pause = PAUSE_FIRST;
        for attempt in 1..=TRIES_MAX {
            match self.post(url, envelope).await {
                Answer::Ok => {
                    self.count_posted();
                    return;
                }
                Answer::Never(status) => {
                    tracing::warn!(status, "sandbox: the webhook refused a message, dropped");
                    break;
                }
                Answer::Later if attempt < TRIES_MAX => {
                    self.count_retried();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Answer::Later => {
                    tracing::warn!(attempt, "sandbox: the webhook took no message, dropped");
                }
            }
        }
        self.count_dropped();
    }

    async fn post(&self, url: &str, envelope: &Envelope) -> Answer {
        let _permit = self.free_posts.acquire().await;
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "text/plain; charset=UTF-8")
            .header(USER_AGENT, "Amazon Simple Notification Service Agent")
            .header("x-amz-sns-message-id", envelope.message_id.to_string())
            .header("x-amz-sns-topic-arn", TOPIC_ARN);
        request = match &envelope.kind {
            Kind::SubscriptionConfirmation => {
                request.header("x-amz-sns-message-type", "SubscriptionConfirmation")
            }
            Kind::Notification { subscription_arn } => request
                .header("x-amz-sns-message-type", "Notification")
                .header("x-amz-sns-subscription-arn", subscription_arn),
        };
        match request.body(envelope.body.clone()).send().await {
            Ok(response) => Answer::of(response.status()),
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "sandbox: the webhook did not answer");
                Answer::Later
            }
        }
    }
}

impl Subscription {
    fn to(url: String, clock: &Clock) -> Self {
        Self {
            url,
            token: hex::encode(rand::random::<[u8; 32]>()),
            arn: format!("{TOPIC_ARN}:{}", clock.new_uuid(clock.now())),
            confirmed: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    Later,
    /// SNS drops a message for good on any 4xx but 429.
    Never(u16),
}

impl Answer {
    fn of(status: reqwest::StatusCode) -> Self {
        if status.is_success() {
            Self::Ok
        } else if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            Self::Later
        } else {
            Self::Never(status.as_u16())
        }
    }
}
