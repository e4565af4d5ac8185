//! `sendtrail providers`: how the providers are; pause and resume them.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde_json::{Value as Json, json};

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::method::Method;
use crate::store::Store;
use crate::store::providers::{Health, Order, Pause, Paused, Switch, per_second};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Providers {
    /// How each provider is, as the living workers see it, and the last times that traffic moved.
    List {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Send nothing by a provider, or by a whole method, until it is resumed. Nothing fails: another
    /// provider takes over, or messages wait.
    Pause {
        #[command(flatten)]
        target: Target,
        /// Shown wherever the pause is shown.
        #[arg(long)]
        reason: String,
    },
    /// End a pause.
    Resume {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// email, sms or push.
    #[arg(long)]
    method: String,
    /// As in the settings, for example ses; every provider of the method when absent.
    #[arg(long)]
    provider: Option<String>,
    /// Who gives the order.
    #[arg(long, default_value = "an operator")]
    by: String,
    /// For scripts.
    #[arg(long)]
    json: bool,
}

/// The longest reason and name, in characters: lines in a list.
const WORDS_MAX: usize = 200;
/// The last switches of traffic that are shown.
const SWITCHES_SHOWN: i64 = 20;

pub(super) async fn run(settings: &Settings, command: Providers) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    match command {
        Providers::List { json } => list(settings, &store, json).await?,
        Providers::Pause { target, reason } => {
            check_line("--reason", &reason)?;
            let order = target.order(settings)?;
            let (pause, changed) = match store.pause_provider(order, reason.trim()).await? {
                Paused::Now(pause) => (pause, true),
                Paused::Before(pause) => (pause, false),
            };
            if target.json {
                say(json!({"paused": pause_json(&pause), "changed": changed}));
            } else {
                let already = if changed { "" } else { "already " };
                say(format_args!("{already}{}", pause_line(&pause)));
            }
        }
        Providers::Resume { target } => {
            let order = target.order(settings)?;
            let changed = store.resume_provider(order).await?;
            if target.json {
                say(json!({"paused": null, "changed": changed}));
            } else if changed {
                say("resumed");
            } else {
                bail!("it is not paused; see `sendtrail providers list`");
            }
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

impl Target {
    /// The order, if the settings have what it names.
    fn order(&self, settings: &Settings) -> anyhow::Result<Order<'_>> {
        check_line("--by", &self.by)?;
        let known = settings.provider_names();
        let mut known = known.iter().filter(|(m, _)| m.as_str() == self.method);
        let Some((method, names)) = known.next() else {
            bail!(
                "--method: {:?} must be one of: email, sms, push",
                self.method
            );
        };
        if let Some(provider) = &self.provider {
            ensure!(
                names.contains(&provider.as_str()),
                "--provider: {provider:?} must be one of {method}.providers: {}",
                names.join(", ")
            );
        }
        Ok(Order {
            method: *method,
            provider: self.provider.as_deref(),
            by: self.by.trim(),
        })
    }
}

pub(super) fn check_line(option: &str, text: &str) -> anyhow::Result<()> {
    check_line_of(WORDS_MAX, option, text)
}

pub(super) fn check_line_of(max: usize, option: &str, text: &str) -> anyhow::Result<()> {
    let fits = (1..=max).contains(&text.trim().chars().count());
    ensure!(
        fits && !text.chars().any(char::is_control),
        "{option}: one line of 1 to {max} characters"
    );
    Ok(())
}

async fn list(settings: &Settings, store: &Store, as_json: bool) -> anyhow::Result<()> {
    let health = store.provider_health().await?;
    let pauses = store.provider_pauses().await?;
    let switches = store.switches(SWITCHES_SHOWN).await?;
    if as_json {
        say(json!({
            "providers": settings.provider_names().iter().flat_map(|(method, names)| {
                names.iter().map(move |name| json!({"method": method.as_str(), "provider": name}))
            }).collect::<Vec<Json>>(),
            "pauses": pauses.iter().map(pause_json).collect::<Vec<Json>>(),
            "workers": health.iter().map(health_json).collect::<Vec<Json>>(),
            "switches": switches.iter().map(switch_json).collect::<Vec<Json>>(),
        }));
        return Ok(());
    }
    for (method, names) in settings.provider_names() {
        for name in names {
            say(format_args!("{method}  {name}"));
            for pause in pauses.iter().filter(|p| concerns(p, method, name)) {
                say(format_args!("    {}", pause_line(pause)));
            }
            let seen = health.iter();
            for health in seen.filter(|h| h.method == method && h.provider == name) {
                say(format_args!("    {}", health_line(health)));
            }
        }
    }
    for switch in &switches {
        say(format_args!("{}", switch_line(switch)));
    }
    Ok(())
}

fn concerns(pause: &Pause, method: Method, name: &str) -> bool {
    pause.method == method
        && pause
            .provider
            .as_deref()
            .is_none_or(|paused| paused == name)
}

fn pause_line(pause: &Pause) -> String {
    let what = pause.provider.as_deref().unwrap_or("every provider");
    let Pause {
        method,
        by,
        at,
        reason,
        ..
    } = pause;
    format!("paused: {method} by {what}, by {by} at {at}: {reason}")
}

fn health_line(health: &Health) -> String {
    let active = if health.active { "active" } else { "standby" };
    let allowed = health.allowed_per_minute.map_or_else(
        || "no limit known".to_owned(),
        |rate| format!("{}/s allowed", per_second(rate)),
    );
    let mut line = format!(
        "{active}  {}  {}/s  {allowed}  worker {}",
        health.state,
        per_second(health.taken_per_minute),
        health.worker
    );
    if let (Some(until), Some(because)) = (health.rests_until, &health.rests_because) {
        // Writing to a String cannot fail.
        write!(line, "  rests until {until}: {because}").ok();
    }
    line
}

fn switch_line(switch: &Switch) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "nobody".to_owned());
    let (from, to) = (name(&switch.from), name(&switch.to));
    let Switch {
        at, method, reason, ..
    } = switch;
    format!("{at}  {method}  {from} > {to}  {reason}")
}

fn pause_json(pause: &Pause) -> Json {
    json!({
        "method": pause.method.as_str(),
        "provider": pause.provider,
        "by": pause.by,
        "at": pause.at,
        "reason": pause.reason,
    })
}

fn health_json(health: &Health) -> Json {
    json!({
        "worker": health.worker,
        "method": health.method.as_str(),
        "provider": health.provider,
        "active": health.active,
        "state": health.state,
        "rests_until": health.rests_until,
        "rests_because": health.rests_because,
        "per_second": per_second(health.taken_per_minute),
        "allowed_per_second": health.allowed_per_minute.map(per_second),
        "learnt_per_second": health.learnt_per_minute.map(per_second),
        "last_error": health.error.as_ref().map(|error| json!({
            "at": error.at, "code": error.code, "text": error.text,
        })),
        "seen_at": health.seen_at,
    })
}

fn switch_json(switch: &Switch) -> Json {
    json!({
        "at": switch.at,
        "method": switch.method.as_str(),
        "worker": switch.worker,
        "from": switch.from,
        "to": switch.to,
        "reason": switch.reason,
    })
}
