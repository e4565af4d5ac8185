//! The style sheet and the scripts, compiled in.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::headers;

/// Serves the style sheet and the scripts under `/assets`.
pub fn assets<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/assets/style.css", get(style))
        .route("/assets/live.js", get(live))
        .route("/assets/contact.js", get(contact))
}

/// One file for the browser; several for those who read them.
pub(super) const STYLE: &str = concat!(
    include_str!("assets/tokens.css"),
    include_str!("assets/ground.css"),
    include_str!("assets/status.css"),
    include_str!("assets/history.css"),
    include_str!("assets/entry.css"),
    include_str!("assets/staff.css"),
    include_str!("assets/tasks.css"),
    include_str!("assets/unsubscribe.css"),
);
pub(super) const LIVE: &str = include_str!("assets/live.js");
const CONTACT: &str = include_str!("assets/contact.js");

/// Asked for again at every visit and answered by 304: a page never meets the script of another
/// version.
const CACHE: &str = "public, no-cache";

async fn style(request: HeaderMap) -> Response {
    headers::tagged(&request, "text/css; charset=utf-8", CACHE, STYLE)
}

async fn live(request: HeaderMap) -> Response {
    headers::tagged(&request, "text/javascript; charset=utf-8", CACHE, LIVE)
}

async fn contact(request: HeaderMap) -> Response {
    headers::tagged(&request, "text/javascript; charset=utf-8", CACHE, CONTACT)
}
