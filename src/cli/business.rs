//! `sendtrail business`: who a business writes as.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::mailbox::Mailbox;
use crate::domain::sms_sender::SmsSender;
use crate::store::businesses::{Change, Setting};

#[derive(Debug, clap::Subcommand)]
pub(super) enum BusinessCommand {
    /// Who it writes as.
    Show {
        #[arg(long, default_value = "default")]
        business: String,
    },
    /// Change who it writes as, from the next enqueue on. An empty text goes back to the settings.
    Set {
        #[arg(long, default_value = "default")]
        business: String,
        /// Who its emails are from: Name <box@example.com> or the bare address.
        #[arg(long, value_name = "MAILBOX")]
        email_from: Option<String>,
        /// Where answers to its emails go.
        #[arg(long, value_name = "MAILBOX")]
        reply_to: Option<String>,
        /// Who its SMS are from: a number, or a name of up to 11 letters, digits and hyphens.
        #[arg(long, value_name = "SENDER")]
        sms_from: Option<String>,
        /// Whether every role sees every client, in place of those by location and its own.
        #[arg(long, value_name = "true|false")]
        staff_see_all: Option<bool>,
    },
}

pub(super) async fn run(settings: &Settings, command: BusinessCommand) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    let id = match command {
        BusinessCommand::Show { business } => business,
        BusinessCommand::Set {
            business,
            email_from,
            reply_to,
            sms_from,
            staff_see_all,
        } => {
            let change = Change {
                email_from: given(email_from, Mailbox::parse).context("--email-from")?,
                reply_to: given(reply_to, Mailbox::parse).context("--reply-to")?,
                sms_from: given(sms_from, SmsSender::parse).context("--sms-from")?,
            };
            let found = store.change_identity(&business, &change).await?;
            ensure!(found, "there is no business {business}");
            if let Some(all) = staff_see_all {
                store.let_staff_see_all(&business, all).await?;
            }
            business
        }
    };
    let business = store.business(&id).await?;
    let business = business.with_context(|| format!("there is no business {id}"))?;
    let identity = &business.identity;
    say(format_args!("{}  {}", business.id, business.name));
    show(
        "email_from",
        identity.email_from.as_ref(),
        "email.from of the settings",
    );
    show("reply_to", identity.reply_to.as_ref(), "the sender");
    let sms_from = identity.sms_from.as_ref().map(SmsSender::as_str);
    show("sms_from", sms_from, "the sender of the settings");
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, own: Option<impl Display>, otherwise: &str) {
    match own {
        Some(own) => say(format_args!("  {name:10}  {own}")),
        None => say(format_args!("  {name:10}  - ({otherwise})")),
    }
}

fn given<T, E: Display>(
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> anyhow::Result<Setting<T>> {
    let Some(text) = text else {
        return Ok(Setting::AsItIs);
    };
    if text.trim().is_empty() {
        return Ok(Setting::Default);
    }
    let parsed = parse(&text).map_err(|why| anyhow::anyhow!("{text:?} {why}"))?;
    Ok(Setting::Own(parsed))
}
