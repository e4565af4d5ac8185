//! The columns of a contact history that a member does not want to see, remembered with the account.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::stmt::sql;
use super::{Error, Store};
use crate::domain::column::Column;

impl Store {
    /// From the next page on. No session ends, and nothing is recorded: it concerns nobody else.
    pub async fn hide_columns(&self, account: Uuid, hidden: &[Column]) -> Result<(), Error> {
        let words: Vec<&str> = hidden.iter().map(|column| column.as_str()).collect();
        let stmt = sql("UPDATE staff_accounts SET hidden_columns = ")
            .bind(json!(words))
            .push(" WHERE id = ")
            .bind(account);
        let mut tx = self.db.write().await?;
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

/// Names that this version does not know hide nothing.
pub(super) fn hidden(stored: Option<&Json>) -> Vec<Column> {
    let words = stored.and_then(Json::as_array).into_iter().flatten();
    let known = words.filter_map(|word| Column::parse(word.as_str()?));
    known.filter(|column| column.may_be_hidden()).collect()
}
