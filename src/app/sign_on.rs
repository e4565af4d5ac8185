//! The provider of single sign-on, as the settings name it.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::Settings;
use crate::web::staff::{Provider, ProviderSettings};

/// `None` where there is none. `address`: where we listen, which in development is where we are
/// reached.
pub fn provider(
    settings: &Settings,
    clock: &Clock,
    address: SocketAddr,
) -> anyhow::Result<Option<Provider>> {
    let oidc = &settings.oidc;
    let (Some(issuer), Some(client_id)) = (oidc.issuer(), oidc.client_id()) else {
        return Ok(None);
    };
    let base = settings
        .public_url()
        .map_or_else(|| format!("http://{address}"), str::to_owned);
    let provider = ProviderSettings {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: oidc.client_secret(),
        redirect_uri: format!("{base}/sign-in/oidc/callback"),
        label: oidc.label.clone(),
    };
    let made = Provider::new(provider, clock.clone());
    made.context("single sign-on cannot be used").map(Some)
}
