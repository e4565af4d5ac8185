//! The facts rows: the fold of the ledger, kept beside it. Always written through
//! [`merge`], which keeps a new event only once and holds the row while it merges.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::row::Row;
use super::stmt::{Arg, Dialect, Kind, Rows, sql};
use crate::domain::event::{Bounce, Event, EventKey, Failure, Severity, What};
use crate::domain::facts::{Bounced, Clicked, Complained, Delayed, Facts, Failed, Opened, Sent};
use crate::domain::id::NotificationId;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// Appends events to the ledger and merges those that are new into the facts. Returns how many
/// were new. The notifications must exist.
pub(super) async fn merge(tx: &mut Tx, events: &[Event], now: Timestamp) -> Result<usize, Error> {
    let new = append(tx, events, now).await?;
    apply(tx, &new).await?;
    Ok(new.values().map(Vec::len).sum())
}

/// Merges events that were just appended, so that each is merged exactly once.
pub(super) async fn apply(
    tx: &mut Tx,
    new: &BTreeMap<NotificationId, Vec<&Event>>,
) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = new.keys().map(|id| id.uuid()).collect();
    let mut facts = lock(tx, &ids).await?;
    for (id, events) in new {
        let facts = facts.entry(*id).or_default();
        for event in events {
            facts.apply(event);
        }
    }
    write(tx, &facts).await
}

/// The events that were not in the ledger yet, by notification in ascending order.
pub(super) async fn append<'a>(
    tx: &mut Tx,
    events: &'a [Event],
    now: Timestamp,
) -> Result<BTreeMap<NotificationId, Vec<&'a Event>>, Error> {
    // In one order for every writer, so that two of them cannot wait for each other.
    let distinct: BTreeMap<(NotificationId, EventKey), &Event> = events
        .iter()
        .map(|event| ((event.notification, event.key), event))
        .collect();
    let mut rows = Rows::new(&[
        ("notification_id", Kind::Id),
        ("event_key", Kind::Id),
        ("kind", Kind::Text),
        ("occurred_at", Kind::Time),
        ("recorded_at", Kind::Time),
        ("source", Kind::Text),
        ("detail", Kind::Json),
    ]);
    for event in distinct.values() {
        rows.add([
            event.notification.uuid().into(),
            event.key.0.into(),
            event.what.kind().into(),
            event.occurred_at.into(),
            now.into(),
            (&event.source).into(),
            detail(&event.what)?.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let stmt = sql("INSERT INTO delivery_events \
         (notification_id, event_key, kind, occurred_at, recorded_at, source, detail) \
         SELECT b.notification_id, b.event_key, b.kind, b.occurred_at, b.recorded_at, b.source, \
         b.detail FROM ")
    .rows(rows)
    .push(
        " WHERE true ON CONFLICT (notification_id, event_key) DO NOTHING \
         RETURNING notification_id, event_key",
    );
    let mut new: BTreeMap<NotificationId, Vec<&Event>> = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("notification_id")?);
        let key = EventKey(row.id("event_key")?);
        if let Some(event) = distinct.get(&(id, key)) {
            new.entry(id).or_default().push(event);
        }
    }
    Ok(new)
}

/// The `detail` column: what the event says beside its kind.
pub(super) fn detail(what: &What) -> Result<serde_json::Value, Error> {
    let mut value = serde_json::to_value(what).map_err(Error::encode)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("kind");
    }
    Ok(value)
}

/// The event that a ledger row holds.
pub(super) fn what(row: &Row) -> Result<What, Error> {
    let kind = row.text("kind")?;
    let mut detail = row.opt_json("detail")?.unwrap_or_default();
    if let Some(object) = detail.as_object_mut() {
        object.insert("kind".to_owned(), kind.into());
    }
    serde_json::from_value(detail).map_err(|e| Error::corrupt("detail", e))
}

/// The facts rows of these notifications, made where they are missing and locked until the
/// transaction ends.
async fn lock(tx: &mut Tx, ids: &[Uuid]) -> Result<BTreeMap<NotificationId, Facts>, Error> {
    let stmt = sql("INSERT INTO delivery_facts \
         (notification_id, opens_tracked, opened_count, clicked_count) SELECT b.id, ")
    .bind(false)
    .push(", 0, 0 FROM ")
    .rows(Rows::of_ids(ids.iter().copied()))
    .push(" WHERE true ON CONFLICT (notification_id) DO NOTHING");
    tx.execute(stmt).await?;
    let lock = match tx.dialect() {
        Dialect::Postgres => " ORDER BY f.notification_id FOR UPDATE OF f",
        Dialect::Sqlite => "", // the only writer
    };
    let stmt = sql("SELECT f.* FROM ")
        .rows(Rows::of_ids(ids.iter().copied()))
        .push(" JOIN delivery_facts f ON f.notification_id = b.id")
        .push(lock);
    let mut facts = BTreeMap::new();
    for row in tx.all(stmt).await? {
        facts.insert(NotificationId::new(row.id("notification_id")?), read(&row)?);
    }
    Ok(facts)
}

/// Facts from a row that holds the columns of `delivery_facts`, all null when there is none.
pub(super) fn read(row: &Row) -> Result<Facts, Error> {
    let category = |column| -> Result<Category, Error> {
        Ok(row
            .opt_text(column)?
            .as_deref()
            .and_then(Category::parse)
            .unwrap_or(Category::Unknown))
    };
    let key = |column| row.id(column).map(EventKey);
    let sent = row.opt_time("sent_at")?.map(|at| -> Result<Sent, Error> {
        Ok(Sent {
            at,
            key: key("sent_key")?,
            provider: row.opt_text("provider")?.unwrap_or_default(),
            provider_message_id: row.opt_text("provider_message_id")?,
            opens_tracked: row.opt_bool("opens_tracked")?.unwrap_or(false),
        })
    });
    let failed = row
        .opt_time("failed_at")?
        .map(|at| -> Result<Failed, Error> {
            let failure = Failure {
                category: category("failed_category")?,
                code: row.opt_text("failed_code")?,
                provider_text: row.opt_text("failed_text")?,
            };
            Ok(Failed {
                at,
                key: key("failed_key")?,
                failure,
            })
        });
    let delayed = row
        .opt_time("delayed_at")?
        .map(|at| -> Result<Delayed, Error> {
            Ok(Delayed {
                at,
                key: key("delayed_key")?,
                delay_type: row.opt_text("delayed_type")?,
            })
        });
    let complained = row
        .opt_time("complained_at")?
        .map(|at| -> Result<Complained, Error> {
            let feedback_type = row.opt_text("complained_type")?;
            Ok(Complained {
                at,
                key: key("complained_key")?,
                feedback_type,
            })
        });
    let opened = row
        .opt_time("opened_first_at")?
        .map(|first_at| -> Result<Opened, Error> {
            Ok(Opened {
                first_at,
                last_at: row.time("opened_last_at")?,
                count: row.int("opened_count")?,
                by_person_at: row.opt_time("opened_by_person_at")?,
            })
        });
    let clicked = row
        .opt_time("clicked_first_at")?
        .map(|first_at| -> Result<Clicked, Error> {
            let (last_at, count) = (row.time("clicked_last_at")?, row.int("clicked_count")?);
            Ok(Clicked {
                first_at,
                last_at,
                count,
            })
        });
    Ok(Facts {
        sent: sent.transpose()?,
        failed: failed.transpose()?,
        delivered_at: row.opt_time("delivered_at")?,
        delayed: delayed.transpose()?,
        bounced: bounced(row, category("bounced_category")?)?,
        complained: complained.transpose()?,
        opened: opened.transpose()?,
        clicked: clicked.transpose()?,
        unsubscribed_at: row.opt_time("unsubscribed_at")?,
    })
}

fn bounced(row: &Row, category: Category) -> Result<Option<Bounced>, Error> {
    let Some(at) = row.opt_time("bounced_at")? else {
        return Ok(None);
    };
    let bounce = Bounce {
        severity: row.word("bounced_severity", Severity::parse)?,
        category,
        subtype: row.opt_text("bounced_subtype")?,
        status: row.opt_text("bounced_status")?,
        diagnostic: row.opt_text("bounced_text")?,
    };
    Ok(Some(Bounced {
        at,
        key: EventKey(row.id("bounced_key")?),
        bounce,
    }))
}

macro_rules! fact_columns {
    ($(($name:literal, $kind:ident)),* $(,)?) => {
        const COLUMNS: &[(&str, Kind)] =
            &[("notification_id", Kind::Id), $(($name, Kind::$kind)),*];
        const UPDATE: &str = concat!("UPDATE delivery_facts SET ", $($name, " = b.", $name, ", "),*);
    };
}

fact_columns! {
    ("sent_at", Time), ("sent_key", Id), ("provider", Text), ("provider_message_id", Text),
    ("opens_tracked", Bool),
    ("failed_at", Time), ("failed_key", Id), ("failed_category", Text), ("failed_code", Text),
    ("failed_text", Text),
    ("delivered_at", Time),
    ("delayed_at", Time), ("delayed_key", Id), ("delayed_type", Text),
    ("bounced_at", Time), ("bounced_key", Id), ("bounced_severity", Text),
    ("bounced_category", Text), ("bounced_subtype", Text), ("bounced_status", Text),
    ("bounced_text", Text),
    ("complained_at", Time), ("complained_key", Id), ("complained_type", Text),
    ("opened_first_at", Time), ("opened_last_at", Time), ("opened_by_person_at", Time),
    ("opened_count", Int),
    ("clicked_first_at", Time), ("clicked_last_at", Time), ("clicked_count", Int),
    ("unsubscribed_at", Time),
}

/// Every row is there: `lock` made it.
async fn write(tx: &mut Tx, facts: &BTreeMap<NotificationId, Facts>) -> Result<(), Error> {
    let mut rows = Rows::new(COLUMNS);
    for (id, facts) in facts {
        rows.add(columns(*id, facts));
    }
    let stmt = sql(UPDATE)
        .push("notification_id = b.notification_id FROM ")
        .rows(rows)
        .push(" WHERE delivery_facts.notification_id = b.notification_id");
    tx.execute(stmt).await?;
    Ok(())
}

fn columns(id: NotificationId, facts: &Facts) -> [Arg; 33] {
    let sent = facts.sent.as_ref();
    let failed = facts.failed.as_ref();
    let delayed = facts.delayed.as_ref();
    let bounced = facts.bounced.as_ref();
    let complained = facts.complained.as_ref();
    let opened = facts.opened.as_ref();
    let clicked = facts.clicked.as_ref();
    [
        id.uuid().into(),
        sent.map(|s| s.at).into(),
        sent.map(|s| s.key.0).into(),
        sent.map(|s| s.provider.clone()).into(),
        sent.and_then(|s| s.provider_message_id.clone()).into(),
        sent.is_some_and(|s| s.opens_tracked).into(),
        failed.map(|f| f.at).into(),
        failed.map(|f| f.key.0).into(),
        failed.map(|f| f.failure.category.as_str()).into(),
        failed.and_then(|f| f.failure.code.clone()).into(),
        failed.and_then(|f| f.failure.provider_text.clone()).into(),
        facts.delivered_at.into(),
        delayed.map(|d| d.at).into(),
        delayed.map(|d| d.key.0).into(),
        delayed.and_then(|d| d.delay_type.clone()).into(),
        bounced.map(|b| b.at).into(),
        bounced.map(|b| b.key.0).into(),
        bounced.map(|b| b.bounce.severity.as_str()).into(),
        bounced.map(|b| b.bounce.category.as_str()).into(),
        bounced.and_then(|b| b.bounce.subtype.clone()).into(),
        bounced.and_then(|b| b.bounce.status.clone()).into(),
        bounced.and_then(|b| b.bounce.diagnostic.clone()).into(),
        complained.map(|c| c.at).into(),
        complained.map(|c| c.key.0).into(),
        complained.and_then(|c| c.feedback_type.clone()).into(),
        opened.map(|o| o.first_at).into(),
        opened.map(|o| o.last_at).into(),
        opened.and_then(|o| o.by_person_at).into(),
        opened.map_or(0, |o| o.count).into(),
        clicked.map(|c| c.first_at).into(),
        clicked.map(|c| c.last_at).into(),
        clicked.map_or(0, |c| c.count).into(),
        facts.unsubscribed_at.into(),
    ]
}
