//! How many entries of a contact history have each status.

use super::browse::{Reach, scope};
use super::filter;
use super::history::{Filter, Order};
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::status::Status;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// An entry that is both opened and bounced counts in both.
    pub by_status: Vec<(Status, u64)>,
    /// All entries that were counted.
    pub entries: u64,
    /// Those of them that staff made by hand, which have no status.
    pub by_hand: u64,
    /// There are older ones, which were not counted.
    pub bounded: bool,
}

impl Store {
    /// Of the newest entries that match.
    pub async fn count_statuses(
        &self,
        business: &str,
        filter: &Filter,
        reach: Reach,
    ) -> Result<Counts, Error> {
        let filter = Filter {
            order: Order::NewestFirst,
            after: None,
            ..filter.clone()
        };
        let mut tx = self.db.read().await?;
        let scope = scope(&mut tx, business, &filter, reach).await?;
        let stmt = sql("SELECT recent.status, COUNT(*) AS number FROM \
             (SELECT h.status FROM contact_history h");
        let stmt = filter::matching(stmt, business, &filter, tx.dialect());
        let stmt = filter::ordered(filter::within(stmt, filter.order, &scope), &filter)
            .push(" LIMIT ")
            .bind(reach.counted)
            .push(") AS recent GROUP BY recent.status");
        let mut by_status = Status::ALL.map(|status| (status, 0));
        let (mut entries, mut by_hand) = (0, 0);
        for row in tx.all(stmt).await? {
            let number = u64::try_from(row.int("number")?).unwrap_or(0);
            entries += number;
            let Some(text) = row.opt_text("status")? else {
                by_hand += number;
                continue;
            };
            for (status, count) in &mut by_status {
                if text.split(", ").any(|word| word == status.as_str()) {
                    *count += number;
                }
            }
        }
        let all = u64::try_from(reach.counted).unwrap_or(u64::MAX);
        Ok(Counts {
            by_status: by_status.into(),
            entries,
            by_hand,
            bounded: scope.edge.is_some() || entries >= all,
        })
    }
}
