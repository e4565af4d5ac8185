//! The parts of a facts row, each with its columns. An event changes one part at most, and only the
//! parts that events change are read and written.

use super::Error;
use super::row::Row;
use super::stmt::{Arg, Kind};
use crate::domain::event::{Bounce, EventKey, Failure, Severity, What};
use crate::domain::facts::{Bounced, Clicked, Complained, Delayed, Facts, Failed, Opened, Sent};
use crate::domain::reason::Category;

#[derive(Debug)]
pub(super) struct Part {
    /// The key, then the part's own.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// The part's own columns of `delivery_facts f`, each after a comma.
    pub(super) select: &'static str,
    /// Up to `FROM`.
    pub(super) update: &'static str,
    pub(super) read: fn(&Row, &mut Facts) -> Result<(), Error>,
    pub(super) changed: fn(&Facts, &Facts) -> bool,
    /// In the order of the columns, less the key.
    pub(super) values: fn(&Facts) -> Vec<Arg>,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

pub(super) static PARTS: [&Part; 9] = [
    &SENT,
    &FAILED,
    &DELIVERED,
    &DELAYED,
    &BOUNCED,
    &COMPLAINED,
    &OPENED,
    &CLICKED,
    &UNSUBSCRIBED,
];

/// The parts that are read where these are written: what a change counts as depends on the send, and on
/// opens and clicks together.
pub(super) fn to_count_by(written: &[&'static Part]) -> Vec<&'static Part> {
    let opens = written.contains(&&OPENED) || written.contains(&&CLICKED);
    let read = |part: &&'static Part| {
        written.contains(part) || **part == SENT || opens && (**part == OPENED || **part == CLICKED)
    };
    PARTS.into_iter().filter(read).collect()
}

/// The part that [`Facts::apply`] changes with such an event.
pub(super) fn of(what: &What) -> Option<&'static Part> {
    Some(match what {
        What::Accepted { .. } => &SENT,
        What::Rejected(_) | What::Undelivered(_) | What::GaveUp(_) => &FAILED,
        What::Delivered { .. } => &DELIVERED,
        What::Delayed { .. } => &DELAYED,
        What::Bounced(_) => &BOUNCED,
        What::Complained { .. } => &COMPLAINED,
        What::ComplaintWithdrawn | What::Resubscribed | What::Decided { .. } => return None,
        What::Opened { .. } => &OPENED,
        What::Clicked { .. } => &CLICKED,
        What::Unsubscribed { .. } => &UNSUBSCRIBED,
    })
}

macro_rules! part {
    ($field:ident, $read:expr, [($first:literal, $kind:ident) $(, ($name:literal, $kinds:ident))*], $values:expr) => {
        Part {
            columns: &[
                ("notification_id", Kind::Id),
                ($first, Kind::$kind),
                $(($name, Kind::$kinds)),*
            ],
            select: concat!(", f.", $first, $(", f.", $name),*),
            update: concat!(
                "UPDATE delivery_facts SET ", $first, " = b.", $first,
                $(", ", $name, " = b.", $name,)* " FROM "
            ),
            read: |row, facts| {
                facts.$field = $read(row)?;
                Ok(())
            },
            changed: |before, after| before.$field != after.$field,
            values: $values,
        }
    };
}

static SENT: Part = part!(
    sent,
    sent,
    [
        ("sent_at", Time),
        ("sent_key", Id),
        ("provider", Text),
        ("provider_message_id", Text),
        ("opens_tracked", Bool)
    ],
    |facts| {
        let sent = facts.sent.as_ref();
        vec![
            sent.map(|s| s.at).into(),
            sent.map(|s| s.key.0).into(),
            sent.map(|s| s.provider.as_str()).into(),
            sent.and_then(|s| s.provider_message_id.as_deref()).into(),
            sent.is_some_and(|s| s.opens_tracked).into(),
        ]
    }
);

static FAILED: Part = part!(
    failed,
    failed,
    [
        ("failed_at", Time),
        ("failed_key", Id),
        ("failed_category", Text),
        ("failed_code", Text),
        ("failed_text", Text)
    ],
    |facts| {
        let failed = facts.failed.as_ref();
        let failure = failed.map(|f| &f.failure);
        vec![
            failed.map(|f| f.at).into(),
            failed.map(|f| f.key.0).into(),
            failure.map(|f| f.category.as_str()).into(),
            failure.and_then(|f| f.code.as_deref()).into(),
            failure.and_then(|f| f.provider_text.as_deref()).into(),
        ]
    }
);

static DELIVERED: Part = part!(
    delivered_at,
    |row: &Row| row.opt_time("delivered_at"),
    [("delivered_at", Time)],
    |facts| vec![facts.delivered_at.into()]
);

static DELAYED: Part = part!(
    delayed,
    delayed,
    [
        ("delayed_at", Time),
        ("delayed_key", Id),
        ("delayed_type", Text)
    ],
    |facts| {
        let delayed = facts.delayed.as_ref();
        vec![
            delayed.map(|d| d.at).into(),
            delayed.map(|d| d.key.0).into(),
            delayed.and_then(|d| d.delay_type.as_deref()).into(),
        ]
    }
);

static BOUNCED: Part = part!(
    bounced,
    bounced,
    [
        ("bounced_at", Time),
        ("bounced_key", Id),
        ("bounced_severity", Text),
        ("bounced_category", Text),
        ("bounced_subtype", Text),
        ("bounced_status", Text),
        ("bounced_text", Text)
    ],
    |facts| {
        let bounced = facts.bounced.as_ref();
        let bounce = bounced.map(|b| &b.bounce);
        vec![
            bounced.map(|b| b.at).into(),
            bounced.map(|b| b.key.0).into(),
            bounce.map(|b| b.severity.as_str()).into(),
            bounce.map(|b| b.category.as_str()).into(),
            bounce.and_then(|b| b.subtype.as_deref()).into(),
            bounce.and_then(|b| b.status.as_deref()).into(),
            bounce.and_then(|b| b.diagnostic.as_deref()).into(),
        ]
    }
);

static COMPLAINED: Part = part!(
    complained,
    complained,
    [
        ("complained_at", Time),
        ("complained_key", Id),
        ("complained_type", Text)
    ],
    |facts| {
        let complained = facts.complained.as_ref();
        vec![
            complained.map(|c| c.at).into(),
            complained.map(|c| c.key.0).into(),
            complained.and_then(|c| c.feedback_type.as_deref()).into(),
        ]
    }
);

static OPENED: Part = part!(
    opened,
    opened,
    [
        ("opened_first_at", Time),
        ("opened_last_at", Time),
        ("opened_by_person_at", Time),
        ("opened_count", Int)
    ],
    |facts| {
        let opened = facts.opened.as_ref();
        vec![
            opened.map(|o| o.first_at).into(),
            opened.map(|o| o.last_at).into(),
            opened.and_then(|o| o.by_person_at).into(),
            opened.map_or(0, |o| o.count).into(),
        ]
    }
);

static CLICKED: Part = part!(
    clicked,
    clicked,
    [
        ("clicked_first_at", Time),
        ("clicked_last_at", Time),
        ("clicked_count", Int)
    ],
    |facts| {
        let clicked = facts.clicked.as_ref();
        vec![
            clicked.map(|c| c.first_at).into(),
            clicked.map(|c| c.last_at).into(),
            clicked.map_or(0, |c| c.count).into(),
        ]
    }
);

static UNSUBSCRIBED: Part = part!(
    unsubscribed_at,
    |row: &Row| row.opt_time("unsubscribed_at"),
    [("unsubscribed_at", Time)],
    |facts| vec![facts.unsubscribed_at.into()]
);

fn sent(row: &Row) -> Result<Option<Sent>, Error> {
    let Some(at) = row.opt_time("sent_at")? else {
        return Ok(None);
    };
    Ok(Some(Sent {
        at,
        key: EventKey(row.id("sent_key")?),
        provider: row.text("provider")?,
        provider_message_id: row.opt_text("provider_message_id")?,
        opens_tracked: row.bool("opens_tracked")?,
    }))
}

fn failed(row: &Row) -> Result<Option<Failed>, Error> {
    let Some(at) = row.opt_time("failed_at")? else {
        return Ok(None);
    };
    let failure = Failure {
        category: row.word("failed_category", Category::parse)?,
        code: row.opt_text("failed_code")?,
        provider_text: row.opt_text("failed_text")?,
    };
    let key = EventKey(row.id("failed_key")?);
    Ok(Some(Failed { at, key, failure }))
}

fn delayed(row: &Row) -> Result<Option<Delayed>, Error> {
    let Some(at) = row.opt_time("delayed_at")? else {
        return Ok(None);
    };
    Ok(Some(Delayed {
        at,
        key: EventKey(row.id("delayed_key")?),
        delay_type: row.opt_text("delayed_type")?,
    }))
}

fn bounced(row: &Row) -> Result<Option<Bounced>, Error> {
    let Some(at) = row.opt_time("bounced_at")? else {
        return Ok(None);
    };
    let bounce = Bounce {
        severity: row.word("bounced_severity", Severity::parse)?,
        category: row.word("bounced_category", Category::parse)?,
        subtype: row.opt_text("bounced_subtype")?,
        status: row.opt_text("bounced_status")?,
        diagnostic: row.opt_text("bounced_text")?,
    };
    let key = EventKey(row.id("bounced_key")?);
    Ok(Some(Bounced { at, key, bounce }))
}

fn complained(row: &Row) -> Result<Option<Complained>, Error> {
    let Some(at) = row.opt_time("complained_at")? else {
        return Ok(None);
    };
    Ok(Some(Complained {
        at,
        key: EventKey(row.id("complained_key")?),
        feedback_type: row.opt_text("complained_type")?,
    }))
}

fn opened(row: &Row) -> Result<Option<Opened>, Error> {
    let Some(first_at) = row.opt_time("opened_first_at")? else {
        return Ok(None);
    };
    Ok(Some(Opened {
        first_at,
        last_at: row.time("opened_last_at")?,
        count: row.int("opened_count")?,
        by_person_at: row.opt_time("opened_by_person_at")?,
    }))
}

fn clicked(row: &Row) -> Result<Option<Clicked>, Error> {
    let Some(first_at) = row.opt_time("clicked_first_at")? else {
        return Ok(None);
    };
    Ok(Some(Clicked {
        first_at,
        last_at: row.time("clicked_last_at")?,
        count: row.int("clicked_count")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::NotificationId;
    use crate::domain::time::Timestamp;

    fn one_of_each() -> Vec<What> {
        let failure = Failure {
            category: Category::Unknown,
            code: None,
            provider_text: None,
        };
        let bounce = Bounce {
            severity: Severity::Permanent,
            category: Category::Unknown,
            subtype: None,
            status: None,
            diagnostic: None,
        };
        vec![
            What::Accepted {
                provider: "ses".to_owned(),
                provider_message_id: None,
                opens_tracked: true,
            },
            What::Rejected(failure.clone()),
            What::Delivered { response: None },
            What::Delayed {
                delay_type: None,
                diagnostic: None,
            },
            What::Bounced(bounce),
            What::Complained {
                feedback_type: None,
            },
            What::ComplaintWithdrawn,
            What::Opened {
                user_agent: None,
                by_machine: false,
            },
            What::Clicked {
                link: None,
                user_agent: None,
            },
            What::Unsubscribed { how: None },
            What::Undelivered(failure.clone()),
            What::GaveUp(failure),
        ]
    }

    /// Parts that are not read must not be written either.
    #[test]
    fn an_event_changes_its_own_part_and_no_other() {
        for what in one_of_each() {
            let event = Event {
                notification: NotificationId::floor(Timestamp::EPOCH),
                key: EventKey::of_attempt(1),
                occurred_at: Timestamp::EPOCH,
                source: "ses".to_owned(),
                what,
            };
            let mut after = Facts::default();
            after.apply(&event);
            for part in PARTS {
                let changed = (part.changed)(&Facts::default(), &after);
                let its_own = of(&event.what) == Some(part);
                assert_eq!(changed, its_own, "{:?} {}", event.what, part.select);
            }
        }
    }
}
