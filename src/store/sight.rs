//! Which clients somebody sees, in SQL.

use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::role::Sight;

impl Store {
    /// Whether this client of the business is in sight.
    pub async fn sees_client(
        &self,
        business: &str,
        sight: &Sight,
        client_id: &str,
    ) -> Result<bool, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT 1 AS one FROM clients c WHERE c.business_id = ")
            .bind(business)
            .push(" AND c.client_id = ")
            .bind(client_id);
        let stmt = of_cards(stmt, sight);
        Ok(tx.optional(stmt).await?.is_some())
    }
}

/// Narrows a statement to the clients in sight; `column` is what holds their uid, with its `IN`.
pub(super) fn within(stmt: Stmt, column: &'static str, business: &str, sight: &Sight) -> Stmt {
    let of = |stmt: Stmt| {
        stmt.push(column)
            .push("(SELECT uid FROM clients WHERE business_id = ")
            .bind(business)
    };
    match sight {
        Sight::All => stmt,
        Sight::Locations(locations) => of(stmt)
            .push(" AND location IN ")
            .bind_list(locations.iter())
            .push(")"),
        Sight::Own(staff_id) => of(stmt).push(" AND staff_id = ").bind(staff_id).push(")"),
    }
}

/// Narrows a statement about cards, which it calls `c`, to those in sight.
pub(super) fn of_cards(stmt: Stmt, sight: &Sight) -> Stmt {
    match sight {
        Sight::All => stmt,
        Sight::Locations(locations) => stmt.push(" AND c.location IN ").bind_list(locations.iter()),
        Sight::Own(staff_id) => stmt.push(" AND c.staff_id = ").bind(staff_id),
    }
}
