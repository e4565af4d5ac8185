//! `sendtrail verify`: are the facts the fold of the ledger?

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde_json::json;
use uuid::Uuid;

use super::progress::{INTERRUPTED, bar, listen};
use super::{open, say, tell};
use crate::config::Settings;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::store::verify::Span;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Notifications enqueued at this time (RFC 3339) or later [default: all].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Notifications enqueued before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Write the facts that differ anew from the ledger. Without it nothing is written.
    #[arg(long)]
    repair: bool,
    /// One JSON object a line: each difference, then the result.
    #[arg(long)]
    json: bool,
}

/// Notifications compared at once: some milliseconds, in which SQLite's log cannot be shortened.
const BATCH: usize = 1_000;
const BAR: &str = "{spinner} {pos} compared, to {msg}  {elapsed}";

#[derive(Default)]
struct Count {
    compared: usize,
    differ: usize,
    repaired: usize,
}

pub(super) async fn run(settings: &Settings, command: Verify) -> anyhow::Result<ExitCode> {
    let from = time("--from", command.from.as_deref())?.unwrap_or(Timestamp::EPOCH);
    let to = time("--to", command.to.as_deref())?;
    ensure!(to.is_none_or(|to| from < to), "--to: is not after --from");
    let mut span = Span {
        after: NotificationId::floor(from),
        below: to.map_or(NotificationId::new(Uuid::max()), NotificationId::floor),
    };
    let store = open(settings).await?;
    store.ready().await?;
    let (told, bar) = (listen(), bar(None, BAR));
    let mut count = Count::default();
    let finished = loop {
        let found = store.verify(span, BATCH).await?;
        count.compared += found.count;
        count.differ += found.differences.len();
        bar.suspend(|| {
            for difference in &found.differences {
                let id = difference.notification;
                if command.json {
                    say(json!({"id": id.to_string(), "differs_in": difference.differs_in}));
                } else {
                    say(format_args!("{id}  {}", difference.differs_in.join(", ")));
                }
            }
        });
        if command.repair && !found.differences.is_empty() {
            let differ = found.differences.iter().map(|d| d.notification);
            let ids: Vec<NotificationId> = differ.collect();
            count.repaired += ids.len() - store.repair(&ids).await?.len();
        }
        let Some(last) = found.last else {
            break true;
        };
        span.after = last;
        bar.set_position(u64::try_from(count.compared).unwrap_or(u64::MAX));
        bar.set_message(last.date().to_string());
        if told.is_cancelled() {
            break false;
        }
    };
    bar.finish_and_clear();
    store.close().await;
    Ok(report(&command, &count, span.after, finished))
}

fn report(command: &Verify, count: &Count, last: NotificationId, finished: bool) -> ExitCode {
    let Count {
        compared,
        differ,
        repaired,
    } = count;
    if command.json {
        say(json!({
            "compared": compared, "differ": differ, "repaired": repaired, "finished": finished,
        }));
    } else {
        let mended = if command.repair {
            format!(", {repaired} repaired")
        } else {
            String::new()
        };
        say(format_args!("{compared} compared: {differ} differ{mended}"));
    }
    if !finished {
        tell(format_args!("stopped; go on with --from {}", last.date()));
        return ExitCode::from(INTERRUPTED);
    }
    if differ == repaired {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The time that an option names.
pub(super) fn time(option: &'static str, text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    text.map(|text| Timestamp::parse(text).context(option))
        .transpose()
}
