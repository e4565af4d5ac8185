//! What operators' tools ask for: health, readiness, metrics. No sign-in: no personal data, and
//! whoever asks how often, the database is asked once in a while.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::warn;

use super::cached::Cached;
use crate::clock::Clock;
use crate::metrics::{Metrics, Waiting};
use crate::store::{Error, Store};

#[derive(Clone)]
pub(super) struct Operations {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    metrics: Arc<Metrics>,
    clock: Clock,
    readiness: Cached<Result<(), String>>,
    /// `None`: the database does not tell.
    waiting: Cached<Option<Waiting>>,
}

/// How long an answer of `/readyz` holds: less than any probe's interval.
const READINESS_KEPT: Duration = Duration::from_secs(1);
/// How long the state of the queue in `/metrics` holds: less than the interval of most scrapers.
const WAITING_KEPT: Duration = Duration::from_secs(5);
/// After this the state of the queue is left out: a scraper waits for 10 s by default, and must get
/// the process's own counters.
const WAITING_TIMEOUT: Duration = Duration::from_secs(4);
/// Jobs of one lane are counted up to here, which takes some tenths of a second.
const JOBS_COUNTED_MAX: i64 = 1_000_000;
/// Unmatched events, buried and held messages are counted up to here: the number is an alarm, not
/// an account.
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

impl Operations {
    pub(super) fn new(store: Store, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let shared = Shared {
            store,
            metrics,
            clock,
            readiness: Cached::new(READINESS_KEPT),
            waiting: Cached::new(WAITING_KEPT),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    /// The database answers, and its schema is this program's or a newer one's.
    async fn readiness(&self) -> Result<(), String> {
        self.store.still_ready().await.map_err(|failed| {
            warn!(error = %failed, "not ready");
            failed.to_string()
        })
    }

    async fn waiting(&self) -> Option<Waiting> {
        match tokio::time::timeout(WAITING_TIMEOUT, self.ask()).await {
            Ok(Ok(waiting)) => Some(waiting),
            Ok(Err(failed)) => {
                warn!(error = %failed, "the queue cannot be read; its metrics are left out");
                None
            }
            Err(_elapsed) => {
                warn!("the database does not answer; the metrics of the queue are left out");
                None
            }
        }
    }

    async fn ask(&self) -> Result<Waiting, Error> {
        Ok(Waiting {
            depths: self.store.depth(JOBS_COUNTED_MAX).await?,
            unmatched: self.store.count_unmatched(COUNTED_MAX).await?,
            buried: self.store.count_buried(COUNTED_MAX).await?,
            held: self.store.count_held(COUNTED_MAX).await?,
            endpoints: self.store.troubled_webhooks().await?,
            pauses: self.store.provider_pauses().await?,
            alarms: self.store.alarms().await?,
            brakes: self.store.brakes(None).await?,
        })
    }
}

async fn ready(State(Operations { shared }): State<Operations>) -> Response {
    match Box::pin(shared.readiness.get(shared.readiness())).await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Always 200: the process has something to tell even when the database has not.
async fn metrics(State(Operations { shared }): State<Operations>) -> Response {
    let waiting = Box::pin(shared.waiting.get(shared.waiting())).await;
    let text = shared.metrics.render(waiting.as_ref(), shared.clock.now());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}
