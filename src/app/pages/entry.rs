//! One entry of the contact history.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::edit::mark;
use super::history::line;
use super::{Pages, story, tasks};
use crate::api::again::{Obstacle, gone};
use crate::domain::id::NotificationId;
use crate::domain::message::{Attachment, Content};
use crate::domain::method::Method;
use crate::store::history::{Entry, Story};
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Editable, File, Kin, Message, Pictures, Reason, Show};

/// Which side of the message is asked for.
#[derive(Default, Deserialize)]
pub(super) struct Side {
    show: Option<String>,
    pictures: Option<String>,
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(side): Query<Side>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let entry = in_sight(&pages, &visitor, &id).await?;
    let view = view(&pages, &visitor, &entry, &side).await?;
    let pictures = view.message.as_ref().map(|it| it.pictures);
    let page = web::render_entry(&view)?;
    Ok(web::entry_html(
        &request,
        page,
        pictures.unwrap_or_default(),
    ))
}

/// The page once more, with why what was asked for was not done.
pub(super) async fn refused(
    pages: &Pages,
    visitor: &Visitor,
    entry: &Entry,
    (status, why): (StatusCode, String),
) -> Result<Response, Notice> {
    let mut view = view(pages, visitor, entry, &Side::default()).await?;
    view.refused = Some(why);
    let page = web::render_entry(&view)?;
    let page = web::entry_html(&HeaderMap::new(), page, Pictures::Blocked);
    Ok((status, page).into_response())
}

/// The entry of the visitor's business, if its client is in sight.
pub(super) async fn in_sight(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Entry, Notice> {
    let id = NotificationId::parse(id).ok_or(Notice::NotFound)?;
    let business = &visitor.account.business;
    let entry = pages.store.entry(business, id).await?;
    let entry = entry.ok_or(Notice::NotFound)?;
    let sight = visitor.account.sight();
    let sees = pages.store.sees_client(business, &sight, &entry.client_id);
    if !sees.await? {
        // As if it were another business's.
        return Err(Notice::NotFound);
    }
    Ok(entry)
}

async fn view(
    pages: &Pages,
    visitor: &Visitor,
    entry: &Entry,
    side: &Side,
) -> Result<web::Entry, Notice> {
    let (kept, business) = (&pages.store, &visitor.account.business);
    let story = kept.story(entry.id).await?;
    let changes = kept.entry_changes(business, entry.id).await?;
    let resends = kept.resends(business, entry.id).await?;
    let first = match entry.resend_of {
        Some(first) => kept.entry(business, first).await?,
        None => None,
    };
    let tasks = kept.tasks_of_entry(business, entry.id).await?;
    let marks = kept.task_changes_of_entry(business, entry.id).await?;
    let content = kept.content(business, entry.id).await?;
    let gone = match content {
        Some(_) => None,
        None => kept.content_gone(business, entry.id).await?.map(gone),
    };
    let metadata = entry.metadata.iter().flatten();
    let tags = entry.tags.join(", ");
    let description = entry.description.clone().unwrap_or_default();
    Ok(web::Entry {
        head: visitor.head(""),
        line: line(entry),
        to: entry.to.clone().unwrap_or_default(),
        timeline: story::steps(entry, &story, &changes, &resends, (&tasks, &marks)),
        message: (!entry.manual).then(|| message(pages, entry, content, side)),
        gone,
        metadata: metadata
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect(),
        reason: reason(entry).or_else(|| waiting(&story, entry)),
        description: Editable {
            mark: mark(&description),
            text: description,
        },
        tags: Editable {
            mark: mark(&tags),
            text: tags,
        },
        refused: None,
        resendable: Obstacle::of(entry).is_none(),
        resend_of: first.as_ref().map(kin),
        resends: resends.iter().map(kin).collect(),
        tasks: tasks
            .into_iter()
            .map(|task| tasks::line(task, pages.clock.now()))
            .collect(),
    })
}

fn kin(entry: &Entry) -> Kin {
    Kin {
        id: entry.id,
        date: entry.date,
        to: entry.to.clone().unwrap_or_default(),
        statuses: line(entry).statuses,
    }
}

fn message(pages: &Pages, entry: &Entry, content: Option<Content>, side: &Side) -> Message {
    let headers = headers(pages, entry, content.as_ref());
    let (subject, text, html, attachments) = match content {
        Some(Content::Email {
            subject,
            text,
            html,
            attachments,
            ..
        }) => (Some(subject), text, html, attachments),
        Some(Content::Sms { text }) => (None, Some(text), None, Vec::new()),
        Some(Content::Push { title, text, .. }) => (title, Some(text), None, Vec::new()),
        None => (None, None, None, Vec::new()),
    };
    let pictures = if side.pictures.as_deref() == Some("yes") {
        Pictures::Fetched
    } else {
        Pictures::Blocked
    };
    Message {
        show: Show::parse(side.show.as_deref().unwrap_or_default()),
        pictures,
        subject,
        text,
        html,
        headers,
        attachments: attachments.into_iter().map(file).collect(),
    }
}

fn file(attachment: Attachment) -> File {
    File {
        name: attachment.name,
        content_type: attachment.content_type,
        size: attachment.size,
    }
}

/// What the message carried beside its text, as far as it is known here.
fn headers(pages: &Pages, entry: &Entry, content: Option<&Content>) -> Vec<(&'static str, String)> {
    let (subject, own_reply_to) = match content {
        Some(Content::Email {
            subject, reply_to, ..
        }) => (Some(subject.clone()), reply_to.as_ref()),
        _ => (None, None),
    };
    let is_email = entry.method == Method::Email;
    let sender = is_email.then(|| pages.sender.clone());
    let reply_to = own_reply_to.or(entry.reply_to.as_ref());
    let sent = entry.facts.sent.as_ref();
    let own = is_email.then(|| entry.id.to_string());
    let headers = [
        ("From", entry.sender.clone().or(sender)),
        ("Reply-To", reply_to.map(ToString::to_string)),
        ("To", entry.to.clone()),
        ("Subject", subject),
        ("Date", sent.map(|sent| sent.at.to_string())),
        ("X-Sendtrail-Id", own),
        ("Provider", sent.map(|sent| sent.provider.clone())),
        (
            "Provider’s message id",
            sent.and_then(|sent| sent.provider_message_id.clone()),
        ),
    ];
    let known = headers.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn reason(entry: &Entry) -> Option<Reason> {
    let trouble = entry.trouble()?;
    Some(Reason {
        sentence: trouble.sentence.to_owned(),
        remedy: trouble.remedy.map(str::to_owned),
        provider_text: trouble.provider_text.map(str::to_owned),
    })
}

fn waiting(story: &Story, entry: &Entry) -> Option<Reason> {
    let waiting = story.waiting(entry)?;
    Some(Reason {
        sentence: waiting.sentence(),
        remedy: waiting.remedy().map(str::to_owned),
        provider_text: waiting.provider_text().map(str::to_owned),
    })
}
