//! What stands around a page: content type, `ETag`, and the headers that keep hostile content harmless.

use aws_lc_rs::digest;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::entry::Pictures;

/// Answers with a page, or with 304 when the reader has it already (RFC 9110 13.1.2).
pub fn html(request: &HeaderMap, page: String) -> Response {
    tagged(request, HTML, PRIVATE, page)
}

/// Answers with the page of an entry, under the policy that lets a message keep its own styles, and
/// have its pictures where somebody asked for them.
pub fn entry_html(request: &HeaderMap, page: String, pictures: Pictures) -> Response {
    let mut response = tagged(request, HTML, PRIVATE, page);
    let policy = HeaderValue::from_static(match pictures {
        Pictures::Blocked => ENTRY_POLICY,
        Pictures::Fetched => PICTURES_POLICY,
    });
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// For every answer, with `axum::middleware::map_response`. A header that the answer already
/// carries stays.
pub async fn secure_headers(mut response: Response) -> Response {
    for (name, value) in SECURE {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

const HTML: &str = "text/html; charset=utf-8";

/// Pages hold personal data: never in a shared cache, and shown again only after asking.
const PRIVATE: &str = "private, no-cache";

/// Nothing but our own style sheet, script and `/live`; pictures only inside the page itself (the
/// icon). Content Security Policy Level 3.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The frame of a message inherits the policy of its page. The same, but styles written in the
/// message apply; it still reaches nothing outside.
const ENTRY_POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; \
    script-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'self'";

/// The same, and pictures are fetched. The page itself has none: what its frame shows fetches them.
const PICTURES_POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; \
    script-src 'self'; connect-src 'self'; img-src data: https: http:; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'self'";

const SECURE: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (X_FRAME_OPTIONS, "DENY"),
    // A message in its frame must not tell anybody, by a look-up of a name, that it was looked at.
    (X_DNS_PREFETCH_CONTROL, "off"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

pub(super) fn tagged(
    request: &HeaderMap,
    content_type: &'static str,
    cache: &'static str,
    body: impl Into<Body> + AsRef<str>,
) -> Response {
    let tag = entity_tag(body.as_ref());
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(cache)),
        (ETAG, tag.clone()),
    ];
    if has(request, &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, body.into()).into_response()
}

/// Half of a SHA-256: equal texts have equal tags in every process.
fn entity_tag(body: &str) -> HeaderValue {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    let half: String = hex::encode(digest).chars().take(32).collect();
    HeaderValue::try_from(format!("\"{half}\"")).expect("hexadecimal digits are a header value")
}

/// Weak comparison, as If-None-Match asks for (RFC 9110 13.1.2): a proxy may have weakened the tag.
fn has(request: &HeaderMap, tag: &HeaderValue) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}
