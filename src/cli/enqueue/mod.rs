//! `sendtrail enqueue FILE`: a file of notifications, one a line. It can be stopped and begun again
//! at any time: each line has an idempotency key, so that none is enqueued twice.

mod columns;
mod rejected;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use serde_json::json;

use self::rejected::Rejected;
use self::source::{Format, Record, Source};
use super::progress::{INTERRUPTED, bar, listen};
use super::{say, tell};
use crate::api::FieldError;
use crate::api::ways::{Intake, Taken, faults, give_keys};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Enqueue {
    /// .jsonl: one JSON object of POST /v1/notifications a line. .csv: a line of column names first
    /// (docs/enqueue.md).
    file: PathBuf,
    /// jsonl or csv, where the name of the file does not say it.
    #[arg(long)]
    format: Option<Format>,
    #[arg(long, default_value = "default")]
    business: String,
    /// Check every line and enqueue nothing. What the database knows is not checked: addresses on
    /// cards, keys used before, templates.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Stop after more wrong lines than this: the file is probably another one than was meant.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    max_errors: u64,
    /// Where wrong lines go, to be mended and enqueued from there [default: FILE.rejected.jsonl].
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// The result as one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

/// Lines of one commit. More gain nothing; fewer are lost to nothing when it is stopped.
const BATCH: usize = 500;
const GO_ON: &str = "run the same command again to go on: what is enqueued is not enqueued again";
const BAR: &str = "{bar:40} {percent}% of {total_bytes}  {msg}  {elapsed}, {eta} to go";

pub(super) async fn run(settings: &Settings, command: Enqueue) -> anyhow::Result<ExitCode> {
    let source = Source::open(&command.file, command.format)?;
    let clock = Clock::system();
    // A dry run needs no database, and makes none.
    let store = if command.dry_run {
        None
    } else {
        Some(app::open_store(settings, &clock).await?)
    };
    if let Some(store) = &store {
        let business = &command.business;
        ensure!(
            store.business_exists(business).await?,
            "--business: there is no business {business:?}; it is made with its first key, by \
             `sendtrail keys add --business {business}`"
        );
    }
    let rejected = command.rejected.clone().unwrap_or_else(|| {
        let mut name = command.file.clone().into_os_string();
        name.push(".rejected.jsonl");
        name.into()
    });
    ensure!(
        !is_same(&rejected, &command.file),
        "--rejected: is the file itself, whose lines would be lost"
    );
    let mut run = Run {
        bar: bar(Some(source.length()), BAR),
        rejected: Rejected::at(rejected),
        intake: store.map(Intake::new),
        clock,
        source,
        count: Count::default(),
        command,
    };
    let ended = run.until_its_end().await;
    run.bar.finish_and_clear();
    let code = run.report(ended?);
    if let Some(intake) = run.intake {
        intake.store.close().await;
    }
    Ok(code)
}

struct Run {
    command: Enqueue,
    source: Source,
    /// None: a dry run.
    intake: Option<Intake>,
    clock: Clock,
    rejected: Rejected,
    bar: ProgressBar,
    count: Count,
}

#[derive(Default)]
struct Count {
    lines: u64,
    enqueued: u64,
    duplicates: u64,
    rejected: u64,
    /// The last line of which the fate is known.
    last_line: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Reached,
    TooManyErrors,
    Interrupted,
}

impl Run {
    async fn until_its_end(&mut self) -> anyhow::Result<End> {
        let told = listen();
        loop {
            let batch = self.source.next(BATCH)?;
            let Some(last) = batch.last().map(|record| record.line) else {
                return Ok(End::Reached);
            };
            self.count.lines += u64::try_from(batch.len()).unwrap_or(u64::MAX);
            self.take(batch).await.with_context(|| {
                format!("stopped after line {}; {}", self.count.last_line, GO_ON)
            })?;
            self.count.last_line = last;
            self.bar.set_position(self.source.position());
            self.bar.set_message(format!("{} lines", self.count.lines));
            if self.count.rejected > self.command.max_errors {
                return Ok(End::TooManyErrors);
            }
            if told.is_cancelled() {
                return Ok(End::Interrupted);
            }
        }
    }

    /// Enqueues what is right and rejects the rest.
    async fn take(&mut self, batch: Vec<Record>) -> anyhow::Result<()> {
        let mut good = Vec::new();
        let mut wrong = Vec::new();
        for mut record in batch {
            match &mut record.json {
                Ok(json) => {
                    let key = self.source.key(record.line);
                    give_keys(json, |_| key.clone());
                    good.push(record);
                }
                Err(error) => {
                    let error = error.clone();
                    wrong.push((record, vec![error]));
                }
            }
        }
        // The last is tried next.
        let mut parts = vec![good];
        while let Some(mut part) = parts.pop() {
            let Err(mut errors) = self.submit(&part).await? else {
                continue;
            };
            if part.len() == 1 {
                for error in &mut errors {
                    let own = error.pointer.strip_prefix("/notifications/0");
                    error.pointer = own.unwrap_or_default().to_owned();
                }
                wrong.extend(part.pop().map(|record| (record, errors)));
                continue;
            }
            // Each that is named is asked alone, after the others: it may have been refused for its
            // company. Those go in halves: together they may be too much work for one request.
            let named: BTreeSet<usize> = errors.iter().filter_map(index).collect();
            let mut index = 0..;
            let (refused, mut others): (Vec<_>, Vec<_>) = part
                .into_iter()
                .partition(|_| index.next().is_some_and(|at| named.contains(&at)));
            parts.extend(refused.into_iter().map(|record| vec![record]));
            let second = others.split_off(others.len() / 2);
            parts.extend([second, others]);
        }
        wrong.sort_by_key(|(record, _)| record.line);
        for (record, errors) in wrong {
            self.reject(&record, &errors)?;
        }
        Ok(())
    }

    /// All of them or none.
    async fn submit(&mut self, records: &[Record]) -> anyhow::Result<Result<(), Vec<FieldError>>> {
        if records.is_empty() {
            return Ok(Ok(()));
        }
        let notifications = records
            .iter()
            .filter_map(|record| record.json.as_ref().ok());
        let request = json!({"notifications": notifications.collect::<Vec<_>>()});
        let Some(intake) = &self.intake else {
            let errors = faults(&request, self.clock.now());
            return Ok(if errors.is_empty() {
                Ok(())
            } else {
                Err(errors)
            });
        };
        let tickets = match intake
            .take(&self.command.business, &request, self.clock.now())
            .await?
        {
            Taken::Enqueued(tickets) => tickets,
            Taken::Refused(errors) => return Ok(Err(errors)),
        };
        let (known, new): (Vec<_>, Vec<_>) = tickets.into_iter().partition(|t| t.duplicate);
        self.count.duplicates += u64::try_from(known.len()).unwrap_or(u64::MAX);
        self.count.enqueued += u64::try_from(new.len()).unwrap_or(u64::MAX);
        Ok(Ok(()))
    }

    fn reject(&mut self, record: &Record, errors: &[FieldError]) -> anyhow::Result<()> {
        self.count.rejected += 1;
        let file = self.command.file.display();
        self.bar.suspend(|| {
            for error in errors {
                let field = self.source.field(&error.pointer);
                tell(format_args!(
                    "{file}:{}: {field}{}",
                    record.line, error.detail
                ));
            }
        });
        if self.intake.is_some() {
            self.rejected.add(&record.text)?;
        }
        Ok(())
    }

    fn report(&self, end: End) -> ExitCode {
        let count = &self.count;
        let rejected = self.rejected.path().filter(|_| count.rejected > 0);
        if self.command.json {
            say(json!({
                "file": self.command.file, "lines": count.lines, "enqueued": count.enqueued,
                "duplicates": count.duplicates, "rejected": count.rejected, "rejected_file": rejected,
                "dry_run": self.intake.is_none(), "finished": end == End::Reached,
                "last_line": count.last_line,
            }));
        } else if self.intake.is_none() {
            let right = count.lines - count.rejected;
            say(format_args!(
                "{} lines: {right} right, {} wrong; nothing was enqueued",
                count.lines, count.rejected
            ));
        } else {
            say(format_args!(
                "{} lines: {} enqueued, {} had been before, {} rejected",
                count.lines, count.enqueued, count.duplicates, count.rejected
            ));
        }
        if let Some(path) = rejected {
            tell(format_args!(
                "mend the rejected lines in {} and enqueue that file; the whole file again, once it \
                 is changed, would be a new one and be sent as a whole",
                path.display()
            ));
        }
        match end {
            End::Reached if count.rejected == 0 => ExitCode::SUCCESS,
            End::Reached => ExitCode::FAILURE,
            End::TooManyErrors => {
                tell(format_args!(
                    "stopped after line {}: more than {} lines are wrong (--max-errors)",
                    count.last_line, self.command.max_errors
                ));
                ExitCode::FAILURE
            }
            End::Interrupted => {
                tell(format_args!(
                    "stopped after line {}; {GO_ON}",
                    count.last_line
                ));
                ExitCode::from(INTERRUPTED)
            }
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| path.canonicalize().ok();
    found(one).is_some_and(|one| found(other) == Some(one))
}

/// The position in the batch that an error names.
fn index(error: &FieldError) -> Option<usize> {
    let rest = error.pointer.strip_prefix("/notifications/")?;
    rest.split('/').next()?.parse().ok()
}
