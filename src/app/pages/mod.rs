//! The pages behind the door: the contact history, and its entries.

pub(super) mod asked;
mod edit;
mod entry;
mod history;
mod overriding;
mod resend;
mod resend_many;
mod story;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Notify;
use tracing::error;

use super::account_list::account_list;
use super::samples;
use crate::api::AccountList;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::role::Right;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::web;
use crate::web::staff::{self, Cookies, Guarded, Hasher, Rule, Staff};

#[derive(Clone)]
struct Pages {
    store: Store,
    clock: Clock,
    sandbox: bool,
    address: SocketAddr,
    /// Who email is from, where a business has no sender of its own.
    sender: String,
    metrics: Arc<Metrics>,
    /// Poked after an enqueue.
    woken: Arc<Notify>,
    account_list: Option<Arc<dyn AccountList>>,
}

/// The pages as the settings have them.
pub(super) async fn of(
    settings: &Settings,
    (store, clock, metrics): (&Store, &Clock, &Arc<Metrics>),
    woken: &Arc<Notify>,
    address: SocketAddr,
) -> anyhow::Result<(Router, Vec<(&'static str, Rule)>)> {
    let pages = Pages {
        store: store.clone(),
        clock: clock.clone(),
        sandbox: settings.sandbox.enabled,
        address,
        metrics: Arc::clone(metrics),
        woken: Arc::clone(woken),
        account_list: account_list(settings).await,
        sender: settings.email.from.clone(),
    };
    let hasher = Hasher::default();
    let samples = if settings.web.sample_staff {
        samples::make(store, &hasher).await?
    } else {
        Vec::new()
    };
    let staff = Staff {
        store: store.clone(),
        hasher,
        cookies: if settings.is_https() {
            Cookies::Secure
        } else {
            Cookies::Plain
        },
        address_header: settings.client_address_header(),
        samples: samples.into(),
    };
    Ok(router(pages, staff))
}

/// The routes, and the rule of each.
fn router(pages: Pages, staff: Staff) -> (Router, Vec<(&'static str, Rule)>) {
    let contacts = Right::SeeContacts;
    let (router, mut rules) = Guarded::new(staff.clone())
        .page("/", Rule::Needs(contacts), get(history::show))
        .page("/live", Rule::Polled(contacts), get(history::live))
        .page("/entries/{id}", Rule::Needs(contacts), get(entry::show))
        .page(
            "/entries/{id}/description",
            Rule::Needs(contacts),
            post(edit::description),
        )
        .page(
            "/entries/{id}/tags",
            Rule::Needs(contacts),
            post(edit::tags),
        )
        .page(
            "/entries/{id}/resend",
            Rule::Needs(contacts),
            get(resend::show).post(resend::send),
        )
        .page(
            "/resend",
            Rule::Needs(Right::ResendMany),
            get(resend_many::preview).post(resend_many::begin),
        )
        .page(
            "/resend/{id}",
            Rule::Needs(Right::ResendMany),
            get(resend_many::progress),
        )
        .page(
            "/resend/{id}/stop",
            Rule::Needs(Right::ResendMany),
            post(resend_many::stop),
        )
        .finish();
    let (of_staff, more) = staff::router(staff);
    rules.extend(more);
    let router = router
        .with_state(pages)
        .merge(of_staff)
        .merge(web::assets());
    (router.layer(map_response(web::secure_headers)), rules)
}

/// Why a page cannot be shown.
enum Trouble {
    Store(store::Error),
    Render(askama::Error),
    NotFound,
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Self {
        Self::Render(error)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::Store(failed) => {
                error!(error = %failed, "a page cannot be shown");
                let text = "The history cannot be read at the moment. Reload in a few seconds.\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
            Self::Render(failed) => {
                error!(error = %failed, "a page cannot be written");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page failed; see the log.\n",
                )
                    .into_response()
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such entry. Go back to / .\n",
            )
                .into_response(),
        }
    }
}
