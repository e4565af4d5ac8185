//! A member's own account: a new password, and the end of all sessions.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::notice::page;
use super::sign_in::{plainly, signed_out, subject};
use super::{Head, Notice, Staff, Visitor};
use crate::domain::password::{self, BYTES_MAX};
use crate::domain::throttle::OF_ACCOUNT;
use crate::store::staff::By;

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    current: String,
    #[serde(default)]
    new: String,
    #[serde(default)]
    again: String,
}

/// What became of the form.
enum Outcome {
    Shown,
    Changed,
    Wrong(String),
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountTemplate<'a> {
    head: Option<&'a Head>,
    visitor: &'a Visitor,
    outcome: &'a Outcome,
    length_min: usize,
}

pub(super) async fn show(Extension(visitor): Extension<Visitor>) -> Response {
    answer(&visitor, &Outcome::Shown)
}

pub(super) async fn change_password(
    State(staff): State<Staff>,
    Extension(visitor): Extension<Visitor>,
    Form(given): Form<Given>,
) -> Response {
    match Box::pin(change(&staff, &visitor, given)).await {
        Ok(outcome) => answer(&visitor, &outcome),
        Err(notice) => notice.into_response(),
    }
}

async fn change(staff: &Staff, visitor: &Visitor, given: Given) -> Result<Outcome, Notice> {
    let wrong = |text: &str| Ok(Outcome::Wrong(text.to_owned()));
    let account = &visitor.account;
    if given.new != given.again {
        return wrong("The two new passwords differ: type the same one twice.");
    }
    if let Err(why) = password::check(&given.new, &account.email) {
        return Ok(Outcome::Wrong(format!("The new password {why}.")));
    }
    // Whoever finds an open session must not guess the password by this form.
    let counted = subject("password", &account.id.to_string(), OF_ACCOUNT);
    if let Some(wait) = staff
        .store
        .begin_sign_in(std::slice::from_ref(&counted))
        .await?
    {
        let text = format!("Too many attempts. Try again in {}.", plainly(wait));
        return Ok(Outcome::Wrong(text));
    }
    let kept = staff.store.staff_credentials(&account.email).await?;
    let kept = kept.map(|it| it.password);
    let current = given.current;
    if current.len() > BYTES_MAX || !staff.hasher.matches(current, kept).await? {
        return wrong("The current password is wrong.");
    }
    let hashed = staff.hasher.hash(given.new).await?;
    let digest = visitor.session_digest();
    let by = By::Member(&digest);
    staff
        .store
        .change_staff_password(account.id, &hashed, by)
        .await?;
    staff.store.sign_in_succeeded(&counted, &counted).await?;
    Ok(Outcome::Changed)
}

pub(super) async fn sign_out_everywhere(
    State(staff): State<Staff>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let digest = visitor.session_digest();
    let ended = staff
        .store
        .sign_staff_out(visitor.account.id, By::Member(&digest));
    match ended.await {
        Ok(()) => signed_out(&staff),
        Err(failed) => Notice::from(failed).into_response(),
    }
}

fn answer(visitor: &Visitor, outcome: &Outcome) -> Response {
    let status = match outcome {
        Outcome::Shown | Outcome::Changed => StatusCode::OK,
        Outcome::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let head = visitor.head("/account");
    let length_min = password::LENGTH_MIN;
    page(
        status,
        &AccountTemplate {
            head: Some(&head),
            visitor,
            outcome,
            length_min,
        },
    )
}
