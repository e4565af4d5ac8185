//! Long work: how far it is, and its end before the end.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::serve::until_told_to_stop;

/// As a shell reports a program that was ended by an interrupt.
pub(super) const INTERRUPTED: u8 = 130;

/// Where nobody watches there is none.
pub(super) fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The first signal is to end the work after its batch, the second ends it at once.
pub(super) fn listen() -> CancellationToken {
    let told = CancellationToken::new();
    let heard = told.clone();
    tokio::spawn(async move {
        if until_told_to_stop().await.is_ok() {
            heard.cancel();
            if until_told_to_stop().await.is_ok() {
                std::process::exit(INTERRUPTED.into());
            }
        }
    });
    told
}
