//! A contact history as a page, of all clients or of one: what it shows, and its HTML.

use askama::Template;

use super::clients::Card;
use super::page::When;
use super::staff::Head;
use super::view::Line;
use crate::domain::column::Column;
use crate::domain::time::Timestamp;

/// The contact history of all clients, or of one.
#[derive(Clone, Debug)]
pub struct Page {
    pub head: Head,
    /// Whose history it is; none: that of all clients.
    pub client: Option<Card>,
    pub form: Form,
    /// The filters in force.
    pub chips: Vec<Chip>,
    /// Link to the same without any filter.
    pub unfiltered: String,
    /// What could not be read of the address.
    pub wrong: Vec<String>,
    /// Why entries that match may be missing.
    pub notes: Vec<String>,
    pub headings: Vec<Heading>,
    /// The columns that can be hidden.
    pub columns: Vec<Choice>,
    pub lines: Vec<Line>,
    /// The providers are the local stand-in: nothing leaves the machine.
    pub sandbox: bool,
    /// Link to the next page.
    pub older: Option<String>,
    /// Link to the first page, when this is not it.
    pub newest: Option<String>,
    /// The address of this page.
    pub here: String,
    /// What of this page changes while it is open.
    pub live: String,
    pub counts: String,
    /// The filters in force, as an address has them.
    pub query: String,
    /// The visitor may send many again.
    pub resends_many: bool,
    /// What to try; the first one is also shown while the history is empty.
    pub hints: Vec<Hint>,
    pub now: Timestamp,
}

/// A command to copy, and what it does.
#[derive(Clone, Debug)]
pub struct Hint {
    pub what: String,
    pub command: String,
}

/// What the fields of the filter hold.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// The page that it asks for.
    pub action: String,
    pub search: String,
    pub from: String,
    pub to: String,
    pub methods: Vec<Choice>,
    pub contact_types: Vec<Choice>,
    pub statuses: Vec<Choice>,
    /// Every chosen status must hold.
    pub all: bool,
    pub staff: Vec<Choice>,
    pub channels: Vec<Choice>,
    /// Causes of failures; they stay.
    pub causes: Vec<String>,
    /// The order stays; empty: the usual one.
    pub sort: String,
}

/// One of several.
#[derive(Clone, Debug)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

/// A filter in force, and the link that removes it.
#[derive(Clone, Debug)]
pub struct Chip {
    pub what: &'static str,
    pub value: String,
    pub without: String,
}

/// A heading that sorts.
#[derive(Clone, Debug)]
pub struct Heading {
    pub column: Column,
    /// Link to the same, sorted by this column, or the other way round where it is already.
    pub link: String,
    /// As ARIA has it; none: the table is sorted by another column.
    pub sorted: Option<&'static str>,
}

impl Page {
    /// The whole page.
    pub fn render(&self) -> Result<String, askama::Error> {
        HistoryTemplate { page: self }.render()
    }

    /// What of it changes while it is open. `history.js` puts each part in the place of the one with
    /// the same id. Equal views give equal text, so that the answer can carry an `ETag`; `now` does not
    /// occur in it.
    pub fn render_live(&self) -> Result<String, askama::Error> {
        LiveTemplate { page: self }.render()
    }

    fn when(&self) -> When {
        When::new(self.now)
    }

    fn shows(&self, column: &str) -> bool {
        let mut shown = self.headings.iter();
        shown.any(|heading| heading.column.as_str() == column)
    }

    /// All columns, the one of actions included.
    fn width(&self) -> usize {
        self.headings.len() + 1
    }
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryTemplate<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "live.html")]
struct LiveTemplate<'a> {
    page: &'a Page,
}
