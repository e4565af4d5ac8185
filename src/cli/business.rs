//! `sendtrail business`: who a business writes as, and what it asks to learn of its emails.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::mailbox::Mailbox;
use crate::domain::sms_sender::SmsSender;
use crate::domain::tracking::OptIn;
use crate::store::businesses::{Change, Setting};
use crate::store::tracking::Tracked;

#[derive(Debug, clap::Subcommand)]
pub(super) enum BusinessCommand {
    /// Who it writes as, and what is tracked.
    Show {
        #[arg(long, default_value = "default")]
        business: String,
    },
    /// Change who it writes as, from the next enqueue on, and what is tracked, from the next send on. An
    /// empty text goes back to the settings.
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
        /// What is tracked of emails of a contact type that go by SMTP: opens, clicks, opens,clicks or
        /// none. May be repeated.
        #[arg(long, value_name = "TYPE=WHAT")]
        track: Vec<String>,
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
            track,
        } => {
            let change = Change {
                email_from: given(email_from, Mailbox::parse).context("--email-from")?,
                reply_to: given(reply_to, Mailbox::parse).context("--reply-to")?,
                sms_from: given(sms_from, SmsSender::parse).context("--sms-from")?,
                tracking: tracking(&track)?,
            };
            let found = store.change_business(&business, &change).await?;
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
    for Tracked {
        contact_type,
        opt_in,
    } in &business.tracking
    {
        let all = [("opens", opt_in.opens), ("clicks", opt_in.clicks)];
        let asked = all.into_iter().filter(|(_, is_asked)| *is_asked);
        let what: Vec<&str> = asked.map(|(word, _)| word).collect();
        say(format_args!(
            "  tracking    {contact_type}: {}",
            what.join(", ")
        ));
    }
    if !business.tracking.is_empty()
        && let Some(trouble) = settings.tracking_trouble()
    {
        say(format_args!("  warning     {trouble}"));
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, own: Option<impl Display>, otherwise: &str) {
    match own {
        Some(own) => say(format_args!("  {name:10}  {own}")),
        None => say(format_args!("  {name:10}  - ({otherwise})")),
    }
}

fn tracking(texts: &[String]) -> anyhow::Result<Vec<Tracked>> {
    let read = |text: &String| {
        tracked(text).with_context(|| {
            format!("--track {text:?} must be like \"Automated Marketing=opens,clicks\" or …=none")
        })
    };
    texts.iter().map(read).collect()
}

fn tracked(text: &str) -> Option<Tracked> {
    let (name, words) = text.rsplit_once('=')?;
    let name = name.trim();
    let mut opt_in = OptIn::default();
    for word in words.split(',') {
        match word.trim() {
            "opens" => opt_in.opens = true,
            "clicks" => opt_in.clicks = true,
            "none" => {}
            _ => return None,
        }
    }
    let is_name = !name.is_empty() && !name.chars().any(char::is_control);
    is_name.then(|| Tracked {
        contact_type: name.to_owned(),
        opt_in,
    })
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
