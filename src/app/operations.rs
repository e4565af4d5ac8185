//! What operators' tools ask for: health, readiness, metrics. No sign-in: no personal data.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::warn;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::Store;

#[derive(Clone)]
pub(super) struct Operations {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// Unmatched events and buried messages are counted up to here: the number is an alarm, not an
/// account.
const COUNTED_MAX: i64 = 10_000;
/// OpenMetrics 1.0.0, the content type.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn router(operations: Operations) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operations)
}

/// The database answers and its schema is this program's.
async fn ready(State(operations): State<Operations>) -> Response {
    match operations.store.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(failed) => {
            warn!(error = %failed, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{failed}\n")).into_response()
        }
    }
}

async fn metrics(State(operations): State<Operations>) -> Response {
    // Together: when the database is down, each of them waits for as long as a scrape may take.
    let (depths, unmatched, buried) = tokio::join!(
        operations.store.depth(),
        operations.store.count_unmatched(COUNTED_MAX),
        operations.store.count_buried(COUNTED_MAX),
    );
    match (depths, unmatched, buried) {
        (Ok(depths), Ok(unmatched), Ok(buried)) => {
            operations.metrics.buried(buried);
            let text = operations
                .metrics
                .render(&depths, unmatched, operations.clock.now());
            ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
        }
        (Err(failed), _, _) | (_, Err(failed), _) | (_, _, Err(failed)) => {
            warn!(error = %failed, "no metrics: the queue cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{failed}\n")).into_response()
        }
    }
}
