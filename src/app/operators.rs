//! Operators are told of trouble, by every process: that no worker lives can only be told by another.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;
use crate::webhooks::Teller;

pub(super) fn tell(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let teller = Teller {
        store: store.clone(),
        clock: clock.clone(),
        settings: settings.operations.clone(),
        webhooks: settings.webhooks.clone(),
    };
    let started = teller.start(stop.clone());
    started.context("cannot make an HTTP client")
}
