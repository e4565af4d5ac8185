//! The page of one entry: a view, filled by the caller, and its HTML.

use std::fmt;

use askama::Template;

use super::frame;
use super::page::When;
use super::staff::Head;
use super::tasks::TaskLine;
use super::view::{Badge, Line};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// One entry with all that is known about it.
#[derive(Clone)]
pub struct Entry {
    pub head: Head,
    pub line: Line,
    /// The address it went to; empty for an entry that staff made by hand.
    pub to: String,
    /// What happened and what people did, the earliest first.
    pub timeline: Vec<Step>,
    /// None for an entry that staff made by hand.
    pub message: Option<Message>,
    /// Why the message is not kept any more.
    pub gone: Option<String>,
    pub metadata: Vec<(String, String)>,
    /// Why it failed or bounced.
    pub reason: Option<Reason>,
    pub description: Editable,
    /// With commas between.
    pub tags: Editable,
    /// What became of a change that was asked for.
    pub refused: Option<String>,
    pub resendable: bool,
    pub resend_of: Option<Kin>,
    pub resends: Vec<Kin>,
    /// What is to be done after it.
    pub tasks: Vec<TaskLine>,
}

/// A text that people may change.
#[derive(Clone, Debug)]
pub struct Editable {
    pub text: String,
    /// Names the text as it is shown, so that a change over somebody else's is noticed.
    pub mark: String,
}

/// What was sent.
#[derive(Clone)]
pub struct Message {
    pub show: Show,
    pub pictures: Pictures,
    pub subject: Option<String>,
    pub text: Option<String>,
    /// Shown in a frame without scripts or forms.
    pub html: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub attachments: Vec<File>,
}

/// Which side of a message is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    #[default]
    Formatted,
    Text,
    Headers,
}

/// Whether the pictures of a message are fetched from where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pictures {
    #[default]
    Blocked,
    Fetched,
}

#[derive(Clone)]
pub struct File {
    pub name: String,
    pub content_type: String,
    /// In bytes.
    pub size: u64,
}

/// An entry that this one repeats, or that repeats it.
#[derive(Clone)]
pub struct Kin {
    pub id: NotificationId,
    pub date: Timestamp,
    pub to: String,
    pub statuses: Vec<Badge>,
}

/// One happening of the timeline.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: Timestamp,
    pub sentence: String,
    pub detail: Option<String>,
    /// Another entry that it is about.
    pub entry: Option<NotificationId>,
}

#[derive(Clone, Debug)]
pub struct Reason {
    pub sentence: String,
    /// What staff can do about it.
    pub remedy: Option<String>,
    /// The provider's own words.
    pub provider_text: Option<String>,
}

/// The page of one entry.
pub fn render_entry(entry: &Entry) -> Result<String, askama::Error> {
    let message = entry.message.as_ref();
    let html = message.filter(|it| it.shown() == Show::Formatted);
    let frame = html.and_then(|it| it.html.as_deref()).map(frame::document);
    EntryTemplate {
        entry,
        line: &entry.line,
        frame,
    }
    .render()
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryTemplate<'a> {
    entry: &'a Entry,
    line: &'a Line,
    frame: Option<String>,
}

impl Show {
    pub fn parse(text: &str) -> Self {
        match text {
            "text" => Self::Text,
            "headers" => Self::Headers,
            _ => Self::Formatted,
        }
    }
}

impl Message {
    /// What was asked for, or what there is.
    fn shown(&self) -> Show {
        match (self.show, &self.html, &self.text) {
            (Show::Formatted, None, _) => Show::Text,
            (Show::Text, Some(_), None) => Show::Formatted,
            (show, _, _) => show,
        }
    }

    /// Each side that there is: its name, the query that shows it, whether it is shown.
    fn sides(&self) -> Vec<(&'static str, &'static str, bool)> {
        let sides = [
            (
                "Formatted",
                "formatted",
                Show::Formatted,
                self.html.is_some(),
            ),
            ("Text", "text", Show::Text, self.text.is_some()),
            (
                "Headers",
                "headers",
                Show::Headers,
                !self.headers.is_empty(),
            ),
        ];
        let there = sides.into_iter().filter(|side| side.3);
        let side = |(name, query, show, _)| (name, query, show == self.shown());
        there.map(side).collect()
    }

    fn shows_text(&self) -> Option<&str> {
        let text = self.text.as_deref();
        text.filter(|_| self.shown() == Show::Text)
    }

    fn shows_headers(&self) -> bool {
        self.shown() == Show::Headers
    }

    /// There is something that would be fetched.
    fn has_pictures(&self) -> bool {
        let html = self
            .html
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        [
            "<img",
            "url(",
            "background=",
            "<image",
            "<picture",
            "<video",
        ]
        .iter()
        .any(|sign| html.contains(sign))
    }

    fn fetches(&self) -> bool {
        self.pictures == Pictures::Fetched
    }
}

impl Entry {
    fn title(&self) -> &str {
        if self.line.type_name.is_empty() {
            self.line.method.label()
        } else {
            &self.line.type_name
        }
    }

    fn tag_list(&self) -> Vec<&str> {
        let tags = self.tags.text.split(',').map(str::trim);
        tags.filter(|tag| !tag.is_empty()).collect()
    }
}

impl File {
    /// As people read it.
    fn weight(&self) -> String {
        match self.size {
            size @ 0..1_000 => format!("{size} bytes"),
            size @ 1_000..1_000_000 => format!("{} KB", size.div_ceil(1_000)),
            size => format!("{}.{} MB", size / 1_000_000, size % 1_000_000 / 100_000),
        }
    }
}

impl Kin {
    fn when(&self) -> When {
        When::new(self.date)
    }
}

impl Step {
    fn when(&self) -> When {
        When::new(self.at)
    }
}

// By hand: names, addresses and messages are not for logs.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.line.id)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?})", self.show)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.size)
    }
}

impl fmt::Debug for Kin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kin({})", self.id)
    }
}
