//! A notification's story in the order in which it is told: to programs by the API, to people by
//! the pages.

use super::history::{Attempt, Entry, Story};
use crate::domain::event::{Bounce, Event, Failure, What};
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
    /// Why it bounced or failed, if one of these statuses holds.
    pub fn trouble(&self) -> Option<Trouble<'_>> {
        self.statuses().into_iter().find_map(|status| match status {
            Status::Bounced => Some(Trouble::from(&self.facts.bounced.as_ref()?.bounce)),
            Status::Failed => Some(Trouble::from(&self.facts.failed.as_ref()?.failure)),
            Status::AwaitingSend | Status::Sent | Status::Unopened | Status::Opened => None,
        })
    }
}
