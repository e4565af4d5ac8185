//! JSON for programs: enqueue, look up, resend, cancel, read the contact history.

mod account_list;
pub mod again;
pub mod auth;
mod body;
mod brakes;
mod business;
mod client_export;
mod client_list;
mod clients;
mod contact_log;
mod content;
mod decide;
mod digest;
mod entries;
mod erasures;
mod examples;
mod failure_actions;
mod failure_filter;
mod failures;
pub mod fates;
mod feedback;
mod fields;
mod files;
mod history;
mod intake;
pub mod lifting;
mod notifications;
mod observe;
mod openapi;
#[cfg(test)]
mod openapi_tests;
mod operations;
mod path;
mod problem;
mod providers;
mod rendering;
mod reports;
mod resend;
mod schemas;
mod stats;
mod suppression_list;
mod suppressions;
mod tasks;
pub mod templates;
mod timeline;
pub mod ways;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, patch, post};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

pub use client_export::ClientExport;
pub use erasures::REASON_LENGTH_MAX;
pub use failure_actions::{dismissed_json, preview_json, run_json};
pub use failures::cause_json;
pub use history::filter_of;
pub use observe::{REQUEST_ID, named};
pub use problem::FieldError;
pub use webhooks::new_secret as new_webhook_secret;

use crate::clock::Clock;
use crate::domain::account_list::{Listed, Page, Trouble};
use crate::domain::method::Method;
use crate::domain::webhook::UrlRules;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::inbox::Reader;

/// What the API works with.
#[derive(Clone, Debug)]
pub struct Api {
    pub store: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// The providers of each method, as the settings name them, in order of preference.
    pub providers: Arc<[(Method, Vec<&'static str>)]>,
    /// Poked after an enqueue, so that a worker in this process wakes.
    pub woken: Arc<Notify>,
    /// The suppression list that SES keeps for the whole account; none where SES is not used.
    pub account_list: Option<Arc<dyn AccountList>>,
    /// Reads kept feedback anew.
    pub reader: Reader,
    pub limits: Limits,
    /// Which addresses webhook endpoints may have.
    pub webhook_rules: UrlRules,
}

/// A provider's own suppression list.
pub trait AccountList: std::fmt::Debug + Send + Sync {
    /// A page of at most so many.
    fn page(&self, cursor: Option<String>, limit: u16) -> BoxFuture<'_, Result<Page, Trouble>>;
    /// What it says of one address.
    fn find<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Option<Listed>, Trouble>>;
    /// Takes an address off. `false`: it was not there.
    fn remove<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<bool, Trouble>>;
}

/// What one request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes_max: usize,
    /// From the end of the request's head to the beginning of the answer.
    pub request_time_max: Duration,
    /// Pages of a history that are looked for at the same time; more wait. A search may go through
    /// all of a history: if such searches had all connections, nothing could be enqueued, sent or
    /// kept meanwhile.
    pub histories_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A batch of 1,000 emails of 16 KiB each; one email with as many attachments as it may
            // have, which are longer by a third in JSON.
            body_bytes_max: 16 * 1024 * 1024,
            // Longer than a database fail-over usually takes, shorter than proxies wait (60 s).
            request_time_max: Duration::from_secs(30),
            histories_max: 6,
        }
    }
}

/// What the handlers share.
#[derive(Clone, Debug)]
struct Shared {
    api: Api,
    keys: Arc<auth::KeyCache>,
    intake: intake::Intake,
    histories: Arc<Semaphore>,
}

impl Shared {
    fn new(api: Api) -> Self {
        Self {
            keys: Arc::default(),
            intake: intake::Intake {
                store: api.store.clone(),
                templates: Arc::default(),
            },
            histories: Arc::new(Semaphore::new(api.limits.histories_max)),
            api,
        }
    }
}

/// The routes under `/v1` and `/openapi.json`. It has no fallback of its own, so that it can be
/// merged with other routers.
pub fn router(api: Api) -> Router {
    let shared = Shared::new(api);
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods);
    }
    for path in ["/v1", "/v1/", "/v1/{*rest}"] {
        router = router.route(path, any(problem::no_such_path));
    }
    guarded(router, shared)
}

/// The document of the API, as `/openapi.json` answers it.
pub fn document() -> serde_json::Value {
    serde_json::to_value(openapi::build()).expect("a document of plain values can be written")
}

/// What surrounds every route; the last layer is the outermost.
fn guarded(router: Router<Shared>, shared: Shared) -> Router {
    router
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(shared.api.limits.body_bytes_max))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(shared.clone(), observe::observe))
        .with_state(shared)
}

/// Everything that is documented.
fn routes() -> Vec<Route> {
    let routes = messages().into_iter().chain(texts());
    routes.chain(operations()).collect()
}

type Route = (&'static str, MethodRouter<Shared>);

/// Notifications, clients, their history, and what decides what is sent to them.
fn messages() -> [Route; 22] {
    [
        (
            "/v1/notifications",
            post(notifications::enqueue).get(decide::list),
        ),
        ("/v1/notifications/{id}", get(notifications::show)),
        (
            "/v1/notifications/{id}/content",
            get(notifications::show_content),
        ),
        (
            "/v1/notifications/{id}/attachments/{n}",
            get(files::download),
        ),
        ("/v1/notifications/{id}/resend", post(resend::resend)),
        ("/v1/notifications/{id}/cancel", post(notifications::cancel)),
        ("/v1/notifications/{id}/decide", post(decide::decide)),
        ("/v1/notifications/{id}/events", post(reports::report)),
        ("/v1/clients", get(client_list::list).post(clients::add)),
        (
            "/v1/clients/{id}",
            get(clients::show)
                .patch(clients::change)
                .delete(erasures::erase),
        ),
        ("/v1/clients/{id}/export", get(client_export::export)),
        ("/v1/erasures/{id}", get(erasures::show)),
        ("/v1/clients/{id}/history", get(history::of_client)),
        ("/v1/clients/{id}/contact-log", post(contact_log::enter)),
        ("/v1/contact-log/{id}", patch(contact_log::describe)),
        ("/v1/history", get(history::of_all)),
        ("/v1/tasks", get(tasks::list).post(tasks::add)),
        ("/v1/tasks/{id}", patch(tasks::change)),
        (
            "/v1/suppressions",
            get(suppression_list::list)
                .post(suppressions::suppress)
                .delete(suppressions::lift),
        ),
        ("/v1/suppressions/ses", get(account_list::list)),
        ("/v1/business", get(business::show).patch(business::change)),
        ("/openapi.json", get(openapi::document)),
    ]
}

/// Texts that notifications are made of.
fn texts() -> [Route; 4] {
    [
        ("/v1/templates", get(templates::list)),
        (
            "/v1/templates/{name}",
            get(templates::show).put(templates::write),
        ),
        ("/v1/templates/{name}/versions", get(templates::versions)),
        (
            "/v1/templates/{name}/versions/{version}",
            get(templates::show_version),
        ),
    ]
}

/// What operators look at and order.
fn operations() -> [Route; 21] {
    [
        ("/v1/feedback", get(feedback::list)),
        ("/v1/feedback/{id}", get(feedback::show)),
        ("/v1/feedback/{id}/apply", post(feedback::apply)),
        ("/v1/failures", get(failures::list)),
        ("/v1/stats", get(stats::show)),
        ("/v1/brakes", get(brakes::list)),
        ("/v1/brakes/{kind}/lift", post(brakes::lift)),
        ("/v1/failures/resend", post(failure_actions::resend)),
        ("/v1/failures/resend/{id}", get(failure_actions::progress)),
        ("/v1/failures/resend/{id}/stop", post(failure_actions::stop)),
        ("/v1/failures/dismiss", post(failure_actions::dismiss)),
        ("/v1/providers", get(providers::list)),
        (
            "/v1/providers/{method}/pause",
            post(providers::pause_method),
        ),
        (
            "/v1/providers/{method}/resume",
            post(providers::resume_method),
        ),
        (
            "/v1/providers/{method}/{provider}/pause",
            post(providers::pause),
        ),
        (
            "/v1/providers/{method}/{provider}/resume",
            post(providers::resume),
        ),
        ("/v1/webhooks", get(webhooks::list).post(webhooks::add)),
        (
            "/v1/webhooks/{id}",
            get(webhooks::show).delete(webhooks::remove),
        ),
        ("/v1/webhooks/{id}/rotate", post(webhooks::rotate)),
        ("/v1/webhooks/{id}/enable", post(webhooks::enable)),
        ("/v1/webhooks/{id}/replay", post(webhooks::replay)),
    ]
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_a_slow_answer_is_given_up() {
        let clock = Clock::system();
        let store = Store::open("sqlite::memory:", 1, clock.clone()).await;
        let api = Api {
            store: store.unwrap(),
            clock,
            metrics: Arc::default(),
            providers: Arc::default(),
            woken: Arc::default(),
            account_list: None,
            reader: Reader::default(),
            limits: Limits {
                request_time_max: Duration::from_millis(20),
                ..Limits::default()
            },
            webhook_rules: UrlRules::default(),
        };
        let shared = Shared::new(api);
        let panics = get(|| async { panic!("ana@example.com") as &'static str });
        let never = get(std::future::pending::<&'static str>);
        let routes = Router::new()
            .route("/panics", panics)
            .route("/never", never);
        let server = guarded(routes, shared);
        for (path, status) in [
            ("/panics", StatusCode::INTERNAL_SERVER_ERROR),
            ("/never", StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let request = Request::builder().uri(path).header("x-request-id", "r-1");
            let request = request.body(Body::empty()).unwrap();
            let response = server.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            assert_eq!(response.headers()["x-request-id"], "r-1");
            let retry = response.headers().contains_key("retry-after");
            assert_eq!(retry, status == StatusCode::SERVICE_UNAVAILABLE);
            let body = axum::body::to_bytes(response.into_body(), 10_000)
                .await
                .unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("ana@"));
        }
    }
}
