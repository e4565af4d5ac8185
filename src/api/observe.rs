//! Around every request: its id, its time limit, one log line, and headers for all answers.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::Shared;
use super::problem::{Kind, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of callers are replaced by ours.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Neither paths with ids nor query strings are logged, only the route that matched.
pub(super) async fn observe(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let clock = &shared.api.clock;
    let started_at = clock.now();
    let id = request_id(&request).unwrap_or_else(|| {
        let id = clock.new_uuid(started_at).to_string();
        HeaderValue::try_from(id).expect("a hyphenated UUID is a header value")
    });
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        route = matched.as_ref().map_or("none", MatchedPath::as_str),
    );
    let answered = async {
        let limit = shared.api.limits.request_time_max;
        let mut response = match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_elapsed) => too_slow().into_response(),
        };
        let milliseconds = clock.now().since(started_at).as_millis();
        let status = response.status().as_u16();
        tracing::info!(status, milliseconds, "answered");
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        // Answers hold personal data: no proxy or browser may keep them or guess their type.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    };
    answered.instrument(span).await
}

/// The caller's own id, where it is fit for a log.
fn request_id(request: &Request) -> Option<HeaderValue> {
    let id = request.headers().get(REQUEST_ID)?;
    let text = id.to_str().ok()?;
    let fit = (1..=REQUEST_ID_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    fit.then(|| id.clone())
}

fn too_slow() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "The request took too long; whether it was done is not known. Repeat it with the same \
         idempotency_key.",
    )
}
