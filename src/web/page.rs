//! From a view to HTML: the templates and the few words that they need beyond the view.

use askama::Template;

use super::view::{Badge, Line, Page};
use crate::domain::method::{Channel, Method};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// The whole first page.
pub fn render_page(page: &Page) -> Result<String, askama::Error> {
    PageTemplate { page }.render()
}

/// What of the first page changes while it is open: tally, lines and paging links. `live.js` puts
/// each part in the place of the one with the same id. Equal views give equal text, so that the
/// answer can carry an `ETag`; `page.now` does not occur in it.
pub fn render_live(page: &Page) -> Result<String, askama::Error> {
    LiveTemplate { page }.render()
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "live.html")]
struct LiveTemplate<'a> {
    page: &'a Page,
}

/// An instant in the parts in which the pages show it, in UTC; `live.js` turns them into the
/// viewer's own zone.
pub(super) struct When {
    /// RFC 3339 with milliseconds.
    pub(super) exact: String,
    pub(super) day: String,
    /// Hours, minutes and seconds.
    pub(super) clock: String,
}

impl When {
    pub(super) fn new(at: Timestamp) -> Self {
        let exact = at.to_string();
        let (day, rest) = exact.split_once('T').unwrap_or((&exact, ""));
        let clock = rest.split_once('.').map_or(rest, |(clock, _millis)| clock);
        let (day, clock) = (day.to_owned(), clock.to_owned());
        Self { exact, day, clock }
    }
}

impl Page {
    pub(super) fn when(&self) -> When {
        When::new(self.now)
    }

    fn counts(&self) -> impl Iterator<Item = (&'static str, u64, Status)> {
        let tally = self.tally.iter();
        tally.map(|&(status, count)| (class(status), count, status))
    }
}

impl Line {
    pub(super) fn when(&self) -> When {
        When::new(self.date)
    }

    pub(super) const fn method_icon(&self) -> &'static str {
        match self.method {
            Method::Email => "i-email",
            Method::Sms => "i-sms",
            Method::Push => "i-push",
            Method::InPerson => "i-person",
            Method::Mail => "i-mail",
            Method::Phone => "i-phone",
        }
    }

    pub(super) const fn channel_icon(&self) -> &'static str {
        match self.channel {
            Channel::Inbound => "i-in",
            Channel::Outbound => "i-out",
        }
    }
}

impl Badge {
    pub(super) fn when(&self) -> Option<When> {
        self.time.map(When::new)
    }

    /// The hint of a browser without style sheets or scripts.
    pub(super) fn title(&self) -> String {
        let time = self.when().map_or_else(String::new, |when| {
            format!("{} {} UTC", when.day, when.clock)
        });
        match (self.hover.is_empty(), time.is_empty()) {
            (false, false) => format!("{} {time}", self.hover),
            (false, true) => self.hover.clone(),
            (true, _) => time,
        }
    }

    pub(super) const fn class(&self) -> &'static str {
        class(self.status)
    }
}

/// The class of a status, which is also the name of its icon.
const fn class(status: Status) -> &'static str {
    match status {
        Status::AwaitingSend => "awaiting",
        Status::Sent => "sent",
        Status::Unopened => "unopened",
        Status::Opened => "opened",
        Status::Bounced => "bounced",
        Status::Failed => "failed",
    }
}
