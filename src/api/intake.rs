//! The body of `POST /v1/notifications`: checked as a whole, so that every wrong field is named.

use std::sync::Arc;

use serde_json::Value as Json;

use super::content::{self, Given};
use super::digest;
use super::fields::{Errors, Fields, step};
use super::problem::FieldError;
use super::rendering::{self, Asked};
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;
use crate::store::enqueue::{ClientRef, ContentSource, Idempotency, NewNotification, Refusal, Why};
use crate::store::{Error, Store};
use crate::template::{self, Cache};

/// The notifications of one request.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) notifications: Vec<NewNotification>,
    /// They came as `{"notifications": [...]}`, and the answer has the same form.
    pub(super) is_batch: bool,
}

/// Makes of a request what the store takes, by whatever way it came.
#[derive(Clone, Debug)]
pub struct Intake {
    pub store: Store,
    pub(super) templates: Arc<Cache>,
}

impl Intake {
    pub fn new(store: Store) -> Self {
        let templates = Arc::default();
        Self { store, templates }
    }

    /// The notifications, their templates filled; or everything that is wrong with them.
    pub(super) async fn prepare(
        &self,
        business: &str,
        body: &Json,
        now: Timestamp,
    ) -> Result<Result<Wanted, Vec<FieldError>>, Error> {
        let mut reading = read(body, now);
        if !reading.asked.is_empty() {
            rendering::fill(self, business, &mut reading).await?;
        }
        let notifications: Option<Vec<NewNotification>> = reading
            .drafts
            .into_iter()
            .map(|draft| draft.map(tagged))
            .collect();
        Ok(reading
            .errors
            .unless_any(notifications.map(|notifications| Wanted {
                notifications,
                is_batch: reading.is_batch,
            })))
    }
}

/// Outside of the transaction, in the task of the request.
fn tagged(mut new: NewNotification) -> NewNotification {
    if let ContentSource::New(content) = &new.content {
        new.tags = Some(template::of_content(content));
    }
    new
}

/// A request that is read; what its templates make of it is still open.
#[derive(Debug)]
pub(super) struct Reading {
    /// One per notification, with [`ContentSource::AsBefore`] where a template makes the content;
    /// none where something is wrong.
    pub(super) drafts: Vec<Option<NewNotification>>,
    pub(super) asked: Vec<Asked>,
    pub(super) errors: Errors,
    is_batch: bool,
}

/// Pointers to the notifications of a request, by their position in it.
pub(super) fn pointers(is_batch: bool) -> impl Fn(usize) -> String {
    move |index| {
        if is_batch {
            step("/notifications", &index.to_string())
        } else {
            String::new()
        }
    }
}

/// What the store refused, as errors of fields.
pub(super) fn explain(refusals: &[Refusal], at: impl Fn(usize) -> String) -> Vec<FieldError> {
    let errors = refusals.iter().map(|refusal| {
        let at = at(refusal.index);
        let (at, name) = match refusal.why {
            Why::NoAddress | Why::CardAddress(_) => (at, "to"),
            Why::Expired => (at, "expires_at"),
            Why::KeyConflict | Why::NotAsBefore => (at, "idempotency_key"),
            Why::Erased => (step(&at, "client"), "id"),
            // Of what is sent again, which no body asks for.
            Why::NotKept => (at, "content"),
        };
        FieldError {
            pointer: step(&at, name),
            detail: refusal.why.to_string(),
        }
    });
    errors.collect()
}

pub(super) const NAMES: [&str; 13] = [
    "client",
    "method",
    "to",
    "type",
    "contact_type",
    "content",
    "template",
    "staff_id",
    "send_at",
    "expires_at",
    "priority",
    "idempotency_key",
    "metadata",
];
pub(super) const CLIENT_NAMES: [&str; 4] = ["id", "name", "email", "phone"];

/// One commit of this many takes a few hundred milliseconds; more would hold up other callers.
pub(super) const BATCH_MAX: usize = 1_000;
/// Ids fit an index entry of every database, and a log line.
pub(super) const ID_LENGTH_MAX: usize = 255;
/// Names are shown in a column of a page.
pub(super) const NAME_LENGTH_MAX: usize = 200;
pub(super) const METADATA_KEYS_MAX: usize = 64;
/// It is read with every line of a history.
pub(super) const METADATA_BYTES_MAX: usize = 16 * 1024;
pub(super) const CONTACT_TYPE_DEFAULT: &str = "Client Notifications";
/// Words of the field `method`.
pub(super) const METHODS: [&str; 3] = ["email", "sms", "push"];
pub(super) const PRIORITIES: [&str; 3] = ["high", "normal", "bulk"];

pub(super) fn read(body: &Json, now: Timestamp) -> Reading {
    let mut reading = Reading {
        drafts: Vec::new(),
        asked: Vec::new(),
        errors: Errors::default(),
        is_batch: body.get("notifications").is_some(),
    };
    if reading.is_batch {
        batch(body, now, &mut reading);
    } else {
        let draft = notification(body, String::new(), now, &mut reading);
        reading.drafts.push(draft);
    }
    reading
}

fn batch(body: &Json, now: Timestamp, reading: &mut Reading) {
    const AT: &str = "/notifications";
    Fields::open(body, String::new(), &["notifications"], &mut reading.errors);
    let Some(Json::Array(items)) = body.get("notifications") else {
        reading.errors.add(AT, "must be a list");
        return;
    };
    if items.is_empty() {
        reading.errors.add(AT, "must not be empty");
    }
    if items.len() > BATCH_MAX {
        let count = items.len();
        reading.errors.add(
            AT,
            format!("has {count} notifications: at most {BATCH_MAX} in one request"),
        );
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let draft = notification(item, step(AT, &index.to_string()), now, reading);
        reading.drafts.push(draft);
    }
}

fn notification(
    body: &Json,
    at: String,
    now: Timestamp,
    reading: &mut Reading,
) -> Option<NewNotification> {
    let index = reading.drafts.len();
    let mut fields = Fields::open(body, at, &NAMES, &mut reading.errors)?;
    fields.require(&["client", "method"]);
    let client = client(&mut fields);
    let method = fields.word("method", sent_by_us, &METHODS);
    if method.is_none() {
        // What an address and a content must be is not known then, but this much is.
        fields.expect_text("to");
        fields.expect_object("content");
        fields.expect_object("template");
    }
    let to = method.and_then(|method| fields.address("to", method));
    let type_name = type_name(&mut fields);
    let contact_type = fields.line("contact_type", NAME_LENGTH_MAX);
    let made = made(&mut fields, method, index);
    let staff_id = fields.id("staff_id", ID_LENGTH_MAX);
    let priority = fields.word("priority", Priority::parse, &PRIORITIES);
    let key = fields.key("idempotency_key", ID_LENGTH_MAX);
    // With a key it may be a repetition, which is answered whatever the time is: the store decides.
    let now = key.is_none().then_some(now);
    let (send_at, expires_at) = times(&mut fields, now);
    let metadata = metadata(&mut fields);
    let contact_type = contact_type.unwrap_or_else(|| CONTACT_TYPE_DEFAULT.to_owned());
    let priority = priority.unwrap_or_else(|| Priority::usual_for(&contact_type));
    let as_given = made.as_ref().map(Made::asked);
    let (content, files) = match made {
        Some(Made::Given(given)) => (Some(ContentSource::New(given.content)), given.files),
        Some(Made::Asked(asked)) => {
            reading.asked.push(asked);
            (Some(ContentSource::AsBefore), Vec::new())
        }
        None => (None, Vec::new()),
    };
    let mut new = NewNotification {
        client: client?,
        method: method?,
        to,
        type_name: String::new(),
        contact_type,
        content: content?,
        files,
        template: None,
        staff_id,
        send_at,
        expires_at,
        priority,
        idempotency: None,
        metadata,
        resend_of: None,
        tags: None,
    };
    new.idempotency = key.map(|key| Idempotency {
        key,
        body_digest: digest::of(&asked(
            &new,
            type_name.clone(),
            as_given.unwrap_or_default(),
        )),
    });
    match type_name {
        Some(type_name) => new.type_name = type_name,
        // The template may have one.
        None if matches!(new.content, ContentSource::AsBefore) => {}
        None => return None,
    }
    Some(new)
}

/// Required where no template can bring one.
fn type_name(fields: &mut Fields<'_, '_>) -> Option<String> {
    if fields.get("template").is_none() {
        fields.require(&["type"]);
    }
    fields.line("type", NAME_LENGTH_MAX)
}

/// What the content is made from.
enum Made {
    Given(Given),
    Asked(Asked),
}

impl Made {
    fn asked(&self) -> [Option<String>; 8] {
        match self {
            Self::Given(given) => content::asked(&given.content),
            Self::Asked(asked) => asked.asked(),
        }
    }
}

/// The one of `content` and `template` that is there.
fn made(fields: &mut Fields<'_, '_>, method: Option<Method>, index: usize) -> Option<Made> {
    if fields.get("template").is_none() {
        fields.require(&["content"]);
        return content::read(fields, method?).map(Made::Given);
    }
    if fields.get("content").is_some() {
        fields.wrong(
            "template",
            "cannot be together with content: give one of them",
        );
        content::read(fields, method?);
        return None;
    }
    rendering::read(fields, method?, index).map(Made::Asked)
}

pub(super) fn sent_by_us(word: &str) -> Option<Method> {
    Method::parse(word).filter(|method| method.is_sent_by_us())
}

/// `"C-1001"` or `{"id": "C-1001", ...}`.
fn client(fields: &mut Fields<'_, '_>) -> Option<ClientRef> {
    if fields.get("client")?.is_string() {
        let id = fields.id("client", ID_LENGTH_MAX)?;
        return Some(ClientRef {
            id,
            ..ClientRef::default()
        });
    }
    let mut fields = fields.object("client", &CLIENT_NAMES)?;
    fields.require(&["id"]);
    let id = fields.id("id", ID_LENGTH_MAX);
    let name = fields.line("name", NAME_LENGTH_MAX);
    let email = fields.address("email", Method::Email);
    let phone = fields.address("phone", Method::Sms);
    Some(ClientRef {
        id: id?,
        name,
        email: email.map(|email| email.as_str().to_owned()),
        phone: phone.map(|phone| phone.as_str().to_owned()),
    })
}

fn times(
    fields: &mut Fields<'_, '_>,
    now: Option<Timestamp>,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let (send_at, expires_at) = (fields.time("send_at"), fields.time("expires_at"));
    if let Some(expires_at) = expires_at {
        if now.is_some_and(|now| expires_at <= now) {
            fields.wrong("expires_at", Why::Expired.to_string());
        } else if send_at.is_some_and(|send_at| expires_at <= send_at) {
            fields.wrong("expires_at", "must be after send_at");
        }
    }
    (send_at, expires_at)
}

fn metadata(fields: &mut Fields<'_, '_>) -> Option<serde_json::Map<String, Json>> {
    let metadata = fields.data("metadata", METADATA_BYTES_MAX)?;
    if metadata.len() > METADATA_KEYS_MAX {
        let detail = format!("has too many names: at most {METADATA_KEYS_MAX}");
        fields.wrong("metadata", detail);
    }
    Some(metadata)
}

/// What was asked for, however it was written: defaults filled in, times in UTC. Of a template, its
/// name and the data: the same request stays the same when the template changes.
fn asked(
    new: &NewNotification,
    type_name: Option<String>,
    content: [Option<String>; 8],
) -> Vec<Option<String>> {
    let ClientRef {
        id,
        name,
        email,
        phone,
    } = new.client.clone();
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let mut asked = vec![
        Some(id),
        name,
        email,
        phone,
        Some(new.method.as_str().to_owned()),
        new.to.as_ref().map(|to| to.as_str().to_owned()),
        type_name,
        Some(new.contact_type.clone()),
        new.staff_id.clone(),
        time(new.send_at),
        time(new.expires_at),
        Some(new.priority.as_str().to_owned()),
        new.metadata.as_ref().map(digest::data),
    ];
    asked.extend(content);
    asked
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn digest_of(body: &str) -> Uuid {
        let body = serde_json::from_str(body).unwrap();
        let reading = read(&body, Timestamp::EPOCH);
        reading.drafts[0]
            .as_ref()
            .unwrap()
            .idempotency
            .as_ref()
            .unwrap()
            .body_digest
    }

    #[test]
    fn the_digest_is_of_what_is_asked_for_not_of_how_it_is_written() {
        let one = digest_of(
            r#"{"client": "C", "method": "sms", "to": "+14155550123", "type": "T", "send_at":
            "2027-01-01T09:00:00Z", "content": {"text": "x"}, "metadata": {"a": 1, "b": 2},
            "idempotency_key": "k"}"#,
        );
        let other_way = digest_of(
            r#"{"metadata": {"b": 2, "a": 1}, "client": {"id": "C", "name": null}, "method": "sms",
            "to": "+1 415 555 0123", "type": " T ", "send_at": "2027-01-01T10:00:00+01:00",
            "content": {"text": "x"}, "idempotency_key": "k2", "priority": "normal",
            "contact_type": "Client Notifications"}"#,
        );
        assert_eq!(one, other_way);
        let other_text = digest_of(
            r#"{"client": "C", "method": "sms", "to": "+14155550123", "type": "T", "send_at":
            "2027-01-01T09:00:00Z", "content": {"text": "y"}, "metadata": {"a": 1, "b": 2},
            "idempotency_key": "k"}"#,
        );
        assert_ne!(one, other_text);
    }
}
