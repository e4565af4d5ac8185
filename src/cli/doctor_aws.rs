//! The part of `sendtrail doctor` that looks at the SES account.

use super::doctor::Finding;
use crate::clock::Clock;
use crate::config::{EmailProvider, Settings};
use crate::domain::mailbox::Mailbox;
use crate::transport::ses_condition::{Found, Look, Wanted, look};

/// Nothing where the sandbox stands in for SES, or nothing goes by it.
pub(super) async fn ses(settings: &Settings) -> Vec<Finding> {
    if settings.sandbox.enabled || !settings.email.providers.contains(&EmailProvider::Ses) {
        return Vec::new();
    }
    // What is no mailbox is named by the settings' own check.
    let Ok(sender) = Mailbox::parse(&settings.email.from) else {
        return Vec::new();
    };
    let wanted = Wanted {
        settings: &settings.ses,
        sender: sender.address(),
        topics: &settings.feedback.sns.topics,
        now: || Clock::system().now(),
    };
    let looks = look(wanted).await;
    looks.into_iter().map(finding).collect()
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
