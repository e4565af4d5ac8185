//! What applications know of their notifications and no provider tells: that the app received or opened
//! one, or that somebody came by a link in it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::{Caller, Scope};
use super::fields::{Errors, Fields};
use super::intake::ID_LENGTH_MAX;
use super::notifications::{Id, entry};
use super::problem::{FieldError, Kind as ProblemKind, Problem};
use super::schemas::ReportBody;
use super::{Shared, body};
use crate::domain::event::{Event, EventKey, What};
use crate::domain::event_key;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::history::{Entry, Story};
use crate::store::reports::Reported;
use crate::store::story::Wait;

/// Who says so, in the ledger and in the timeline.
const SOURCE: &str = "application";
/// In characters: what browsers and servers take for an address.
pub(super) const LINK_LENGTH_MAX: usize = 2_000;
/// How far the caller's clock, often a phone's, may be from ours.
const SKEW_MAX: Duration = Duration::from_mins(5);

pub(super) const NAMES: [&str; 4] = ["kind", "occurred_at", "id", "link"];
pub(super) const KINDS: [&str; 3] = [
    Kind::Delivered.as_str(),
    Kind::Opened.as_str(),
    Kind::Clicked.as_str(),
];

/// What an application can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delivered,
    Opened,
    Clicked,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Opened, Self::Clicked]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// The kinds of which an application sees the happening itself. A push message arrives in the app; an
    /// email is opened elsewhere, and tells of it by a picture or a link of the application's; of a text
    /// message there is the link alone.
    const fn of(method: Method) -> &'static [Self] {
        match method {
            Method::Push => &[Self::Delivered, Self::Opened, Self::Clicked],
            Method::Email => &[Self::Opened, Self::Clicked],
            Method::Sms => &[Self::Clicked],
            Method::InPerson | Method::Mail | Method::Phone => &[],
        }
    }
}

/// An event as it is recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedEvent)]
pub(super) struct Recorded {
    /// `delivered`, `opened` or `clicked`.
    kind: &'static str,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    link: Option<String>,
    /// The caller's own.
    id: Option<String>,
    /// It had been recorded before.
    duplicate: bool,
}

/// Reports an event of a notification that the application knows of: a push message that was received or
/// opened in the app, a link that was followed. To repeat a report with the same `id`, or without one with
/// the same kind, time and link, is harmless. What is reported counts like the words of a provider: that
/// somebody opened a message shows that it went.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/events", tag = "notifications",
    params(("id" = String, Path, description = "The id that the enqueue gave.")),
    request_body = ReportBody,
    responses(
        (status = 201, description = "Recorded.", body = Recorded),
        (status = 200, description = "It had been recorded before, as it is shown.", body = Recorded),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "The business has no such notification."),
        (status = 409, description = "The `id` is that of another event, or nothing was sent."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "Fields are wrong; nothing was recorded."),
    ),
)]
pub(super) async fn report(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    // Who may send may say what became of it.
    let business = caller.allowed(Scope::Enqueue)?;
    let entry = entry(&shared, business, id).await?;
    let body = body::required(request).await?;
    let story = shared.api.store.story(id).await?;
    if let Some(obstacle) = obstacle(&entry, &story) {
        return Err(Problem::new(ProblemKind::Conflict, obstacle));
    }
    let now = shared.api.clock.now();
    let asked = Asked::read(&body, &entry, now).map_err(Problem::invalid)?;
    let new = asked.event(&entry, now);
    let reported = shared.api.store.report(business, &new).await?;
    let reported = reported.ok_or_else(Problem::no_such_notification)?;
    let (status, recorded, result) = match reported {
        Reported::New => (StatusCode::CREATED, new, "applied"),
        Reported::Before(before) if asked.is_told_by(&before) => {
            (StatusCode::OK, before, "duplicate")
        }
        Reported::Before(_) => {
            let errors = vec![FieldError {
                pointer: "/id".to_owned(),
                detail: "names another event of this notification".to_owned(),
            }];
            let detail = "The id was used before for another event; nothing was recorded.";
            return Err(Problem::with_errors(
                ProblemKind::KeyConflict,
                detail,
                errors,
            ));
        }
    };
    shared.api.metrics.feedback(recorded.what.kind(), result);
    let answer = Recorded {
        kind: recorded.what.kind(),
        occurred_at: recorded.occurred_at,
        link: link(&recorded.what).map(str::to_owned),
        id: asked.id,
        duplicate: status == StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

/// Why nobody can have seen it. A worker may have it in hand, and the app be faster than the record.
fn obstacle(entry: &Entry, story: &Story) -> Option<&'static str> {
    if entry.manual {
        return Some("This entry was made by hand; nothing was sent.");
    }
    let waiting = story.waiting(entry);
    let is_in_hand = waiting.is_some_and(|waiting| waiting.wait == Wait::Sending);
    let was_tried = is_in_hand || !story.attempts.is_empty();
    let has_gone = entry.facts.sent.is_some() || entry.facts.has_evidence();
    let nothing = "Nothing was sent yet: it waits to be sent, or was stopped before.";
    (!was_tried && !has_gone).then_some(nothing)
}

struct Asked {
    kind: Kind,
    occurred_at: Option<Timestamp>,
    id: Option<String>,
    link: Option<String>,
}

impl Asked {
    fn read(body: &Value, entry: &Entry, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let asked =
            Fields::open(body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
                fields.require(&["kind"]);
                let kind = fields.word("kind", Kind::parse, &KINDS);
                let occurred_at = fields.time("occurred_at");
                let id = fields.id("id", ID_LENGTH_MAX);
                let link = fields.line("link", LINK_LENGTH_MAX);
                check_time(&mut fields, occurred_at, entry.date, now);
                // By a clock that is behind.
                let occurred_at = occurred_at.map(|at| at.max(entry.date));
                let kind = kind?;
                check_kind(&mut fields, kind, entry.method);
                Some(Self {
                    kind,
                    occurred_at,
                    id,
                    link,
                })
            });
        errors.unless_any(asked)
    }

    fn event(&self, entry: &Entry, now: Timestamp) -> Event {
        let occurred_at = self.occurred_at.unwrap_or(now);
        let link = self.link.clone();
        Event {
            notification: entry.id,
            key: self.key(occurred_at),
            occurred_at,
            source: SOURCE.to_owned(),
            what: match self.kind {
                Kind::Delivered => What::Delivered { response: None },
                Kind::Opened => What::Opened {
                    user_agent: None,
                    by_machine: false,
                },
                Kind::Clicked => What::Clicked {
                    link,
                    user_agent: None,
                },
            },
        }
    }

    /// By the caller's own id; else by what happened and when.
    fn key(&self, occurred_at: Timestamp) -> EventKey {
        if let Some(id) = &self.id {
            return event_key::of(&[SOURCE, "id", id]);
        }
        let millis = occurred_at.as_millis().to_string();
        let link = self.link.as_deref().unwrap_or_default();
        event_key::of(&[SOURCE, self.kind.as_str(), &millis, link])
    }

    /// Whether that event is the one that is reported; a time that is not given may be any.
    fn is_told_by(&self, before: &Event) -> bool {
        before.what.kind() == self.kind.as_str()
            && link(&before.what) == self.link.as_deref()
            && self.occurred_at.is_none_or(|at| at == before.occurred_at)
    }
}

fn check_time(
    fields: &mut Fields<'_, '_>,
    occurred_at: Option<Timestamp>,
    enqueued_at: Timestamp,
    now: Timestamp,
) {
    let Some(at) = occurred_at else { return };
    if at > now.plus(SKEW_MAX) {
        let detail = format!("is in the future: by our clock it is {now}");
        fields.wrong("occurred_at", detail);
    } else if at.plus(SKEW_MAX) < enqueued_at {
        let detail = format!("is before the notification was enqueued, at {enqueued_at}");
        fields.wrong("occurred_at", detail);
    }
}

fn check_kind(fields: &mut Fields<'_, '_>, kind: Kind, method: Method) {
    let allowed = Kind::of(method);
    if !allowed.contains(&kind) {
        let allowed: Vec<&str> = allowed.iter().map(|kind| kind.as_str()).collect();
        let allowed = allowed.join(", ");
        let detail = format!("is nothing that an application sees of {method}: {allowed}");
        fields.wrong("kind", detail);
    }
    if kind != Kind::Clicked && fields.get("link").is_some() {
        fields.wrong("link", "only a click has one");
    }
}

fn link(what: &What) -> Option<&str> {
    if let What::Clicked { link, .. } = what {
        link.as_deref()
    } else {
        None
    }
}
