//! What comes back from Twilio: the webhook, and the questions for reports that never came.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::Roles;
use crate::clock::Clock;
use crate::config::{Settings, SmsProvider};
use crate::feedback::twilio::webhook::{self, Webhook};
use crate::feedback::twilio::{Poller, Verifier};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::transport::Twilio;

/// Without Twilio's settings it refuses everything, and says what is missing.
pub(super) fn router(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Router {
    webhook::router(Webhook {
        verifier: Verifier::new(&settings.twilio, settings.public_url()),
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    })
}

/// Starts to ask, in a worker that sends by Twilio.
pub(super) fn ask(
    settings: &Settings,
    roles: Roles,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let after = settings.twilio.poll_after_seconds;
    let sends = roles.worker && settings.sms.providers.contains(&SmsProvider::Twilio);
    let Some(account) = settings.twilio.account_sid.clone() else {
        return Ok(());
    };
    if after == 0 || !sends {
        return Ok(());
    }
    let poller = Poller {
        twilio: Twilio::new(&settings.twilio, clock.clone())?,
        account,
        after: Duration::from_secs(after),
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(poller.run()));
    Ok(())
}
