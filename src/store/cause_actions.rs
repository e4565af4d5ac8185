//! What people do about causes: dismiss them, have their messages sent again. All of it stays on record.

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Arg, Kind, Rows, sql};
use super::{Error, Store};
use crate::clock::Clock;
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub at: Timestamp,
    /// The name of a member of staff, of an API key, or the command line.
    pub by: String,
    pub what: Did,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    Dismissed {
        note: String,
    },
    /// The run, and how far it is where it is there.
    Resent {
        run: Uuid,
        sent: Option<u64>,
    },
}

/// Causes that have something in common.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    pub method: Option<Method>,
    pub provider: Option<String>,
    pub category: Option<Category>,
}

impl Store {
    /// Dismisses causes of the business until they are seen again. Returns which there are.
    pub async fn dismiss_causes(
        &self,
        business: &str,
        causes: &[Uuid],
        by: &str,
        note: &str,
    ) -> Result<Vec<Uuid>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let stmt = sql("UPDATE failure_causes SET dismissed_at = ")
            .bind(now)
            .push(", dismissed_by = ")
            .bind(by)
            .push(" WHERE id IN (SELECT c.id FROM failure_causes c WHERE c.business_id = ")
            .bind(business)
            .push(" AND c.id IN (SELECT b.id FROM ")
            .rows(Rows::of_ids(causes.iter().copied()))
            .push(")")
            .push(tx.dialect().lock(" ORDER BY c.id FOR UPDATE"))
            .push(") RETURNING id");
        let rows = if causes.is_empty() {
            Vec::new()
        } else {
            tx.all(stmt).await?
        };
        let ids = rows.iter().map(|row| row.id("id"));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let acts = ids.iter().map(|cause| Act {
            id: self.clock.new_uuid(now),
            cause: *cause,
            run: None,
            note: Some(note),
        });
        keep(&mut tx, (business, by, now), acts.collect()).await?;
        tx.commit().await?;
        Ok(ids)
    }

    /// What was done about a cause, the latest first.
    pub async fn cause_actions(
        &self,
        business: &str,
        cause: Uuid,
        limit: usize,
    ) -> Result<Vec<Action>, Error> {
        let stmt = sql(
            "SELECT a.at, a.by_whom, a.action, a.note, a.run_id, r.sent FROM cause_actions a \
             LEFT JOIN resend_runs r ON r.id = a.run_id WHERE a.cause_id = ",
        )
        .bind(cause)
        .push(" AND a.business_id = ")
        .bind(business)
        .push(" ORDER BY a.id DESC LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        rows.iter().map(action).collect()
    }

    /// Which causes of the business are so and not dismissed; some of them where there are more.
    pub async fn causes_of(
        &self,
        business: &str,
        kinds: &Kinds,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error> {
        let mut stmt = sql(
            "SELECT c.id FROM failure_causes c WHERE c.dismissed_at IS NULL AND c.business_id = ",
        )
        .bind(business);
        if let Some(method) = kinds.method {
            stmt = stmt.push(" AND c.method = ").bind(method.as_str());
        }
        if let Some(provider) = &kinds.provider {
            stmt = stmt.push(" AND c.provider = ").bind(provider);
        }
        if let Some(category) = kinds.category {
            stmt = stmt.push(" AND c.category = ").bind(category.as_str());
        }
        let stmt = stmt
            .push(" ORDER BY c.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        rows.iter().map(|row| row.id("id")).collect()
    }

    /// Which of these causes are the business's.
    pub async fn own_causes(&self, business: &str, ids: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let stmt = sql("SELECT c.id FROM failure_causes c WHERE c.business_id = ")
            .bind(business)
            .push(" AND c.id IN (SELECT b.id FROM ")
            .rows(Rows::of_ids(ids.iter().copied()))
            .push(")");
        let mut tx = self.db.read().await?;
        let rows = tx.all(stmt).await?;
        rows.iter().map(|row| row.id("id")).collect()
    }
}

/// One thing that was done.
struct Act<'a> {
    id: Uuid,
    cause: Uuid,
    run: Option<Uuid>,
    note: Option<&'a str>,
}

/// Notes on causes that a run sends their messages again, in the transaction that begins it.
pub(super) async fn resent(
    tx: &mut Tx,
    clock: &Clock,
    (business, by): (&str, &str),
    causes: &[Uuid],
    run: Uuid,
) -> Result<(), Error> {
    let now = clock.now();
    let acts = causes.iter().map(|cause| Act {
        id: clock.new_uuid(now),
        cause: *cause,
        run: Some(run),
        note: None,
    });
    keep(tx, (business, by, now), acts.collect()).await
}

async fn keep(
    tx: &mut Tx,
    (business, by, at): (&str, &str, Timestamp),
    acts: Vec<Act<'_>>,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("business_id", Kind::Text),
        ("cause_id", Kind::Id),
        ("at", Kind::Time),
        ("by_whom", Kind::Text),
        ("action", Kind::Text),
        ("note", Kind::Text),
        ("run_id", Kind::Id),
    ]);
    for act in acts {
        let action = if act.run.is_some() {
            "resent"
        } else {
            "dismissed"
        };
        rows.add([
            act.id.into(),
            business.into(),
            act.cause.into(),
            at.into(),
            by.into(),
            Arg::Word(action),
            act.note.into(),
            act.run.into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql("INSERT INTO cause_actions \
         (id, business_id, cause_id, at, by_whom, action, note, run_id) \
         SELECT b.id, b.business_id, b.cause_id, b.at, b.by_whom, b.action, b.note, b.run_id FROM ");
    tx.execute(stmt.rows(rows)).await?;
    Ok(())
}

fn action(row: &Row) -> Result<Action, Error> {
    let what = match row.opt_id("run_id")? {
        Some(run) => {
            let sent = row.opt_int("sent")?;
            let sent = sent.map(|sent| u64::try_from(sent).unwrap_or(0));
            Did::Resent { run, sent }
        }
        None => Did::Dismissed {
            note: row.opt_text("note")?.unwrap_or_default(),
        },
    };
    Ok(Action {
        at: row.time("at")?,
        by: row.text("by_whom")?,
        what,
    })
}
