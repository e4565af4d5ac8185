//! `/v1/feedback`: messages of providers as they were kept, to be looked at and applied again. A
//! message belongs to no business before it is matched, so only an admin key of the business `default`
//! may look.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::Caller;
use super::fields::Errors;
use super::history::{DayEdge, Pairs, instant, limit};
use super::path::Steps;
use super::problem::{Kind, Problem};
use crate::domain::time::Timestamp;
use crate::store::feedback::Kept;
use crate::store::inbox::{LISTED, Message, Position, Wanted};

/// A message of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedbackMessage)]
pub(super) struct MessageJson {
    /// Its source, a colon, and the id that the source gave it.
    #[schema(example = "sns:7a1c5e0e-0a4c-5a7e-8a3f-0d6b7a1c5e0e")]
    id: String,
    #[schema(example = "sns")]
    source: String,
    /// The topic or queue that it came by.
    topic: String,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// What was found in it, in the provider's word.
    #[schema(example = "Bounce")]
    kind: String,
    /// `applied`; `unmatched`: its message is not known yet; `noted`: it says nothing of a message of
    /// ours; `unparsable`. Null: it was kept by an earlier version.
    #[schema(example = "unmatched")]
    result: Option<String>,
    /// As it came, with the addresses in it. Only of a single message.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// One page of messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedbackMessages {
    messages: Vec<MessageJson>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// What became of a message that was applied again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    id: String,
    #[schema(example = "applied")]
    result: String,
    /// Events that were not in the ledger before.
    new_events: usize,
}

/// Messages as they were kept, the oldest first, without their bodies.
#[utoipa::path(
    get, path = "/v1/feedback", tag = "feedback", params(Asked),
    responses(
        (status = 200, description = "A page of messages.", body = FeedbackMessages),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<FeedbackMessages>, Problem> {
    caller.operates()?;
    let mut wanted = Asked::read(pairs)?;
    let limit = wanted.limit;
    // One more tells whether there is a next page.
    wanted.limit += 1;
    let mut messages = shared.api.store.feedback_messages(&wanted).await?;
    let more = messages.len() > limit;
    messages.truncate(limit);
    let last = messages.last().filter(|_| more);
    Ok(Json(FeedbackMessages {
        next: last.map(|message| cursor(&message.position())),
        messages: messages.into_iter().map(MessageJson::from).collect(),
    }))
}

/// One message with its body.
#[utoipa::path(
    get, path = "/v1/feedback/{id}", tag = "feedback",
    params(("id" = String, Path, description = "The `id` of the message.")),
    responses(
        (status = 200, description = "The message.", body = MessageJson),
        (status = 404, description = "There is no such message."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
) -> Result<Json<MessageJson>, Problem> {
    caller.operates()?;
    let mut message = find(&shared, &id).await?;
    let body = Some(std::mem::take(&mut message.body));
    Ok(Json(MessageJson {
        body,
        ..message.into()
    }))
}

/// Reads the message anew and applies what it says. What was applied before changes nothing.
#[utoipa::path(
    post, path = "/v1/feedback/{id}/apply", tag = "feedback",
    params(("id" = String, Path, description = "The `id` of the message.")),
    responses(
        (status = 200, description = "What became of it.", body = Applied),
        (status = 404, description = "There is no such message."),
        (status = 409, description = "This version cannot read messages of its source."),
    ),
)]
pub(super) async fn apply(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(id): Steps<String>,
) -> Result<Json<Applied>, Problem> {
    caller.operates()?;
    let message = find(&shared, &id).await?;
    let Some(reading) = shared.api.reader.read(&message) else {
        let source = &message.source;
        let detail = format!("This version cannot read messages of the source {source}.");
        return Err(Problem::new(Kind::Conflict, detail));
    };
    let store = &shared.api.store;
    let kept = store.reapply(&[(message, reading)]).await?;
    let new_events = match kept.first() {
        Some(Kept::Applied { new_events }) => *new_events,
        _ => 0,
    };
    let message = find(&shared, &id).await?;
    Ok(Json(Applied {
        id,
        result: message.result.unwrap_or_default(),
        new_events,
    }))
}

async fn find(shared: &Shared, id: &str) -> Result<Message, Problem> {
    let none = || Problem::new(Kind::NotFound, "There is no feedback message with this id.");
    // No message has such an id, and PostgreSQL takes no NUL in a text.
    if id.chars().any(char::is_control) {
        return Err(none());
    }
    let (source, message_id) = id.split_once(':').ok_or_else(none)?;
    let store = &shared.api.store;
    let found = store.feedback_message(source, message_id).await?;
    found.ok_or_else(none)
}

impl From<Message> for MessageJson {
    fn from(message: Message) -> Self {
        Self {
            id: message.name(),
            source: message.source,
            topic: message.topic,
            received_at: message.received_at,
            kind: message.kind,
            result: message.result,
            body: None,
        }
    }
}

/// A cursor holds the id that a provider gave its message.
const VALUE_LENGTH_MAX: usize = 2_048;

/// The parameters as they came; empty ones count as absent.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `unmatched`, `unparsable` or `noted`; all messages by default.
    result: Option<String>,
    /// Received at this time (RFC 3339) or day (UTC), or later.
    from: Option<String>,
    /// Received before this time (RFC 3339), or before the end of this day (UTC).
    to: Option<String>,
    /// 1 to 200; 50 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl Asked {
    fn read(pairs: Pairs) -> Result<Wanted, Problem> {
        let (mut asked, mut errors) = (Self::default(), Errors::default());
        let mut slots = [
            ("result", &mut asked.result),
            ("from", &mut asked.from),
            ("to", &mut asked.to),
            ("limit", &mut asked.limit),
            ("cursor", &mut asked.cursor),
        ];
        pairs.fill(&mut slots, VALUE_LENGTH_MAX, &mut errors);
        let wanted = asked.wanted(&mut errors);
        errors.unless_any(Some(wanted)).map_err(Problem::invalid)
    }

    fn wanted(&self, errors: &mut Errors) -> Wanted {
        let result = self.result.as_deref().and_then(|text| {
            let found = LISTED.into_iter().find(|word| *word == text);
            if found.is_none() {
                let allowed = LISTED.join(", ");
                errors.add("/result", format!("must be one of: {allowed}"));
            }
            found
        });
        let after = self.cursor.as_deref().and_then(|text| {
            let found = position(text);
            if found.is_none() {
                errors.add("/cursor", "is not the `next` of a page");
            }
            found
        });
        Wanted {
            result,
            from: instant("from", self.from.as_deref(), DayEdge::Begin, errors),
            to: instant("to", self.to.as_deref(), DayEdge::End, errors),
            after,
            limit: limit(self.limit.as_deref(), errors),
        }
    }
}

/// Opaque to callers.
fn cursor((at, source, id): &Position) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{source}:{id}", at.as_millis()))
}

fn position(cursor: &str) -> Option<Position> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, name) = text.split_once(':')?;
    let (source, id) = name.split_once(':')?;
    let at = Timestamp::from_millis(at.parse().ok()?);
    Some((at, source.to_owned(), id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_message() {
        let at = Timestamp::from_millis(1_234);
        let place = (at, "sns".to_owned(), "a:b".to_owned());
        assert_eq!(position(&cursor(&place)), Some(place));
        for bad in ["", "x", "!!", "AAAA"] {
            assert_eq!(position(bad), None, "{bad}");
        }
    }
}
