//! Keys that all processes on one database share, made by the first that needs them.

use super::stmt::sql;
use super::{Error, Store};

impl Store {
    /// The key of this name; `fresh` when there was none.
    pub async fn secret(&self, name: &str, fresh: &str) -> Result<String, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO secrets (name, value, created_at) VALUES (")
            .bind(name)
            .push(", ")
            .bind(fresh)
            .push(", ")
            .bind(self.clock.now())
            .push(") ON CONFLICT (name) DO NOTHING");
        tx.execute(stmt).await?;
        let stmt = sql("SELECT value FROM secrets WHERE name = ").bind(name);
        let row = tx.optional(stmt).await?.ok_or(Error::Raced)?;
        let value = row.text("value")?;
        tx.commit().await?;
        Ok(value)
    }
}
