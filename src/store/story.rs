//! A notification's story in the order in which it is told: to programs by the API, to people by
//! the pages.

use super::hindrance::Hindrance;
use super::history::{Attempt, Entry, Story};
use crate::domain::delay::Delay;
use crate::domain::event::{Bounce, Event, EventKey, Failure, What};
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// One moment of a story.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub at: Timestamp,
    pub happened: Happened<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum Happened<'a> {
    Queued,
    /// An attempt that came to nothing; the others have an event of their own.
    Attempt(&'a Attempt),
    Event(&'a Event),
}

impl Story {
    /// By time; none for entries made by hand, of which nothing was queued or sent.
    pub fn moments<'a>(&'a self, entry: &Entry) -> Vec<Moment<'a>> {
        if entry.manual {
            return Vec::new();
        }
        let mut moments = vec![Moment {
            at: entry.date,
            happened: Happened::Queued,
        }];
        let fruitless =
            |attempt: &&Attempt| !matches!(attempt.outcome.as_str(), "accepted" | "rejected");
        moments.extend(
            self.attempts
                .iter()
                .filter(fruitless)
                .map(|attempt| Moment {
                    at: attempt.finished_at,
                    happened: Happened::Attempt(attempt),
                }),
        );
        let mut is_sent = false;
        for event in &self.events {
            // Our own record of the acceptance and the provider's report of it are one moment.
            let repeated = matches!(event.what, What::Accepted { .. })
                && std::mem::replace(&mut is_sent, true);
            if !repeated {
                moments.push(Moment {
                    at: event.occurred_at,
                    happened: Happened::Event(event),
                });
            }
        }
        moments.sort_by_key(|moment| (moment.at, moment.happened.rank()));
        moments
    }
}

impl Happened<'_> {
    /// What usually follows what decides between moments of one instant.
    fn rank(self) -> u8 {
        let Self::Event(event) = self else {
            return u8::from(matches!(self, Self::Attempt(_)));
        };
        match event.what {
            // What a person decided comes before what follows from it.
            What::Decided { .. } => 1,
            What::Accepted { .. } => 2,
            What::Delayed { .. } => 3,
            What::Delivered { .. } => 4,
            What::Bounced(_) | What::Rejected(_) | What::Undelivered(_) | What::GaveUp(_) => 5,
            What::Opened { .. } => 6,
            What::Clicked { .. } => 7,
            What::Complained { .. }
            | What::ComplaintWithdrawn
            | What::Unsubscribed { .. }
            | What::Resubscribed => 8,
        }
    }
}

/// Why a message bounced or failed.
#[derive(Clone, Copy, Debug)]
pub struct Trouble<'a> {
    pub category: Category,
    /// For staff.
    pub sentence: &'static str,
    pub remedy: Option<&'static str>,
    /// The provider's own words.
    pub provider_text: Option<&'a str>,
}

impl<'a> From<&'a Bounce> for Trouble<'a> {
    fn from(bounce: &'a Bounce) -> Self {
        Self {
            category: bounce.category,
            sentence: bounce.category.sentence(),
            remedy: bounce.category.remedy(),
            provider_text: bounce.diagnostic.as_deref(),
        }
    }
}

impl<'a> From<&'a Failure> for Trouble<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            category: failure.category,
            sentence: failure.sentence(),
            remedy: failure.remedy(),
            provider_text: failure.provider_text.as_deref(),
        }
    }
}

impl Entry {
    /// Programs load the pictures of email ahead; a push or a text that is opened, a person opened.
    pub fn opens_likely_automatic(&self) -> bool {
        self.method == Method::Email && self.facts.opens_likely_automatic()
    }

    /// Why it bounced or failed, if one of these statuses holds.
    pub fn trouble(&self) -> Option<Trouble<'_>> {
        self.statuses().into_iter().find_map(|status| match status {
            Status::Bounced => Some(Trouble::from(&self.facts.bounced.as_ref()?.bounce)),
            Status::Failed => Some(Trouble::from(&self.facts.failed.as_ref()?.failure)),
            Status::AwaitingSend | Status::Sent | Status::Unopened | Status::Opened => None,
        })
    }
}

impl Attempt {
    /// Why there is another attempt after this one, or a wait; `None` when it came to an end.
    pub fn delay(&self) -> Option<Delay> {
        Delay::of(&self.outcome, self.cause.as_deref())
    }
}

/// Why an entry is awaiting its send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For the time at which it is to be sent.
    Scheduled,
    /// For its turn.
    Queued,
    /// It is in a worker's hands.
    Sending,
    /// For the next attempt.
    Retrying,
    /// For a person's decision.
    Held,
}

impl Wait {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Held => "held",
        }
    }

    /// What can be done, where something can be done.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Held => Some(
                "Ask the client whether it arrived, then decide: send it again, give it up, or mark \
                 it as sent.",
            ),
            Self::Scheduled | Self::Queued | Self::Sending | Self::Retrying => None,
        }
    }
}

/// What an entry that awaits its send waits for.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    pub wait: Wait,
    pub method: Method,
    /// While it waits for its turn or for the next attempt.
    pub hindrance: Option<&'a Hindrance>,
    /// Since when it could have been sent.
    pub since: Timestamp,
    pub next_at: Option<Timestamp>,
    pub last: Option<&'a Attempt>,
}

impl Story {
    /// `None` unless it awaits its send.
    pub fn waiting(&self, entry: &Entry) -> Option<Waiting<'_>> {
        if entry.statuses() != [Status::AwaitingSend] {
            return None;
        }
        let last = self.attempts.last();
        let since = entry.send_at.unwrap_or(entry.date).max(entry.date);
        let wait = match (self.held_at, self.next_due_at, last) {
            (Some(_), _, _) => Wait::Held,
            (None, None, _) => Wait::Sending,
            (None, Some(_), Some(_)) => Wait::Retrying,
            (None, Some(due_at), None) if due_at > self.told_at => Wait::Scheduled,
            (None, Some(_), None) => Wait::Queued,
        };
        let waits_in_turn = matches!(wait, Wait::Queued | Wait::Retrying);
        Some(Waiting {
            wait,
            method: entry.method,
            hindrance: self.hindrance.as_ref().filter(|_| waits_in_turn),
            since,
            next_at: self.next_due_at,
            last,
        })
    }

    /// A person may decide what is to become of it, because it may have gone.
    pub fn is_undecided(&self, entry: &Entry) -> bool {
        let unknown = self
            .attempts
            .last()
            .filter(|last| last.outcome == "unknown");
        let waits = self.held_at.is_some() || self.next_due_at.is_some();
        let before = unknown.is_some_and(|last| {
            let number = u32::try_from(last.number).unwrap_or(u32::MAX);
            let key = EventKey::of_decision(number);
            self.events.iter().any(|event| event.key == key)
        });
        waits && unknown.is_some() && !before && entry.statuses() == [Status::AwaitingSend]
    }
}

impl Waiting<'_> {
    /// What it waits for, in one word for programs.
    pub fn category(&self) -> &'static str {
        self.hindrance.map_or(self.wait.as_str(), Hindrance::as_str)
    }

    /// What can be done, where something can be done.
    pub fn remedy(&self) -> Option<&'static str> {
        self.hindrance
            .map(Hindrance::remedy)
            .or_else(|| self.wait.remedy())
    }

    /// What the provider said when it put the message off.
    pub fn provider_text(&self) -> Option<&str> {
        let last = self.last.filter(|last| last.delay().is_some())?;
        last.text.as_deref()
    }

    /// For staff: since when, which attempt, when the next and why, and what else is in the way.
    pub fn sentence(&self) -> String {
        let own = self.own_sentence();
        match self.hindrance {
            Some(hindrance) => format!("{own} {}", hindrance.sentence(self.method)),
            None => own,
        }
    }

    fn own_sentence(&self) -> String {
        let since = self.since.plainly();
        let attempt = self.last.map_or(String::new(), |last| {
            let at = last.finished_at.plainly();
            format!(" Attempt {} at {at} came to nothing.", last.number)
        });
        let because = self
            .last
            .and_then(Attempt::delay)
            .map_or(String::new(), |delay| {
                format!(", because {}", delay.because())
            });
        let next = self.next_at.map(Timestamp::plainly).unwrap_or_default();
        match self.wait {
            Wait::Scheduled => format!("To be sent at {since}."),
            Wait::Queued => format!("Waiting for its turn since {since}."),
            Wait::Sending => format!("Waiting since {since}, and being sent now.{attempt}"),
            Wait::Retrying => {
                format!("Waiting since {since}.{attempt} Next try at {next}{because}.")
            }
            Wait::Held => match self.last {
                Some(last) => format!(
                    "It may have been sent: the answer to attempt {} at {} was lost, and nothing \
                     has shown since whether it arrived. It waits for a decision.",
                    last.number,
                    last.finished_at.plainly()
                ),
                None => "It may have been sent. It waits for a decision.".to_owned(),
            },
        }
    }
}
