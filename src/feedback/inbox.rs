//! What takes over the providers' words, by whatever way they come.

use std::sync::Arc;

use super::sns::Verifier;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::feedback::{Incoming, Kept};
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

impl Inbox {
    /// Keeps a message, applies it, and counts what became of it.
    pub(super) async fn put(&self, message: Incoming, kind: &'static str) -> Result<Kept, Error> {
        keep(&self.store, &self.metrics, message, kind).await
    }
}

/// The same, for those whose words need no verifier of SNS.
pub(super) async fn keep(
    store: &Store,
    metrics: &Metrics,
    message: Incoming,
    kind: &'static str,
) -> Result<Kept, Error> {
    let kept = store.keep_feedback(message).await;
    let result = kept.as_ref().map_or("not_kept", |kept| kept.as_str());
    metrics.feedback(kind, result);
    kept
}
