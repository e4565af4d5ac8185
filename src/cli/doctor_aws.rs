//! The part of `sendtrail doctor` that looks at the SES account.

use super::doctor::Finding;
use crate::clock::Clock;
use crate::config::{EmailProvider, Settings};
use crate::domain::mailbox::Mailbox;
use crate::store::Store;
use crate::transport::ses_condition::{Found, Look, Wanted, look};

/// Businesses whose sender is looked at: SES answers a call of these a second.
const SENDERS_MAX: usize = 100;

/// Nothing where the sandbox stands in for SES, or nothing goes by it.
pub(super) async fn ses(settings: &Settings, store: Option<&Store>) -> Vec<Finding> {
    if settings.sandbox.enabled || !settings.email.providers.contains(&EmailProvider::Ses) {
        return Vec::new();
    }
    // What is no mailbox is named by the settings' own check.
    let Ok(sender) = Mailbox::parse(&settings.email.from) else {
        return Vec::new();
    };
    let (senders, more) = senders(store).await;
    let wanted = Wanted {
        settings: &settings.ses,
        sender: sender.address(),
        senders: &senders,
        topics: &settings.feedback.sns.topics,
        queues: !settings.feedback.sqs.queues.is_empty(),
        now: || Clock::system().now(),
    };
    let looks = look(wanted).await;
    looks.into_iter().map(finding).chain(more).collect()
}

/// The senders of businesses, and that there are more of them.
async fn senders(store: Option<&Store>) -> (Vec<(String, String)>, Option<Finding>) {
    let mut found = match store {
        // That it does not answer is named already.
        Some(store) => store.own_senders(SENDERS_MAX + 1).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let more = (found.len() > SENDERS_MAX).then(|| Finding {
        unseen: Some(format!(
            "more than {SENDERS_MAX} businesses write from an address of their own; those were looked at"
        )),
        ..Finding::new("SES identity of more businesses", None)
    });
    found.truncate(SENDERS_MAX);
    let senders = found.into_iter();
    let senders = senders.map(|(business, sender)| (business, sender.address().to_owned()));
    (senders.collect(), more)
}

fn finding(look: Look) -> Finding {
    let (trouble, unseen) = match look.found {
        Found::Well => (None, None),
        Found::Trouble(words) => (Some(words), None),
        Found::Unseen(words) => (None, Some(words)),
    };
    Finding {
        unseen,
        ..Finding::new(look.what, trouble)
    }
}
