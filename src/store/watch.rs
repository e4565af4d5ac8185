//! Whoever watches what becomes of notifications: told of what is committed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::domain::id::NotificationId;
use crate::domain::trace::{Sampling, Step};

/// Nobody watches until somebody begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<OnceLock<Watcher>>);

/// Which notifications somebody watches, and who is told: at once, so it must not wait.
pub struct Watcher {
    pub sampling: Sampling,
    pub listener: Box<dyn Fn(Vec<Step>) + Send + Sync>,
}

impl Watch {
    pub(super) fn begin(&self, watcher: Watcher) {
        // The first one stays.
        self.0.set(watcher).ok();
    }

    /// Whether anybody wants to know of the notification.
    pub(super) fn takes(&self, notification: NotificationId) -> bool {
        let watcher = self.0.get();
        watcher.is_some_and(|watcher| watcher.sampling.takes(notification))
    }

    pub(super) fn tell(&self, steps: Vec<Step>) {
        if let Some(watcher) = self.0.get()
            && !steps.is_empty()
        {
            (watcher.listener)(steps);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({:?})", self.sampling)
    }
}
