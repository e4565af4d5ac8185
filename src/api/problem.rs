//! Problem documents (RFC 9457): what went wrong, where, and what to do.

use std::any::Any;
use std::error::Error as _;
use std::fmt::Write as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store;

/// An answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body; for a query parameter its name after a slash.
    #[schema(example = "/notifications/3/to")]
    pub pointer: String,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    Unauthorized,
    Forbidden,
    NotFound,
    Gone,
    MethodNotAllowed,
    Conflict,
    KeyConflict,
    TooLarge,
    MediaType,
    Invalid,
    Internal,
    Unavailable,
}

/// The problem document as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// Names the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:sendtrail:problem:invalid-request")]
    type_uri: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// Seconds after which a refused request may succeed: about what a busy database needs.
const RETRY_AFTER_SECONDS: &str = "2";

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// 422: nothing of the request was done.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::with_errors(
            Kind::Invalid,
            "The request was not accepted and nothing of it was done. See `errors`.",
            errors,
        )
    }

    pub(super) fn with_errors(
        kind: Kind,
        detail: impl Into<String>,
        errors: Vec<FieldError>,
    ) -> Self {
        Self {
            errors,
            ..Self::new(kind, detail)
        }
    }

    pub(super) fn no_such_notification() -> Self {
        Self::new(Kind::NotFound, "There is no notification with this id.")
    }
}

impl Kind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::KeyConflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The end of the `type` and the title.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("malformed-body", "The body cannot be read"),
            Self::Unauthorized => ("unauthorized", "A valid API key is needed"),
            Self::Forbidden => ("forbidden", "The API key does not allow this"),
            Self::NotFound => ("not-found", "There is nothing here"),
            Self::Gone => ("gone", "What was here was deleted"),
            Self::MethodNotAllowed => ("method-not-allowed", "The method is not allowed here"),
            Self::Conflict => ("conflict", "Not possible in the present state"),
            Self::KeyConflict => ("idempotency-conflict", "The idempotency key is taken"),
            Self::TooLarge => ("body-too-large", "The body is too large"),
            Self::MediaType => ("unsupported-media-type", "The body must be JSON"),
            Self::Invalid => ("invalid-request", "The request is not valid"),
            Self::Internal => ("internal", "An error on our side"),
            Self::Unavailable => ("unavailable", "Not available at the moment"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self {
            kind,
            detail,
            errors,
        } = self;
        let (name, title) = kind.names();
        let document = Document {
            type_uri: format!("urn:sendtrail:problem:{name}"),
            title,
            status: kind.status().as_u16(),
            detail,
            errors,
        };
        let mut response = (kind.status(), axum::Json(document)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        if kind == Kind::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if kind == Kind::Unavailable {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            headers.insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<store::Error> for Problem {
    /// The cause goes to the log, once and here, and never to the caller.
    fn from(error: store::Error) -> Self {
        log(&error);
        if !error.is_unavailable() {
            return internal();
        }
        let detail = if matches!(error, store::Error::Blocked) {
            "A transaction that is still open holds what this needs, such as the same new client or \
             idempotency_key. Try again when it has ended."
        } else {
            "The database is not available at the moment. Try again; with an idempotency_key \
             nothing is enqueued twice."
        };
        Self::new(Kind::Unavailable, detail)
    }
}

/// Logs an error of the store with its causes.
pub(super) fn log(error: &store::Error) {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(causes, ": {cause}").ok(); // writing to a String cannot fail
        source = cause.source();
    }
    if error.is_unavailable() {
        tracing::warn!(causes, "the store is not available");
    } else {
        tracing::error!(causes, "the store failed");
    }
}

fn internal() -> Problem {
    Problem::new(
        Kind::Internal,
        "The error is in our log under the x-request-id of this answer.",
    )
}

pub(super) async fn no_such_path() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is nothing at this path; /openapi.json lists what there is.",
    )
}

pub(super) async fn no_such_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "The `Allow` header lists the methods of this path.",
    )
}

/// The panic's own words may hold personal data, so only the fact is logged.
pub(super) fn panicked(_words: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    internal().into_response()
}
