//! Sending one entry again: to its address or a corrected one, once however often the form is sent.

use std::fmt;

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::Pages;
use super::entry::{in_sight, refused};
use super::history::line;
use super::overriding::{self, Overridden};
use crate::api::again::{Again, Obstacle};
use crate::api::ways;
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::message::Content;
use crate::domain::method::Method;
use crate::store::changes::Edit;
use crate::store::enqueue::{Enqueue, Enqueued, NewNotification, Why};
use crate::store::history::Entry;
use crate::store::suppressions::Suppression;
use crate::web::staff::{Notice, Visitor};
use crate::web::{self, Resend, Typed};

/// Characters of the text that the form shows: enough to see which message it is.
const EXCERPT_MAX: usize = 600;
/// As over the API: a sentence or two.
pub(super) const NOTE_LENGTH_MAX: usize = 500;

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    key: String,
    #[serde(default, rename = "where")]
    place: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    card: String,
    #[serde(default, rename = "override")]
    overrides: String,
    #[serde(default)]
    note: String,
}

// By hand: addresses are not for logs.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

impl Given {
    fn typed(&self) -> Typed {
        Typed {
            other: self.place == "other",
            to: self.to.clone(),
            card: self.card == "yes",
            note: self.note.clone(),
        }
    }
}

pub(super) async fn show(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    request: HeaderMap,
) -> Result<Response, Notice> {
    let entry = in_sight(&pages, &visitor, &id).await?;
    if let Some(obstacle) = Obstacle::of(&entry) {
        let why = (StatusCode::CONFLICT, obstacle.to_string());
        return refused(&pages, &visitor, &entry, why).await;
    }
    let form = Shown {
        pages: &pages,
        visitor: &visitor,
        entry: &entry,
    };
    let to = address_of(&entry);
    let view = form.view(to.as_ref(), Typed::default(), None).await?;
    Ok(web::html(&request, web::render_resend(&view)?))
}

pub(super) async fn send(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Response, Notice> {
    let entry = in_sight(&pages, &visitor, &id).await?;
    if let Some(obstacle) = Obstacle::of(&entry) {
        let why = (StatusCode::CONFLICT, obstacle.to_string());
        return refused(&pages, &visitor, &entry, why).await;
    }
    let form = Shown {
        pages: &pages,
        visitor: &visitor,
        entry: &entry,
    };
    match form.attempt(&given).await? {
        Attempt::Sent(id) => Ok(Redirect::to(&format!("/entries/{id}")).into_response()),
        Attempt::Refused(status, why, to) => {
            let to = to.or_else(|| address_of(&entry));
            let view = form.view(to.as_ref(), given.typed(), Some(why)).await?;
            let page = web::html(&HeaderMap::new(), web::render_resend(&view)?);
            Ok((status, page).into_response())
        }
    }
}

enum Attempt {
    Sent(NotificationId),
    /// Why, and the address that it was about.
    Refused(StatusCode, String, Option<Address>),
}

impl Attempt {
    fn wrong(why: impl Into<String>) -> Self {
        Self::Refused(StatusCode::UNPROCESSABLE_ENTITY, why.into(), None)
    }
}

/// The form of an entry before a visitor.
struct Shown<'a> {
    pages: &'a Pages,
    visitor: &'a Visitor,
    entry: &'a Entry,
}

impl Shown<'_> {
    async fn attempt(&self, given: &Given) -> Result<Attempt, Notice> {
        let (pages, entry) = (self.pages, self.entry);
        let account = &self.visitor.account;
        let Ok(key) = Uuid::try_parse(&given.key) else {
            return Ok(Attempt::wrong("The form was incomplete. Send it again."));
        };
        let corrected = match self.corrected(given) {
            Ok(corrected) => corrected,
            Err(why) => return Ok(Attempt::wrong(why)),
        };
        let again = Again {
            to: corrected.clone(),
            staff_id: Some(account.staff_id.clone()),
            key: Some(format!("page:resend:{key}")),
        };
        let new = again.of(entry).map_err(|_obstacle| Notice::NotFound)?;
        let asked = new.idempotency.iter().collect::<Vec<_>>();
        let before = pages
            .store
            .enqueued_before(&account.business, &asked)
            .await?;
        if !before.contains(&true)
            && let Some(refused) = self.stopped(&new, given).await?
        {
            return Ok(refused);
        }
        let attempt = self.enqueue(new).await?;
        if given.card == "yes"
            && let (Attempt::Sent(_), Some(to)) = (&attempt, &corrected)
        {
            self.correct_card(to).await?;
        }
        Ok(attempt)
    }

    /// The other address, where one was asked for.
    fn corrected(&self, given: &Given) -> Result<Option<Address>, String> {
        if given.place != "other" {
            return Ok(None);
        }
        let method = self.entry.method;
        let to = Address::parse(method, &given.to);
        let to = to.map_err(|why| format!("The corrected address {why}. Nothing was sent."))?;
        let same = self.entry.to.as_deref() == Some(to.as_str());
        Ok((!same).then_some(to))
    }

    /// What stands in the way, and is not overridden.
    async fn stopped(
        &self,
        new: &NewNotification,
        given: &Given,
    ) -> Result<Option<Attempt>, Notice> {
        let to = new.to.clone();
        let conflict = |why: String| {
            Ok(Some(Attempt::Refused(
                StatusCode::CONFLICT,
                why,
                to.clone(),
            )))
        };
        if self.is_deactivated().await? {
            return conflict("The client is deactivated, so nothing was sent.".to_owned());
        }
        let Some(address) = &new.to else {
            return Ok(Some(Attempt::wrong(
                "The entry has no address that is valid now: type the right one.",
            )));
        };
        let barred = overriding::standing(self.pages, self.visitor, self.entry, address).await?;
        if barred.is_empty() {
            return Ok(None);
        }
        if given.overrides != "yes" {
            return conflict(
                "The address is on the suppression list, so nothing was sent.".to_owned(),
            );
        }
        let (barred, note) = ((address, barred.as_slice()), &given.note);
        let done = overriding::lift(self.pages, self.visitor, self.entry, barred, note);
        match done.await? {
            Overridden::Done => Ok(None),
            Overridden::Refused(why) => conflict(format!("{why} Nothing was sent.")),
        }
    }

    async fn is_deactivated(&self) -> Result<bool, Notice> {
        let business = &self.visitor.account.business;
        let client = self.pages.store.client(business, &self.entry.client_id);
        let client = client.await?;
        Ok(client.is_some_and(|client| client.deactivated_at.is_some()))
    }

    async fn correct_card(&self, to: &Address) -> Result<(), Notice> {
        let account = &self.visitor.account;
        let (store, business) = (&self.pages.store, &account.business);
        let client = store.client(business, &self.entry.client_id).await?;
        let client = client.ok_or(Notice::NotFound)?;
        let method = to.method();
        let edit = Edit::Card {
            method,
            before: if method == Method::Email {
                client.email
            } else {
                client.phone
            },
            after: Some(to.as_str().to_owned()),
        };
        let (entry, staff_id) = (self.entry.id, &account.staff_id);
        store.edit_entry(business, entry, staff_id, &edit).await?;
        Ok(())
    }

    async fn enqueue(&self, new: NewNotification) -> Result<Attempt, Notice> {
        let request = Enqueue {
            business: self.visitor.account.business.clone(),
            notifications: vec![new],
        };
        Ok(match self.pages.store.enqueue(request).await? {
            Enqueued::Done(tickets) => {
                let fresh = tickets.iter().filter(|ticket| !ticket.duplicate).count();
                self.pages.enqueued(fresh);
                let ticket = tickets.first().ok_or(Notice::NotFound)?;
                Attempt::Sent(ticket.id)
            }
            Enqueued::Refused(refusals) => {
                let is = |why| refusals.iter().any(|it| it.why == why);
                Attempt::wrong(if is(Why::NotKept) {
                    "The content of this entry is not kept any more, so nothing was sent."
                } else if is(Why::KeyConflict) {
                    "This form was sent before with another address; look at the entry, and send \
                     this one if you still want to."
                } else {
                    "The entry has no address that is valid now: type the right one."
                })
            }
        })
    }

    async fn view(
        &self,
        to: Option<&Address>,
        typed: Typed,
        refused: Option<String>,
    ) -> Result<Resend, Notice> {
        let (pages, entry) = (self.pages, self.entry);
        let business = &self.visitor.account.business;
        let content = pages.store.content(business, entry.id).await?;
        let standing: Vec<Suppression> = match to {
            Some(to) => overriding::standing(pages, self.visitor, entry, to).await?,
            None => Vec::new(),
        };
        let (subject, text) = match content {
            Some(Content::Email { subject, text, .. }) => (Some(subject), text),
            Some(Content::Sms { text }) => (None, Some(text)),
            Some(Content::Push { .. }) | None => (None, None),
        };
        let excerpt = text.unwrap_or_default().chars().take(EXCERPT_MAX).collect();
        Ok(Resend {
            head: self.visitor.head(""),
            line: line(entry),
            to: entry.to.clone().unwrap_or_default(),
            address_label: if entry.method == Method::Email {
                "Email address"
            } else {
                "Phone number, in the international form"
            },
            subject,
            excerpt,
            key: Uuid::from_u128(rand::random()).to_string(),
            typed,
            refused,
            deactivated: self.is_deactivated().await?,
            barred: to.and_then(|to| overriding::shown(self.visitor, to, &standing)),
        })
    }
}

fn address_of(entry: &Entry) -> Option<Address> {
    Address::parse(entry.method, entry.to.as_deref()?).ok()
}

impl Pages {
    /// Counts what was enqueued, and wakes a worker of this process.
    pub(super) fn enqueued(&self, count: usize) {
        if count > 0 {
            self.metrics.enqueued(count);
            ways::wake(&self.woken);
        }
    }
}
