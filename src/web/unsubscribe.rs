//! The page behind the link in bulk email. A GET only asks, because programs that look at messages
//! follow their links; a POST unsubscribes, by the button or by a mail program's one click (RFC 8058).
//! No sign-in and no cookie: the link itself is the right to end these messages.

use askama::Template;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::{error, warn};

use super::headers;
use crate::domain::id::NotificationId;
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

/// The routes of the links, whole or cut.
pub fn router(unsubscribe: Unsubscribe) -> Router {
    Router::new()
        .route("/u/{*token}", get(ask).post(act))
        .route("/u", get(broken).post(broken))
        .route("/u/", get(broken).post(broken))
        .layer(map_response(headers::secure_headers))
        .with_state(unsubscribe)
}

async fn broken() -> Response {
    answer(StatusCode::NOT_FOUND, &Leave::Broken)
}

async fn ask(State(page): State<Unsubscribe>, token: Token) -> Response {
    let Some(id) = page.read(&token) else {
        return broken().await;
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
async fn act(State(page): State<Unsubscribe>, token: Token, RawQuery(query): RawQuery) -> Response {
    let Some(id) = page.read(&token) else {
        return broken().await;
    };
    if query.as_deref() == Some(BACK) {
        let found = page.store.opt_in(id).await;
        return page.show(found, |_, who| Leave::Back { who });
    }
    let found = page.store.opt_out(id).await;
    page.show(found, |_, who| Leave::Gone { who })
}

/// As it came: what cannot even be decoded is a broken link like any other.
type Token = Result<Path<String>, PathRejection>;

impl Unsubscribe {
    fn read(&self, token: &Token) -> Option<NotificationId> {
        self.tokens.read(token.as_deref().ok()?)
    }

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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::unsubscribe::PATH;

    fn every(who: &str) -> Vec<String> {
        let who = || who.to_owned();
        let all = [
            Leave::Ask { who: who() },
            Leave::Gone { who: who() },
            Leave::Back { who: who() },
            Leave::Broken,
            Leave::Trouble,
        ];
        let render = |leave: &Leave| LeaveTemplate { leave }.render().unwrap();
        all.iter().map(render).collect()
    }

    #[test]
    fn a_business_cannot_put_html_into_the_page_by_its_name() {
        for page in every("<script>alert(1)</script>\" onload=\"x") {
            assert!(!page.contains("<script") && !page.contains("\" onload"));
        }
    }

    #[test]
    fn every_page_works_without_scripts_and_without_anything_from_elsewhere() {
        for page in every("Lotus Yoga & Co.") {
            for absent in ["<script", "style=", "http:", "https:", "onclick", "<img"] {
                assert!(!page.contains(absent), "{absent} in {page}");
            }
            assert_eq!(page.matches("<h1>").count(), 1);
            assert!(page.contains("name=\"viewport\"") && page.contains("<html lang=\"en\">"));
        }
        let [ask, gone, back, broken, _] = every("Lotus Yoga").try_into().unwrap();
        assert!(ask.contains("<title>Unsubscribe · Lotus Yoga</title>"));
        assert!(ask.contains("<form method=\"post\"><button class=\"main\">Unsubscribe"));
        assert!(gone.contains("<form method=\"post\" action=\"?back\"><button>Subscribe again"));
        assert!(back.contains("<form method=\"post\" action=\"?\"><button>Unsubscribe"));
        assert!(!broken.contains("<form"));
    }

    #[tokio::test]
    async fn while_the_database_is_away_nobody_is_told_that_it_worked() {
        let clock = Clock::system();
        // It has no tables.
        let store = Store::open("sqlite::memory:", 1, clock.clone()).await;
        let tokens = Tokens::new("a secret of some length");
        let token = tokens.of(NotificationId::new(clock.new_uuid(clock.now())));
        let app = router(Unsubscribe {
            store: store.unwrap(),
            tokens,
            sender: "Example".to_owned(),
        });
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method);
            let request = request.uri(format!("{PATH}{token}"));
            let request = request.body(Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[RETRY_AFTER], RETRY_SECONDS);
            let page = to_bytes(answer.into_body(), 10_000).await.unwrap();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains("Not just now") && !page.contains("unsubscribed"));
        }
    }
}
