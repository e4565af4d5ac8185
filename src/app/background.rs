//! What goes on beside requests and deliveries, until the program stops.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::resending::Resending;
use super::{Roles, tagging};
use crate::metrics::Metrics;
use crate::store::Store;

pub(super) fn start(
    roles: Roles,
    (store, metrics, woken): (&Store, &Arc<Metrics>, &Arc<Notify>),
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
