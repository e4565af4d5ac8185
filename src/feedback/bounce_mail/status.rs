//! What a mail server reports of single recipients: the part `message/delivery-status` (RFC 3464).

use super::entity::Entity;
use super::{About, SOURCE};
use crate::domain::event::{Bounce, What};
use crate::feedback::provider_text::{sentence, word};
use crate::feedback::{Happening, key, server_words};

/// We write to one recipient at a time; behind that address may be a list. Of a long one the first will do.
const RECIPIENTS_MAX: usize = 100;

/// One for each recipient of which something can be said.
pub(super) fn happenings(part: &Entity<'_>, about: &About) -> Vec<Happening> {
    // The first group is about the report itself, and has none of these fields.
    part.groups()
        .iter()
        .filter_map(|group| happening(group, about))
        .take(RECIPIENTS_MAX)
        .collect()
}

fn happening(group: &Entity<'_>, about: &About) -> Option<Happening> {
    let action = group.field("Action")?;
    let action = action.split_ascii_whitespace().next()?.to_ascii_lowercase();
    let what = what(&action, group)?;
    let recipient = group
        .field("Final-Recipient")
        .or_else(|| group.field("Original-Recipient"))
        .map_or(String::new(), |field| typed(field).to_lowercase());
    let attempt = group.time("Last-Attempt-Date");
    let millis = attempt.map_or(String::new(), |at| at.as_millis().to_string());
    let id = about.id.to_string();
    Some(Happening {
        key: key::of(&[SOURCE, &id, &action, &recipient, &millis]),
        occurred_at: about.when(attempt),
        what,
    })
}

/// RFC 3464 2.3.3. What was relayed to a server that reports nothing, or handed out to a list, may arrive
/// or not: nothing is claimed of it.
fn what(action: &str, group: &Entity<'_>) -> Option<What> {
    let status = group.field("Status").and_then(|field| {
        // A comment may follow.
        field.split_ascii_whitespace().next()
    });
    let diagnostic = group.field("Diagnostic-Code");
    let words = || {
        let said = diagnostic.map(sentence)?;
        Some(match group.field("Remote-MTA").map(typed) {
            Some(server) => format!("{said} ({})", word(server)),
            None => said,
        })
    };
    match action {
        "failed" => Some(What::Bounced(Bounce {
            severity: server_words::severity(status, diagnostic),
            category: server_words::category(status, diagnostic),
            subtype: None,
            status: status.map(word),
            diagnostic: words(),
        })),
        "delayed" => Some(What::Delayed {
            delay_type: None,
            diagnostic: words(),
        }),
        "delivered" => Some(What::Delivered { response: words() }),
        _ => None,
    }
}

/// `ana@example.com` of `rfc822; ana@example.com` (RFC 3464 2.1.2).
fn typed(field: &str) -> &str {
    field
        .split_once(';')
        .map_or(field, |(_, value)| value)
        .trim()
}
