//! The pages of what fails: causes, and one cause with its messages.

use std::fmt::{self, Write as _};

use askama::Template;

use super::history::Choice;
use super::page::When;
use super::staff::Head;
use super::view::Line;
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// Causes of failures.
#[derive(Clone, Debug)]
pub struct FailuresPage {
    pub head: Head,
    pub groups: Vec<FailureGroup>,
    /// All that failed in the time.
    pub failed: i64,
    /// The time, after “the last”.
    pub span: &'static str,
    /// There are more than are shown.
    pub more: bool,
    /// Other filters may show more.
    pub is_narrow: bool,
    pub periods: Vec<Choice>,
    pub shows: Vec<Choice>,
    pub methods: Vec<Choice>,
    pub providers: Vec<Choice>,
}

/// One cause among others.
#[derive(Clone)]
pub struct FailureGroup {
    pub id: String,
    pub sentence: &'static str,
    pub remedy: Option<&'static str>,
    /// Method and provider.
    pub kind: String,
    pub bounced: bool,
    pub code: Option<String>,
    /// What the provider says of all its messages; may be empty.
    pub text: String,
    pub count: i64,
    pub open: i64,
    /// Of all that failed.
    pub percent: i64,
    pub since: Timestamp,
    pub last_at: Timestamp,
    pub standing: Standing,
    pub trend: TrendView,
    pub samples: Vec<NotificationId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// All arrived or were sent again.
    Resolved,
    /// When, and by whom.
    Dismissed(Timestamp, String),
}

/// How many failed in each hour or day.
#[derive(Clone, Debug, Default)]
pub struct TrendView {
    pub by_day: bool,
    pub points: Vec<(Timestamp, i64)>,
}

/// One cause.
#[derive(Clone)]
pub struct CausePage {
    pub head: Head,
    pub id: String,
    pub sentence: &'static str,
    pub remedy: Option<&'static str>,
    pub kind: String,
    pub code: Option<String>,
    pub bounced: bool,
    pub text: String,
    pub standing: Standing,
    pub count: i64,
    pub open: i64,
    pub since: Timestamp,
    pub last_at: Option<Timestamp>,
    /// What the provider said of some of its messages, word for word.
    pub quotes: Vec<String>,
    pub trend: Option<TrendView>,
    pub cases: Vec<Case>,
    /// Link to the next page.
    pub next: Option<String>,
    pub is_first: bool,
    pub deeds: Vec<Deed>,
    pub refused: Option<String>,
    /// The longest note, in characters.
    pub note_max: usize,
}

/// One message of a cause.
#[derive(Clone, Debug)]
pub struct Case {
    pub line: Line,
    pub failed_at: Timestamp,
    pub outcome: Outcome,
}

/// What became of it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Open,
    Arrived(Timestamp),
    SentAgain(Timestamp),
}

/// What somebody did about a cause.
#[derive(Clone)]
pub struct Deed {
    pub at: Timestamp,
    pub by: String,
    pub what: String,
    /// The run that sent them again.
    pub run: Option<String>,
}

pub fn render_failures(page: &FailuresPage) -> Result<String, askama::Error> {
    FailuresTemplate { page }.render()
}

pub fn render_cause(page: &CausePage) -> Result<String, askama::Error> {
    CauseTemplate { page }.render()
}

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresTemplate<'a> {
    page: &'a FailuresPage,
}

#[derive(Template)]
#[template(path = "cause.html")]
struct CauseTemplate<'a> {
    page: &'a CausePage,
}

impl FailureGroup {
    fn since(&self) -> When {
        When::new(self.since)
    }

    fn last(&self) -> When {
        When::new(self.last_at)
    }

    fn share(&self) -> String {
        if self.percent > 0 {
            format!("{} %", self.percent)
        } else {
            "under 1 %".to_owned()
        }
    }
}

impl CausePage {
    fn since(&self) -> When {
        When::new(self.since)
    }

    fn last(&self) -> Option<When> {
        self.last_at.map(When::new)
    }
}

impl Standing {
    const fn word(&self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Resolved => "Resolved",
            Self::Dismissed(..) => "Dismissed",
        }
    }

    const fn class(&self) -> &'static str {
        match self {
            Self::Open => "failed",
            Self::Resolved => "opened",
            Self::Dismissed(..) => "unopened",
        }
    }

    fn dismissed(&self) -> Option<(When, &str)> {
        match self {
            Self::Dismissed(at, by) => Some((When::new(*at), by)),
            Self::Open | Self::Resolved => None,
        }
    }
}

impl Case {
    fn failed(&self) -> When {
        When::new(self.failed_at)
    }

    const fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Open => "Open",
            Outcome::Arrived(_) => "Arrived since",
            Outcome::SentAgain(_) => "Sent again",
        }
    }

    fn when(&self) -> Option<When> {
        match self.outcome {
            Outcome::Open => None,
            Outcome::Arrived(at) | Outcome::SentAgain(at) => Some(When::new(at)),
        }
    }
}

impl Deed {
    fn when(&self) -> When {
        When::new(self.at)
    }
}

/// The height of the drawing, in its own units.
const HEIGHT: i64 = 24;
/// From one bar to the next.
const STEP: usize = 5;

impl TrendView {
    fn most(&self) -> i64 {
        self.points
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
    }

    fn width(&self) -> usize {
        self.points.len() * STEP
    }

    /// The drawing: a bar for each hour or day in which something failed, one high enough to be seen.
    fn path(&self) -> String {
        let most = self.most().max(1);
        let mut path = String::new();
        for (i, (_, count)) in self.points.iter().enumerate() {
            if *count > 0 {
                let height = (count.saturating_mul(HEIGHT) / most).max(2);
                let x = i * STEP;
                // Nobody refuses to be written to in memory.
                write!(path, "M{x} {HEIGHT}v-{height}h4v{height}z").unwrap_or_default();
            }
        }
        path
    }

    /// The same in words.
    fn words(&self) -> String {
        let per = if self.by_day { "day" } else { "hour" };
        let begins = |point: Option<&(Timestamp, i64)>| {
            point.map_or_else(String::new, |(at, _)| {
                let when = When::new(*at);
                if self.by_day {
                    when.day
                } else {
                    format!("{} {}", when.day, when.clock)
                }
            })
        };
        let most = self.points.iter().max_by_key(|(at, count)| (*count, *at));
        format!(
            "Failed per {per} from {} to {} UTC: at most {}, in the {per} of {}; {} in the last {per}.",
            begins(self.points.first()),
            begins(self.points.last()),
            self.most(),
            begins(most),
            self.points.last().map_or(0, |(_, count)| *count),
        )
    }
}

// By hand: what providers say and people write is not for logs.
impl fmt::Debug for FailureGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailureGroup({}, {})", self.id, self.count)
    }
}

impl fmt::Debug for CausePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CausePage({})", self.id)
    }
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deed({})", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_millis(1_798_794_000_000 + hour * 3_600_000)
    }

    fn group(text: &str) -> FailureGroup {
        FailureGroup {
            id: "5fd6f4df-845b-8de8-b409-5ee12bec0666".to_owned(),
            sentence: "The recipient's mailbox is full.",
            remedy: Some("Resend later."),
            kind: "Email by ses".to_owned(),
            bounced: true,
            code: Some("<b>MailboxFull</b>".to_owned()),
            text: text.to_owned(),
            count: 400,
            open: 380,
            percent: 0,
            since: at(0),
            last_at: at(23),
            standing: Standing::Dismissed(at(9), "Ana <i>".to_owned()),
            trend: TrendView {
                by_day: false,
                points: (0..48).map(|hour| (at(hour), hour % 7 * 1_000)).collect(),
            },
            samples: vec![NotificationId::floor(at(0)); 5],
        }
    }

    fn page(groups: Vec<FailureGroup>) -> FailuresPage {
        FailuresPage {
            head: Head::sample("Lotus Yoga & Co."),
            groups,
            failed: 400,
            span: "24 hours",
            more: false,
            is_narrow: true,
            periods: Vec::new(),
            shows: Vec::new(),
            methods: Vec::new(),
            providers: Vec::new(),
        }
    }

    #[test]
    fn causes_are_told_with_what_can_be_done_and_hostile_words_are_text() {
        let html = render_failures(&page(vec![group("<script>alert(1)</script>")])).unwrap();
        for text in [
            "href=\"/failures/5fd6f4df-845b-8de8-b409-5ee12bec0666\"",
            "Resend later.",
            "under 1 %",
            "&#60;b&#62;MailboxFull",
            "Ana &#60;i&#62;",
            "at most 6000, in the hour of",
            "href=\"/resend?cause=5fd6f4df",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
        assert!(!html.contains("<script>alert") && !html.contains("style="));
        let none = render_failures(&page(Vec::new())).unwrap();
        assert!(none.contains("Nothing failed"), "{none}");
    }

    #[test]
    fn a_page_with_as_many_causes_as_are_told_stays_small() {
        let html = render_failures(&page(vec![group(&"word ".repeat(40)); 25])).unwrap();
        assert!(html.len() < 100_000, "{} bytes", html.len());
    }

    #[test]
    fn a_trend_is_drawn_from_its_highest_point_and_said_in_words() {
        let trend = TrendView {
            by_day: true,
            points: vec![(at(0), 0), (at(24), 10_000), (at(48), 1)],
        };
        assert_eq!(trend.path(), "M5 24v-24h4v24zM10 24v-2h4v2z");
        assert!(trend.words().contains("at most 10000"), "{}", trend.words());
        let none = TrendView::default();
        assert!(none.path().is_empty() && none.width() == 0 && !none.words().is_empty());
    }
}
