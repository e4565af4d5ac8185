//! The console of those who run the deliveries: what flows, what waits, what holds it up.

use std::time::Duration;

use askama::Template;

use super::chart::{Chart, took};
use super::page::When;
use super::staff::Head;
use crate::domain::flow::Range;
use crate::domain::time::Timestamp;

/// The page.
#[derive(Debug)]
pub struct Console {
    pub head: Head,
    pub range: Range,
    pub now: Timestamp,
    /// What was counted in the last full minute.
    pub tiles: Vec<Tile>,
    pub flow: Chart,
    pub brakes: Vec<BrakeCard>,
    pub changes: Vec<BrakeLine>,
    pub queues: Vec<QueueLine>,
    pub times: Vec<TimeLine>,
    pub time_charts: Vec<Chart>,
    pub by_provider: Vec<ProviderCounts>,
    /// For those who run the installation.
    pub installation: Option<Installation>,
}

#[derive(Clone, Debug)]
pub struct Tile {
    pub name: &'static str,
    pub class: &'static str,
    pub amount: i64,
}

/// A brake that is on.
#[derive(Clone, Debug)]
pub struct BrakeCard {
    pub kind: &'static str,
    pub held: bool,
    pub why: String,
    pub remedy: &'static str,
    pub since: Timestamp,
}

/// What became of a brake.
#[derive(Clone, Debug)]
pub struct BrakeLine {
    pub at: Timestamp,
    pub what: String,
    pub by: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct QueueLine {
    pub method: &'static str,
    pub lane: &'static str,
    pub waiting: i64,
    /// There may be more.
    pub bounded: bool,
    pub oldest: Duration,
}

/// Quantiles of the range.
#[derive(Clone, Debug)]
pub struct TimeLine {
    pub name: &'static str,
    pub quantiles: [Option<Duration>; 3],
    pub count: i64,
}

#[derive(Clone, Debug)]
pub struct ProviderCounts {
    pub method: &'static str,
    pub provider: String,
    /// Sent, delivered, opened, bounced, complained, failed.
    pub amounts: [i64; 6],
}

/// What belongs to no business.
#[derive(Debug)]
pub struct Installation {
    pub alarms: Vec<AlarmLine>,
    pub providers: Vec<ProviderLine>,
    pub workers: Vec<WorkerLine>,
    pub intake: Chart,
    /// Reasons, and how often.
    pub refused: Vec<(String, i64)>,
    /// Events that wait for their message, and messages that could not be enqueued.
    pub unmatched: i64,
    pub buried: i64,
    /// Both are counted up to here.
    pub counted_max: i64,
}

#[derive(Clone, Debug)]
pub struct AlarmLine {
    pub sentence: &'static str,
    pub remedy: &'static str,
    pub subject: String,
    pub since: Timestamp,
}

#[derive(Clone, Debug)]
pub struct ProviderLine {
    pub method: &'static str,
    pub method_label: &'static str,
    /// Empty: all of the method.
    pub provider: String,
    pub pause: Option<PauseLine>,
    /// In words, with its class.
    pub state: (&'static str, &'static str),
    pub because: Option<String>,
    /// Messages a second.
    pub rate: f64,
    pub allowed: Option<f64>,
    pub learnt: Option<f64>,
    pub error: Option<(Timestamp, String)>,
    pub workers: usize,
}

#[derive(Clone, Debug)]
pub struct PauseLine {
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
}

#[derive(Clone, Debug)]
pub struct WorkerLine {
    pub name: String,
    pub seen_at: Timestamp,
    pub serves: String,
}

/// The whole page.
pub fn render_console(page: &Console) -> Result<String, askama::Error> {
    ConsoleTemplate { page }.render()
}

/// What of it changes while it is open.
pub fn render_console_live(page: &Console) -> Result<String, askama::Error> {
    ConsoleLiveTemplate { page }.render()
}

#[derive(Template)]
#[template(path = "console_live.html")]
struct ConsoleLiveTemplate<'a> {
    page: &'a Console,
}

#[derive(Template)]
#[template(path = "console.html")]
struct ConsoleTemplate<'a> {
    page: &'a Console,
}

impl Console {
    fn when(&self) -> When {
        When::new(self.now)
    }

    fn ranges(&self) -> [Range; 6] {
        Range::ALL
    }

    fn waiting(&self) -> i64 {
        self.queues.iter().map(|queue| queue.waiting).sum()
    }
}

impl BrakeCard {
    fn when(&self) -> When {
        When::new(self.since)
    }
}

impl BrakeLine {
    fn when(&self) -> When {
        When::new(self.at)
    }
}

impl QueueLine {
    fn age(&self) -> String {
        took(self.oldest)
    }
}

impl TimeLine {
    fn texts(&self) -> [String; 3] {
        let text = |span: Option<Duration>| span.map_or_else(|| "–".to_owned(), took);
        self.quantiles.map(text)
    }
}

impl AlarmLine {
    fn when(&self) -> When {
        When::new(self.since)
    }
}

impl PauseLine {
    fn when(&self) -> When {
        When::new(self.since)
    }
}

impl WorkerLine {
    fn when(&self) -> When {
        When::new(self.seen_at)
    }
}

impl ProviderLine {
    fn error_parts(&self) -> Option<(When, &str)> {
        let (at, text) = self.error.as_ref()?;
        Some((When::new(*at), text))
    }

    fn rate_text(&self) -> String {
        per_second(self.rate)
    }

    fn allowed_text(&self) -> String {
        self.allowed
            .map_or_else(|| "no limit known".to_owned(), per_second)
    }

    fn learnt_text(&self) -> String {
        self.learnt.map_or_else(|| "–".to_owned(), per_second)
    }
}

fn per_second(rate: f64) -> String {
    let text = format!("{rate:.1}");
    format!("{}/s", text.strip_suffix(".0").unwrap_or(&text))
}

impl Installation {
    fn more_unmatched(&self) -> bool {
        self.unmatched >= self.counted_max
    }

    fn more_buried(&self) -> bool {
        self.buried >= self.counted_max
    }
}
