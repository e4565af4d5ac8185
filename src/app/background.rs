//! What goes on beside requests and deliveries, until the program stops.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::downloads::Maker;
use super::resending::Resending;
use super::{Roles, tagging};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::Store;

pub(super) fn start(
    roles: Roles,
    (store, clock, metrics): (&Store, &Clock, &Arc<Metrics>),
    woken: &Arc<Notify>,
    exports_asked: &Arc<Notify>,
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
        let maker = Maker {
            store: store.clone(),
            clock: clock.clone(),
            asked: Arc::clone(exports_asked),
        };
        tokio::spawn(maker.run(stop.clone()));
    }
}
