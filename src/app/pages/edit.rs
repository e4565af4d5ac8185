//! Changes of an entry at its page: its description and its tags. Its type cannot be changed (M2).

use aws_lc_rs::digest::{SHA256, digest};
use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Pages;
use super::entry::{in_sight, refused};
use crate::domain::by_hand::DESCRIPTION_LENGTH_MAX;
use crate::domain::tags;
use crate::store::changes::{Edit, Edited};
use crate::store::history::Entry;
use crate::web::staff::{Notice, Visitor};

#[derive(Deserialize)]
pub(super) struct Description {
    #[serde(default)]
    before: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    before: String,
    #[serde(default)]
    tags: String,
}

/// Names a text, so that a form need not carry all of it.
pub(super) fn mark(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

pub(super) async fn description(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(given): Form<Description>,
) -> Result<Response, Notice> {
    let entry = in_sight(&pages, &visitor, &id).await?;
    // Browsers send the ends of lines as two characters.
    let text = given.description.replace("\r\n", "\n").trim().to_owned();
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let fault = if text.chars().count() > DESCRIPTION_LENGTH_MAX {
        Some(format!(
            "The description is too long: at most {DESCRIPTION_LENGTH_MAX} characters. Nothing was changed."
        ))
    } else if text.chars().any(is_control) {
        Some("The description has control characters in it. Nothing was changed.".to_owned())
    } else {
        None
    };
    if let Some(fault) = fault {
        let why = (StatusCode::UNPROCESSABLE_ENTITY, fault);
        return refused(&pages, &visitor, &entry, why).await;
    }
    let shown = entry.description.clone().unwrap_or_default();
    let edit = Edit::Description {
        before: entry.description.clone(),
        after: (!text.is_empty()).then_some(text),
    };
    let is_as_shown = mark(&shown) == given.before;
    change(&pages, &visitor, &entry, (edit, is_as_shown)).await
}

pub(super) async fn tags(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(given): Form<Tags>,
) -> Result<Response, Notice> {
    let entry = in_sight(&pages, &visitor, &id).await?;
    let after = match tags::typed(&given.tags) {
        Ok(tags) => tags,
        Err(fault) => {
            let why = format!("{fault} Nothing was changed.");
            let why = (StatusCode::UNPROCESSABLE_ENTITY, why);
            return refused(&pages, &visitor, &entry, why).await;
        }
    };
    let is_as_shown = mark(&entry.tags.join(", ")) == given.before;
    let before = entry.tags.clone();
    let edit = Edit::Tags { before, after };
    change(&pages, &visitor, &entry, (edit, is_as_shown)).await
}

async fn change(
    pages: &Pages,
    visitor: &Visitor,
    entry: &Entry,
    (edit, is_as_shown): (Edit, bool),
) -> Result<Response, Notice> {
    let account = &visitor.account;
    let is_so = match &edit {
        Edit::Description { before, after } | Edit::Card { before, after, .. } => before == after,
        Edit::Tags { before, after } => before == after,
        Edit::Override { .. } => false,
    };
    let edited = if is_so {
        Edited::Same
    } else if is_as_shown {
        let (business, by) = (&account.business, &account.staff_id);
        pages
            .store
            .edit_entry(business, entry.id, by, &edit)
            .await?
    } else {
        Edited::Meanwhile
    };
    match edited {
        Edited::Done | Edited::Same => {
            Ok(Redirect::to(&format!("/entries/{}", entry.id)).into_response())
        }
        Edited::Nothing => Err(Notice::NotFound),
        Edited::Meanwhile => {
            let entry = in_sight(pages, visitor, &entry.id.to_string()).await?;
            let why = "Somebody else changed it after this page was shown, so your change was not \
                       saved. Look at what it is now, and change it again if you still want to.";
            let why = (StatusCode::CONFLICT, why.to_owned());
            refused(pages, visitor, &entry, why).await
        }
    }
}
