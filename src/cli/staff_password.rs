//! A new password: typed twice without being shown, or read from standard input.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, bail, ensure};

use crate::domain::password::{self, BYTES_MAX};
use crate::web::staff::Hasher;

/// As it is kept. `from_input`: the whole of standard input, without the end of its line.
pub(super) async fn hashed(email: &str, from_input: bool) -> anyhow::Result<String> {
    let password = if from_input { read()? } else { ask()? };
    password::check(&password, email).map_err(|why| anyhow::anyhow!("the password {why}"))?;
    Ok(Hasher::default().hash(password).await?)
}

fn read() -> anyhow::Result<String> {
    let mut text = String::new();
    // One more than fits, so that what is too long is not cut but refused; and the end of the line.
    let longest = u64::try_from(BYTES_MAX + 3).unwrap_or(u64::MAX);
    let read = std::io::stdin()
        .lock()
        .take(longest)
        .read_to_string(&mut text);
    read.context("the password on standard input must be UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn ask() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask for the password: give it on standard input with --password-stdin"
        );
    }
    let ask = |text| rpassword::prompt_password(text).context("cannot read from the terminal");
    let password = ask("Password: ")?;
    ensure!(ask("Again: ")? == password, "the two passwords differ");
    Ok(password)
}
