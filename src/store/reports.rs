//! Events that applications report of their notifications: a message that was opened in the app, a link
//! that leads to it.

use super::feedback::event;
use super::stmt::sql;
use super::{Error, Store, facts};
use crate::domain::event::Event;

/// What became of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Reported {
    New,
    /// An event with this key is in the ledger already, and this is it.
    Before(Event),
}

impl Store {
    /// Keeps an event once, by its key. `None`: the business has no such notification.
    pub async fn report(&self, business: &str, new: &Event) -> Result<Option<Reported>, Error> {
        super::again(|| self.report_once(business, new)).await
    }

    async fn report_once(&self, business: &str, new: &Event) -> Result<Option<Reported>, Error> {
        let id = new.notification;
        let mut tx = self.db.write().await?;
        let stmt = sql("SELECT id FROM contact_log WHERE id = ")
            .bind(id.uuid())
            .push(" AND business_id = ")
            .bind(business);
        if tx.optional(stmt).await?.is_none() {
            return Ok(None);
        }
        let now = self.clock.now();
        let kept = facts::merge(&mut tx, &self.clock, std::slice::from_ref(new), now).await?;
        if !kept.is_empty() {
            tx.commit().await?;
            return Ok(Some(Reported::New));
        }
        let stmt = sql(
            "SELECT event_key, kind, occurred_at, source, detail FROM delivery_events \
             WHERE notification_id = ",
        )
        .bind(id.uuid())
        .push(" AND event_key = ")
        .bind(new.key.0);
        let row = tx.optional(stmt).await?.ok_or(Error::Raced)?;
        Ok(Some(Reported::Before(event(&row, id)?)))
    }
}
