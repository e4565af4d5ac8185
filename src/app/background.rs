//! What goes on beside requests and deliveries, until the program stops.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::counting::Counting;
use super::downloads::Maker;
use super::links::Keys;
use super::pruning::Kept;
use super::resending::Resending;
use super::{Roles, causes, erasing, pruning, tagging};
use crate::clock::Clock;
use crate::config::Settings;
use crate::delivery::{Running, Worker};
use crate::domain::bounce_address::BounceTokens;
use crate::metrics::Metrics;
use crate::store::Store;

pub(super) fn start(
    settings: &Settings,
    roles: Roles,
    (store, clock, metrics): (&Store, &Clock, &Arc<Metrics>),
    woken: &Arc<Notify>,
    exports_asked: &Arc<Notify>,
    stop: &CancellationToken,
) {
    let counting = Counting {
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        rules: settings.brakes,
    };
    tokio::spawn(counting.run(stop.clone()));
    if roles.worker {
        tokio::spawn(tagging::tag(store.clone(), stop.clone()));
        tokio::spawn(causes::learn(store.clone(), stop.clone()));
        let kept = Kept {
            content: settings.retention.content(),
            entries: settings.retention.entries(),
            buried: settings.retention.buried(),
            causes: settings.retention.causes(),
        };
        let metrics = Arc::clone(metrics);
        tokio::spawn(pruning::prune(store.clone(), metrics, kept, stop.clone()));
    }
    if roles.worker || roles.web || roles.api {
        tokio::spawn(erasing::erase(store.clone(), stop.clone()));
    }
    if roles.worker || roles.web {
        let resending = Resending {
            store: store.clone(),
            metrics: Arc::clone(metrics),
            woken: Arc::clone(woken),
        };
        tokio::spawn(resending.work(stop.clone()));
        let maker = Maker {
            store: store.clone(),
            clock: clock.clone(),
            asked: Arc::clone(exports_asked),
        };
        tokio::spawn(maker.run(stop.clone()));
    }
}

/// Starts what sends, where the process has that role.
pub(super) async fn worker(
    settings: &Settings,
    roles: Roles,
    (store, clock, metrics, woken): (&Store, &Clock, &Arc<Metrics>, &Arc<Notify>),
    (keys, address): (&Keys, SocketAddr),
    tokens: &BounceTokens,
) -> anyhow::Result<Option<Running>> {
    if !roles.worker {
        return Ok(None);
    }
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
    let transports = super::transports(settings, clock, Some(tokens)).await?;
    Ok(Some(worker.start(transports)))
}
