//! How much waits, and for how long: of all, and of one business.

use super::jobs::lanes;
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::flow::{Kind, Step};
use crate::domain::form::{self, Form};
use crate::domain::id::NotificationId;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;

/// Jobs of one lane are counted up to here: a tenth of a second's work.
pub const DEPTH_COUNTED_MAX: i64 = 100_000;

/// Jobs of one priority that wait, whatever the forms of their recipients.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    pub method: Method,
    pub priority: Priority,
    pub waiting: i64,
    /// When the job that has been due for longest was due; later than now when none is due yet.
    pub oldest_due_at: Timestamp,
}

impl Store {
    /// How many jobs of each priority wait, up to `counted_max` in each lane (of those that wait for a
    /// later time, that many in all), and for how long: of those counted, the longest due. Where none
    /// waits is left out.
    pub async fn depth(&self, counted_max: i64) -> Result<Vec<Depth>, Error> {
        let mut tx = self.db.read().await?;
        // Each part walks one index, so that no backlog makes it long.
        let mut stmt = sql(
            "SELECT method, lane, CAST(COUNT(*) AS bigint) AS waiting, MIN(due_at) AS oldest FROM \
             (SELECT * FROM (SELECT j.method, j.lane, j.due_at FROM jobs j WHERE NOT j.ready \
             ORDER BY j.due_at, j.id LIMIT ",
        )
        .bind(counted_max)
        .push(") AS due");
        for method in Method::SENT_BY_US {
            for lane in lanes(Form::all_of(method)) {
                stmt = stmt
                    .push(
                        " UNION ALL SELECT * FROM (SELECT j.method, j.lane, j.due_at FROM jobs j \
                         WHERE j.ready AND j.method = ",
                    )
                    .bind(method.as_str())
                    .push(" AND j.lane = ")
                    .bind(i64::from(lane))
                    .push(" ORDER BY j.business_id, j.due_at, j.id LIMIT ")
                    .bind(counted_max)
                    .push(") AS due");
            }
        }
        let stmt = stmt.push(") AS waiting GROUP BY method, lane");
        let mut depths = summed(&tx.all(stmt).await?)?;
        depths.sort_by_key(|depth| (depth.method, depth.priority));
        Ok(depths)
    }

    /// How many due jobs of a business wait in each lane, up to [`DEPTH_COUNTED_MAX`] in each, and since
    /// when the one that has been due for longest. Empty lanes are left out.
    pub async fn depth_of(&self, business: &str) -> Result<Vec<Depth>, Error> {
        let mut tx = self.db.read().await?;
        let mut stmt = sql("SELECT method, lane, CAST(COUNT(*) AS bigint) AS waiting, \
             MIN(due_at) AS oldest FROM (");
        let queues = Method::SENT_BY_US.into_iter();
        let queues = queues.flat_map(|method| {
            let lanes = lanes(Form::all_of(method)).into_iter();
            lanes.map(move |lane| (method, lane))
        });
        for (place, (method, lane)) in queues.enumerate() {
            stmt = stmt
                .push(if place == 0 { "" } else { " UNION ALL " })
                .push(
                    "SELECT * FROM (SELECT j.method, j.lane, j.due_at FROM jobs j \
                     WHERE j.ready AND j.method = ",
                )
                .bind(method.as_str())
                .push(" AND j.lane = ")
                .bind(i64::from(lane))
                .push(" AND j.business_id = ")
                .bind(business)
                .push(" ORDER BY j.due_at, j.id LIMIT ")
                .bind(DEPTH_COUNTED_MAX)
                .push(") AS due");
        }
        let stmt = stmt.push(") AS waiting GROUP BY method, lane ORDER BY method, lane");
        summed(&tx.all(stmt).await?)
    }

    /// The methods of which some provider has taken a message over since then. By the counts, so that
    /// it costs the same however much was sent.
    pub async fn sent_since(&self, since: Timestamp) -> Result<Vec<Method>, Error> {
        let mut tx = self.db.read().await?;
        let mut sent = Vec::new();
        for method in Method::SENT_BY_US {
            let of = |stmt: Stmt| {
                stmt.push(" AND kind = ")
                    .bind(Kind::Sent.as_str())
                    .push(" AND method = ")
                    .bind(method.as_str())
                    .push(" LIMIT 1")
            };
            let folded = sql("SELECT at FROM flow_counts WHERE step_seconds = ")
                .bind(Step::Minute.seconds())
                .push(" AND at >= ")
                .bind(Step::Minute.floor(since));
            let unfolded = sql("SELECT at FROM flow_increments WHERE id >= ")
                .bind(NotificationId::floor(since).uuid());
            if tx.optional(of(folded)).await?.is_some()
                || tx.optional(of(unfolded)).await?.is_some()
            {
                sent.push(method);
            }
        }
        Ok(sent)
    }
}

/// Recipients of different forms wait in lanes of their own.
fn summed(rows: &[Row]) -> Result<Vec<Depth>, Error> {
    let mut depths: Vec<Depth> = Vec::new();
    for row in rows {
        let method = row.word("method", Method::parse)?;
        let lane = u8::try_from(row.int("lane")?).ok();
        let priority = lane
            .and_then(form::priority_of)
            .ok_or_else(|| Error::corrupt("lane", "no such lane"))?;
        let (waiting, oldest_due_at) = (row.int("waiting")?, row.time("oldest")?);
        let mut known = depths.iter_mut();
        let known = known.find(|it| it.method == method && it.priority == priority);
        if let Some(depth) = known {
            depth.waiting += waiting;
            depth.oldest_due_at = depth.oldest_due_at.min(oldest_due_at);
        } else {
            depths.push(Depth {
                method,
                priority,
                waiting,
                oldest_due_at,
            });
        }
    }
    Ok(depths)
}
