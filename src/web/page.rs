//! From a view to HTML: the templates and the few words that they need beyond the view.

use super::clients::client_path;
use super::view::{Badge, Line};
use crate::domain::method::{Channel, Method};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

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

impl Line {
    pub(super) fn client_path(&self) -> String {
        client_path(&self.client_id)
    }

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
pub(super) const fn class(status: Status) -> &'static str {
    match status {
        Status::AwaitingSend => "awaiting",
        Status::Sent => "sent",
        Status::Unopened => "unopened",
        Status::Opened => "opened",
        Status::Bounced => "bounced",
        Status::Failed => "failed",
    }
}
