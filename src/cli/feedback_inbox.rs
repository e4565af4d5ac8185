//! `sendtrail feedback list|show|apply|replay`: kept messages are looked at and applied again.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use serde_json::json;

use super::progress::{INTERRUPTED, bar, listen};
use super::verify::time;
use super::{open, say, tell};
use crate::app;
use crate::config::Settings;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::feedback::Kept;
use crate::store::inbox::{LISTED, Message, Reader, Wanted};

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// As `sendtrail feedback list` names it: `SOURCE:MESSAGE_ID`.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// As `sendtrail feedback list` names them: `SOURCE:MESSAGE_ID`.
    #[arg(required = true)]
    ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    #[command(flatten)]
    which: Which,
    /// Only messages of this source, as sns.
    #[arg(long)]
    source: Option<String>,
    /// The result as one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Received at this time (RFC 3339) or later.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Received before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only messages with this result: unmatched, unparsable, noted.
    #[arg(long)]
    result: Option<String>,
}

/// Messages of one commit: each may have a megabyte.
const BATCH: usize = 100;
/// Lines read at once.
const PAGE: usize = 500;
const BAR: &str = "{spinner} {pos} messages, to {msg}  {elapsed}";

impl Which {
    fn read(&self, limit: usize) -> anyhow::Result<Wanted> {
        let from = time("--from", self.from.as_deref())?;
        let to = time("--to", self.to.as_deref())?;
        let in_order = from.zip(to).is_none_or(|(from, to)| from < to);
        ensure!(in_order, "--to: is not after --from");
        let result = match &self.result {
            None => None,
            Some(text) => {
                let found = LISTED.into_iter().find(|word| word == text);
                Some(found.with_context(|| {
                    format!("--result: {text:?} is none of {}", LISTED.join(", "))
                })?)
            }
        };
        Ok(Wanted {
            result,
            from,
            to,
            after: None,
            limit,
        })
    }
}

pub(super) async fn list(settings: &Settings, command: List) -> anyhow::Result<ExitCode> {
    let mut wanted = command.which.read(PAGE)?;
    let store = ready(settings).await?;
    loop {
        let page = store.feedback_messages(&wanted).await?;
        for message in &page {
            let result = message.result.as_deref();
            if command.json {
                say(json!({
                    "id": message.name(), "source": message.source, "topic": message.topic,
                    "received_at": message.received_at, "kind": message.kind, "result": result,
                }));
            } else {
                say(format_args!(
                    "{}  {}  {}  {}",
                    message.name(),
                    message.received_at,
                    result.unwrap_or("-"),
                    message.kind
                ));
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else {
            break;
        };
        wanted.after = Some(last.position());
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The body alone on standard output, the rest on standard error.
pub(super) async fn show(settings: &Settings, command: Show) -> anyhow::Result<ExitCode> {
    let store = ready(settings).await?;
    let message = find(&store, &command.id).await?;
    tell(format_args!(
        "{}  {}  {}  {}",
        message.topic,
        message.received_at,
        message.result.as_deref().unwrap_or("-"),
        message.kind
    ));
    say(message.body);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1: one of them is still not applied.
pub(super) async fn apply(settings: &Settings, command: Apply) -> anyhow::Result<ExitCode> {
    let store = ready(settings).await?;
    let reader = app::feedback_reader(settings, &store).await?;
    let mut all_applied = true;
    for id in &command.ids {
        let message = find(&store, id).await?;
        let Some(reading) = reader.read(&message) else {
            bail!("{id}: this version cannot read messages of this source");
        };
        let kept = store.reapply(&[(message, reading)]).await?;
        let result = find(&store, id).await?.result.unwrap_or_default();
        all_applied &= result == "applied";
        match kept.first() {
            Some(Kept::Applied { new_events }) => {
                say(format_args!("{id}  {result}, {new_events} new events"));
            }
            _ => say(format_args!("{id}  {result}")),
        }
    }
    store.close().await;
    Ok(if all_applied {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn replay(settings: &Settings, command: Replay) -> anyhow::Result<ExitCode> {
    let wanted = command.which.read(BATCH)?;
    let store = ready(settings).await?;
    let mut run = Run {
        store: &store,
        reader: app::feedback_reader(settings, &store).await?,
        source: command.source.as_deref(),
        bar: bar(None, BAR),
        messages: 0,
        new_events: 0,
        results: BTreeMap::new(),
        reached: wanted.from.unwrap_or(Timestamp::EPOCH),
    };
    let ended = run.until_its_end(wanted).await;
    run.bar.finish_and_clear();
    let go_on = format!(
        "go on with --from {}: what is applied is not applied twice",
        run.reached
    );
    let finished = ended.with_context(|| go_on.clone())?;
    if command.json {
        say(json!({
            "messages": run.messages, "new_events": run.new_events, "results": run.results,
            "finished": finished, "reached": run.reached,
        }));
    } else {
        let results = run.results.iter().map(|(word, n)| format!(", {n} {word}"));
        let (messages, new) = (run.messages, run.new_events);
        let results: String = results.collect();
        say(format_args!(
            "{messages} messages: {new} new events{results}"
        ));
    }
    let code = if finished {
        ExitCode::SUCCESS
    } else {
        tell(go_on);
        ExitCode::from(INTERRUPTED)
    };
    store.close().await;
    Ok(code)
}

struct Run<'a> {
    store: &'a Store,
    reader: Reader,
    source: Option<&'a str>,
    bar: ProgressBar,
    messages: usize,
    new_events: usize,
    results: BTreeMap<&'static str, usize>,
    /// Everything received before is applied.
    reached: Timestamp,
}

impl Run<'_> {
    /// `false`: it was told to stop.
    async fn until_its_end(&mut self, mut wanted: Wanted) -> anyhow::Result<bool> {
        let told = listen();
        loop {
            let page = self.store.whole_feedback_messages(&wanted).await?;
            let Some(last) = page.last().map(Message::position) else {
                return Ok(true);
            };
            let is_last = page.len() < BATCH;
            self.apply(page).await?;
            self.reached = last.0;
            self.bar
                .set_position(u64::try_from(self.messages).unwrap_or(u64::MAX));
            self.bar.set_message(self.reached.to_string());
            wanted.after = Some(last);
            if is_last {
                return Ok(true);
            }
            if told.is_cancelled() {
                return Ok(false);
            }
        }
    }

    async fn apply(&mut self, page: Vec<Message>) -> anyhow::Result<()> {
        let mut batch = Vec::new();
        for message in page {
            if self.source.is_some_and(|source| source != message.source) {
                continue;
            }
            self.messages += 1;
            match self.reader.read(&message) {
                Some(reading) => batch.push((message, reading)),
                None => *self.results.entry("not_readable").or_default() += 1,
            }
        }
        for kept in self.store.reapply(&batch).await? {
            *self.results.entry(kept.as_str()).or_default() += 1;
            if let Kept::Applied { new_events } = kept {
                self.new_events += new_events;
            }
        }
        Ok(())
    }
}

async fn ready(settings: &Settings) -> anyhow::Result<Store> {
    let store = open(settings).await?;
    store.ready().await?;
    Ok(store)
}

async fn find(store: &Store, id: &str) -> anyhow::Result<Message> {
    let none = || format!("there is no message {id}; see `sendtrail feedback list`");
    let (source, message_id) = id.split_once(':').with_context(none)?;
    let found = store.feedback_message(source, message_id).await?;
    found.with_context(none)
}
