//! The style sheet and the scripts, compiled in.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::headers;

/// Serves the style sheet and the scripts, by the names of their files.
pub fn assets<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/assets/style.css", get(style))
        .route("/assets/live.js", get(async |it| script(&it, LIVE)))
        .route("/assets/poll.js", get(async |it| script(&it, POLL)))
        .route("/assets/find.js", get(async |it| script(&it, FIND)))
        .route("/assets/history.js", get(async |it| script(&it, HISTORY)))
        .route("/assets/contact.js", get(async |it| script(&it, CONTACT)))
        .route("/assets/resend.js", get(async |it| script(&it, RESEND)))
        .route("/assets/console.js", get(async |it| script(&it, CONSOLE)))
        .route(
            "/assets/downloads.js",
            get(async |it| script(&it, DOWNLOADS)),
        )
}

/// One file for the browser; several for those who read them.
pub(super) const STYLE: &str = concat!(
    include_str!("assets/tokens.css"),
    include_str!("assets/ground.css"),
    include_str!("assets/status.css"),
    include_str!("assets/history.css"),
    include_str!("assets/filters.css"),
    include_str!("assets/clients.css"),
    include_str!("assets/entry.css"),
    include_str!("assets/staff.css"),
    include_str!("assets/resend.css"),
    include_str!("assets/downloads.css"),
    include_str!("assets/tasks.css"),
    include_str!("assets/console.css"),
    include_str!("assets/failures.css"),
    include_str!("assets/unsubscribe.css"),
    include_str!("assets/reference.css"),
);
/// Of every page.
pub(super) const LIVE: &str = include_str!("assets/live.js");
/// Of pages that keep themselves current.
pub(super) const POLL: &str = include_str!("assets/poll.js");
/// Of the field that finds clients.
pub(super) const FIND: &str = include_str!("assets/find.js");
/// Of contact histories.
pub(super) const HISTORY: &str = include_str!("assets/history.js");
/// Of the form for contacts by hand.
const CONTACT: &str = include_str!("assets/contact.js");
/// Of the console.
pub(super) const CONSOLE: &str = include_str!("assets/console.js");
/// Of a run that sends many again.
pub(super) const RESEND: &str = include_str!("assets/resend.js");
/// Of files that are being made.
pub(super) const DOWNLOADS: &str = include_str!("assets/downloads.js");

/// Asked for again at every visit and answered by 304: a page never meets the script of another
/// version.
const CACHE: &str = "public, no-cache";

async fn style(request: HeaderMap) -> Response {
    headers::tagged(&request, "text/css; charset=utf-8", CACHE, STYLE)
}

fn script(request: &HeaderMap, text: &'static str) -> Response {
    headers::tagged(request, "text/javascript; charset=utf-8", CACHE, text)
}
