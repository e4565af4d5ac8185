//! `sendtrail keys`: API keys of applications.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use uuid::Uuid;

use super::say;
use crate::api::auth::{self, Scope};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::time::Timestamp;
use crate::store::keys::NewApiKey;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Keys {
    /// Make a key and print it: it is shown this once.
    Add {
        /// What the key is for.
        #[arg(long)]
        name: String,
        /// enqueue, read, admin; separated by commas.
        #[arg(long)]
        scopes: String,
        #[arg(long, default_value = "default")]
        business: String,
        /// When it stops working, RFC 3339.
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// All keys, without their secrets.
    List,
    /// The key stops working within a second.
    Revoke { id: Uuid },
}

/// The longest name of a key or a business, in characters: it is a column of a list.
const NAME_MAX: usize = 100;

fn check_scopes(words: &str) -> anyhow::Result<()> {
    for word in words.split(',').map(str::trim) {
        ensure!(
            Scope::parse(word).is_some(),
            "--scopes: {word:?} is no scope: choose among enqueue, read, admin"
        );
    }
    Ok(())
}

pub(super) async fn run(settings: &Settings, command: Keys) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    match command {
        Keys::Add {
            name,
            scopes,
            business,
            expires_at,
        } => {
            for (option, text) in [("--name", &name), ("--business", &business)] {
                ensure!(
                    (1..=NAME_MAX).contains(&text.chars().count()),
                    "{option}: 1 to {NAME_MAX} characters"
                );
            }
            check_scopes(&scopes)?;
            let expires_at = expires_at.as_deref().map(Timestamp::parse).transpose()?;
            let (key, digest) = auth::new_key();
            store.ensure_business(&business, &business).await?;
            store
                .add_key(NewApiKey {
                    business: &business,
                    name: &name,
                    digest: &digest,
                    scopes: &scopes,
                    expires_at,
                })
                .await?;
            say(key);
        }
        Keys::List => {
            let now = Clock::system().now();
            for key in store.keys().await? {
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(at), _) => format!("revoked {at}"),
                    (None, Some(at)) if at <= now => format!("expired {at}"),
                    (None, Some(at)) => format!("valid until {at}"),
                    (None, None) => "valid".to_owned(),
                };
                say(format_args!(
                    "{}  {}  {}  {}  {state}",
                    key.id, key.business, key.name, key.scopes
                ));
            }
        }
        Keys::Revoke { id } => {
            if !store.revoke_key(id).await? {
                bail!("there is no valid key {id}; see `sendtrail keys list`");
            }
            say("revoked");
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
