//! Operators are told of trouble, by the processes that send.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::Roles;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;
use crate::webhooks::Teller;

pub(super) fn tell(
    settings: &Settings,
    roles: Roles,
    store: &Store,
    clock: &Clock,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if !roles.worker {
        return Ok(());
    }
    let teller = Teller {
        store: store.clone(),
        clock: clock.clone(),
        settings: settings.operations.clone(),
        webhooks: settings.webhooks.clone(),
    };
    let started = teller.start(stop.clone());
    started.context("cannot make an HTTP client")
}
