//! The pages behind the door: clients, their contact history and its entries, tasks, files.

pub(super) mod asked;
mod client;
mod clients;
mod columns;
mod console;
mod contact_form;
mod counts;
mod downloads;
mod edit;
mod entry;
mod erase;
mod failures;
mod history;
mod installation;
mod overriding;
mod resend;
mod resend_many;
mod story;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, post};
use tokio::sync::{Notify, Semaphore};

use super::account_list::account_list;
use super::{samples, sign_on};
use crate::api::AccountList;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::method::Method;
use crate::domain::role::Right;
use crate::metrics::Metrics;
use crate::store::Store;
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
    /// Of each method, as the settings name them, in order of preference.
    providers: Arc<[(Method, Vec<&'static str>)]>,
    /// Poked after a file was asked for.
    exports_asked: Arc<Notify>,
    /// Histories that are sent as CSV at the same time.
    csv_turns: Arc<Semaphore>,
}

/// Each reads page after page for as long as its reader takes them.
const CSV_AT_ONCE: usize = 4;

/// Of the program, for the pages.
pub(super) struct Parts<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) woken: &'a Arc<Notify>,
    pub(super) exports_asked: &'a Arc<Notify>,
    pub(super) address: SocketAddr,
}

/// The pages as the settings have them.
pub(super) async fn of(
    settings: &Settings,
    parts: Parts<'_>,
) -> anyhow::Result<(Router, Vec<(&'static str, Rule)>)> {
    let store = parts.store;
    let pages = Pages {
        store: store.clone(),
        clock: parts.clock.clone(),
        sandbox: settings.sandbox.enabled,
        address: parts.address,
        metrics: Arc::clone(parts.metrics),
        woken: Arc::clone(parts.woken),
        exports_asked: Arc::clone(parts.exports_asked),
        csv_turns: Arc::new(Semaphore::new(CSV_AT_ONCE)),
        account_list: account_list(settings).await,
        sender: settings.email.from.clone(),
        providers: settings.provider_names().into(),
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
        provider: sign_on::provider(settings, parts.clock, parts.address)?,
    };
    Ok(router(pages, staff))
}

/// The routes, and the rule of each.
fn router(pages: Pages, staff: Staff) -> (Router, Vec<(&'static str, Rule)>) {
    let guarded = Guarded::new(staff.clone());
    let guarded = failing(operations(guarded));
    let (router, mut rules) = files(entries(clients(guarded))).finish();
    let (of_staff, more) = staff::router(staff);
    rules.extend(more);
    let router = router
        .with_state(pages)
        .merge(of_staff)
        .merge(web::assets());
    (router.layer(map_response(web::secure_headers)), rules)
}

/// Whoever works with clients.
const CONTACTS: Rule = Rule::Needs(Right::SeeContacts);
/// What an open page asks for by itself.
const POLLED: Rule = Rule::Polled(Right::SeeContacts);
const MANY: Rule = Rule::Needs(Right::ResendMany);

fn clients(guarded: Guarded<Pages>) -> Guarded<Pages> {
    let form = get(contact_form::show).post(contact_form::enter);
    guarded
        .page("/", CONTACTS, get(history::show))
        .page("/live", POLLED, get(history::live))
        .page("/counts", POLLED, get(counts::show))
        .page("/clients", CONTACTS, get(clients::show))
        .page("/clients/found", CONTACTS, get(clients::found))
        .page("/clients/{id}", CONTACTS, get(client::show))
        .page(
            "/clients/{id}/erase",
            Rule::Needs(Right::EraseClients),
            get(erase::show).post(erase::order),
        )
        .page(
            "/clients/{id}/contacts/new",
            Rule::Needs(Right::EnterContacts),
            form,
        )
        .page("/account/columns", Rule::SignedIn, post(columns::choose))
        .page("/tasks", CONTACTS, get(tasks::show))
        .page("/tasks/{id}/done", CONTACTS, post(tasks::finish))
        .page("/tasks/{id}/reopen", CONTACTS, post(tasks::reopen))
}

fn entries(guarded: Guarded<Pages>) -> Guarded<Pages> {
    let one = get(resend::show).post(resend::send);
    let many = get(resend_many::preview).post(resend_many::begin);
    guarded
        .page("/entries/{id}", CONTACTS, get(entry::show))
        .page(
            "/entries/{id}/description",
            CONTACTS,
            post(edit::description),
        )
        .page("/entries/{id}/tags", CONTACTS, post(edit::tags))
        .page("/entries/{id}/resend", CONTACTS, one)
        .page("/resend", MANY, many)
        .page("/resend/{id}", MANY, get(resend_many::progress))
        .page("/resend/{id}/stop", MANY, post(resend_many::stop))
}

fn operations(guarded: Guarded<Pages>) -> Guarded<Pages> {
    const OPERATE: Rule = Rule::Needs(Right::Operate);
    guarded
        .page("/console", OPERATE, get(console::show))
        .page(
            "/console/live",
            Rule::Polled(Right::Operate),
            get(console::live),
        )
        .page("/console/providers/pause", OPERATE, post(console::pause))
        .page("/console/providers/resume", OPERATE, post(console::resume))
        .page("/console/brakes/lift", OPERATE, post(console::lift))
}

/// What operators watch and mend.
fn failing(guarded: Guarded<Pages>) -> Guarded<Pages> {
    const OPERATES: Rule = Rule::Needs(Right::Operate);
    guarded
        .page("/failures", OPERATES, get(failures::show))
        .page("/failures/{id}", OPERATES, get(failures::cause))
        .page("/failures/{id}/dismiss", OPERATES, post(failures::dismiss))
}

fn files(guarded: Guarded<Pages>) -> Guarded<Pages> {
    let asked = get(downloads::show).post(downloads::ask);
    guarded
        .page("/downloads", CONTACTS, asked)
        .page("/downloads/live", POLLED, get(downloads::live))
        .page("/downloads/history.csv", CONTACTS, get(downloads::csv))
        .page("/downloads/{id}", CONTACTS, get(downloads::fetch))
}
