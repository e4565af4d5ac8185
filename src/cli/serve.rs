//! `sendtrail serve`: runs until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::app::{App, Roles};
use crate::config::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// api, web, webhooks, worker, intake; separated by commas. All of them when absent.
    #[arg(long)]
    roles: Option<Roles>,
}

pub(super) async fn run(settings: Settings, command: Serve) -> anyhow::Result<ExitCode> {
    for warning in settings.warnings() {
        warn!("{warning}");
    }
    let app = App::start(settings, command.roles.unwrap_or(Roles::ALL)).await?;
    until_told_to_stop().await?;
    info!("stopping: what is in flight is finished first; a second signal stops at once");
    tokio::select! {
        finished = app.stop() => {
            if !finished {
                warn!("stopped before everything in flight was finished; it will be taken over");
            }
        }
        told = until_told_to_stop() => told?,
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGINT or SIGTERM.
pub(super) async fn until_told_to_stop() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
