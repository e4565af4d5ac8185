//! The content of a notification: checked on its way in, shown on its way out.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use utoipa::ToSchema;

use super::digest;
use super::fields::{Fields, Misplaced};
use super::files::{self, FileJson};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::Content;
use crate::domain::method::Method;
use crate::store::history::Entry;

/// RFC 5322 2.1.1: a header line of 998 characters.
pub(super) const SUBJECT_LENGTH_MAX: usize = 998;
/// Far above any notification; mail clients clip messages of more than about 100 KB.
pub(super) const EMAIL_TEXT_LENGTH_MAX: usize = 512 * 1024;
/// Ten segments of 160; Twilio refuses more (error 21617), and so does SNS.
pub(super) const SMS_TEXT_LENGTH_MAX: usize = 1_600;
pub(super) const PUSH_TITLE_LENGTH_MAX: usize = 256;
pub(super) const PUSH_TEXT_LENGTH_MAX: usize = 2_048;
/// FCM and APNs take 4,096 bytes of title, text and data together.
pub(super) const PUSH_BYTES_MAX: usize = 4_096;

pub(super) const EMAIL_NAMES: [&str; 5] = ["subject", "text", "html", "reply_to", "attachments"];

/// What SMS and push messages cannot have.
pub(super) const OF_EMAIL: Misplaced<'static> = Misplaced {
    names: &["reply_to", "attachments"],
    why: "only emails can have this; send an email, or leave it out",
};

/// A content with the bytes of its attachments, in their order.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) content: Content,
    pub(super) files: Vec<Bytes>,
}

impl Given {
    fn without_files(content: Content) -> Self {
        Self {
            content,
            files: Vec::new(),
        }
    }
}

/// Reads the field `content` of a notification of this method.
pub(super) fn read(notification: &mut Fields<'_, '_>, method: Method) -> Option<Given> {
    match method {
        Method::Email => email(notification.object("content", &EMAIL_NAMES)?),
        Method::Sms => sms(notification.object_without("content", &["text"], &OF_EMAIL)?),
        Method::Push => {
            let names = ["title", "text", "data"];
            push(notification.object_without("content", &names, &OF_EMAIL)?)
        }
        Method::InPerson | Method::Mail | Method::Phone => None,
    }
}

fn email(mut fields: Fields<'_, '_>) -> Option<Given> {
    fields.require(&["subject"]);
    if fields.get("text").is_none() && fields.get("html").is_none() {
        fields.wrong_here("needs `text` or `html`, or both");
    }
    let text = fields.text("text", EMAIL_TEXT_LENGTH_MAX);
    let html = fields.text("html", EMAIL_TEXT_LENGTH_MAX);
    let reply_to = fields.parsed("reply_to", Mailbox::parse);
    let (attachments, files) = files::read(&mut fields, html.is_some());
    let subject = fields.line("subject", SUBJECT_LENGTH_MAX)?;
    Some(Given {
        content: Content::Email {
            subject,
            text,
            html,
            reply_to,
            attachments,
        },
        files,
    })
}

fn sms(mut fields: Fields<'_, '_>) -> Option<Given> {
    fields.require(&["text"]);
    let text = fields.text("text", SMS_TEXT_LENGTH_MAX)?;
    Some(Given::without_files(Content::Sms { text }))
}

fn push(mut fields: Fields<'_, '_>) -> Option<Given> {
    fields.require(&["text"]);
    let title = fields.line("title", PUSH_TITLE_LENGTH_MAX);
    let data = fields.data("data", PUSH_BYTES_MAX).unwrap_or_default();
    let text = fields.text("text", PUSH_TEXT_LENGTH_MAX)?;
    let whole = json!([title, text, data]).to_string();
    if whole.len() > PUSH_BYTES_MAX {
        fields.wrong_here(format!(
            "is too large: title, text and data together are at most {PUSH_BYTES_MAX} bytes"
        ));
    }
    Some(Given::without_files(Content::Push { title, text, data }))
}

/// What a content asks for, as the digest of a request sees it: subject or title, text, HTML, data,
/// where answers go, files; and the two of a template.
pub(super) fn asked(content: &Content) -> [Option<String>; 8] {
    match content.clone() {
        Content::Email {
            subject,
            text,
            html,
            reply_to,
            attachments,
        } => {
            let reply_to = reply_to.map(|mailbox| mailbox.to_string());
            let files = digest::attachments(&attachments);
            [Some(subject), text, html, None, reply_to, files, None, None]
        }
        Content::Sms { text } => [None, Some(text), None, None, None, None, None, None],
        Content::Push { title, text, data } => {
            let data = Some(digest::data(&data));
            [title, Some(text), None, data, None, None, None, None]
        }
    }
}

/// What was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Content)]
#[serde(tag = "method", rename_all = "snake_case")]
pub(super) enum Shown {
    Email {
        /// The business's own sender when it was enqueued; null: that of the settings.
        from: Option<String>,
        /// Where answers go.
        reply_to: Option<String>,
        subject: String,
        text: Option<String>,
        html: Option<String>,
        attachments: Vec<FileJson>,
    },
    Sms {
        /// The business's own number or name when it was enqueued; null: that of the settings.
        from: Option<String>,
        text: String,
    },
    Push {
        title: Option<String>,
        text: String,
        #[schema(value_type = Object)]
        data: Map<String, Json>,
    },
}

impl Shown {
    pub(super) fn new(entry: &Entry, content: Content) -> Self {
        let from = entry.sender.clone();
        match content {
            Content::Email {
                subject,
                text,
                html,
                reply_to,
                attachments,
            } => Self::Email {
                from,
                reply_to: reply_to
                    .or_else(|| entry.reply_to.clone())
                    .map(|mailbox| mailbox.to_string()),
                subject,
                text,
                html,
                attachments: FileJson::list(entry.id, attachments),
            },
            Content::Sms { text } => Self::Sms { from, text },
            Content::Push { title, text, data } => Self::Push { title, text, data },
        }
    }
}
