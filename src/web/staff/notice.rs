//! What is said in place of a page: what happened, and what to do.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tracing::error;

use super::{Head, Unhashed};
use crate::store::Error;

/// Why the page is not shown.
#[derive(Clone, Debug)]
pub enum Notice {
    NoRight(Box<Head>),
    /// A form of another site.
    ForeignForm,
    /// A form without the token of this session: of one that is over, or made by somebody else.
    OldForm,
    /// What an open page asked for by itself, after the session had ended.
    SignInAgain,
    /// It does not exist, or is out of the visitor's sight.
    NotFound,
    /// What was asked for is not done, and why.
    Refused(&'static str),
    Busy,
    Trouble,
    /// A mistake of the program.
    Failed,
}

const RETRY_SECONDS: &str = "10";
/// Pages about accounts are kept nowhere.
pub(super) const HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
];

impl Notice {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoRight(_) | Self::ForeignForm | Self::OldForm => StatusCode::FORBIDDEN,
            Self::SignInAgain => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Trouble => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::NoRight(_) => "You have no right to see this",
            Self::ForeignForm => "This form did not come from here",
            Self::OldForm => "This form is out of date",
            Self::SignInAgain => "Sign in again",
            Self::NotFound => "There is nothing here",
            Self::Refused(_) | Self::Busy => "One moment",
            Self::Failed => "This page failed",
            Self::Trouble => "Not just now",
        }
    }

    const fn text(&self) -> &'static str {
        match self {
            Self::NoRight(_) => {
                "Your role does not include this page. If you need it, ask an Admin of your business."
            }
            Self::ForeignForm => {
                "Another site sent it, so nothing was done. Open the page here and send the form again."
            }
            Self::OldForm => {
                "You have signed out or in again since it was shown, so nothing was done. Go back, reload \
                 the page and send the form again."
            }
            Self::SignInAgain => "Your session has ended. Reload the page to sign in.",
            Self::NotFound => {
                "Or nothing that you can see: clients and entries of others show as if they were not there."
            }
            Self::Refused(why) => why,
            Self::Failed => {
                "It is not your mistake. Whoever runs this program finds more in the log."
            }
            Self::Busy => "Many people are signing in. Try again in a few seconds.",
            Self::Trouble => "The database does not answer at the moment. Try again in a minute.",
        }
    }

    const fn head(&self) -> Option<&Head> {
        match self {
            Self::NoRight(head) => Some(head),
            Self::ForeignForm
            | Self::OldForm
            | Self::SignInAgain
            | Self::NotFound
            | Self::Refused(_)
            | Self::Busy
            | Self::Trouble
            | Self::Failed => None,
        }
    }
}

impl From<Error> for Notice {
    fn from(failed: Error) -> Self {
        error!(error = %failed, "a page of staff cannot be shown");
        Self::Trouble
    }
}

impl From<askama::Error> for Notice {
    fn from(failed: askama::Error) -> Self {
        error!(error = %failed, "a page cannot be written");
        Self::Failed
    }
}

impl From<Unhashed> for Notice {
    fn from(why: Unhashed) -> Self {
        match why {
            Unhashed::Busy => Self::Busy,
            Unhashed::Failed => {
                error!("a password could not be hashed or compared");
                Self::Trouble
            }
        }
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticeTemplate<'a> {
    notice: &'a Notice,
    head: Option<&'a Head>,
}

impl IntoResponse for Notice {
    fn into_response(self) -> Response {
        let status = self.status();
        let head = self.head();
        let mut response = page(
            status,
            &NoticeTemplate {
                notice: &self,
                head,
            },
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static(RETRY_SECONDS);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// Answers with a page that no cache keeps.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(failed) => {
            error!(error = %failed, "a page cannot be written");
            let text = "This page failed; see the log.\n";
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
