//! Signing in and out. Accounts that do not exist are treated as those that do, in words and in time.

use std::time::Duration;

use askama::Template;
use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::{Form, Query, Request, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{RequestExt as _, extract::rejection::FormRejection};
use serde::Deserialize;
use tracing::{info, warn};
use uuid::Uuid;

use super::cookie::Token;
use super::notice::page;
use super::{Notice, Provider, Sample, Staff, Visitor, client_address};
use crate::domain::password::BYTES_MAX;
use crate::domain::throttle::{OF_ACCOUNT, OF_ADDRESS};
use crate::store::Error;
use crate::store::sign_ins::Subject;
use crate::store::staff::Account;

/// RFC 5321 4.5.3.1.3: the longest path, without its angle brackets.
const EMAIL_LENGTH_MAX: usize = 254;
/// Longer ones are not ours.
const NEXT_LENGTH_MAX: usize = 500;

#[derive(Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    next: Option<String>,
}

/// What was wrong with an attempt.
pub(super) enum Refused {
    Wrong,
    /// By single sign-on.
    Told(StatusCode, &'static str),
    /// Not looked at, for so long.
    Wait(Duration),
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInTemplate<'a> {
    refused: Option<String>,
    email: &'a str,
    next: &'a str,
    samples: &'a [Sample],
    /// What the button of single sign-on says.
    sign_on: Option<&'a str>,
}

pub(super) async fn show(
    State(staff): State<Staff>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let next = place(wanted.next.as_deref());
    match Visitor::find(&staff, &headers).await {
        Ok(Some(_)) => Redirect::to(next).into_response(),
        Ok(None) => form(&staff, None, "", next),
        Err(failed) => Notice::from(failed).into_response(),
    }
}

pub(super) async fn sign_in(State(staff): State<Staff>, request: Request) -> Response {
    let headers = request.headers().clone();
    let from = client_address::of(
        &headers,
        request.extensions(),
        staff.address_header.as_ref(),
    );
    let given: Result<Form<Given>, FormRejection> = request.extract().await;
    let Ok(Form(given)) = given else {
        return Notice::OldForm.into_response();
    };
    let next = place(given.next.as_deref());
    let account = subject("account", &given.email.trim().to_lowercase(), OF_ACCOUNT);
    // Where it is not known, all whose address is not known are one.
    let from = from.map_or(String::new(), |from| from.to_string());
    let address = subject("address", &from, OF_ADDRESS);
    match Box::pin(attempt(&staff, &given, &account, &address)).await {
        Ok(Ok(found)) => match Box::pin(begin(&staff, &found, &headers)).await {
            Ok(Some(cookie)) => {
                if let Err(failed) = staff.store.sign_in_succeeded(&account, &address).await {
                    warn!(error = %failed, "a sign-in is still counted as an attempt");
                }
                ([(SET_COOKIE, cookie)], Redirect::to(next)).into_response()
            }
            Ok(None) => form(&staff, Some(Refused::Wrong), &given.email, next),
            Err(failed) => Notice::from(failed).into_response(),
        },
        Ok(Err(refused)) => form(&staff, Some(refused), &given.email, next),
        Err(notice) => notice.into_response(),
    }
}

/// Whose the address and the password are.
async fn attempt(
    staff: &Staff,
    given: &Given,
    account: &Subject,
    address: &Subject,
) -> Result<Result<Account, Refused>, Notice> {
    let subjects = [account.clone(), address.clone()];
    if let Some(wait) = staff.store.begin_sign_in(&subjects).await? {
        return Ok(Err(Refused::Wait(wait)));
    }
    if given.password.len() > BYTES_MAX || given.email.len() > EMAIL_LENGTH_MAX {
        return Ok(Err(Refused::Wrong));
    }
    let found = staff.store.staff_credentials(&given.email).await?;
    let (found, kept) = found.map(|it| (it.account, it.password)).unzip();
    let matches = staff.hasher.matches(given.password.clone(), kept).await?;
    let Some(found) = found else {
        return Ok(Err(Refused::Wrong));
    };
    if matches && found.deactivated_at.is_none() {
        return Ok(Ok(found));
    }
    note_failure(staff, found.id);
    Ok(Err(Refused::Wrong))
}

/// Beside the answer, whose time would tell that there is such an account.
pub(super) fn note_failure(staff: &Staff, account: Uuid) {
    let store = staff.store.clone();
    tokio::spawn(async move {
        if let Err(failed) = store.sign_in_failed(account).await {
            warn!(error = %failed, %account, "a failed sign-in could not be recorded");
        }
    });
}

/// A new session, never one that the browser brought. `None`: deactivated at this moment.
pub(super) async fn begin(
    staff: &Staff,
    account: &Account,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Error> {
    let token = Token::new();
    let replaced = staff.cookies.read(headers).map(|old| old.digest());
    let digest = token.digest();
    let begun = staff
        .store
        .begin_staff_session(account.id, &digest, replaced.as_deref());
    if !begun.await? {
        return Ok(None);
    }
    info!(account = %account.id, "signed in");
    Ok(staff.cookies.set(&token))
}

pub(super) async fn sign_out(
    State(staff): State<Staff>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let digest = visitor.session_digest();
    match staff
        .store
        .end_staff_session(&digest, visitor.account.id)
        .await
    {
        Ok(()) => signed_out(&staff),
        Err(failed) => Notice::from(failed).into_response(),
    }
}

/// Back to the sign-in, without the cookie.
pub(super) fn signed_out(staff: &Staff) -> Response {
    let mut response = Redirect::to("/sign-in").into_response();
    if let Some(cookie) = staff.cookies.clear() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// What is counted, without saying what it is.
pub(super) fn subject(kind: &str, of: &str, limit: crate::domain::throttle::Limit) -> Subject {
    let named = format!("{kind} {of}");
    let digest = hex::encode(digest::digest(&digest::SHA256, named.as_bytes()));
    Subject { digest, limit }
}

pub(super) fn form(staff: &Staff, refused: Option<Refused>, email: &str, next: &str) -> Response {
    let status = match refused {
        None => StatusCode::OK,
        Some(Refused::Wrong) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Refused::Told(status, _)) => status,
        Some(Refused::Wait(_)) => StatusCode::TOO_MANY_REQUESTS,
    };
    let seconds = match refused {
        Some(Refused::Wait(wait)) => Some(wait.as_secs().saturating_add(1)),
        Some(Refused::Wrong | Refused::Told(..)) | None => None,
    };
    let refused = refused.map(|refused| refused.sentence());
    let samples = &staff.samples;
    let sign_on = staff.provider.as_ref().map(Provider::label);
    let mut response = page(
        status,
        &SignInTemplate {
            refused,
            email,
            next,
            samples,
            sign_on,
        },
    );
    if let Some(seconds) = seconds {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl Refused {
    fn sentence(&self) -> String {
        match self {
            Self::Wrong => {
                "This address and this password do not belong together. Check both; if you \
                            have forgotten the password, ask an Admin for a new one."
                    .to_owned()
            }
            Self::Told(_, text) => (*text).to_owned(),
            Self::Wait(wait) => format!("Too many attempts. Try again in {}.", plainly(*wait)),
        }
    }
}

/// As people say it, rounded up.
pub(super) fn plainly(wait: Duration) -> String {
    let seconds = wait.as_secs().saturating_add(1);
    match seconds {
        0..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// Where to go after a form: a path of ours. What a browser could take for another host, or
/// for more than a path, is none.
pub fn place(next: Option<&str>) -> &str {
    let own = next.filter(|next| {
        let rest = next.strip_prefix('/');
        rest.is_some_and(|rest| !rest.starts_with(['/', '\\']))
            && next.len() <= NEXT_LENGTH_MAX
            && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    });
    own.unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site_after_the_sign_in() {
        for (next, sent) in [
            (Some("/entries/1?a=b"), "/entries/1?a=b"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a\r\nset-cookie: b"), "/"),
            (Some("/\t/evil.example"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(place(next), sent, "{next:?}");
        }
        let long = format!("/{}", "a".repeat(500));
        assert_eq!(place(Some(&long)), "/");
    }

    #[test]
    fn a_wait_is_said_as_people_say_it() {
        for (seconds, said) in [(30, "31 seconds"), (100, "2 minutes"), (899, "15 minutes")] {
            assert_eq!(plainly(Duration::from_secs(seconds)), said);
        }
    }
}
