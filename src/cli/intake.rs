//! `sendtrail intake`: what came by a queue and could not be enqueued.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{say, tell};
use crate::api::ways::{self, Intake, Taken};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::intake::derived_key;
use crate::store::Store;
use crate::store::buried::Buried;

#[derive(Debug, clap::Subcommand)]
pub(super) enum IntakeCommand {
    /// Messages from queues that could not be enqueued.
    #[command(subcommand)]
    Buried(BuriedCommand),
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum BuriedCommand {
    /// The oldest first, with what is wrong with each; without their bodies.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print one, a notification a line, as `sendtrail enqueue` takes them; what is wrong with it goes to
    /// standard error.
    Show { id: Uuid },
    /// Enqueue what can be enqueued by now; that leaves the list.
    Retry {
        #[arg(required_unless_present = "all")]
        ids: Vec<Uuid>,
        /// All of them, the oldest first.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Throw one away for good.
    Drop { id: Uuid },
}

/// Read at once: each may have a megabyte.
const PAGE: i64 = 20;

pub(super) async fn run(settings: &Settings, command: IntakeCommand) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let store = app::open_store(settings, &clock).await?;
    let IntakeCommand::Buried(command) = command;
    let code = match command {
        BuriedCommand::List { json } => list(&store, json).await?,
        BuriedCommand::Show { id } => {
            let found = find(&store, id).await?;
            for fault in faults(&found) {
                tell(fault);
            }
            for line in lines(&found.body) {
                say(line);
            }
            ExitCode::SUCCESS
        }
        BuriedCommand::Retry { ids, .. } => {
            let intake = Intake::new(store.clone());
            retry(&intake, &clock, ids).await?
        }
        BuriedCommand::Drop { id } => {
            if !store.drop_buried(id).await? {
                bail!(no_such(id));
            }
            say("dropped");
            ExitCode::SUCCESS
        }
    };
    store.close().await;
    Ok(code)
}

/// The notifications of a body; what is no JSON stays as it is.
fn lines(body: &str) -> Vec<String> {
    match serde_json::from_str::<Json>(body) {
        Ok(Json::Object(mut batch)) if batch.contains_key("notifications") => {
            match batch.remove("notifications") {
                Some(Json::Array(all)) => all.iter().map(ToString::to_string).collect(),
                _ => vec![body.to_owned()],
            }
        }
        Ok(one) => vec![one.to_string()],
        Err(_) => vec![body.to_owned()],
    }
}

async fn find(store: &Store, id: Uuid) -> anyhow::Result<Buried> {
    store.find_buried(id).await?.with_context(|| no_such(id))
}

fn no_such(id: Uuid) -> String {
    format!("there is no buried message {id}; see `sendtrail intake buried list`")
}

/// `/to is not an email address: …`, one for each error.
fn faults(buried: &Buried) -> Vec<String> {
    let errors = buried.reason.as_array().map(Vec::as_slice);
    let text = |error: &Json, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let fault = |error: &Json| format!("{} {}", text(error, "pointer"), text(error, "detail"));
    let faults = errors.unwrap_or_default().iter().map(fault);
    faults.map(|fault| fault.trim().to_owned()).collect()
}

async fn list(store: &Store, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut after = None;
    loop {
        let page = store.buried(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        after = Some(last.id);
        for buried in &page {
            if as_json {
                say(json!({
                    "id": buried.id, "received_at": buried.received_at, "business": buried.business,
                    "source": buried.source, "message_id": buried.message_id, "reason": buried.reason,
                    "bytes": buried.body.len(),
                }));
            } else {
                say(format_args!(
                    "{}  {}  {}  {}  {}",
                    buried.id,
                    buried.received_at,
                    buried.business,
                    buried.source,
                    faults(buried).join("; ")
                ));
            }
        }
    }
}

async fn retry(intake: &Intake, clock: &Clock, ids: Vec<Uuid>) -> anyhow::Result<ExitCode> {
    let (mut enqueued, mut wrong) = (0, 0);
    let mut count = |done: bool| if done { enqueued += 1 } else { wrong += 1 };
    for id in &ids {
        let buried = find(&intake.store, *id).await?;
        count(retry_one(intake, clock, &buried).await?);
    }
    let mut after = None;
    while ids.is_empty() {
        let page = intake.store.buried(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for buried in &page {
            count(retry_one(intake, clock, buried).await?);
        }
    }
    say(format_args!("{enqueued} enqueued, {wrong} still wrong"));
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// With the key that it would have had, so that a kill in between enqueues nothing twice.
async fn retry_one(intake: &Intake, clock: &Clock, buried: &Buried) -> anyhow::Result<bool> {
    let errors = match ways::parse(buried.body.as_bytes()) {
        Ok(mut request) => {
            ways::give_keys(&mut request, |index| derived_key(&buried.message_id, index));
            match intake.take(&buried.business, &request, clock.now()).await? {
                Taken::Enqueued(_) => {
                    intake.store.drop_buried(buried.id).await?;
                    return Ok(true);
                }
                Taken::Refused(errors) => errors,
            }
        }
        Err(error) => vec![error],
    };
    for error in errors {
        tell(format_args!(
            "{}: {} {}",
            buried.id, error.pointer, error.detail
        ));
    }
    Ok(false)
}
