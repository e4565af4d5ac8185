//! The way out of bulk email: the key of its links, the links themselves, and the page they lead to.

use std::net::SocketAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use crate::config::Settings;
use crate::domain::unsubscribe::{Links, Tokens};
use crate::store::{Error, Store};
use crate::web::unsubscribe::Unsubscribe;

/// The name of the key among those that processes share.
const SECRET: &str = "unsubscribe";

/// By the key of the settings, else by the one that all processes on this database share.
pub(super) async fn tokens(settings: &Settings, store: &Store) -> anyhow::Result<Tokens> {
    if let Some(secret) = &settings.web.unsubscribe_secret {
        return Ok(Tokens::new(secret.expose_secret()));
    }
    let secret = shared_secret(store, SECRET).await;
    let secret = secret.context("cannot read the key of unsubscribe links")?;
    Ok(Tokens::new(&secret))
}

/// Made once, at random.
pub(super) async fn shared_secret(store: &Store, name: &str) -> Result<String, Error> {
    let fresh = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    store.secret(name, &fresh).await
}

/// None where nobody outside can reach us. What the sandbox keeps is read on this machine.
pub(super) fn links(settings: &Settings, address: SocketAddr, tokens: &Tokens) -> Option<Links> {
    let sandbox = settings.sandbox.enabled;
    let here = sandbox.then(|| format!("http://{address}"));
    Some(Links {
        tokens: tokens.clone(),
        base: settings.public_url().map(str::to_owned).or(here)?,
        mailto: settings.email.unsubscribe_mailto.clone(),
    })
}

pub(super) fn page(settings: &Settings, store: &Store, tokens: Tokens) -> Unsubscribe {
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
