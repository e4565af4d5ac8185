//! `sendtrail bounce`: takes a mail from standard input, as mail servers hand it to programs.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{open, tell};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::feedback::bounce_mail::{BYTES_MAX, KEPT_BYTES_MAX};

/// Exit codes of `sysexits.h`, which mail servers know: the mail cannot be taken,
const DATA_ERROR: u8 = 65;
/// or cannot be taken now, so that the mail server keeps it and tries again.
pub(super) const TRY_AGAIN: u8 = 75;

#[derive(Debug, clap::Args)]
pub(super) struct Bounce {
    /// Whom the mail is for: the envelope's recipient, as Postfix's `local(8)` tells it to commands. Where
    /// it is not known the mail's own header says it.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ORIGINAL_RECIPIENT",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    recipient: Option<OsString>,
}

pub(super) async fn run(settings: &Settings, command: Bounce) -> anyhow::Result<ExitCode> {
    let Some(mail) = read_mail().context("cannot read the mail from standard input")? else {
        tell(format_args!("the mail has more than {BYTES_MAX} bytes"));
        return Ok(ExitCode::from(DATA_ERROR));
    };
    let store = open(settings).await?;
    store.ready().await?;
    let door = app::bounce_door(settings, &store, Clock::system()).await?;
    let recipient = command.recipient.unwrap_or_default();
    door.keep(&recipient.to_string_lossy(), &mail).await?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// As much of it as is kept; `None`: it is too long.
fn read_mail() -> io::Result<Option<Vec<u8>>> {
    let mut input = io::stdin().lock();
    let mut mail = Vec::new();
    let kept = u64::try_from(KEPT_BYTES_MAX).unwrap_or(u64::MAX);
    let count = input.by_ref().take(kept).read_to_end(&mut mail)?;
    let left = BYTES_MAX.saturating_sub(count).saturating_add(1);
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    let rest = io::copy(&mut input.take(left), &mut io::sink())?;
    Ok((rest < left).then_some(mail))
}
