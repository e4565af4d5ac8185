//! Keeps a mail, applies what it says, and counts what became of it, by whichever way it comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::{StreamExt as _, stream};
use tracing::error;

use super::{SOURCE, Trust, parse};
use crate::clock::Clock;
use crate::domain::id::NotificationId;
use crate::feedback::inbox;
use crate::feedback::provider_text::long;
use crate::feedback::read::{Raw, understand};
use crate::metrics::Metrics;
use crate::store::feedback::Kept;
use crate::store::{Error, Store};

/// A longer mail is refused. No mail system of note passes on more.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Of a long mail the first so many bytes are kept. The report stands before the message that came back
/// (RFC 3462 1), of whose files nothing is needed.
pub const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Messages of ours for which one mail is kept at the same time, so that they share a commit.
const AT_ONCE: usize = 8;

/// What takes mail over.
#[derive(Clone, Debug)]
pub struct Door {
    pub trust: Trust,
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

impl Door {
    /// `recipient`: of the envelope; empty where it is not known.
    pub async fn keep(&self, recipient: &str, mail: &[u8]) -> Result<Kept, Error> {
        let mail = beginning(mail);
        self.keep_text(recipient, mail, text(mail)).await
    }

    /// Keeps a mail for each message of ours that its recipients name, and once for all other recipients:
    /// anybody can write one mail to many. Returns for each recipient whether it is kept.
    pub async fn keep_for(&self, recipients: &[String], mail: &[u8]) -> Vec<bool> {
        let mail = beginning(mail);
        let body = text(mail);
        let about = |to: &String| self.trust.tokens.read(to);
        let mut distinct: BTreeMap<Option<NotificationId>, String> = BTreeMap::new();
        for to in recipients {
            distinct.entry(about(to)).or_insert_with(|| to.clone());
        }
        let keeping = stream::iter(distinct).map(|(about, to)| {
            let body = Arc::clone(&body);
            async move {
                let kept = self.keep_text(&to, mail, body).await;
                if let Err(failed) = &kept {
                    error!(error = %failed, "bounce mail could not be kept; it is brought again");
                }
                (about, kept.is_ok())
            }
        });
        let kept = keeping.buffer_unordered(AT_ONCE);
        let kept: BTreeMap<Option<NotificationId>, bool> = kept.collect().await;
        let is_kept = |to| kept.get(&about(to)).copied().unwrap_or(false);
        recipients.iter().map(is_kept).collect()
    }

    async fn keep_text(&self, recipient: &str, mail: &[u8], body: Arc<str>) -> Result<Kept, Error> {
        let recipient = long(recipient);
        let message_id = digest(&recipient, mail);
        let now = self.clock.now();
        let understood = understand(parse(&self.trust, &recipient, &body, now), true);
        let message = understood.of(Raw {
            source: SOURCE,
            message_id,
            topic: recipient,
            received_at: now,
            body,
        });
        inbox::keep(&self.store, &self.metrics, message).await
    }
}

/// As much as is kept.
fn beginning(mail: &[u8]) -> &[u8] {
    mail.get(..KEPT_BYTES_MAX).unwrap_or(mail)
}

/// What is read in it is ASCII; texts in other character sets are for people, and are not.
fn text(mail: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(mail).into()
}

/// A mail that a mail server brings again is the same to the letter. Its own `Message-ID` anybody could
/// give another mail.
fn digest(recipient: &str, mail: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(recipient.as_bytes());
    context.update(b"\n");
    context.update(mail);
    let digest = context.finish();
    let first = digest.as_ref().get(..16).unwrap_or_default();
    hex::encode(first)
}
