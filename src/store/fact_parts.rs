//! The parts of a facts row, each with its columns. An event usually changes one part, and only
//! the parts that changed are written.

use super::stmt::{Arg, Kind};
use crate::domain::facts::Facts;

pub(super) struct Part {
    /// The key, then the part's own.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// Up to `FROM`.
    pub(super) update: &'static str,
    pub(super) changed: fn(&Facts, &Facts) -> bool,
    /// In the order of the columns, less the key.
    pub(super) values: fn(&Facts) -> Vec<Arg>,
}

macro_rules! part {
    ($field:ident, [($first:literal, $kind:ident) $(, ($name:literal, $kinds:ident))*], $values:expr) => {
        Part {
            columns: &[
                ("notification_id", Kind::Id),
                ($first, Kind::$kind),
                $(($name, Kind::$kinds)),*
            ],
            update: concat!(
                "UPDATE delivery_facts SET ", $first, " = b.", $first,
                $(", ", $name, " = b.", $name,)* " FROM "
            ),
            changed: |before, after| before.$field != after.$field,
            values: $values,
        }
    };
}

pub(super) const PARTS: [Part; 9] = [
    part!(
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
    ),
    part!(
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
    ),
    part!(delivered_at, [("delivered_at", Time)], |facts| vec![
        facts.delivered_at.into()
    ]),
    part!(
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
    ),
    part!(
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
    ),
    part!(
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
    ),
    part!(
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
    ),
    part!(
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
    ),
    part!(unsubscribed_at, [("unsubscribed_at", Time)], |facts| vec![
        facts.unsubscribed_at.into()
    ]),
];
