//! Mail that comes back: the key of the addresses that it comes to, and the server that takes it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Roles, links};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::bounce_address::BounceTokens;
use crate::feedback;
use crate::feedback::bounce_mail::{Door, Trust, lmtp};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::inbox::Reader;

/// The name of the key among those that processes share.
const SECRET: &str = "bounces";

/// By the key that all processes on this database share.
pub(super) async fn trust(settings: &Settings, store: &Store) -> anyhow::Result<Trust> {
    let secret = links::shared_secret(store, SECRET).await;
    let secret = secret.context("cannot read the key of bounce addresses")?;
    Ok(Trust {
        tokens: BounceTokens::new(&secret),
        accept_unsigned: settings.bounces.accept_unsigned,
    })
}

/// Takes mail over for a command; what it counts nobody asks for.
pub async fn bounce_door(settings: &Settings, store: &Store, clock: Clock) -> anyhow::Result<Door> {
    Ok(Door {
        trust: trust(settings, store).await?,
        store: store.clone(),
        clock,
        metrics: Arc::default(),
    })
}

/// Reads kept feedback as these settings say.
pub async fn feedback_reader(settings: &Settings, store: &Store) -> anyhow::Result<Reader> {
    let trust = trust(settings, store).await?;
    Ok(feedback::reader(settings.ses.track_opens, trust))
}

/// Where LMTP is to be served. Asked for before anything is begun that a failure would break off.
pub(super) async fn bind(settings: &Settings, roles: Roles) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings.bounces.listen.filter(|_| roles.webhooks) else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {address} (bounces.listen)"))?;
    Ok(Some(listener))
}

/// Serves LMTP, and says where.
pub(super) fn serve(
    listener: Option<TcpListener>,
    trust: &Trust,
    (store, clock, metrics): (&Store, &Clock, &Arc<Metrics>),
    stop: &CancellationToken,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let address = listener.local_addr()?;
    let door = Door {
        trust: trust.clone(),
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    };
    tokio::spawn(lmtp::serve(listener, door, stop.clone()));
    info!(%address, "listening for bounce mail");
    Ok(Some(address))
}
