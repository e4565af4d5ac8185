//! What goes on beside requests and deliveries, until the program stops.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::links::Keys;
use super::resending::Resending;
use super::{Roles, tagging, transports};
use crate::clock::Clock;
use crate::config::Settings;
use crate::delivery::{Running, Worker};
use crate::feedback::bounce_mail::Trust;
use crate::metrics::Metrics;
use crate::store::Store;

type Parts<'a> = (&'a Store, &'a Clock, &'a Arc<Metrics>);

/// What sends.
pub(super) async fn worker(
    settings: &Settings,
    (store, clock, metrics): Parts<'_>,
    woken: &Arc<Notify>,
    (keys, trust, address): (&Keys, &Trust, SocketAddr),
) -> anyhow::Result<Running> {
    let worker = Worker {
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        woken: Arc::clone(woken),
        settings: settings.delivery_in_force(),
        rules: settings.rules(),
        retention: settings.feedback.retention(),
        name: clock.new_uuid(clock.now()).to_string(),
        links: keys.links(settings, address),
        tracking_links: keys.tracking_links(settings, address),
    };
    let transports = transports(settings, clock, Some(&trust.tokens));
    Ok(worker.start(Box::pin(transports).await?))
}

pub(super) fn start(
    roles: Roles,
    (store, _, metrics): Parts<'_>,
    woken: &Arc<Notify>,
    stop: &CancellationToken,
) {
    if roles.worker {
        tokio::spawn(tagging::tag(store.clone(), stop.clone()));
    }
    if roles.worker || roles.web {
        let resending = Resending {
            store: store.clone(),
            metrics: Arc::clone(metrics),
            woken: Arc::clone(woken),
        };
        tokio::spawn(resending.work(stop.clone()));
    }
}
