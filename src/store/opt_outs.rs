//! Opt-outs by the link in a message: the recipient ends bulk email and may take it back.

use std::collections::BTreeMap;

use super::db::Tx;
use super::stmt::sql;
use super::suppressions::{self, Details, Key, Lifting, RECIPIENT};
use super::{Error, Store, facts};
use crate::domain::address::Address;
use crate::domain::event::{Event, EventKey, What};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;

/// How the recipient of an email stands with the business that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub business: String,
    pub business_name: String,
    /// No bulk email is sent to the recipient.
    pub unsubscribed: bool,
}

impl Store {
    /// `None` when there is no such email.
    pub async fn subscription(&self, id: NotificationId) -> Result<Option<Subscription>, Error> {
        let mut tx = self.db.read().await?;
        let Some((mut found, key)) = recipient(&mut tx, id).await? else {
            return Ok(None);
        };
        let entry = suppressions::in_force(&mut tx, &key, self.clock.now()).await?;
        found.unsubscribed = entry.is_some();
        Ok(Some(found))
    }

    /// Ends bulk email to the recipient of this one. To repeat it changes nothing.
    pub async fn opt_out(&self, id: NotificationId) -> Result<Option<Subscription>, Error> {
        super::again(|| self.opt_out_once(id)).await
    }

    async fn opt_out_once(&self, id: NotificationId) -> Result<Option<Subscription>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let Some((mut found, key)) = recipient(&mut tx, id).await? else {
            return Ok(None);
        };
        let known = suppressions::in_force(&mut tx, &key, now).await?;
        let entry = known.as_ref().map(|entry| entry.id);
        let entry = entry.unwrap_or_else(|| self.clock.new_uuid(now));
        let how = Some("link".to_owned());
        let event = event(
            id,
            EventKey::of_opting_out(entry),
            What::Unsubscribed { how },
            now,
        );
        facts::merge(&mut tx, &self.clock, &[event], now).await?;
        if known.is_none() {
            let details = Details {
                id: entry,
                source: RECIPIENT.to_owned(),
                notification: Some(id),
                staff_id: None,
                note: None,
                expires_at: None,
            };
            suppressions::add(&mut tx, &BTreeMap::from([(key.clone(), details)]), now).await?;
            let kept = suppressions::in_force(&mut tx, &key, now).await?;
            // Another opt-out was faster: the event must be named after its entry.
            kept.filter(|kept| kept.id == entry).ok_or(Error::Raced)?;
        }
        tx.commit().await?;
        found.unsubscribed = true;
        Ok(Some(found))
    }

    /// Takes the opt-out back. To repeat it changes nothing; other reasons against the address stay.
    pub async fn opt_in(&self, id: NotificationId) -> Result<Option<Subscription>, Error> {
        super::again(|| self.opt_in_once(id)).await
    }

    async fn opt_in_once(&self, id: NotificationId) -> Result<Option<Subscription>, Error> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        let Some((found, key)) = recipient(&mut tx, id).await? else {
            return Ok(None);
        };
        if let Some(entry) = suppressions::in_force(&mut tx, &key, now).await? {
            let key = EventKey::of_opting_in(entry.id);
            let event = event(id, key, What::Resubscribed, now);
            facts::merge(&mut tx, &self.clock, &[event], now).await?;
            let delete = sql("DELETE FROM suppressions WHERE id = ").bind(entry.id);
            let by = Lifting {
                source: RECIPIENT,
                staff_id: None,
                note: Some("subscribed again by the link in a message"),
            };
            suppressions::take_off(&mut tx, delete, by, now).await?;
            tx.commit().await?;
        }
        Ok(Some(found))
    }
}

/// Who received this email, and what an opt-out of theirs is named.
async fn recipient(tx: &mut Tx, id: NotificationId) -> Result<Option<(Subscription, Key)>, Error> {
    let stmt = sql(
        "SELECT l.business_id, l.address, o.name, r.digest FROM contact_log l \
         JOIN businesses o ON o.id = l.business_id LEFT JOIN forgotten_recipients r \
         ON r.notification_id = l.id AND l.address IS NULL WHERE l.id = ",
    )
    .bind(id.uuid())
    .push(" AND l.method = ")
    .bind(Method::Email.as_str())
    .push(" AND l.manual = ")
    .bind(false);
    let Some(row) = tx.optional(stmt).await? else {
        return Ok(None);
    };
    let address = row.opt_text("address")?.unwrap_or_default();
    let to = Address::parse(Method::Email, &address).map(|to| to.compared());
    // Of a client who was erased only a digest is kept, and not for ever.
    let Some(to) = to.ok().or(row.opt_text("digest")?) else {
        return Ok(None);
    };
    let subscription = Subscription {
        business: row.text("business_id")?,
        business_name: row.text("name")?,
        unsubscribed: false,
    };
    let key = Key {
        business: subscription.business.clone(),
        method: Method::Email,
        address: to,
        contact_type: String::new(),
        reason: Reason::Unsubscribe,
    };
    Ok(Some((subscription, key)))
}

fn event(notification: NotificationId, key: EventKey, what: What, now: Timestamp) -> Event {
    Event {
        notification,
        key,
        occurred_at: now,
        source: RECIPIENT.to_owned(),
        what,
    }
}
