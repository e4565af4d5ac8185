//! Folds the ledger anew and compares it with the facts rows, which are to be its fold.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::db::Tx;
use super::fact_parts::PARTS;
use super::feedback::event;
use super::stmt::{Rows, sql};
use super::{Error, Store, facts};
use crate::domain::facts::Facts;
use crate::domain::id::NotificationId;

/// The notifications after one and before another, by their ids and so by their dates.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub after: NotificationId,
    pub below: NotificationId,
}

/// What was found of some notifications of a span.
#[derive(Clone, Debug)]
pub struct Verified {
    pub count: usize,
    pub differences: Vec<Difference>,
    /// Where to go on; none at the end of the span.
    pub last: Option<NotificationId>,
}

/// A notification whose facts are not the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub notification: NotificationId,
    /// The first column of each part that differs.
    pub differs_in: Vec<&'static str>,
}

/// Events read at once: a notification may have any number.
const EVENTS_READ: i64 = 5_000;

type Folded = BTreeMap<NotificationId, Result<Facts, Error>>;

impl Store {
    /// Compares the first `limit` notifications of the span of which anything is known.
    pub async fn verify(&self, span: Span, limit: usize) -> Result<Verified, Error> {
        let mut tx = self.db.read().await?;
        let ids = known(&mut tx, span, limit).await?;
        let last = ids.last().copied();
        let mut differences = Vec::new();
        if let Some(last) = last {
            let mut kept = kept(&mut tx, &ids).await?;
            let mut folded = Folded::new();
            fold(&mut tx, span.after, last, &mut folded).await?;
            for id in &ids {
                let of =
                    |facts: &mut Folded| facts.remove(id).unwrap_or_else(|| Ok(Facts::default()));
                let differs_in = differs_in(&of(&mut kept), &of(&mut folded));
                if !differs_in.is_empty() {
                    differences.push(Difference {
                        notification: *id,
                        differs_in,
                    });
                }
            }
        }
        Ok(Verified {
            count: ids.len(),
            differences,
            last: last.filter(|_| ids.len() >= limit),
        })
    }

    /// Writes the facts of these notifications anew from the ledger. Returns those whose events cannot
    /// be read, and whose facts stay as they are.
    pub async fn repair(&self, ids: &[NotificationId]) -> Result<Vec<NotificationId>, Error> {
        super::again(|| self.repair_once(ids)).await
    }

    async fn repair_once(&self, ids: &[NotificationId]) -> Result<Vec<NotificationId>, Error> {
        let mut tx = self.db.write().await?;
        hold(&mut tx, ids).await?;
        // What another writer appended and has not merged yet it merges after us, into what we write.
        let mut folded = Folded::new();
        for id in ids {
            folded.insert(*id, Ok(Facts::default()));
            let before = Uuid::from_u128(id.uuid().as_u128().saturating_sub(1));
            fold(&mut tx, NotificationId::new(before), *id, &mut folded).await?;
        }
        for part in PARTS {
            let mut rows = Rows::new(part.columns);
            for (id, facts) in &folded {
                if let Ok(facts) = facts {
                    let key = std::iter::once(id.uuid().into());
                    rows.push(key.chain((part.values)(facts)));
                }
            }
            facts::write(&mut tx, part, rows).await?;
        }
        tx.commit().await?;
        let unreadable = folded.into_iter().filter(|(_, facts)| facts.is_err());
        Ok(unreadable.map(|(id, _)| id).collect())
    }
}

/// The first ids that have events or a facts row, in order.
async fn known(tx: &mut Tx, span: Span, limit: usize) -> Result<Vec<NotificationId>, Error> {
    let mut ids = BTreeSet::new();
    for select in [
        "SELECT notification_id FROM delivery_facts WHERE notification_id > ",
        "SELECT DISTINCT notification_id FROM delivery_events WHERE notification_id > ",
    ] {
        let stmt = sql(select)
            .bind(span.after.uuid())
            .push(" AND notification_id < ")
            .bind(span.below.uuid())
            .push(" ORDER BY notification_id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        for row in tx.all(stmt).await? {
            ids.insert(NotificationId::new(row.id("notification_id")?));
        }
    }
    Ok(ids.into_iter().take(limit).collect())
}

/// The facts rows as they are.
async fn kept(tx: &mut Tx, ids: &[NotificationId]) -> Result<Folded, Error> {
    let selected = PARTS.iter();
    let selected = selected.fold(sql("SELECT f.notification_id"), |stmt, part| {
        stmt.push(part.select)
    });
    let stmt = selected
        .push(" FROM ")
        .rows(Rows::of_ids(ids.iter().map(|id| id.uuid())))
        .push(" JOIN delivery_facts f ON f.notification_id = b.id");
    let mut kept = Folded::new();
    for row in tx.all(stmt).await? {
        let id = NotificationId::new(row.id("notification_id")?);
        kept.insert(id, readable(facts::read(&row))?);
    }
    Ok(kept)
}

/// Folds the events of every notification after one, up to another.
async fn fold(
    tx: &mut Tx,
    after: NotificationId,
    last: NotificationId,
    folded: &mut Folded,
) -> Result<(), Error> {
    let mut read = (after.uuid(), Uuid::max());
    loop {
        let stmt = sql(
            "SELECT notification_id, event_key, kind, occurred_at, source, detail \
             FROM delivery_events WHERE (notification_id, event_key) > (",
        )
        .bind(read.0)
        .push(", ")
        .bind(read.1)
        .push(") AND notification_id <= ")
        .bind(last.uuid())
        .push(" ORDER BY notification_id, event_key LIMIT ")
        .bind(EVENTS_READ);
        let rows = tx.all(stmt).await?;
        for row in &rows {
            read = (row.id("notification_id")?, row.id("event_key")?);
            let id = NotificationId::new(read.0);
            let facts = folded.entry(id).or_insert_with(|| Ok(Facts::default()));
            match (readable(event(row, id))?, facts.as_mut()) {
                (Ok(event), Ok(facts)) => facts.apply(&event),
                (Err(why), _) => *facts = Err(why),
                (Ok(_), Err(_)) => {}
            }
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < EVENTS_READ) {
            return Ok(());
        }
    }
}

/// Makes the rows that are missing, and holds all of them.
async fn hold(tx: &mut Tx, ids: &[NotificationId]) -> Result<(), Error> {
    let rows = || Rows::of_ids(ids.iter().map(|id| id.uuid()));
    let stmt = sql(
        "INSERT INTO delivery_facts (notification_id, opens_tracked, opened_count, clicked_count) \
         SELECT b.id, false, 0, 0 FROM ",
    )
    .rows(rows())
    .push(" WHERE true ON CONFLICT (notification_id) DO NOTHING");
    tx.execute(stmt).await?;
    let stmt = sql("SELECT f.notification_id FROM ")
        .rows(rows())
        .push(" JOIN delivery_facts f ON f.notification_id = b.id")
        .push(
            tx.dialect()
                .lock(" ORDER BY f.notification_id FOR UPDATE OF f"),
        );
    tx.all(stmt).await?;
    Ok(())
}

/// A row that cannot be read is a finding, not the end of the search.
fn readable<T>(read: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match read {
        Err(why @ Error::Corrupt { .. }) => Ok(Err(why)),
        Err(failed) => Err(failed),
        Ok(value) => Ok(Ok(value)),
    }
}

fn differs_in(kept: &Result<Facts, Error>, folded: &Result<Facts, Error>) -> Vec<&'static str> {
    match (kept, folded) {
        (_, Err(_)) => vec!["an event that cannot be read"],
        (Err(_), Ok(_)) => vec!["a facts row that cannot be read"],
        (Ok(kept), Ok(folded)) => {
            let changed = PARTS.iter().filter(|part| (part.changed)(kept, folded));
            // After the key.
            let first = changed.filter_map(|part| part.columns.get(1));
            first.map(|(name, _)| *name).collect()
        }
    }
}
