//! `cargo bench`: what the program can do beside what this machine can do at all, both measured in
//! the same run. Figures, ratios and targets; nothing here fails a build.

#![expect(clippy::print_stdout, reason = "the figures go to standard output")]

mod backlog;
mod beside;
mod console;
mod database;
mod enqueue;
mod fill;
mod floors;
mod history;
mod http_load;
mod memory;
mod pages;
mod process;
mod report;
mod rig;
mod rounds;
mod smtp;
mod sns;
mod webhooks;

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use database::Kind;
use rig::{Rig, Sizes};

const HELP: &str = "cargo bench -- [MEASURE...] [--quick] [--database sqlite|postgres]

MEASURE   smtp       email from backlog to recorded, through SMTP to a local sink
          webhooks   signed SNS messages, verified and committed
          beside     the same while a worker sends as fast as it can
          enqueue    POST /v1/notifications, one by one and 1,000 at a time
          history    pages of the contact history
          memory     resident set of a worker with a long backlog
          pages      pages of 100,000 and of 20,000,000 entries, and the search for a client
          console    the console of operators over 50,000,000 events, summarised
          backlog    claim and record with few and with 2,000,000 waiting, and after churn
          all of them when none is named
--quick   small sizes and one round: to see that it works, not to compare

Needs: smtp-sink and smtp-source (Debian: postfix), a PostgreSQL server (scripts/postgres).";

/// One measure on one database; longer means that something hangs.
const MEASURE_LIMIT: Duration = Duration::from_mins(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Smtp,
    Webhooks,
    Beside,
    Enqueue,
    History,
    Memory,
    Pages,
    Console,
    Backlog,
}

impl Measure {
    const ALL: [(&'static str, Self); 9] = [
        ("smtp", Self::Smtp),
        ("webhooks", Self::Webhooks),
        ("beside", Self::Beside),
        ("enqueue", Self::Enqueue),
        ("history", Self::History),
        ("memory", Self::Memory),
        ("pages", Self::Pages),
        ("console", Self::Console),
        ("backlog", Self::Backlog),
    ];
}

#[derive(Debug)]
struct Options {
    measures: Vec<Measure>,
    databases: Vec<Kind>,
    sizes: Sizes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // A server that is measured as a floor is this same program, in a process of its own.
    if let ["serve", floor, rest @ ..] = words.as_slice() {
        return floors::serve(floor, rest).await;
    }
    let Some(options) = parse(&words)? else {
        println!("{HELP}");
        return Ok(());
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    // Dropping `run` stops everything that it started.
    tokio::select! {
        result = run(&options) => result,
        _ = terminate.recv() => bail!("stopped by a signal"),
        result = tokio::signal::ctrl_c() => {
            result?;
            bail!("stopped from the keyboard")
        }
    }
}

/// `None`: the help was asked for.
fn parse(words: &[&str]) -> anyhow::Result<Option<Options>> {
    let mut options = Options {
        measures: Vec::new(),
        databases: Kind::ALL.to_vec(),
        sizes: Sizes::FULL,
    };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            // Added by cargo.
            "--bench" => {}
            "--quick" => options.sizes = Sizes::QUICK,
            "--database" => {
                let name = words.next().unwrap_or_default();
                let kind = Kind::ALL.into_iter().find(|kind| kind.word() == name);
                options.databases = vec![kind.context("--database: sqlite or postgres")?];
            }
            "--help" | "-h" => return Ok(None),
            name => {
                let found = Measure::ALL.into_iter().find(|(known, _)| *known == name);
                let (_, measure) = found.with_context(|| format!("no measure {name:?}\n{HELP}"))?;
                options.measures.push(measure);
            }
        }
    }
    if options.measures.is_empty() {
        options.measures = Measure::ALL.map(|(_, measure)| measure).to_vec();
    }
    Ok(Some(options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let rig = Rig::start(&options.databases, options.sizes)?;
    println!("{}", rig.describe()?);
    for measure in &options.measures {
        for kind in &options.databases {
            let measured = async {
                match measure {
                    Measure::Smtp => smtp::measure(&rig, *kind).await,
                    Measure::Webhooks => webhooks::measure(&rig, *kind).await,
                    Measure::Beside => beside::measure(&rig, *kind).await,
                    Measure::Enqueue => enqueue::measure(&rig, *kind).await,
                    Measure::History => history::measure(&rig, *kind).await,
                    Measure::Memory => memory::measure(&rig, *kind).await,
                    Measure::Pages => pages::measure(&rig, *kind).await,
                    Measure::Console => console::measure(&rig, *kind).await,
                    Measure::Backlog => backlog::measure(&rig, *kind).await,
                }
            };
            let report = tokio::time::timeout(MEASURE_LIMIT, Box::pin(measured))
                .await
                .with_context(|| format!("{measure:?} did not end in {MEASURE_LIMIT:?}"))?
                .with_context(|| format!("{measure:?} on {}", kind.label()))?;
            println!("{report}");
        }
    }
    Ok(())
}
