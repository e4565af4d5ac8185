//! What takes over the providers' words, by whatever way they come.

use std::sync::Arc;

use super::sns::Verifier;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::feedback::{Incoming, Kept};
use crate::store::inbound::{Text, Wish};
use crate::store::{Error, Store};

#[derive(Clone, Debug)]
pub struct Inbox {
    pub verifier: Arc<Verifier>,
    /// SES is set up to report opens (`ses.track_opens`).
    pub opens_tracked: bool,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

/// A message and what was found in it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) incoming: Incoming,
    /// What a client wrote.
    pub(super) text: Option<Box<Text>>,
    /// From a closed vocabulary.
    pub(super) kind: &'static str,
}

impl Inbox {
    /// Keeps a message, applies it, and counts what became of it.
    pub(super) async fn put(&self, message: Message) -> Result<Kept, Error> {
        keep(&self.store, &self.metrics, message).await
    }
}

/// The same, for those whose words need no verifier of SNS.
pub(super) async fn keep(
    store: &Store,
    metrics: &Metrics,
    message: Message,
) -> Result<Kept, Error> {
    let Message {
        incoming,
        text,
        kind,
    } = message;
    let kept = match text {
        // Rare, and so large that each request would pay for its room.
        Some(text) => Box::pin(store.keep_text(incoming, &text)).await,
        None => store.keep_feedback(incoming).await,
    };
    let result = kept.as_ref().map_or("not_kept", |kept| kept.as_str());
    metrics.feedback(kind, result);
    kept
}

/// The kind of a text, from a closed vocabulary.
pub(super) const fn kind_of(text: &Text) -> &'static str {
    match text.wish {
        Some(Wish::Stop) => "stop",
        Some(Wish::Start) => "start",
        None => "text",
    }
}
