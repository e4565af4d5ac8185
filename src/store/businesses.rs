//! Businesses: their names, and who they write as.

use super::history::mailbox;
use super::stmt::sql;
use super::{Error, Store};
use crate::domain::mailbox::Mailbox;
use crate::domain::sms_sender::SmsSender;

/// Who a business writes as. What is absent is as the settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub email_from: Option<Mailbox>,
    /// Where answers to its emails go.
    pub reply_to: Option<Mailbox>,
    pub sms_from: Option<SmsSender>,
}

/// What is to become different; the rest stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub email_from: Option<Option<Mailbox>>,
    pub reply_to: Option<Option<Mailbox>>,
    pub sms_from: Option<Option<SmsSender>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Business {
    pub id: String,
    pub name: String,
    pub identity: Identity,
}

impl Store {
    pub async fn business(&self, id: &str) -> Result<Option<Business>, Error> {
        let mut tx = self.db.read().await?;
        let stmt =
            sql("SELECT id, name, email_from, reply_to, sms_from FROM businesses WHERE id = ")
                .bind(id);
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        let sms_from = row.opt_text("sms_from")?;
        let sms_from = sms_from.map(|text| SmsSender::parse(&text)).transpose();
        Ok(Some(Business {
            id: row.text("id")?,
            name: row.text("name")?,
            identity: Identity {
                email_from: mailbox(&row, "email_from")?,
                reply_to: mailbox(&row, "reply_to")?,
                sms_from: sms_from.map_err(|why| Error::corrupt("sms_from", why))?,
            },
        }))
    }

    /// From now on the business writes as this; what is enqueued already keeps who it is from.
    /// `false` when there is no such business.
    pub async fn change_identity(&self, business: &str, change: &Change) -> Result<bool, Error> {
        let text = |mailbox: &Option<Mailbox>| mailbox.as_ref().map(ToString::to_string);
        let mut tx = self.db.write().await?;
        let mut stmt = sql("UPDATE businesses SET id = id");
        if let Some(mailbox) = &change.email_from {
            stmt = stmt.push(", email_from = ").bind(text(mailbox));
        }
        if let Some(mailbox) = &change.reply_to {
            stmt = stmt.push(", reply_to = ").bind(text(mailbox));
        }
        if let Some(sender) = &change.sms_from {
            let text = sender.as_ref().map(SmsSender::as_str);
            stmt = stmt.push(", sms_from = ").bind(text);
        }
        let found = tx.execute(stmt.push(" WHERE id = ").bind(business)).await? > 0;
        tx.commit().await?;
        Ok(found)
    }
}
