//! The content of a notification: checked on its way in, shown on its way out.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use utoipa::ToSchema;

use super::fields::Fields;
use crate::domain::message::Content;
use crate::domain::method::Method;

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

/// Reads the field `content` of a notification of this method.
pub(super) fn read(notification: &mut Fields<'_, '_>, method: Method) -> Option<Content> {
    match method {
        Method::Email => email(notification.object("content", &["subject", "text", "html"])?),
        Method::Sms => sms(notification.object("content", &["text"])?),
        Method::Push => push(notification.object("content", &["title", "text", "data"])?),
        Method::InPerson | Method::Mail | Method::Phone => None,
    }
}

fn email(mut fields: Fields<'_, '_>) -> Option<Content> {
    fields.require(&["subject"]);
    if fields.get("text").is_none() && fields.get("html").is_none() {
        fields.wrong_here("needs `text` or `html`, or both");
    }
    let text = fields.text("text", EMAIL_TEXT_LENGTH_MAX);
    let html = fields.text("html", EMAIL_TEXT_LENGTH_MAX);
    let subject = fields.line("subject", SUBJECT_LENGTH_MAX)?;
    Some(Content::Email {
        subject,
        text,
        html,
    })
}

fn sms(mut fields: Fields<'_, '_>) -> Option<Content> {
    fields.require(&["text"]);
    let text = fields.text("text", SMS_TEXT_LENGTH_MAX)?;
    Some(Content::Sms { text })
}

fn push(mut fields: Fields<'_, '_>) -> Option<Content> {
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
    Some(Content::Push { title, text, data })
}

/// What was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Content)]
#[serde(tag = "method", rename_all = "snake_case")]
pub(super) enum Shown {
    Email {
        subject: String,
        text: Option<String>,
        html: Option<String>,
    },
    Sms {
        text: String,
    },
    Push {
        title: Option<String>,
        text: String,
        #[schema(value_type = Object)]
        data: Map<String, Json>,
    },
}

impl From<Content> for Shown {
    fn from(content: Content) -> Self {
        match content {
            Content::Email {
                subject,
                text,
                html,
            } => Self::Email {
                subject,
                text,
                html,
            },
            Content::Sms { text } => Self::Sms { text },
            Content::Push { title, text, data } => Self::Push { title, text, data },
        }
    }
}
