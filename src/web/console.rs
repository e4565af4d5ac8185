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
    /// Sources, and when each told something last.
    pub last: Vec<LastLine>,
    /// Reasons, and how often.
    pub refused: Vec<(String, i64)>,
    /// Events that wait for their message, and messages that could not be enqueued.
    pub unmatched: i64,
    pub buried: i64,
    /// Both are counted up to here.
    pub counted_max: i64,
}

/// When feedback of a source came last.
#[derive(Clone, Debug)]
pub struct LastLine {
    pub source: String,
    /// None: it told something in this time, and of the latest messages none is its own.
    pub at: Option<Timestamp>,
    pub now: Timestamp,
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

impl LastLine {
    /// The time, and how long that is ago.
    fn parts(&self) -> Option<(When, String)> {
        let at = self.at?;
        Some((When::new(at), took(self.now.since(at))))
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

#[cfg(test)]
mod tests {
    use super::super::chart::{Series, Unit};
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>";

    fn chart(id: &'static str, unit: Unit, lines: usize) -> Chart {
        let at = |n: i64| Timestamp::from_millis(1_798_794_000_000 + n * 86_400_000);
        let names = [
            "enqueued",
            "sent",
            "delivered",
            "opened",
            "bounced",
            "failed",
        ];
        let line = |name: &'static str| Series {
            name,
            class: name,
            values: (0..90).map(|n| Some(f64::from(n) * 123_456.0)).collect(),
            total: "50000000".to_owned(),
        };
        Chart {
            id,
            title: "Title",
            unit,
            bins: (0..90).map(at).collect(),
            bin: Duration::from_hours(24),
            lines: names.into_iter().take(lines).map(line).collect(),
        }
    }

    fn installation() -> Installation {
        let since = Timestamp::EPOCH;
        let provider = |name: &str, pause| ProviderLine {
            method: "email",
            method_label: "Email",
            provider: name.to_owned(),
            pause,
            state: ("Well", "opened"),
            because: Some(HOSTILE.to_owned()),
            rate: 1.5,
            allowed: None,
            learnt: Some(20.0),
            error: Some((since, HOSTILE.to_owned())),
            workers: 2,
        };
        let pause = PauseLine {
            by: HOSTILE.to_owned(),
            reason: HOSTILE.to_owned(),
            since,
        };
        Installation {
            alarms: vec![AlarmLine {
                sentence: "Nothing comes.",
                remedy: "Look.",
                subject: HOSTILE.to_owned(),
                since,
            }],
            providers: vec![provider("ses", None), provider("smtp", Some(pause))],
            workers: Vec::new(),
            intake: chart("intake", Unit::Count, 3),
            last: vec![
                LastLine {
                    source: "sns".to_owned(),
                    at: Some(since),
                    now: since.plus(Duration::from_mins(3)),
                },
                LastLine {
                    source: HOSTILE.to_owned(),
                    at: None,
                    now: since,
                },
            ],
            refused: vec![("signature".to_owned(), 7)],
            unmatched: 10_000,
            buried: 0,
            counted_max: 10_000,
        }
    }

    fn page() -> Console {
        let mut head = Head::sample("Lotus Yoga & Co.");
        head.operates = true;
        head.held = Some(HOSTILE.to_owned());
        let now = Timestamp::EPOCH;
        Console {
            head,
            range: Range::Quarter,
            now,
            tiles: vec![Tile {
                name: "Sent",
                class: "sent",
                amount: 42,
            }],
            flow: chart("flow", Unit::Count, 6),
            brakes: vec![BrakeCard {
                kind: "bounce",
                held: true,
                why: HOSTILE.to_owned(),
                remedy: "Look.",
                since: now,
            }],
            changes: vec![BrakeLine {
                at: now,
                what: "Bounces: lifted".to_owned(),
                by: HOSTILE.to_owned(),
                reason: HOSTILE.to_owned(),
            }],
            queues: Vec::new(),
            times: vec![TimeLine {
                name: "Sent",
                quantiles: [Some(Duration::from_millis(40)), None, None],
                count: 1,
            }],
            time_charts: vec![
                chart("to-send", Unit::Seconds, 3),
                chart("to-deliver", Unit::Seconds, 3),
            ],
            by_provider: vec![ProviderCounts {
                method: "Email",
                provider: HOSTILE.to_owned(),
                amounts: [1; 6],
            }],
            installation: Some(installation()),
        }
    }

    #[test]
    fn a_full_console_is_light_and_hostile_words_are_text() {
        let html = render_console(&page()).unwrap();
        assert!(html.len() < 100_000, "{} bytes", html.len());
        assert!(!html.contains("<script>alert") && !html.contains("style="));
        for text in [
            "<title id=\"of-flow\">Title: enqueued 50000000, sent 50000000",
            "aria-current=\"page\">90 days</a>",
            "10000</data> or more",
            "Last from <code>sns</code></dt><dd>3 min ago, <time datetime=\"1970-01-01T00:00:00.000Z\" title",
            "not among the latest messages",
            "Limit learnt</dt><dd>20/s",
            "no limit known",
            "aria-label=\"Resume Email smtp\"",
            "action=\"/console/brakes/lift\"",
            "Bulk email of this business is held.",
            "None. Nothing is sent until one runs",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
        let live = render_console_live(&page()).unwrap();
        for part in ["alarms", "brakes", "now", "flow", "providers", "workers"] {
            let start = format!("<section id=\"{part}\"");
            assert!(html.contains(&start) && live.contains(&start), "{part}");
        }
    }

    #[test]
    fn who_does_not_run_the_installation_sees_nothing_of_it() {
        let page = Console {
            installation: None,
            ..page()
        };
        let html = render_console(&page).unwrap();
        assert!(!html.contains("id=\"providers\"") && !html.contains("id=\"workers\""));
    }
}
