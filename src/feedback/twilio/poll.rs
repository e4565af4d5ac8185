//! Asks Twilio for messages of which it never reported the end: the report was lost, or nobody was
//! there to take it. What Twilio answers goes the way of a report.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::{Form, Genuine, Refusal, parse};
use crate::clock::Clock;
use crate::domain::outcome::Trouble;
use crate::feedback::read::understand;
use crate::metrics::Metrics;
use crate::store::receipts::Awaited;
use crate::store::{Error, Store};
use crate::transport::Twilio;
use crate::transport::twilio::{ID_PARAMETER, State};

/// Messages asked for in one round, one after the other: a few seconds' work, and far from the rate at
/// which Twilio refuses.
const ASKED_MAX: usize = 100;
/// Between two rounds, of which the first left nothing over.
const ROUND_EVERY: Duration = Duration::from_mins(1);
/// After a full round: there is more to ask for.
const PAUSE: Duration = Duration::from_secs(1);

/// What asking needs.
#[derive(Clone, Debug)]
pub struct Poller {
    pub twilio: Twilio,
    pub account: String,
    /// How long after the send Twilio is asked first; each time after that it is asked when twice as
    /// much time has passed.
    pub after: Duration,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{}", .0.text)]
    Twilio(Trouble),
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Answer(#[from] Refusal),
}

impl Poller {
    /// Goes on until it is dropped.
    pub async fn run(self) {
        let every = ROUND_EVERY.min(self.after);
        loop {
            let pause = match self.round().await {
                Ok(asked) if asked >= ASKED_MAX => PAUSE.min(every),
                Ok(_) => every,
                Err(failed) => {
                    warn!(error = %failed, "cannot ask Twilio what became of messages");
                    self.metrics.feedback("poll", "not_asked");
                    ROUND_EVERY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// How many messages were asked for. Each comes up again later, whatever happens here.
    async fn round(&self) -> Result<usize, Failed> {
        let awaited = self.store.claim_receipts(self.after, ASKED_MAX).await?;
        for message in &awaited {
            let sid = &message.provider_message_id;
            match self.twilio.look_up(sid).await.map_err(Failed::Twilio)? {
                Some(state) => self.keep(message, &state).await?,
                None => self.metrics.feedback("poll", "gone"),
            }
        }
        Ok(awaited.len())
    }

    /// In the form of a report, without what the answer repeats of the message.
    async fn keep(&self, message: &Awaited, state: &State) -> Result<(), Failed> {
        let mut pairs = vec![
            ("AccountSid", self.account.clone()),
            ("MessageSid", message.provider_message_id.clone()),
            ("MessageStatus", state.status.clone()),
        ];
        let code = state.error_code.map(|code| code.to_string());
        pairs.extend(code.map(|code| ("ErrorCode", code)));
        let updated = state.date_updated.clone();
        pairs.extend(updated.map(|at| ("DateUpdated", at)));
        let named = pairs.into_iter().map(|(n, v)| (n.to_owned(), v));
        let form = Form::of(named.collect())?;
        let genuine = Genuine {
            body: form.body(),
            form,
            query: format!("{ID_PARAMETER}={}", message.notification),
        };
        let now = self.clock.now();
        let understood = understand(parse(&genuine.query, &genuine.body, now), true);
        let message = understood.of(genuine.raw(now));
        let kept = self.store.keep_feedback(message.incoming).await?;
        self.metrics.feedback(message.kind, kept.as_str());
        Ok(())
    }
}
