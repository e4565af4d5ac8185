//! How much of one business waits, and for how long.

use super::jobs::{Depth, lanes};
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::form::{self, Form};
use crate::domain::method::Method;

/// Jobs of one lane are counted up to here: a tenth of a second's work.
pub const DEPTH_COUNTED_MAX: i64 = 100_000;

impl Store {
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
        let mut depths: Vec<Depth> = Vec::new();
        for row in tx.all(stmt).await? {
            let method = row.word("method", Method::parse)?;
            let lane = u8::try_from(row.int("lane")?).ok();
            let priority = lane
                .and_then(form::priority_of)
                .ok_or_else(|| Error::corrupt("lane", "no such lane"))?;
            let (waiting, oldest_due_at) = (row.int("waiting")?, row.time("oldest")?);
            let mut known = depths.iter_mut();
            let known = known.find(|it| it.method == method && it.priority == priority);
            if let Some(depth) = known {
                // Recipients of another form.
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
}
