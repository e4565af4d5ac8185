//! `sendtrail backup`: a copy of the database while the program runs.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{open, say};
use crate::config::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to be made. To restore it, stop the program and put it where database.url names the
    /// database, with no -wal or -shm file beside it.
    file: PathBuf,
}

pub(super) async fn run(settings: &Settings, command: Backup) -> anyhow::Result<ExitCode> {
    let store = open(settings).await?;
    store.ready().await?;
    store.backup(&command.file).await?;
    say(format_args!("{} is whole", command.file.display()));
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
