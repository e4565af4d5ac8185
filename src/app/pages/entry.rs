//! One entry of the contact history.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::history::line;
use super::{Pages, Trouble};
use crate::domain::delay::Delay;
use crate::domain::event::{Decision, What};
use crate::domain::id::NotificationId;
use crate::domain::message::Content;
use crate::store::history::{Entry, Story};
use crate::store::story::{Happened, Moment};
use crate::web::staff::Visitor;
use crate::web::{self, Reason, Step};

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    request: HeaderMap,
) -> Result<Response, Trouble> {
    let id = NotificationId::parse(&id).ok_or(Trouble::NotFound)?;
    let business = &visitor.account.business;
    let entry = pages.store.entry(business, id).await?;
    let entry = entry.ok_or(Trouble::NotFound)?;
    let sight = visitor.account.sight();
    let sees = pages.store.sees_client(business, &sight, &entry.client_id);
    if !sees.await? {
        // As if it were another business's.
        return Err(Trouble::NotFound);
    }
    let story = pages.store.story(id).await?;
    let (subject, text, html) = match pages.store.content(business, id).await? {
        Some(Content::Email {
            subject,
            text,
            html,
            ..
        }) => (Some(subject), text, html),
        Some(Content::Sms { text }) => (None, Some(text), None),
        Some(Content::Push { title, text, .. }) => (title, Some(text), None),
        None => (None, None, None),
    };
    let metadata = entry.metadata.iter().flatten();
    let view = web::Entry {
        head: visitor.head(""),
        line: line(&entry),
        to: entry.to.clone().unwrap_or_default(),
        timeline: story.moments(&entry).into_iter().map(step).collect(),
        subject,
        text,
        html,
        metadata: metadata
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect(),
        reason: reason(&entry).or_else(|| waiting(&story, &entry)),
    };
    Ok(web::entry_html(&request, web::render_entry(&view)?))
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
        remedy: waiting.wait.remedy().map(str::to_owned),
        provider_text: waiting.provider_text().map(str::to_owned),
    })
}

fn step(moment: Moment<'_>) -> Step {
    let (sentence, detail) = match moment.happened {
        Happened::Queued => ("Enqueued".to_owned(), None),
        Happened::Attempt(attempt) => {
            let outcome = attempt.outcome.replace('_', " ");
            let because = attempt.delay().map(Delay::because).unwrap_or_default();
            let next = attempt.next_at.map_or(String::new(), |at| {
                format!("; next try at {}, because {because}", at.plainly())
            });
            let (number, provider) = (attempt.number, &attempt.provider);
            let sentence = format!("Attempt {number} by {provider}: {outcome}{next}");
            (sentence, attempt.text.clone())
        }
        Happened::Event(event) => {
            let link = if let What::Clicked { link, .. } = &event.what {
                link.clone()
            } else {
                None
            };
            (sentence(&event.what, &event.source), link)
        }
    };
    Step {
        at: moment.at,
        sentence,
        detail,
    }
}

/// The source of what applications report.
const APPLICATION: &str = "application";

fn teller(source: &str) -> &str {
    match source {
        APPLICATION => "the application",
        "mail" => "the mail server",
        "tracking" => "our own tracking",
        provider => provider,
    }
}

fn sentence(what: &What, source: &str) -> String {
    match what {
        What::Accepted { provider, .. } => format!("Accepted by {provider}"),
        What::Rejected(f) | What::Undelivered(f) | What::GaveUp(f) => {
            format!("Failed: {}", f.sentence())
        }
        What::Decided { decision, .. } => match decision {
            Decision::Resend => "Decided by staff: send it again".to_owned(),
            Decision::GiveUp => "Decided by staff: give it up".to_owned(),
            Decision::Sent => "Decided by staff: it was sent".to_owned(),
        },
        What::Delivered { .. } => format!("Delivered, says {}", teller(source)),
        What::Delayed { .. } => "Delayed; the provider keeps trying".to_owned(),
        What::Bounced(b) => format!(
            "Bounced ({}): {}",
            b.severity.as_str(),
            b.category.sentence()
        ),
        What::Complained { .. } => "The recipient marked it as spam".to_owned(),
        What::ComplaintWithdrawn => "The recipient said it is not spam".to_owned(),
        What::Opened {
            by_machine: true, ..
        } => format!("Opened by a machine, says {}", teller(source)),
        What::Opened {
            by_machine: false, ..
        } => format!("Opened, says {}", teller(source)),
        What::Clicked { .. } => format!("A link was clicked, says {}", teller(source)),
        What::Unsubscribed { .. } => "The recipient unsubscribed".to_owned(),
        What::Resubscribed => "The recipient subscribed again".to_owned(),
    }
}
