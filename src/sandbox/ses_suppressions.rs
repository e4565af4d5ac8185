//! The suppression list of an SES account, as its API, version 2, shows it: the addresses that the
//! stories call suppressed, until somebody takes them off. What is sent to them stays suppressed.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_ListSuppressedDestinations.html>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::provider::Provider;
use super::ses_http::{error, json_answer};

/// What SES says of an address: why, and since when, in seconds since 1970.
type Entry = (&'static str, f64);

/// 2026-01-01, some time before any test.
const SINCE: f64 = 1_767_225_600.0;
/// The most that SES gives at once.
const PAGE_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct AccountList(Mutex<BTreeMap<String, Entry>>);

impl Default for AccountList {
    fn default() -> Self {
        let listed = [
            ("suppressed@simulator.test", "BOUNCE"),
            ("complained-before@simulator.test", "COMPLAINT"),
            ("suppressionlist@simulator.amazonses.com", "BOUNCE"),
        ];
        let listed = listed.map(|(address, reason)| (address.to_owned(), (reason, SINCE)));
        Self(Mutex::new(listed.into()))
    }
}

impl AccountList {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Entry>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Asked {
    next_token: Option<String>,
    page_size: Option<usize>,
}

/// `ListSuppressedDestinations`; the token is the last address of the page before.
pub(super) async fn list(
    State(provider): State<Arc<Provider>>,
    Query(asked): Query<Asked>,
) -> Response {
    let size = asked.page_size.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let after = asked.next_token.unwrap_or_default();
    let (page, more): (Vec<Value>, bool) = provider.account_list.with(|listed| {
        let mut rest = listed.iter().filter(|(address, _)| **address > after);
        let page = rest
            .by_ref()
            .take(size)
            .map(|(address, entry)| shown(address, *entry));
        (page.collect(), rest.next().is_some())
    });
    let last = page
        .last()
        .filter(|_| more)
        .map(|entry| entry["EmailAddress"].clone());
    let answer = json!({"SuppressedDestinationSummaries": page, "NextToken": last});
    json_answer(StatusCode::OK, &answer)
}

/// `GetSuppressedDestination`.
pub(super) async fn show(
    State(provider): State<Arc<Provider>>,
    Path(address): Path<String>,
) -> Response {
    let found = provider
        .account_list
        .with(|listed| listed.get(&address).copied());
    found.map_or_else(not_found, |entry| {
        let answer = json!({"SuppressedDestination": shown(&address, entry)});
        json_answer(StatusCode::OK, &answer)
    })
}

/// `DeleteSuppressedDestination`.
pub(super) async fn remove(
    State(provider): State<Arc<Provider>>,
    Path(address): Path<String>,
) -> Response {
    let found = provider.account_list.with(|listed| listed.remove(&address));
    found.map_or_else(not_found, |_| json_answer(StatusCode::OK, &json!({})))
}

fn shown(address: &str, (reason, since): Entry) -> Value {
    json!({"EmailAddress": address, "Reason": reason, "LastUpdateTime": since})
}

fn not_found() -> Response {
    error(
        StatusCode::NOT_FOUND,
        "NotFoundException",
        "The address is not on the suppression list of the account.",
    )
}
