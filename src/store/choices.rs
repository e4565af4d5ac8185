//! What people choose from when they filter a contact history: the business's own words.

use super::db::Tx;
use super::stmt::sql;
use super::{Error, Store};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// By name.
    pub contact_types: Vec<String>,
    /// Id and name of each staff member, by name.
    pub staff: Vec<(String, String)>,
}

/// The longest list of contact types: beyond it nobody finds one by looking.
const CONTACT_TYPES_MAX: i64 = 200;
/// The longest list of staff members.
const STAFF_MAX: i64 = 500;

impl Store {
    pub async fn choices(&self, business: &str) -> Result<Choices, Error> {
        let mut tx = self.db.read().await?;
        let mut contact_types = contact_types(&mut tx, business, CONTACT_TYPES_MAX).await?;
        let stmt = sql("SELECT staff_id, name FROM staff WHERE business_id = ")
            .bind(business)
            .push(" ORDER BY staff_id LIMIT ")
            .bind(STAFF_MAX);
        let mut staff = Vec::new();
        for row in tx.all(stmt).await? {
            staff.push((row.text("staff_id")?, row.text("name")?));
        }
        let name = |(_, name): &(String, String)| name.to_lowercase();
        contact_types.sort_by_cached_key(|name| name.to_lowercase());
        staff.sort_by_cached_key(name);
        Ok(Choices {
            contact_types,
            staff,
        })
    }
}

/// Those of the business, its own and those of every business, by name.
pub(super) async fn contact_types(
    tx: &mut Tx,
    business: &str,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let stmt = sql("SELECT name FROM contact_types WHERE business_id = ")
        .bind(business)
        .push(" ORDER BY name LIMIT ")
        .bind(limit);
    let rows = tx.all(stmt).await?;
    rows.iter().map(|row| row.text("name")).collect()
}
