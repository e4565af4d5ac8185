//! Links in email: the key that signs them, the links by which bulk email is ended, those by which opens
//! and clicks are learnt, and what they lead to.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::tracking;
use crate::domain::unsubscribe::{Links, Tokens};
use crate::metrics::Metrics;
use crate::store::{Error, Store};
use crate::web;
use crate::web::tracking::{Queue, Recording, Tracking};
use crate::web::unsubscribe::{self, Unsubscribe};

/// The name of the key among those that processes share; each kind of link signs for its own purpose.
const SECRET: &str = "unsubscribe";

/// By the key of the settings, else by the one that all processes on this database share.
pub(super) async fn keys(settings: &Settings, store: &Store) -> anyhow::Result<Keys> {
    if let Some(secret) = &settings.web.unsubscribe_secret {
        return Ok(Keys::new(secret.expose_secret()));
    }
    let secret = shared_secret(store, SECRET).await;
    let secret = secret.context("cannot read the key of the links in email")?;
    Ok(Keys::new(&secret))
}

/// Made once, at random.
pub(super) async fn shared_secret(store: &Store, name: &str) -> Result<String, Error> {
    let fresh = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    store.secret(name, &fresh).await
}

/// What signs each kind of link.
pub(super) struct Keys {
    leaving: Tokens,
    tracking: tracking::Tokens,
}

impl Keys {
    fn new(secret: &str) -> Self {
        Self {
            leaving: Tokens::new(secret),
            tracking: tracking::Tokens::new(secret),
        }
    }

    /// None where nobody outside can reach us.
    pub(super) fn links(&self, settings: &Settings, address: SocketAddr) -> Option<Links> {
        Some(Links {
            tokens: self.leaving.clone(),
            base: base(settings, address)?,
            mailto: settings.email.unsubscribe_mailto.clone(),
        })
    }

    /// None likewise.
    pub(super) fn tracking_links(
        &self,
        settings: &Settings,
        address: SocketAddr,
    ) -> Option<tracking::Links> {
        Some(tracking::Links {
            tokens: self.tracking.clone(),
            base: base(settings, address)?,
        })
    }

    /// What the links lead to, and what records who follows them.
    pub(super) fn pages(
        self,
        settings: &Settings,
        (store, clock, metrics): (&Store, &Clock, &Arc<Metrics>),
    ) -> (Router, Recording) {
        let (visits, queue) = Queue::new(store.clone(), Arc::clone(metrics));
        let tracking = Tracking {
            tokens: self.tracking,
            visits,
            clock: clock.clone(),
        };
        let leaving = page(settings, store, self.leaving);
        let router = unsubscribe::router(leaving).merge(web::tracking::router(tracking));
        (router, queue.start())
    }
}

/// What the sandbox keeps is read on this machine.
fn base(settings: &Settings, address: SocketAddr) -> Option<String> {
    let sandbox = settings.sandbox.enabled;
    let here = sandbox.then(|| format!("http://{address}"));
    settings.public_url().map(str::to_owned).or(here)
}

fn page(settings: &Settings, store: &Store, tokens: Tokens) -> Unsubscribe {
    Unsubscribe {
        store: store.clone(),
        tokens,
        sender: display_name(&settings.email.from),
    }
}

/// `Example Clinic` of `"Example Clinic" <box@example.com>`; the address where there is no name.
fn display_name(from: &str) -> String {
    let (name, rest) = from.split_once('<').unwrap_or((from, ""));
    let name = name.trim().trim_matches('"').trim();
    let address = rest.trim_end_matches('>').trim();
    let shown = if name.is_empty() { address } else { name };
    shown.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_shown_by_name_and_without_one_by_address() {
        for (from, shown) in [
            ("Example Clinic <box@example.com>", "Example Clinic"),
            ("\"Clinic, Example\" <box@example.com>", "Clinic, Example"),
            ("box@example.com", "box@example.com"),
            ("<box@example.com>", "box@example.com"),
        ] {
            assert_eq!(display_name(from), shown);
        }
    }
}
