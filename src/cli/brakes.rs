//! `sendtrail brakes`: whose bulk email is held, and lifting that.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde_json::{Value as Json, json};

use super::by::By;
use super::providers::check_line;
use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::brake::{Kind, percent};
use crate::store::Store;
use crate::store::brakes::{Brake, BrakeChange, Lifted};

#[derive(Debug, clap::Subcommand)]
pub(super) enum BrakesCommand {
    /// The brakes that are on; of one business, all and what became of them.
    List {
        #[arg(long)]
        business: Option<String>,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Let the bulk email of a business go. What was sent up to now does not count any more.
    Lift {
        #[arg(long, default_value = "default")]
        business: String,
        /// bounce or complaint.
        #[arg(long)]
        kind: String,
        /// Kept on record.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: By,
        /// One JSON object, as `POST /v1/brakes/{kind}/lift` answers, and who lifted it.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(settings: &Settings, command: BrakesCommand) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    match command {
        BrakesCommand::List { business, json } => {
            list(&store, business.as_deref(), json).await?;
        }
        BrakesCommand::Lift {
            business,
            kind,
            reason,
            by,
            json,
        } => {
            check_line("--reason", &reason)?;
            let by = by.name()?;
            known(&store, &business).await?;
            let Some(kind) = Kind::parse(&kind) else {
                bail!("--kind: {kind:?} must be one of: bounce, complaint");
            };
            let lifted = Lifted {
                business: &business,
                kind,
                by: &by,
                reason: reason.trim(),
            };
            ensure!(
                store.lift_brake(lifted).await?,
                "it is not held; see `sendtrail brakes list`"
            );
            if json {
                say(json!({"kind": kind.as_str(), "changed": true, "by": by}));
            } else {
                say("lifted");
            }
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn known(store: &Store, business: &str) -> anyhow::Result<()> {
    ensure!(
        store.business_exists(business).await?,
        "--business: there is no business {business:?}"
    );
    Ok(())
}

async fn list(store: &Store, business: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let mut changes = Vec::new();
    if let Some(business) = business {
        known(store, business).await?;
        changes = store.brake_changes(business).await?;
    }
    let brakes = store.brakes(business).await?;
    if as_json {
        say(json!({
            "brakes": brakes.iter().map(brake_json).collect::<Vec<Json>>(),
            "changes": changes.iter().map(change_json).collect::<Vec<Json>>(),
        }));
        return Ok(());
    }
    for brake in &brakes {
        let (state, kind) = (brake.state.as_str(), brake.kind.as_str());
        let (business, why) = (&brake.business, &brake.why);
        let since = brake.changed_at;
        say(format_args!(
            "{business}  {kind}  {state} since {since}: {why}"
        ));
    }
    for change in &changes {
        let by = change.by.as_deref().unwrap_or("the rates");
        let (state, kind) = (change.state.as_str(), change.kind.as_str());
        let (at, reason) = (change.at, &change.reason);
        say(format_args!("    {at}  {kind}  {state} by {by}: {reason}"));
    }
    if brakes.is_empty() {
        say("no brake is on");
    }
    Ok(())
}

fn brake_json(brake: &Brake) -> Json {
    json!({
        "business": brake.business,
        "kind": brake.kind.as_str(),
        "state": brake.state.as_str(),
        "since": brake.changed_at,
        "sent": brake.count.sent,
        "returned": brake.count.returned,
        "rate": percent(brake.count.rate()),
        "text": brake.why,
    })
}

fn change_json(change: &BrakeChange) -> Json {
    json!({
        "at": change.at,
        "kind": change.kind.as_str(),
        "state": change.state.as_str(),
        "by": change.by,
        "reason": change.reason,
    })
}
