//! `sendtrail clients`: what is kept of a client, and the end of it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::progress::{INTERRUPTED, bar, listen};
use super::providers::check_line_of;
use super::{say, tell};
use crate::api::{ClientExport, REASON_LENGTH_MAX};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;
use crate::store::erasures::{Erasure, Order, Ordered};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ClientsCommand {
    /// Write all that is kept of a client to standard output, as one JSON document.
    Export {
        /// The application's id of the client.
        id: String,
        #[arg(long, default_value = "default")]
        business: String,
    },
    /// Take away everything personal of a client. This cannot be undone; lines and counts stay.
    Erase {
        /// The application's id of the client.
        id: String,
        #[arg(long, default_value = "default")]
        business: String,
        /// Why, for the record: nothing personal.
        #[arg(long)]
        reason: String,
        /// The id once more, so that no other client is erased by a slip.
        #[arg(long, value_name = "ID")]
        confirm: String,
        /// The erasure as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// The latest erasures: who asked for them, when and why.
    Erasures {
        #[arg(long, default_value = "default")]
        business: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Erasures that are listed.
const LISTED: i64 = 100;
const BAR: &str = "{spinner} {msg}  {elapsed}";

pub(super) async fn run(settings: &Settings, command: ClientsCommand) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let store = app::open_store(settings, &clock).await?;
    let code = match command {
        ClientsCommand::Export { id, business } => export(&store, &clock, &business, &id).await?,
        ClientsCommand::Erase {
            id,
            business,
            reason,
            confirm,
            json,
        } => {
            ensure!(
                confirm == id,
                "--confirm: is not the id {id:?}; nothing was erased"
            );
            check_line_of(REASON_LENGTH_MAX, "--reason", &reason)?;
            let order = Order {
                business: &business,
                client_id: &id,
                asked_by: "the command line",
                reason: Some(reason.trim()),
            };
            erase(&store, order, json).await?
        }
        ClientsCommand::Erasures { business, json } => {
            for erasure in store.erasures(&business, LISTED).await? {
                show(&erasure, json);
            }
            ExitCode::SUCCESS
        }
    };
    store.close().await;
    Ok(code)
}

async fn export(
    store: &Store,
    clock: &Clock,
    business: &str,
    id: &str,
) -> anyhow::Result<ExitCode> {
    let opened = ClientExport::open(store, business, id, clock.now()).await?;
    let mut export = opened.with_context(|| format!("{business} has no client {id}"))?;
    let mut out = std::io::stdout().lock();
    while let Some(piece) = export.next().await? {
        out.write_all(piece.as_bytes())
            .context("standard output does not take any more")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn erase(store: &Store, order: Order<'_>, json: bool) -> anyhow::Result<ExitCode> {
    let begun = match store.erase_client(order).await? {
        Ordered::Begun(erasure) | Ordered::Before(erasure) => erasure,
        Ordered::NoClient => bail!("{} has no client {}", order.business, order.client_id),
        Ordered::OnHold => bail!(
            "the client is on hold, so nothing was erased; take the hold off first (PATCH \
             /v1/clients/{{id}} with {{\"hold\": false}})"
        ),
    };
    let (told, bar) = (listen(), bar(None, BAR));
    bar.set_message("erasing");
    // Nothing is left to do until the second round is due.
    while !told.is_cancelled() && store.erase_on(begun.id).await? {
        bar.tick();
    }
    bar.finish_and_clear();
    let now = store.erasure(order.business, begun.id).await?;
    let now = now.context("the erasure is gone")?;
    show(&now, json);
    if now.state() == "running" {
        tell("stopped before the end: a running program goes on with it");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if now.state() == "checking" {
        tell("a running program looks through everything once more in five minutes");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(erasure: &Erasure, as_json: bool) {
    let Erasure {
        id,
        client,
        asked_by,
        reason,
        asked_at,
        entries,
        finished_at,
        ..
    } = erasure;
    let state = erasure.state();
    if as_json {
        let finished_at = finished_at.map(|at| at.to_string());
        say(json!({
            "id": id.to_string(), "client_uid": client.to_string(), "state": state,
            "entries": entries, "asked_by": asked_by, "reason": reason,
            "asked_at": asked_at.to_string(), "finished_at": finished_at,
        }));
        return;
    }
    let reason = reason.as_deref().unwrap_or("no reason given");
    say(format_args!(
        "{id}  {asked_at}  {state}  {entries} entries of client {client}; {asked_by}: {reason}"
    ));
}
