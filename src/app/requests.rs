//! What all requests have in common that are not the API's, which does it by itself: pages, feedback,
//! the links of messages.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::Instrument as _;

use crate::api;
use crate::clock::Clock;

/// Their lines in the log carry the request's id, and so does the answer.
pub(super) fn named(router: Router, clock: &Clock) -> Router {
    router.layer(from_fn_with_state(clock.clone(), name))
}

async fn name(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let (id, span) = api::named(&request, &clock);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(api::REQUEST_ID, id);
    response
}
