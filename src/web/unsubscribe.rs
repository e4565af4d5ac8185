//! The page behind the link in bulk email. A GET only asks, because programs that look at messages
//! follow their links; a POST unsubscribes, by the button or by a mail program's one click (RFC 8058).
//! No sign-in and no cookie: the link itself is the right to end these messages.

use askama::Template;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::{error, warn};

use super::headers;
use crate::domain::unsubscribe::Tokens;
use crate::store::opt_outs::Subscription;
use crate::store::{Error, Store};

/// What the page works with.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    pub store: Store,
    pub tokens: Tokens,
    /// Who messages are from, where the business has no name of its own.
    pub sender: String,
}

/// The business that every installation has, and the name it has until somebody gives it another.
const UNNAMED: (&str, &str) = ("default", "Default");
/// The query of the form that takes an opt-out back.
const BACK: &str = "back";
const RETRY_SECONDS: &str = "30";

/// The route of the links.
pub fn router(unsubscribe: Unsubscribe) -> Router {
    Router::new()
        .route("/u/{token}", get(ask).post(act))
        .layer(map_response(headers::secure_headers))
        .with_state(unsubscribe)
}

async fn ask(State(page): State<Unsubscribe>, Path(token): Path<String>) -> Response {
    let Some(id) = page.tokens.read(&token) else {
        return answer(StatusCode::NOT_FOUND, &Leave::Broken);
    };
    let found = page.store.subscription(id).await;
    page.show(found, |subscription, who| {
        if subscription.unsubscribed {
            Leave::Gone { who }
        } else {
            Leave::Ask { who }
        }
    })
}

/// The body says nothing that the address does not: it is not read.
async fn act(
    State(page): State<Unsubscribe>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(id) = page.tokens.read(&token) else {
        return answer(StatusCode::NOT_FOUND, &Leave::Broken);
    };
    if query.as_deref() == Some(BACK) {
        let found = page.store.opt_in(id).await;
        return page.show(found, |_, who| Leave::Back { who });
    }
    let found = page.store.opt_out(id).await;
    page.show(found, |_, who| Leave::Gone { who })
}

impl Unsubscribe {
    fn show(
        &self,
        found: Result<Option<Subscription>, Error>,
        view: impl Fn(&Subscription, String) -> Leave,
    ) -> Response {
        match found {
            Ok(Some(subscription)) => {
                let who = self.who(&subscription);
                answer(StatusCode::OK, &view(&subscription, who))
            }
            Ok(None) => answer(StatusCode::NOT_FOUND, &Leave::Broken),
            Err(failed) => {
                warn!(error = %failed, "an unsubscription could not be looked up or kept");
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &Leave::Trouble);
                let seconds = HeaderValue::from_static(RETRY_SECONDS);
                response.headers_mut().insert(RETRY_AFTER, seconds);
                response
            }
        }
    }

    fn who(&self, subscription: &Subscription) -> String {
        let Subscription {
            business,
            business_name,
            ..
        } = subscription;
        if (business.as_str(), business_name.as_str()) == UNNAMED {
            self.sender.clone()
        } else {
            business_name.clone()
        }
    }
}

/// What the page says.
#[derive(Clone, Debug)]
enum Leave {
    Ask { who: String },
    Gone { who: String },
    Back { who: String },
    Broken,
    Trouble,
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct LeaveTemplate<'a> {
    leave: &'a Leave,
}

const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

fn answer(status: StatusCode, page: &Leave) -> Response {
    match (LeaveTemplate { leave: page }).render() {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(failed) => {
            error!(error = %failed, "a page cannot be written");
            let text = "This page failed, and nothing was changed.\n";
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
