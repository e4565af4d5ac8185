//! The pages on which people send again: one entry, or many that match a filter.

use std::fmt;

use askama::Template;

use super::page::When;
use super::staff::Head;
use super::view::Line;
use crate::domain::time::Timestamp;

/// The form that sends one entry again.
#[derive(Clone)]
pub struct Resend {
    pub head: Head,
    pub line: Line,
    /// Where it went.
    pub to: String,
    /// What kind of address it takes.
    pub address_label: &'static str,
    pub subject: Option<String>,
    /// The beginning of its text.
    pub excerpt: String,
    /// Makes the form good for one message.
    pub key: String,
    /// What was typed before, if the form is shown again.
    pub typed: Typed,
    pub refused: Option<String>,
    /// The client gets nothing.
    pub deactivated: bool,
    pub barred: Option<Barred>,
}

/// What a form says.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// To another address.
    pub other: bool,
    pub to: String,
    /// The client's card gets it too.
    pub card: bool,
    pub note: String,
}

/// The address is on the suppression list.
#[derive(Clone)]
pub struct Barred {
    pub address: String,
    pub reasons: Vec<BarReason>,
    pub way: Way,
}

/// Why it is on the list.
#[derive(Clone)]
pub struct BarReason {
    pub sentence: &'static str,
    pub remedy: &'static str,
    pub since: Timestamp,
    pub note: Option<String>,
}

/// What the visitor can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Write to it nevertheless, with a reason.
    Override,
    /// Others of the business may.
    AskOthers,
    /// Nobody can.
    None,
}

/// What a filter would send again.
#[derive(Clone)]
pub struct Preview {
    pub head: Head,
    /// Of the run to be.
    pub id: String,
    /// The filter as an address has it, without the question mark.
    pub query: String,
    pub refused: Option<String>,
    pub counts: Prospect,
    pub lines: Vec<Line>,
    pub runs: Vec<Run>,
}

/// What becomes of the entries that match.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prospect {
    pub matching: usize,
    /// There are more than one run takes.
    pub more: bool,
    pub resendable: usize,
    /// Sent again before.
    pub again: usize,
    pub suppressed: usize,
    pub not_resendable: usize,
}

/// A run that was begun.
#[derive(Clone)]
pub struct Run {
    pub id: String,
    pub user: String,
    pub begun: Timestamp,
    pub state: RunState,
    pub total: u64,
    pub sent: u64,
    pub left_out: u64,
    /// When and by whom.
    pub stopped: Option<(Timestamp, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    Running,
    Stopping,
    Stopped,
    Done,
}

pub fn render_resend(resend: &Resend) -> Result<String, askama::Error> {
    ResendTemplate { resend }.render()
}

pub fn render_preview(preview: &Preview) -> Result<String, askama::Error> {
    PreviewTemplate { preview }.render()
}

pub fn render_run(head: &Head, run: &Run) -> Result<String, askama::Error> {
    RunTemplate { head, run }.render()
}

#[derive(Template)]
#[template(path = "resend.html")]
struct ResendTemplate<'a> {
    resend: &'a Resend,
}

#[derive(Template)]
#[template(path = "resend_many.html")]
struct PreviewTemplate<'a> {
    preview: &'a Preview,
}

#[derive(Template)]
#[template(path = "resend_run.html")]
struct RunTemplate<'a> {
    head: &'a Head,
    run: &'a Run,
}

impl BarReason {
    fn when(&self) -> When {
        When::new(self.since)
    }
}

impl Barred {
    fn may_override(&self) -> bool {
        self.way == Way::Override
    }

    fn others_may(&self) -> bool {
        self.way == Way::AskOthers
    }
}

impl Run {
    fn when(&self) -> When {
        When::new(self.begun)
    }

    fn stopped(&self) -> Option<(When, &str)> {
        let (at, by) = self.stopped.as_ref()?;
        Some((When::new(*at), by))
    }

    fn done(&self) -> u64 {
        self.sent + self.left_out
    }

    /// Of a bar that is full where more turned up than was counted.
    fn whole(&self) -> u64 {
        self.total.max(self.done()).max(1)
    }

    fn is_open(&self) -> bool {
        matches!(self.state, RunState::Running | RunState::Stopping)
    }

    fn can_stop(&self) -> bool {
        self.state == RunState::Running
    }

    const fn word(&self) -> &'static str {
        match self.state {
            RunState::Running => "Running",
            RunState::Stopping => "Stopping",
            RunState::Stopped => "Stopped",
            RunState::Done => "Done",
        }
    }
}

// By hand: names, addresses and messages are not for logs.
impl fmt::Debug for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resend({})", self.line.id)
    }
}

impl fmt::Debug for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Barred({:?})", self.way)
    }
}

impl fmt::Debug for BarReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BarReason({})", self.since)
    }
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preview({:?})", self.counts)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({}, {:?})", self.id, self.state)
    }
}
