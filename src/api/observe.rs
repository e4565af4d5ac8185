//! Around every request: its id, its time limit, one log line, and headers for all answers.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument as _, Span};

use super::Shared;
use super::problem::{Kind, Problem};
use crate::clock::Clock;
use crate::telemetry;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of callers are replaced by ours.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Its id, and what all its lines carry. Neither paths with ids nor query strings are logged, only the
/// route that matched.
pub fn named(request: &Request, clock: &Clock) -> (HeaderValue, Span) {
    let id = request_id(request).unwrap_or_else(|| {
        let id = clock.new_uuid(clock.now()).to_string();
        HeaderValue::try_from(id).expect("a hyphenated UUID is a header value")
    });
    let matched = request.extensions().get::<MatchedPath>();
    let own = || clock.new_uuid(clock.now()).simple().to_string();
    let trace_id = callers_trace(request).map_or_else(own, ToOwned::to_owned);
    let span = telemetry::request(
        request.method().as_str(),
        matched.map_or("none", MatchedPath::as_str),
        id.to_str().unwrap_or_default(),
        &trace_id,
    );
    (id, span)
}

pub(super) async fn observe(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let clock = &shared.api.clock;
    let started_at = clock.now();
    let (id, span) = named(&request, clock);
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

/// The trace that the caller is at, of the form `00-TRACE-SPAN-FLAGS` (W3C Trace Context).
fn callers_trace(request: &Request) -> Option<&str> {
    let text = request.headers().get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (_version, trace) = (parts.next()?, parts.next()?);
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fit = trace.len() == 32 && trace.bytes().all(is_hex) && trace.bytes().any(|it| it != b'0');
    fit.then_some(trace)
}

fn too_slow() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "The request took too long; whether it was done is not known. Repeat it with the same \
         idempotency_key.",
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_trace_of_the_caller_is_of_the_form_of_w3c_or_none() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let of = |text: &str| {
            let request = Request::builder().header("traceparent", text);
            let request = request.body(Body::empty()).unwrap();
            callers_trace(&request).map(ToOwned::to_owned)
        };
        let right = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(of(&right).as_deref(), Some(trace));
        let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        for wrong in [
            "",
            trace,
            "00-ana@example.com-b7ad6b7169203331-01",
            &right.to_uppercase(),
            &zero,
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
