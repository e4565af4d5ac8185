//! Our own tracking of opens and clicks: what businesses asked to learn, and what was learnt.

use std::collections::{BTreeMap, BTreeSet};

use super::db::Tx;
use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, Store, facts};
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::domain::tracking::OptIn;

/// What a business asked to learn of its emails of a contact type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    pub contact_type: String,
    pub opt_in: OptIn,
}

/// What became of a visit to one of our links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    Recorded,
    /// The same was recorded a moment before.
    Repeated,
    /// There are as many of its message as are recorded.
    Full,
    /// Its business does not ask for it, or not any more; or the message is gone.
    Unwanted,
    /// Nobody can have the message yet: a server looks at the links of what it may still refuse.
    Early,
}

impl Visited {
    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Repeated => "repeated",
            Self::Full => "full",
            Self::Unwanted => "unwanted",
            Self::Early => "early",
        }
    }
}

/// Opens, and clicks, of one message that are recorded: whoever has a link can follow it for ever.
pub const VISITS_MAX: i64 = 100;
/// Once there are so many, no more opens by machines, so that they leave room for a person's.
pub const VISITS_WITH_MACHINES_MAX: i64 = 50;
/// Contact types that are told of one business: more than anybody has.
const TYPES_MAX: i64 = 1_000;

impl Store {
    /// Some business asked for tracking.
    pub async fn is_tracking_wanted(&self) -> Result<bool, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT name FROM contact_types WHERE track_opens OR track_clicks LIMIT 1");
        Ok(tx.optional(stmt).await?.is_some())
    }

    /// Records opens and clicks, as far as their businesses ask for them and there are not too many.
    /// One answer for each, in order.
    pub async fn keep_visits(&self, visits: &[Event]) -> Result<Vec<Visited>, Error> {
        super::again(|| self.keep_visits_once(visits)).await
    }

    async fn keep_visits_once(&self, visits: &[Event]) -> Result<Vec<Visited>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let mut counts = counts(&mut tx, visits.iter().map(|visit| visit.notification)).await?;
        let mut wanted = Vec::new();
        let mut answers: Vec<Visited> = visits
            .iter()
            .map(|visit| {
                let counts = counts.get_mut(&visit.notification);
                let answer = counts.map_or(Visited::Unwanted, |counts| counts.add(visit));
                if answer == Visited::Recorded {
                    wanted.push(visit.clone());
                }
                answer
            })
            .collect();
        let mut new = facts::merge(&mut tx, &self.clock, &wanted, now).await?;
        tx.commit().await?;
        for (visit, answer) in visits.iter().zip(&mut answers) {
            let is_new = new.remove(&(visit.notification, visit.key));
            if *answer == Visited::Recorded && !is_new {
                *answer = Visited::Repeated;
            }
        }
        Ok(answers)
    }
}

/// What is asked of a message, and how much of it there is.
struct Counts {
    opt_in: OptIn,
    /// When it may have gone first: at the end of an attempt that was accepted, or within one of unknown
    /// outcome, whose end is known too late. What comes before proves nothing: taken for evidence that it
    /// went, it would end the attempts to send it.
    gone_at: Option<Timestamp>,
    opened: i64,
    clicked: i64,
    /// Those that are to be recorded.
    seen: BTreeSet<EventKey>,
}

impl Counts {
    fn add(&mut self, visit: &Event) -> Visited {
        let what = &visit.what;
        let is_click = matches!(what, What::Clicked { .. });
        let (is_wanted, count) = if is_click {
            (self.opt_in.clicks, &mut self.clicked)
        } else {
            (self.opt_in.opens, &mut self.opened)
        };
        let by_machine = matches!(
            what,
            What::Opened {
                by_machine: true,
                ..
            }
        );
        let max = if by_machine {
            VISITS_WITH_MACHINES_MAX
        } else {
            VISITS_MAX
        };
        if !is_wanted {
            return Visited::Unwanted;
        }
        if self
            .gone_at
            .is_none_or(|gone_at| visit.occurred_at < gone_at)
        {
            return Visited::Early;
        }
        if self.seen.contains(&visit.key) {
            return Visited::Repeated;
        }
        if *count >= max {
            return Visited::Full;
        }
        *count += 1;
        self.seen.insert(visit.key);
        Visited::Recorded
    }
}

async fn counts(
    tx: &mut Tx,
    ids: impl Iterator<Item = NotificationId>,
) -> Result<BTreeMap<NotificationId, Counts>, Error> {
    let ids: BTreeSet<NotificationId> = ids.collect();
    let stmt = sql(
        "SELECT l.id, t.track_opens, t.track_clicks, coalesce(f.opened_count, 0) AS opened, \
         coalesce(f.clicked_count, 0) AS clicked, f.sent_at, (SELECT MIN(CASE a.outcome \
         WHEN 'unknown' THEN a.started_at ELSE a.finished_at END) \
         FROM delivery_attempts a WHERE a.notification_id = l.id \
         AND a.outcome IN ('accepted', 'unknown')) AS gone_at FROM ",
    )
    .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
    .push(
        " JOIN contact_log l ON l.id = b.id \
         JOIN contact_types t ON t.business_id = l.business_id AND t.name = l.contact_type \
         LEFT JOIN delivery_facts f ON f.notification_id = l.id",
    );
    let mut counts = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let of_this = Counts {
            opt_in: opt_in(&row)?,
            gone_at: row
                .opt_time("gone_at")?
                .into_iter()
                .chain(row.opt_time("sent_at")?)
                .min(),
            opened: row.int("opened")?,
            clicked: row.int("clicked")?,
            seen: BTreeSet::new(),
        };
        counts.insert(NotificationId::new(row.id("id")?), of_this);
    }
    Ok(counts)
}

pub(super) fn opt_in(row: &Row) -> Result<OptIn, Error> {
    Ok(OptIn {
        opens: row.bool("track_opens")?,
        clicks: row.bool("track_clicks")?,
    })
}

/// The contact types of which a business asked for something.
pub(super) async fn of_business(tx: &mut Tx, business: &str) -> Result<Vec<Tracked>, Error> {
    let stmt = sql("SELECT name, track_opens, track_clicks FROM contact_types \
         WHERE (track_opens OR track_clicks) AND business_id = ")
    .bind(business)
    .push(" ORDER BY name LIMIT ")
    .bind(TYPES_MAX);
    let mut tracked = Vec::new();
    for row in tx.all(stmt).await? {
        tracked.push(Tracked {
            contact_type: row.text("name")?,
            opt_in: opt_in(&row)?,
        });
    }
    Ok(tracked)
}

/// From now on a business, which is there, asks for this. Of two that name one type the last holds.
pub(super) async fn change(
    tx: &mut Tx,
    business: &str,
    changes: &[Tracked],
    now: Timestamp,
) -> Result<(), Error> {
    let changes = changes
        .iter()
        .map(|it| (it.contact_type.as_str(), it.opt_in));
    let mut rows = Rows::new(&[
        ("name", Kind::Text),
        ("opens", Kind::Bool),
        ("clicks", Kind::Bool),
    ]);
    for (name, opt_in) in changes.collect::<BTreeMap<_, _>>() {
        rows.add([name.into(), opt_in.opens.into(), opt_in.clicks.into()]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO contact_types (business_id, name, created_at, track_opens, track_clicks) SELECT ",
    )
    .bind(business)
    .push(", b.name, ")
    .bind(now)
    .push(", b.opens, b.clicks FROM ")
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (business_id, name) DO UPDATE \
         SET track_opens = excluded.track_opens, track_clicks = excluded.track_clicks",
    );
    tx.execute(stmt).await?;
    Ok(())
}
