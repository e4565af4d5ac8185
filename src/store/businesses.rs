//! Businesses: their names, who they write as, and what they ask to learn.

use super::history::mailbox;
use super::stmt::{Stmt, sql};
use super::tracking::{self, Tracked};
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
    pub email_from: Setting<Mailbox>,
    pub reply_to: Setting<Mailbox>,
    pub sms_from: Setting<SmsSender>,
    /// The contact types of which something else is to be learnt.
    pub tracking: Vec<Tracked>,
}

/// What is to become of one value.
#[derive(Clone, Debug, Default)]
pub enum Setting<T> {
    #[default]
    AsItIs,
    /// What the settings of the program say.
    Default,
    Own(T),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Business {
    pub id: String,
    pub name: String,
    pub identity: Identity,
    /// The contact types of whose emails it asks to learn something.
    pub tracking: Vec<Tracked>,
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
            tracking: tracking::of_business(&mut tx, id).await?,
        }))
    }

    /// The businesses that write from a mailbox of their own, with it; by id.
    pub async fn own_senders(&self, at_most: usize) -> Result<Vec<(String, Mailbox)>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT id, email_from FROM businesses WHERE email_from IS NOT NULL ORDER BY id LIMIT ",
        )
        .bind(i64::try_from(at_most).unwrap_or(i64::MAX));
        let rows = tx.all(stmt).await?;
        let mut senders = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(sender) = mailbox(row, "email_from")? {
                senders.push((row.text("id")?, sender));
            }
        }
        Ok(senders)
    }

    /// From now on the business writes as this, and asks for this; what is enqueued already keeps who it
    /// is from. `false` when there is no such business.
    pub async fn change_business(&self, business: &str, change: &Change) -> Result<bool, Error> {
        let mailbox = |mailbox: &Mailbox| mailbox.to_string();
        let sender = |sender: &SmsSender| sender.as_str().to_owned();
        let mut tx = self.db.write().await?;
        let mut stmt = sql("UPDATE businesses SET name = name");
        stmt = set(stmt, ", email_from = ", &change.email_from, mailbox);
        stmt = set(stmt, ", reply_to = ", &change.reply_to, mailbox);
        stmt = set(stmt, ", sms_from = ", &change.sms_from, sender);
        let found = tx.execute(stmt.push(" WHERE id = ").bind(business)).await? > 0;
        if found {
            tracking::change(&mut tx, business, &change.tracking, self.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(found)
    }
}

fn set<T>(
    stmt: Stmt,
    column: &'static str,
    setting: &Setting<T>,
    text: impl Fn(&T) -> String,
) -> Stmt {
    match setting {
        Setting::AsItIs => stmt,
        Setting::Default => stmt.push(column).bind(Option::<String>::None),
        Setting::Own(value) => stmt.push(column).bind(text(value)),
    }
}
