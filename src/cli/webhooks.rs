//! `sendtrail webhooks`: where applications are told what becomes of their notifications.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use uuid::Uuid;

use super::say;
use crate::api::new_webhook_secret;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{EVENTS, EndpointUrl};
use crate::store::Store;
use crate::store::webhooks::{ENDPOINTS_MAX, NewEndpoint};

#[derive(Debug, clap::Subcommand)]
pub(super) enum WebhooksCommand {
    /// Make an endpoint and print its secret: it is shown this once.
    Add {
        /// Where events are sent: https://…
        #[arg(long)]
        url: String,
        /// What the endpoint is for.
        #[arg(long)]
        description: Option<String>,
        /// notification.bounced, notification.opened, …; separated by commas. All when absent.
        #[arg(long, value_delimiter = ',')]
        events: Vec<String>,
        #[arg(long, default_value = "default")]
        business: String,
    },
    /// The endpoints of a business and how they are.
    List {
        #[arg(long, default_value = "default")]
        business: String,
    },
    /// Remove an endpoint.
    Remove(Which),
    /// Print a new secret; the one before signs as well for 24 hours.
    Rotate(Which),
    /// Send to an endpoint that was switched off.
    Enable(Which),
    /// Send what was recorded for an endpoint once more.
    Replay {
        #[command(flatten)]
        which: Which,
        /// From this time on, RFC 3339.
        #[arg(long, value_name = "TIME")]
        from: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    id: Uuid,
    #[arg(long, default_value = "default")]
    business: String,
}

const OVERLAP: Duration = Duration::from_hours(24);
/// A line of a list, in characters.
const DESCRIPTION_MAX: usize = 200;

pub(super) async fn run(settings: &Settings, command: WebhooksCommand) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    match command {
        WebhooksCommand::Add {
            url,
            description,
            events,
            business,
        } => {
            let url = EndpointUrl::parse(&url, settings.webhooks.url_rules())
                .map_err(|wrong| anyhow::anyhow!("--url {wrong}"))?;
            let length = description.as_ref().map_or(0, |text| text.chars().count());
            ensure!(
                length <= DESCRIPTION_MAX,
                "--description: at most {DESCRIPTION_MAX} characters"
            );
            let events = known(&events)?;
            add(&store, &business, &url, description.as_deref(), &events).await?;
        }
        WebhooksCommand::List { business } => {
            for endpoint in store.webhooks(&business).await? {
                let events = endpoint.events.join(",");
                let events = if events.is_empty() { "all" } else { &events };
                let error = endpoint.last_error.as_deref();
                let error = error.map_or(String::new(), |error| format!(": {error}"));
                say(format_args!(
                    "{}  {}  {events}  {}{error}",
                    endpoint.id,
                    endpoint.url,
                    endpoint.state()
                ));
            }
        }
        WebhooksCommand::Remove(Which { id, business }) => {
            there_is(store.remove_webhook(&business, id).await?, id)?;
            say("removed");
        }
        WebhooksCommand::Rotate(Which { id, business }) => {
            let secret = new_webhook_secret();
            let rotated = store.rotate_webhook(&business, id, &secret, OVERLAP);
            there_is(rotated.await?, id)?;
            say(secret.reveal());
        }
        WebhooksCommand::Enable(Which { id, business }) => {
            there_is(store.enable_webhook(&business, id).await?, id)?;
            say("enabled");
        }
        WebhooksCommand::Replay { which, from } => {
            let from = Timestamp::parse(&from).context("--from")?;
            let replayed = store
                .replay_webhook(&which.business, which.id, from)
                .await?;
            there_is(replayed.is_some(), which.id)?;
            say(format_args!(
                "{} events are sent once more",
                replayed.unwrap_or(0)
            ));
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn add(
    store: &Store,
    business: &str,
    url: &EndpointUrl,
    description: Option<&str>,
    events: &[&'static str],
) -> anyhow::Result<()> {
    ensure!(
        store.business_exists(business).await?,
        "there is no business {business}"
    );
    let secret = new_webhook_secret();
    let new = NewEndpoint {
        business,
        url,
        description,
        events,
        secret: &secret,
    };
    let made = store.add_webhook(new).await?;
    ensure!(
        made.is_some(),
        "the business has {ENDPOINTS_MAX} webhooks, as many as it may have"
    );
    say(secret.reveal());
    Ok(())
}

fn known(events: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let known = |word: &String| {
        let found = EVENTS.into_iter().find(|it| it == word);
        found.with_context(|| {
            let all = EVENTS.join(", ");
            format!("--events: {word:?} is no event: choose among {all}")
        })
    };
    events.iter().map(known).collect()
}

fn there_is(found: bool, id: Uuid) -> anyhow::Result<()> {
    if !found {
        bail!("the business has no webhook {id}; see `sendtrail webhooks list`");
    }
    Ok(())
}
