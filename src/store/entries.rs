//! Writing admitted notifications: names, keys, contents, entries and jobs, a statement each.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use super::db::Tx;
use super::enqueue::{ContentSource, Idempotency, NewNotification};
use super::jobs::{self, Job, Queued};
use super::stmt::{Arg, Kind, Rows, sql};
use super::{Error, cause_past, files};
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::domain::message::Content;
use crate::domain::time::Timestamp;

/// One notification ready to be written.
pub(super) struct Staged<'a> {
    pub(super) id: NotificationId,
    pub(super) business: &'a str,
    pub(super) client_uid: Uuid,
    pub(super) to: Address,
    pub(super) tags: Option<Vec<String>>,
    pub(super) new: &'a NewNotification,
}

/// `Raced` when another writer took one of the idempotency keys meanwhile.
pub(super) async fn write(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    write_names(tx, staged, now).await?;
    write_keys(tx, staged, now).await?;
    files::write(tx, staged, now).await?;
    write_content(tx, staged).await?;
    write_entries(tx, staged).await?;
    cause_past::leave_marks(tx, staged).await?;
    let (frozen, new): (Vec<&Staged<'_>>, Vec<_>) = staged
        .iter()
        .partition(|s| matches!(s.new.content, ContentSource::Frozen(_)));
    if !new.is_empty() {
        tx.execute(jobs::insert(new.iter().map(|s| s.queued(now))))
            .await?;
    }
    if !frozen.is_empty() {
        let jobs = frozen.iter().map(|s| (s.job(), s.due_at(now)));
        tx.execute(jobs::put_back(jobs, now)).await?;
    }
    Ok(())
}

impl Staged<'_> {
    fn job(&self) -> Job {
        Job {
            id: self.id,
            method: self.new.method,
            lane: self.to.form().lane(self.new.priority),
            attempts: 0,
            failures: 0,
        }
    }

    fn due_at(&self, now: Timestamp) -> Timestamp {
        self.new.send_at.map_or(now, |at| at.max(now))
    }

    fn queued(&self, now: Timestamp) -> Queued<'_> {
        let due_at = self.due_at(now);
        Queued {
            job: self.job(),
            business: self.business,
            due_at,
            ready: due_at <= now,
            bytes: i64::try_from(self.new.content_bytes()).unwrap_or(i64::MAX),
        }
    }
}

/// Contact types and staff that are named for the first time.
async fn write_names(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    let columns = &[
        ("business_id", Kind::Text),
        ("name", Kind::Text),
        ("now", Kind::Time),
    ];
    let types: BTreeSet<(&str, &str)> = staged
        .iter()
        .map(|s| (s.business, s.new.contact_type.as_str()))
        .collect();
    let staff: BTreeSet<(&str, &str)> = staged
        .iter()
        .filter_map(|s| Some((s.business, s.new.staff_id.as_deref()?)))
        .collect();
    let (mut type_rows, mut staff_rows) = (Rows::new(columns), Rows::new(columns));
    for (business, name) in types {
        type_rows.add([business.into(), name.into(), now.into()]);
    }
    for (business, name) in staff {
        staff_rows.add([business.into(), name.into(), now.into()]);
    }
    let stmt = sql("INSERT INTO contact_types (business_id, name, created_at) \
         SELECT b.business_id, b.name, b.now FROM ")
    .rows(type_rows)
    .push(" WHERE true ON CONFLICT (business_id, name) DO NOTHING");
    tx.execute(stmt).await?;
    if !staff_rows.is_empty() {
        let stmt = sql(
            "INSERT INTO staff (business_id, staff_id, name, created_at) \
             SELECT b.business_id, b.name, b.name, b.now FROM ",
        )
        .rows(staff_rows)
        .push(" WHERE true ON CONFLICT (business_id, staff_id) DO NOTHING");
        tx.execute(stmt).await?;
    }
    Ok(())
}

async fn write_keys(tx: &mut Tx, staged: &[Staged<'_>], now: Timestamp) -> Result<(), Error> {
    let mut sorted: Vec<_> = staged
        .iter()
        .filter_map(|s| Some((s.business, s.new.idempotency.as_ref()?, s.id)))
        .collect();
    if sorted.is_empty() {
        return Ok(());
    }
    // In one order for every writer, so that two of them cannot wait for each other.
    sorted.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    let mut rows = Rows::new(&[
        ("business_id", Kind::Text),
        ("key", Kind::Text),
        ("body_digest", Kind::Id),
        ("notification_id", Kind::Id),
        ("created_at", Kind::Time),
    ]);
    for (business, Idempotency { key, body_digest }, id) in sorted {
        let digest = *body_digest;
        rows.add([
            business.into(),
            key.into(),
            digest.into(),
            id.uuid().into(),
            now.into(),
        ]);
    }
    let expected = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let stmt = sql("INSERT INTO idempotency_keys \
         (business_id, key, body_digest, notification_id, created_at) \
         SELECT b.business_id, b.key, b.body_digest, b.notification_id, b.created_at FROM ")
    .rows(rows)
    .push(" WHERE true ON CONFLICT (business_id, key) DO NOTHING");
    if tx.execute(stmt).await? < expected {
        return Err(Error::Raced);
    }
    Ok(())
}

async fn write_content(tx: &mut Tx, staged: &[Staged<'_>]) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("id", Kind::Id),
        ("subject", Kind::Text),
        ("text", Kind::Text),
        ("html", Kind::Text),
        ("data", Kind::Json),
        ("reply_to", Kind::Text),
        ("attachments", Kind::Json),
    ]);
    for Staged { id, new, .. } in staged {
        if let ContentSource::New(content) = &new.content {
            rows.add(content_row(id.uuid(), content)?);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stmt = sql(
        "INSERT INTO message_content (id, subject, text, html, data, reply_to, attachments) \
         SELECT b.id, b.subject, b.text, b.html, b.data, b.reply_to, b.attachments FROM ",
    )
    .rows(rows);
    tx.execute(stmt).await?;
    Ok(())
}

fn content_row(id: Uuid, content: &Content) -> Result<[Arg; 7], Error> {
    let (mut html_text, mut data_json) = (None, None);
    let (mut reply_to_text, mut attachments_json) = (None, None);
    let (head, text) = match content {
        Content::Email {
            subject,
            text,
            html,
            reply_to,
            attachments,
        } => {
            html_text.clone_from(html);
            reply_to_text = reply_to.as_ref().map(ToString::to_string);
            if !attachments.is_empty() {
                let json = serde_json::to_value(attachments).map_err(Error::encode)?;
                attachments_json = Some(json);
            }
            (Some(subject.clone()), text.clone())
        }
        Content::Sms { text } => (None, Some(text.clone())),
        Content::Push { title, text, data } => {
            data_json = Some(Json::Object(data.clone()));
            (title.clone(), Some(text.clone()))
        }
    };
    Ok([
        id.into(),
        head.into(),
        text.into(),
        html_text.into(),
        data_json.into(),
        reply_to_text.into(),
        attachments_json.into(),
    ])
}

const ENTRY_COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Id),
    ("business_id", Kind::Text),
    ("client_uid", Kind::Id),
    ("date", Kind::Time),
    ("method", Kind::Text),
    ("type", Kind::Text),
    ("contact_type", Kind::Text),
    ("staff_id", Kind::Text),
    ("address", Kind::Text),
    ("content_id", Kind::Id),
    ("resend_of", Kind::Id),
    ("priority", Kind::Text),
    ("send_at", Kind::Time),
    ("expires_at", Kind::Time),
    ("metadata", Kind::Json),
    ("template_name", Kind::Text),
    ("template_version", Kind::Id),
    ("tags", Kind::Json),
];

async fn write_entries(tx: &mut Tx, staged: &[Staged<'_>]) -> Result<(), Error> {
    let mut rows = Rows::new(ENTRY_COLUMNS);
    for Staged {
        id,
        business,
        client_uid,
        to,
        tags,
        new,
    } in staged
    {
        let content_id = match new.content {
            ContentSource::New(_) => id.uuid(),
            ContentSource::Frozen(of) => of,
            // Never staged.
            ContentSource::AsBefore => continue,
        };
        let template = new.template.as_ref();
        rows.add([
            id.uuid().into(),
            (*business).into(),
            (*client_uid).into(),
            id.date().into(),
            new.method.as_str().into(),
            (&new.type_name).into(),
            (&new.contact_type).into(),
            new.staff_id.clone().into(),
            to.as_str().into(),
            content_id.into(),
            new.resend_of.map(NotificationId::uuid).into(),
            new.priority.as_str().into(),
            new.send_at.into(),
            new.expires_at.into(),
            new.metadata.clone().map(Json::Object).into(),
            template.map(|template| template.name.clone()).into(),
            template.map(|template| template.version).into(),
            tags.clone().map(Json::from).into(),
        ]);
    }
    // Who it is from is what the business says now: what is sent later is what is shown.
    let stmt = sql(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, \
         type, contact_type, staff_id, manual, address, content_id, resend_of, priority, send_at, \
         expires_at, metadata, template_name, template_version, tags, sender, reply_to) \
         SELECT b.id, b.business_id, b.client_uid, b.date, b.method, \
         'Outbound', b.type, b.contact_type, b.staff_id, ",
    )
    .bind(false)
    .push(
        ", b.address, b.content_id, b.resend_of, b.priority, b.send_at, b.expires_at, \
         b.metadata, b.template_name, b.template_version, b.tags, \
         CASE b.method WHEN 'email' THEN x.email_from WHEN 'sms' THEN x.sms_from END, \
         CASE b.method WHEN 'email' THEN x.reply_to END FROM ",
    )
    .rows(rows)
    .push(" LEFT JOIN businesses x ON x.id = b.business_id");
    tx.execute(stmt).await?;
    Ok(())
}
