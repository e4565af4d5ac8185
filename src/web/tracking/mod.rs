//! The links by which opens and clicks are learnt. A picture is served and a person led on at once,
//! whatever the database does: what is to be recorded waits in memory, and is counted when it is lost.

mod queue;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::error;

pub use queue::{Queue, Recording, Visits};

use super::headers;
use crate::clock::Clock;
use crate::domain::tracking::{Agent, Target, Tokens, clicked, opened};

/// What the links work with.
#[derive(Clone, Debug)]
pub struct Tracking {
    pub tokens: Tokens,
    pub visits: Visits,
    pub clock: Clock,
}

/// In bytes; more than any token of ours has, less than it costs anything to look at.
const TOKEN_LENGTH_MAX: usize = 4_096;

/// A transparent GIF of one pixel.
const PICTURE: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\
    \x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The routes of the links, whole or cut.
pub fn router(tracking: Tracking) -> Router {
    let mut router = Router::new()
        .route("/t/o/{*token}", get(open))
        .route("/t/c/{*token}", get(click));
    for cut in ["/t", "/t/", "/t/o", "/t/o/", "/t/c", "/t/c/"] {
        router = router.route(cut, get(broken));
    }
    router
        .layer(map_response(headers::secure_headers))
        .with_state(tracking)
}

/// As it came: what cannot even be decoded is a broken link like any other.
type Token = Result<Path<String>, PathRejection>;

fn text(token: &Token) -> Option<&str> {
    let text = token.as_ref().ok()?.as_str();
    (text.len() <= TOKEN_LENGTH_MAX).then_some(text)
}

/// Shown again it is asked for again; no search engine is to keep it.
const ALWAYS: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

async fn open(
    State(tracking): State<Tracking>,
    method: Method,
    headers: HeaderMap,
    token: Token,
) -> Response {
    let id = text(&token).and_then(|token| tracking.tokens.read_open(token));
    let Some(id) = id else {
        tracking.visits.count("opened", "refused");
        return broken().await;
    };
    // A HEAD looks without loading anything.
    if method == Method::GET {
        let visit = opened(id, tracking.clock.now(), agent(&headers));
        tracking.visits.note(visit);
    }
    ([(CONTENT_TYPE, "image/gif")], ALWAYS, PICTURE).into_response()
}

async fn click(
    State(tracking): State<Tracking>,
    method: Method,
    headers: HeaderMap,
    token: Token,
) -> Response {
    let read = text(&token).and_then(|token| tracking.tokens.read_click(token));
    let Some((id, target)) = read else {
        tracking.visits.count("clicked", "refused");
        return broken().await;
    };
    let agent = agent(&headers);
    if agent.prefetches {
        // Nobody has followed it yet; who does comes again, because nothing is stored.
        tracking.visits.count("clicked", "prefetched");
    } else if method == Method::GET {
        let visit = clicked(id, &target, tracking.clock.now(), agent);
        tracking.visits.note(visit);
    }
    led_on(&target)
}

/// 302 and not 301 or 308: these are kept by browsers, and the next click would not come by us.
fn led_on(target: &Target) -> Response {
    let Ok(location) = HeaderValue::from_str(target.as_str()) else {
        error!("a signed target is no header value; this is a mistake in the program");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (StatusCode::FOUND, [(LOCATION, location)], ALWAYS).into_response()
}

/// Browsers say that they look ahead by `Sec-Purpose` (Fetch Standard), formerly by `Purpose`.
fn agent(headers: &HeaderMap) -> Agent {
    let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let purpose = says("sec-purpose").or_else(|| says("purpose"));
    let user_agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    Agent {
        user_agent: user_agent.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        prefetches: purpose.is_some_and(|purpose| purpose.contains("prefetch")),
    }
}

#[derive(Template)]
#[template(path = "broken_link.html")]
struct BrokenLink;

async fn broken() -> Response {
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    match BrokenLink.render() {
        Ok(page) => (StatusCode::NOT_FOUND, html, ALWAYS, page).into_response(),
        Err(failed) => {
            error!(error = %failed, "a page cannot be written");
            StatusCode::NOT_FOUND.into_response()
        }
    }
}
