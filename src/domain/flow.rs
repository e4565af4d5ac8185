//! What is counted of the flow of notifications: kinds, and the steps of time that counts are kept by.

use std::time::Duration;

use super::facts::Facts;
use super::spread::{NO_TIME, Spread, bucket, coarse};
use super::time::Timestamp;

/// What is counted. Each notification counts once at most in each kind: when the fact becomes known,
/// and not when it is told again. The last five belong to the installation, and count messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Enqueued,
    Sent,
    Failed,
    Bounced,
    /// The same messages again, where the address does not work.
    BouncedForGood,
    Delivered,
    /// Or clicked, which implies it.
    Opened,
    Clicked,
    Complained,
    Unsubscribed,
    FeedbackApplied,
    FeedbackUnmatched,
    FeedbackNoted,
    FeedbackDuplicate,
    FeedbackRefused,
}

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::Enqueued,
        Self::Sent,
        Self::Failed,
        Self::Bounced,
        Self::BouncedForGood,
        Self::Delivered,
        Self::Opened,
        Self::Clicked,
        Self::Complained,
        Self::Unsubscribed,
        Self::FeedbackApplied,
        Self::FeedbackUnmatched,
        Self::FeedbackNoted,
        Self::FeedbackDuplicate,
        Self::FeedbackRefused,
    ];

    /// The word of the table and of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Bounced => "bounced",
            Self::BouncedForGood => "bounced_for_good",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Complained => "complained",
            Self::Unsubscribed => "unsubscribed",
            Self::FeedbackApplied => "feedback_applied",
            Self::FeedbackUnmatched => "feedback_unmatched",
            Self::FeedbackNoted => "feedback_noted",
            Self::FeedbackDuplicate => "feedback_duplicate",
            Self::FeedbackRefused => "feedback_refused",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a notification that had these facts counts in it.
    fn holds(self, facts: &Facts) -> bool {
        match self {
            Self::Sent => facts.sent.is_some(),
            Self::Failed => facts.failed.is_some(),
            Self::Bounced => facts.bounced.is_some(),
            Self::BouncedForGood => facts.bounced_permanently(),
            Self::Delivered => facts.delivered_at.is_some(),
            Self::Opened => facts.opened.is_some() || facts.clicked.is_some(),
            Self::Clicked => facts.clicked.is_some(),
            Self::Complained => facts.complained.is_some(),
            Self::Unsubscribed => facts.unsubscribed_at.is_some(),
            Self::Enqueued
            | Self::FeedbackApplied
            | Self::FeedbackUnmatched
            | Self::FeedbackNoted
            | Self::FeedbackDuplicate
            | Self::FeedbackRefused => false,
        }
    }
}

/// The kinds in which a notification counts since its facts changed.
pub fn newly(before: &Facts, after: &Facts) -> impl Iterator<Item = Kind> {
    let counts = |kind: &Kind| kind.holds(after) && !kind.holds(before);
    let new: Vec<Kind> = Kind::ALL.into_iter().filter(counts).collect();
    new.into_iter()
}

/// How long it took until the fact of that kind, in buckets; 0 where there is no such time. Sends and
/// deliveries are timed from when the message was due, bounces and complaints from the send to now.
pub fn bucket_of(kind: Kind, facts: &Facts, due_at: Timestamp, now: Timestamp) -> i64 {
    let sent_at = facts.sent.as_ref().map(|sent| sent.at);
    let took = match kind {
        Kind::Sent => sent_at.map(|at| at.since(due_at)),
        Kind::Delivered => facts.delivered_at.map(|at| at.since(due_at)),
        Kind::Bounced | Kind::BouncedForGood | Kind::Complained => {
            return sent_at.map_or(NO_TIME, |at| coarse(bucket(now.since(at))));
        }
        Kind::Enqueued
        | Kind::Failed
        | Kind::Opened
        | Kind::Clicked
        | Kind::Unsubscribed
        | Kind::FeedbackApplied
        | Kind::FeedbackUnmatched
        | Kind::FeedbackNoted
        | Kind::FeedbackDuplicate
        | Kind::FeedbackRefused => None,
    };
    took.map_or(NO_TIME, bucket)
}

/// The steps of time that counts are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Minute,
    Hour,
    Day,
}

impl Step {
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
        }
    }

    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How long counts of this step are kept; `None`: for ever. Minutes are read for the last six
    /// hours, and for the first hour of a brake that was lifted within a day; hours for a week, and a
    /// quarter of them for who looks closer. A day is some dozens of rows a business.
    pub const fn kept(self) -> Option<Duration> {
        match self {
            Self::Minute => Some(Duration::from_hours(48)),
            Self::Hour => Some(Duration::from_hours(24 * 100)),
            Self::Day => None,
        }
    }

    /// The beginning of the step that this is in (UTC).
    pub fn floor(self, at: Timestamp) -> Timestamp {
        floor(at, self.length())
    }
}

fn floor(at: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let millis = at.as_millis();
    Timestamp::from_millis(millis - millis.rem_euclid(length))
}

/// The time up to now that a page or a report is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    #[default]
    Hour,
    SixHours,
    Day,
    Week,
    Month,
    Quarter,
}

impl Range {
    pub const ALL: [Self; 6] = [
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
    ];

    /// The word in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::SixHours => "6 hours",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::Quarter => "90 days",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.as_str() == text)
    }

    /// What the counts are read by.
    pub const fn step(self) -> Step {
        match self {
            Self::Hour | Self::SixHours => Step::Minute,
            Self::Day | Self::Week => Step::Hour,
            Self::Month | Self::Quarter => Step::Day,
        }
    }

    /// The length of a bin, of whole steps, and how many there are: as many as a chart and the table
    /// behind it can show.
    pub const fn bins(self) -> (Duration, usize) {
        match self {
            Self::Hour => (Duration::from_mins(1), 60),
            Self::SixHours => (Duration::from_mins(5), 72),
            Self::Day => (Duration::from_hours(1), 24),
            Self::Week => (Duration::from_hours(2), 84),
            Self::Month => (Duration::from_hours(24), 30),
            Self::Quarter => (Duration::from_hours(24), 90),
        }
    }

    /// The beginning of the first bin; the last one is the one that now is in.
    pub fn from(self, now: Timestamp) -> Timestamp {
        let (length, count) = self.bins();
        let before = u32::try_from(count - 1).unwrap_or(0);
        floor(now, length).minus(length.saturating_mul(before))
    }
}

/// A sum of counts of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub at: Timestamp,
    pub kind: Kind,
    pub bucket: i64,
    pub amount: i64,
}

/// What was counted in some span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    amounts: [i64; Kind::ALL.len()],
    /// From when a message was due until a provider took it over.
    pub to_send: Spread,
    /// From when a message was due until it arrived.
    pub to_deliver: Spread,
}

impl Tally {
    pub fn of(&self, kind: Kind) -> i64 {
        let place = Kind::ALL.iter().position(|other| *other == kind);
        let amount = place.and_then(|place| self.amounts.get(place));
        amount.copied().unwrap_or(0)
    }

    pub fn add(&mut self, sum: &Sum) {
        let place = Kind::ALL.iter().position(|other| *other == sum.kind);
        if let Some(slot) = place.and_then(|place| self.amounts.get_mut(place)) {
            *slot += sum.amount;
        }
        if sum.kind == Kind::Sent {
            self.to_send.add(sum.bucket, sum.amount);
        } else if sum.kind == Kind::Delivered {
            self.to_deliver.add(sum.bucket, sum.amount);
        }
    }
}

/// The flow of a range, bin by bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub range: Range,
    /// Where each begins, the oldest first.
    pub bins: Vec<(Timestamp, Tally)>,
    pub total: Tally,
}

impl Flow {
    pub fn new(range: Range, now: Timestamp, sums: &[Sum]) -> Self {
        let (length, count) = range.bins();
        let from = range.from(now);
        let starts = (0..u32::try_from(count).unwrap_or(0))
            .map(|i| (from.plus(length.saturating_mul(i)), Tally::default()));
        let mut bins: Vec<(Timestamp, Tally)> = starts.collect();
        let mut total = Tally::default();
        let millis = length.as_millis().max(1);
        for sum in sums.iter().filter(|sum| sum.at >= from) {
            let place = usize::try_from(sum.at.since(from).as_millis() / millis);
            // What a clock ahead of ours recorded belongs to now.
            let place = place.unwrap_or(usize::MAX).min(count - 1);
            if let Some((_, tally)) = bins.get_mut(place) {
                tally.add(sum);
            }
            total.add(sum);
        }
        Self { range, bins, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_range_has_a_word_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for range in Range::ALL {
            assert_eq!(Range::parse(range.as_str()), Some(range));
        }
        assert_eq!(Range::parse("1y"), None);
    }

    #[test]
    fn a_flow_has_every_bin_and_what_is_older_is_left_out() {
        let now = Timestamp::parse("2027-01-01T09:03:30Z").unwrap();
        let sum = |text: &str, kind, bucket, amount| Sum {
            at: Timestamp::parse(text).unwrap(),
            kind,
            bucket,
            amount,
        };
        let sums = [
            sum("2027-01-01T03:04:00Z", Kind::Sent, 1, 1),
            sum("2027-01-01T09:00:00Z", Kind::Sent, 2, 2),
            sum("2027-01-01T09:03:00Z", Kind::Sent, 3, 3),
            sum("2027-01-01T09:04:00Z", Kind::Opened, 0, 4),
        ];
        let flow = Flow::new(Range::SixHours, now, &sums);
        assert_eq!(flow.bins.len(), 72);
        let (at, last) = flow.bins.last().unwrap();
        assert_eq!(at.to_string(), "2027-01-01T09:00:00.000Z");
        assert_eq!((last.of(Kind::Sent), last.of(Kind::Opened)), (5, 4));
        assert_eq!(
            (flow.total.of(Kind::Sent), flow.total.to_send.total()),
            (5, 5)
        );
        for range in Range::ALL {
            let (length, count) = range.bins();
            let step = range.step().length().as_millis();
            assert_eq!(length.as_millis() % step, 0, "{range:?}");
            assert_eq!(Flow::new(range, now, &[]).bins.len(), count);
        }
    }
}
