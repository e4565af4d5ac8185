//! The provider behind all doors: decides the answer to a request and plays the story that follows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accounts::Accounts;
use super::control::{Control, Door};
use super::direct::Admission;
use super::feedback::{AcceptedMail, SES_SUBJECT};
use super::mail::Mail;
use super::poster::Poster;
use super::ses_suppressions::AccountList;
use super::story::{Answer, Story};
use super::texts::Texts;
use super::throttle::Throttled;
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// Stories under way at one time; each keeps up to some 12 KB (headers and addresses).
const PLAYS_MAX: usize = 10_000;
/// How long the answer to `early@` waits for its feedback to be taken: less than the patience of
/// the clients who wait for the answer.
const EARLY_MAX: Duration = Duration::from_secs(3);

pub(super) struct Provider {
    pub poster: Poster,
    pub control: Control,
    pub accounts: Accounts,
    pub account_list: AccountList,
    pub clock: Clock,
    pub pace: Pace,
    /// What Twilio's stand-in knows of messages, and where it sends those of clients.
    pub texts: Texts,
    throttled: Mutex<Throttled>,
    free_plays: Arc<Semaphore>,
    accepted_emails: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The answer to the request to send an email.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EmailReply {
    Accepted {
        message_id: String,
    },
    /// Accepted, but the connection is to be closed without saying so.
    Lost,
    Rejected,
    Throttled,
    Down,
}

/// The answer to the request to send to a phone or a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DirectReply {
    Accepted,
    /// Accepted, but the connection is to be closed without saying so.
    Lost,
    Throttled,
    Down,
}

/// How fast stories go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two happenings.
    pub latency: Duration,
    /// How much later than its happening a late one is told.
    pub late: Duration,
}

/// Room for one more story.
enum Room {
    Free(OwnedSemaphorePermit),
    /// Nobody listens: like SNS without a confirmed subscription, tell nobody.
    Unheard,
    /// The webhook is slower than the senders, who are asked to slow down.
    Full,
}

impl Provider {
    pub(super) fn new(
        poster: Poster,
        accounts: Accounts,
        clock: Clock,
        pace: Pace,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            poster,
            control: Control::default(),
            accounts,
            account_list: AccountList::default(),
            clock,
            pace,
            texts: Texts::default(),
            throttled: Mutex::default(),
            free_plays: Arc::new(Semaphore::new(PLAYS_MAX)),
            accepted_emails: AtomicU64::new(0),
            tasks,
            stop,
        }
    }

    pub(super) fn accepted_emails(&self) -> u64 {
        self.accepted_emails.load(Ordering::Relaxed)
    }

    /// The first recipient chooses the story; `mail` has at least one.
    pub(super) async fn send_email(self: &Arc<Self>, mail: Mail) -> EmailReply {
        if self.control.refuses() {
            return EmailReply::Throttled;
        }
        let story = Story::of(mail.first_recipient());
        let is_lost = match story.answer {
            Answer::Reject => return EmailReply::Rejected,
            Answer::Fail => return EmailReply::Down,
            Answer::ThrottleFirst if self.throttles(mail.identity()) => {
                return EmailReply::Throttled;
            }
            Answer::Accept | Answer::ThrottleFirst => false,
            Answer::Lose => true,
        };
        let room = self.room();
        if matches!(room, Room::Full) {
            return EmailReply::Throttled;
        }
        let at = self.clock.now();
        let accepted = AcceptedMail {
            mail,
            message_id: self.ses_id(at),
            at,
        };
        self.accepted_emails.fetch_add(1, Ordering::Relaxed);
        let message_id = accepted.message_id.clone();
        if let Room::Free(permit) = room {
            let play = Arc::clone(self).play_email(story, accepted);
            let told = self.spawn(play, permit);
            if story.is_early() && tokio::time::timeout(EARLY_MAX, told).await.is_err() {
                tracing::warn!("sandbox: the webhook was too slow for an early story");
            }
        }
        if is_lost {
            EmailReply::Lost
        } else {
            EmailReply::Accepted { message_id }
        }
    }

    /// Answers a text or push message; when it is accepted, `play` follows.
    pub(super) fn take(
        self: &Arc<Self>,
        door: Door,
        admission: Admission,
        identity: &str,
        play: Option<BoxFuture<'static, ()>>,
    ) -> DirectReply {
        if self.control.is_down(door) {
            return DirectReply::Down;
        }
        if self.control.refuses() {
            return DirectReply::Throttled;
        }
        match admission {
            Admission::Fail => return DirectReply::Down,
            Admission::ThrottleFirst if self.throttles(identity) => return DirectReply::Throttled,
            Admission::Accept | Admission::ThrottleFirst | Admission::Lose => {}
        }
        if let Some(play) = play {
            match self.room() {
                Room::Full => return DirectReply::Throttled,
                Room::Unheard => {}
                Room::Free(permit) => drop(self.spawn(play, permit)),
            }
        }
        if admission == Admission::Lose {
            DirectReply::Lost
        } else {
            DirectReply::Accepted
        }
    }

    async fn play_email(self: Arc<Self>, story: Story, accepted: AcceptedMail) {
        let began = Instant::now();
        for step in story.steps(self.pace.latency, self.pace.late) {
            tokio::time::sleep_until(began + step.told_after).await;
            let at = accepted.at.plus(step.happens_after);
            let event = accepted.event(step.happening, at, &self.ses_id(at));
            self.poster
                .publish(Some(SES_SUBJECT), &event, step.copies)
                .await;
        }
    }

    fn throttles(&self, identity: &str) -> bool {
        let mut throttled = self
            .throttled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        throttled.refuses(identity)
    }

    fn room(&self) -> Room {
        match Arc::clone(&self.free_plays).try_acquire_owned() {
            Ok(permit) => Room::Free(permit),
            Err(_all_taken) if self.poster.is_confirmed() => Room::Full,
            Err(_all_taken) => {
                self.poster.count_dropped();
                Room::Unheard
            }
        }
    }

    /// Runs until the end of the story or of the sandbox.
    fn spawn(
        &self,
        play: impl Future<Output = ()> + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> JoinHandle<()> {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _permit = permit;
            stop.run_until_cancelled(play).await;
        })
    }

    /// In the form of SES's message and feedback ids.
    fn ses_id(&self, at: Timestamp) -> String {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        format!("0100{millis:012x}-{}-000000", self.clock.new_uuid(at))
    }
}

/// A short text that is the same for the same parts and no others.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    hex::encode(context.finish())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::sandbox::signer::Signer;

    #[tokio::test]
    async fn too_many_stories_are_untold_while_nobody_listens_and_throttled_when_somebody_does() {
        let clock = Clock::system();
        let signer = Signer::generate().unwrap();
        let poster = Poster::new(signer, String::new(), String::new(), clock.clone()).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (latency, late) = (Duration::from_hours(24), Duration::from_hours(24));
        let (accounts, pace) = (Accounts::generate().unwrap(), Pace { latency, late });
        let provider = Provider::new(poster, accounts, clock, pace, tasks, stop.clone());
        let provider = Arc::new(provider);
        let endless = || Some(std::future::pending().boxed());
        let send = || provider.take(Door::Sns, Admission::Accept, "", endless());
        for _story in 0..PLAYS_MAX {
            assert_eq!(send(), DirectReply::Accepted);
        }
        assert_eq!(provider.poster.counts().dropped, 0);
        assert_eq!(send(), DirectReply::Accepted);
        assert_eq!(provider.poster.counts().dropped, 1);
        let token = provider.poster.token();
        assert!(provider.poster.confirm(&token).is_some());
        assert_eq!(send(), DirectReply::Throttled);
        stop.cancel();
    }
}
