//! The contact history: entries with their facts, one by one or page by page; timelines; content.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::browse::Reach;
use super::hindrance::{self, Hindrance};
use super::row::Row;
use super::stmt::{Rows, sql};
use super::{Error, Store, facts, feedback, tags};
use crate::domain::by_hand::name_of;
use crate::domain::event::Event;
use crate::domain::facts::Facts;
use crate::domain::id::NotificationId;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::{Attachment, Content, TemplateRef};
use crate::domain::method::{Channel, Method, Priority};
use crate::domain::role::Sight;
use crate::domain::status::{Status, statuses};
use crate::domain::time::Timestamp;

/// One line of a contact history.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: NotificationId,
    pub client_id: String,
    pub client_name: Option<String>,
    pub date: Timestamp,
    /// The staff member's name, `Automated` or `No Staff` (W3).
    pub user: String,
    pub staff_id: Option<String>,
    pub method: Method,
    pub type_name: String,
    pub contact_type: String,
    pub channel: Channel,
    pub priority: Priority,
    pub to: Option<String>,
    pub description: Option<String>,
    /// Up to five short words of its content (M3).
    pub tags: Vec<String>,
    /// As long as it is kept.
    pub content_id: Option<Uuid>,
    pub resend_of: Option<NotificationId>,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub metadata: Option<Map<String, Json>>,
    pub manual: bool,
    /// Who it is from; none: the sender of the settings.
    pub sender: Option<String>,
    /// Where answers go unless the content says so itself.
    pub reply_to: Option<Mailbox>,
    /// What the content was made from.
    pub template: Option<TemplateRef>,
    pub facts: Facts,
}

impl Entry {
    /// With which it is sent again: what was bulk stays so, and nothing else is urgent any more.
    pub fn priority_again(&self) -> Priority {
        if self.priority == Priority::Bulk {
            Priority::Bulk
        } else {
            Priority::usual_for(&self.contact_type)
        }
    }

    /// None for entries that staff made by hand.
    pub fn statuses(&self) -> Vec<Status> {
        if self.manual {
            Vec::new()
        } else {
            statuses(self.method, &self.facts)
        }
    }
}

/// What is known of a notification beside its entry.
#[derive(Clone, Debug)]
pub struct Story {
    pub attempts: Vec<Attempt>,
    /// By time; at most [`EVENTS_MAX`].
    pub events: Vec<Event>,
    /// When the next attempt is due, while the job waits in the queue.
    pub next_due_at: Option<Timestamp>,
    /// Since when it has been held for a person's decision.
    pub held_at: Option<Timestamp>,
    /// Why it is not sent though it is due, where that is not its own affair.
    pub hindrance: Option<Hindrance>,
    /// The time at which all this was so.
    pub told_at: Timestamp,
}

/// A row of the attempts table.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub number: i64,
    pub provider: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub outcome: String,
    /// Who asked us to try later: `recipient` or `provider`.
    pub cause: Option<String>,
    pub code: Option<String>,
    pub text: Option<String>,
    pub next_at: Option<Timestamp>,
}

/// Which entries, in which order.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one client only, by the application's id.
    pub client_id: Option<String>,
    /// Of the clients that somebody sees.
    pub sight: Sight,
    pub method: Option<Method>,
    pub contact_type: Option<String>,
    pub statuses: Vec<Status>,
    pub status_match: Match,
    pub staff_id: Option<String>,
    pub channel: Option<Channel>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// Words of the type, description, tags, address or client's name, an id, or a day or month.
    pub search: Option<String>,
    /// Failed for one of these causes; for any reason or none where there is none. Whoever browses and
    /// counts looks for them.
    pub causes: Vec<Uuid>,
    /// Of what failed for these causes, what had neither arrived nor been sent again then.
    pub open_at: Option<Timestamp>,
    pub order: Order,
    /// The last entry of the page before.
    pub after: Option<NotificationId>,
    pub limit: usize,
}

impl Filter {
    /// How many entries one page has.
    pub(super) fn page_size(&self) -> usize {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// Whether an entry must have any or all of the statuses asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    #[default]
    Any,
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// After which the next page begins; none: there is nothing after this one. Where no index leads to
    /// what is asked for, a page ends when so many were looked at, and may be short or empty.
    pub next: Option<NotificationId>,
}

/// Events of one notification that a timeline shows; the ledger keeps them all.
pub const EVENTS_MAX: i64 = 500;
/// Attempts of one notification that a timeline shows.
pub const ATTEMPTS_MAX: i64 = 200;
/// The longest page.
pub const PAGE_MAX: usize = 200;

impl Store {
    pub async fn entry(&self, business: &str, id: NotificationId) -> Result<Option<Entry>, Error> {
        let entries = self.entries(business, &[id]).await?;
        Ok(entries.into_iter().next())
    }

    /// These entries of the business, in the order given; those of others are left out.
    pub async fn entries(
        &self,
        business: &str,
        ids: &[NotificationId],
    ) -> Result<Vec<Entry>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT l.id, c.client_id, c.name AS client_name, l.date, \
             CASE WHEN l.staff_id IS NOT NULL THEN coalesce(s.name, l.staff_id) \
             WHEN l.manual THEN 'No Staff' ELSE 'Automated' END AS user_name, \
             l.staff_id, l.method, l.type, l.contact_type, l.channel, l.priority, l.address, l.description, \
             l.tags, (SELECT m.id FROM message_content m WHERE m.id = l.content_id) AS content_id, l.resend_of, l.send_at, l.expires_at, l.metadata, l.manual, l.sender, \
             l.reply_to, l.template_name, l.template_version, f.* \
             FROM contact_log l \
             JOIN clients c ON c.uid = l.client_uid \
             LEFT JOIN staff s ON s.business_id = l.business_id AND s.staff_id = l.staff_id \
             LEFT JOIN delivery_facts f ON f.notification_id = l.id WHERE l.business_id = ")
        .bind(business)
        // As a join, SQLite would go through all entries of the business in search of these.
        .push(" AND l.id IN (SELECT b.id FROM ")
        .rows(Rows::of_ids(ids.iter().map(|id| id.uuid())))
        .push(")");
        let mut found = std::collections::BTreeMap::new();
        for row in tx.all(stmt).await? {
            let entry = entry(&row)?;
            found.insert(entry.id, entry);
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Attempts and events of a notification whose entry the caller has already been given.
    pub async fn story(&self, id: NotificationId) -> Result<Story, Error> {
        let told_at = self.clock.now();
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT attempt, provider, started_at, finished_at, outcome, cause, code, text, \
             next_at FROM delivery_attempts WHERE notification_id = ",
        )
        .bind(id.uuid())
        .push(" ORDER BY attempt LIMIT ")
        .bind(ATTEMPTS_MAX);
        let mut attempts = Vec::new();
        for row in tx.all(stmt).await? {
            attempts.push(attempt(&row)?);
        }
        let stmt = sql(
            "SELECT event_key, kind, occurred_at, source, detail FROM delivery_events \
             WHERE notification_id = ",
        )
        .bind(id.uuid())
        .push(" ORDER BY occurred_at, event_key LIMIT ")
        .bind(EVENTS_MAX);
        let mut events = Vec::new();
        for row in tx.all(stmt).await? {
            events.push(feedback::event(&row, id)?);
        }
        let stmt =
            sql("SELECT due_at, business_id, method, lane FROM jobs WHERE id = ").bind(id.uuid());
        let (mut next_due_at, mut hindrance) = (None, None);
        if let Some(job) = tx.optional(stmt).await? {
            next_due_at = Some(job.time("due_at")?);
            hindrance = hindrance::of(&mut tx, &job, told_at).await?;
        }
        let stmt = sql("SELECT held_at FROM held_jobs WHERE id = ").bind(id.uuid());
        let held_at = tx
            .optional(stmt)
            .await?
            .map(|row| row.time("held_at"))
            .transpose()?;
        Ok(Story {
            attempts,
            events,
            next_due_at,
            held_at,
            hindrance,
            told_at,
        })
    }

    /// What was sent; `None` when the entry is not the business's or has no content.
    pub async fn content(
        &self,
        business: &str,
        id: NotificationId,
    ) -> Result<Option<Content>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT l.method, m.subject, m.text, m.html, m.data, m.reply_to, m.attachments \
             FROM contact_log l \
             JOIN message_content m ON m.id = l.content_id WHERE l.id = ",
        )
        .bind(id.uuid())
        .push(" AND l.business_id = ")
        .bind(business);
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(None);
        };
        content(&row, row.word("method", Method::parse)?)
    }

    /// The client's card exists in this business.
    pub async fn client_exists(&self, business: &str, client_id: &str) -> Result<bool, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT 1 AS one FROM clients WHERE business_id = ")
            .bind(business)
            .push(" AND client_id = ")
            .bind(client_id);
        Ok(tx.optional(stmt).await?.is_some())
    }

    /// One page of the business's contact history.
    pub async fn history(&self, business: &str, filter: &Filter) -> Result<Page, Error> {
        let looked = self.by_date(business, filter, Reach::default()).await?;
        Ok(Page {
            entries: looked.entries,
            next: looked.next.map(|position| position.id),
        })
    }
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let metadata = match row.opt_json("metadata")? {
        Some(Json::Object(map)) => Some(map),
        Some(_) => return Err(Error::corrupt("metadata", "not an object")),
        None => None,
    };
    let method = row.word("method", Method::parse)?;
    let manual = row.bool("manual")?;
    let mut type_name = row.text("type")?;
    if manual && type_name.is_empty() {
        // As it was entered before such contacts had names.
        name_of(method).clone_into(&mut type_name);
    }
    Ok(Entry {
        id: NotificationId::new(row.id("id")?),
        client_id: row.text("client_id")?,
        client_name: row.opt_text("client_name")?,
        date: row.time("date")?,
        user: row.text("user_name")?,
        staff_id: row.opt_text("staff_id")?,
        method,
        type_name,
        contact_type: row.text("contact_type")?,
        channel: row.word("channel", Channel::parse)?,
        priority: row.word("priority", Priority::parse)?,
        to: row.opt_text("address")?,
        description: row.opt_text("description")?,
        tags: tags::read(row)?,
        content_id: row.opt_id("content_id")?,
        resend_of: row.opt_id("resend_of")?.map(NotificationId::new),
        send_at: row.opt_time("send_at")?,
        expires_at: row.opt_time("expires_at")?,
        metadata,
        manual,
        sender: row.opt_text("sender")?,
        reply_to: mailbox(row, "reply_to")?,
        template: template(row)?,
        facts: facts::read(row)?,
    })
}

fn attempt(row: &Row) -> Result<Attempt, Error> {
    Ok(Attempt {
        number: row.int("attempt")?,
        provider: row.text("provider")?,
        started_at: row.time("started_at")?,
        finished_at: row.time("finished_at")?,
        outcome: row.text("outcome")?,
        cause: row.opt_text("cause")?,
        code: row.opt_text("code")?,
        text: row.opt_text("text")?,
        next_at: row.opt_time("next_at")?,
    })
}

/// Content from the columns of `message_content`; `None` when the row is absent.
pub(super) fn content(row: &Row, method: Method) -> Result<Option<Content>, Error> {
    let (subject, text) = (row.opt_text("subject")?, row.opt_text("text")?);
    let html = row.opt_text("html")?;
    let content = match (method, subject, text) {
        (Method::Email, Some(subject), text) if text.is_some() || html.is_some() => {
            Content::Email {
                subject,
                text,
                html,
                reply_to: mailbox(row, "reply_to")?,
                attachments: attachments(row)?,
            }
        }
        (Method::Sms, _, Some(text)) => Content::Sms { text },
        (Method::Push, title, Some(text)) => {
            let data = match row.opt_json("data")? {
                Some(Json::Object(data)) => data,
                _ => Map::new(),
            };
            Content::Push { title, text, data }
        }
        _ => return Ok(None),
    };
    Ok(Some(content))
}

pub(super) fn mailbox(row: &Row, column: &'static str) -> Result<Option<Mailbox>, Error> {
    let text = row.opt_text(column)?;
    let mailbox = text.map(|text| Mailbox::parse(&text)).transpose();
    mailbox.map_err(|why| Error::corrupt(column, why))
}

fn attachments(row: &Row) -> Result<Vec<Attachment>, Error> {
    let Some(json) = row.opt_json("attachments")? else {
        return Ok(Vec::new());
    };
    serde_json::from_value(json).map_err(|why| Error::corrupt("attachments", why))
}

fn template(row: &Row) -> Result<Option<TemplateRef>, Error> {
    let version = row.opt_id("template_version")?;
    let name = row.opt_text("template_name")?;
    Ok(name
        .zip(version)
        .map(|(name, version)| TemplateRef { name, version }))
}
