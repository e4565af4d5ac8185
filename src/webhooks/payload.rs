//! What an application is told of an event: which notification, what happened, and its statuses. No
//! content and no address, so that whoever reads it learns nothing of people; the provider's own
//! words are left out, because they quote addresses.

use serde::Serialize;

use crate::domain::event::{Bounce, What};
use crate::domain::time::Timestamp;
use crate::store::webhook_queue::WebhookDelivery;

#[derive(Debug, Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    word: &'a str,
    /// When it happened.
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    id: String,
    client_id: &'a str,
    method: &'static str,
    #[serde(rename = "type")]
    type_name: &'a str,
    contact_type: &'a str,
    resend_of: Option<String>,
    /// The headline of `statuses`. Both are as of the moment of sending, so that a late event misleads
    /// nobody.
    status: Option<&'static str>,
    statuses: Vec<&'static str>,
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bounce: Option<Kind<'a>>,
    /// Of an open: it looks like a machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely_automatic: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Reason {
    category: &'static str,
    text: &'static str,
    remedy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Kind<'a> {
    kind: &'static str,
    subtype: Option<&'a str>,
}

/// The body of the request.
pub(super) fn body(delivery: &WebhookDelivery) -> Result<String, serde_json::Error> {
    let entry = &delivery.entry;
    let statuses: Vec<&'static str> = entry.statuses().iter().map(|it| it.as_str()).collect();
    let what = &delivery.event.what;
    let payload = Payload {
        word: &delivery.word,
        timestamp: delivery.event.occurred_at,
        data: Data {
            id: entry.id.to_string(),
            client_id: &entry.client_id,
            method: entry.method.as_str(),
            type_name: &entry.type_name,
            contact_type: &entry.contact_type,
            resend_of: entry.resend_of.map(|id| id.to_string()),
            status: statuses.first().copied(),
            statuses,
            reason: entry.trouble().map(|trouble| Reason {
                category: trouble.category.as_str(),
                text: trouble.sentence,
                remedy: trouble.remedy,
            }),
            bounce: bounce(what).map(|bounce| Kind {
                kind: bounce.severity.as_str(),
                subtype: bounce.subtype.as_deref(),
            }),
            likely_automatic: matches!(what, What::Opened { .. })
                .then(|| entry.opens_likely_automatic()),
        },
    };
    serde_json::to_string(&payload)
}

const fn bounce(what: &What) -> Option<&Bounce> {
    if let What::Bounced(bounce) = what {
        Some(bounce)
    } else {
        None
    }
}
