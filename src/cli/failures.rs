//! `sendtrail failures`: what fails and why, by its cause.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use super::by::By;
use super::providers::check_line_of;
use super::{failures_resend, say, tell};
use crate::api::{cause_json, dismissed_json, run_json};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::failures::{Asked, Group, State};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Failures {
    #[command(subcommand)]
    command: Option<FailuresCommand>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum FailuresCommand {
    /// Send the messages of a cause again, each as it was and to its own address. May be stopped and gone
    /// on with at any time.
    Resend(failures_resend::Resend),
    /// Have a run stop after the batch that is under way.
    Stop {
        run: Uuid,
        #[arg(long, default_value = "default")]
        business: String,
        #[command(flatten)]
        by: By,
        /// The run as one JSON object, as `POST /v1/failures/resend/{id}/stop` answers.
        #[arg(long)]
        json: bool,
    },
    /// Put a cause aside until it is seen again.
    Dismiss {
        cause: Uuid,
        /// Why, for the record.
        #[arg(long)]
        note: String,
        #[arg(long, default_value = "default")]
        business: String,
        #[command(flatten)]
        by: By,
        /// One JSON object, as `POST /v1/failures/dismiss` answers.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    #[arg(long, default_value = "default")]
    business: String,
    /// From this time on, RFC 3339, or so long ago: 90m, 24h, 7d. Up to 90 days.
    #[arg(long, default_value = "24h", value_name = "TIME")]
    since: String,
    /// Those that are resolved or dismissed as well.
    #[arg(long)]
    all: bool,
    /// Of one method only.
    #[arg(long, value_parser = method, value_name = "email|sms|push")]
    method: Option<Method>,
    /// Of one provider only.
    #[arg(long)]
    provider: Option<String>,
    /// One JSON object a line, as the groups of `GET /v1/failures`.
    #[arg(long)]
    json: bool,
}

/// A sentence or two, in characters.
const NOTE_MAX: usize = 500;
/// What the lists of causes reach back to.
const SINCE_MAX: Duration = Duration::from_hours(90 * 24);

fn method(word: &str) -> Result<Method, String> {
    let found = Method::parse(word).filter(|method| method.is_sent_by_us());
    found.ok_or_else(|| "choose among email, sms, push".to_owned())
}

pub(super) async fn run(settings: &Settings, asked: Failures) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let store = app::open_store(settings, &clock).await?;
    let code = match asked.command {
        None => list(&store, &clock, asked.list).await?,
        Some(FailuresCommand::Resend(resend)) => {
            Box::pin(failures_resend::run(&store, &clock, resend)).await?
        }
        Some(FailuresCommand::Stop {
            run,
            business,
            by,
            json,
        }) => {
            stop(&store, &business, run, &by.name()?, json).await?;
            ExitCode::SUCCESS
        }
        Some(FailuresCommand::Dismiss {
            cause,
            note,
            business,
            by,
            json,
        }) => {
            let (by, note) = (by.name()?, note.trim());
            check_line_of(NOTE_MAX, "--note", note)?;
            let dismissed = store.dismiss_causes(&business, &[cause], &by, note).await?;
            ensure!(!dismissed.is_empty(), no_such(cause));
            if json {
                say(dismissed_json(&dismissed, &by));
            } else {
                say("dismissed until it is seen again");
            }
            ExitCode::SUCCESS
        }
    };
    store.close().await;
    Ok(code)
}

async fn stop(
    store: &Store,
    business: &str,
    id: Uuid,
    by: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    let no_such = || format!("the business has no run {id}");
    let known = store.resend_run(business, id).await?;
    known.with_context(no_such)?;
    let stopped = store.stop_resend_run(business, id, by).await?;
    if as_json {
        let run = store.resend_run(business, id).await?;
        say(run_json(run.with_context(no_such)?));
    } else {
        say(if stopped {
            "stops after the batch that is under way"
        } else {
            "it was at its end, or stops already"
        });
    }
    Ok(())
}

pub(super) fn no_such(cause: Uuid) -> String {
    format!("the business has no cause {cause}; see `sendtrail failures`")
}

async fn list(store: &Store, clock: &Clock, list: List) -> anyhow::Result<ExitCode> {
    ensure!(
        store.business_exists(&list.business).await?,
        "there is no business {}",
        list.business
    );
    let now = clock.now();
    let asked = Asked {
        open: (!list.all).then_some(true),
        method: list.method,
        provider: list.provider,
        ..Asked::all(since(&list.since, now)?, now)
    };
    let found = store.failures(&list.business, &asked).await?;
    if found.groups.is_empty() && !list.json {
        tell("nothing failed for a cause that is open");
    }
    for group in found.groups {
        if list.json {
            say(cause_json(group, found.failed));
        } else {
            show(&group, found.failed);
        }
    }
    if found.more {
        tell("there is more than one look takes: ask for a shorter time with --since");
    }
    Ok(ExitCode::SUCCESS)
}

/// A time, or a span before now.
fn since(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    let wrong = || "--since: write it like 24h, 7d or 2027-01-31T09:00:00Z, up to 90 days ago";
    let from = match Timestamp::parse(text) {
        Ok(at) => at,
        Err(_no_time) => {
            let unit = text.chars().last().with_context(wrong)?;
            let minutes: u64 = match unit {
                'm' => 1,
                'h' => 60,
                'd' => 24 * 60,
                _ => anyhow::bail!(wrong()),
            };
            let number = text.strip_suffix(unit).unwrap_or(text);
            let number: u64 = number.parse().ok().with_context(wrong)?;
            let span = number.checked_mul(minutes).with_context(wrong)?;
            let longest = SINCE_MAX.as_secs() / 60;
            ensure!(span <= longest, wrong());
            now.minus(Duration::from_mins(span))
        }
    };
    ensure!(from <= now && now.since(from) <= SINCE_MAX, wrong());
    Ok(from)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share, of which two digits are read"
)]
fn share(group: &Group, failed: i64) -> f64 {
    group.count as f64 / failed.max(1) as f64
}

fn status(group: &Group) -> &'static str {
    if group.cause.bounced {
        "Bounced"
    } else {
        "Failed"
    }
}

fn show(group: &Group, failed: i64) {
    let failure = group.cause.failure();
    let provider = group.cause.provider.as_deref().unwrap_or("no provider");
    let code = failure.code.as_deref().unwrap_or("");
    let words = [
        group.cause.method.as_str(),
        provider,
        status(group),
        failure.category.as_str(),
        code,
    ];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let state = match group.state() {
        State::Open => String::new(),
        other @ (State::Resolved | State::Dismissed) => format!("  {}", other.as_str()),
    };
    say(format_args!(
        "{}  {} ({:.0}%), {} open{state}  {}  last {}",
        group.id,
        group.count,
        share(group, failed) * 100.0,
        (group.count - group.resolved).max(0),
        words.join(" "),
        group.last_at
    ));
    let remedy = failure.remedy().unwrap_or_default();
    say(format_args!("    {} {remedy}", failure.sentence())
        .to_string()
        .trim_end());
    if !group.cause.text.is_empty() {
        say(format_args!("    “{}”", group.cause.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_span_says_since_when() {
        let now = Timestamp::parse("2027-01-31T12:00:00Z").unwrap();
        for (text, expected) in [
            ("90m", "2027-01-31T10:30:00.000Z"),
            ("24h", "2027-01-30T12:00:00.000Z"),
            ("7d", "2027-01-24T12:00:00.000Z"),
            ("2027-01-31T09:00:00Z", "2027-01-31T09:00:00.000Z"),
        ] {
            assert_eq!(since(text, now).unwrap().to_string(), expected, "{text}");
        }
        for wrong in [
            "",
            "h",
            "7",
            "7w",
            "91d",
            "-1d",
            "99999999999999999999d",
            "2028-01-01T00:00:00Z",
            "é",
        ] {
            let told = since(wrong, now).unwrap_err().to_string();
            assert!(told.starts_with("--since"), "{wrong}: {told}");
        }
    }
}
