//! Attachments of emails: read from a request, listed with the content, handed out one by one.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::{Caller, Scope};
use super::fields::Fields;
use super::path::Steps;
use super::problem::{Kind, Problem};
use crate::domain::id::NotificationId;
use crate::domain::message::{Attachment, Content};

/// More belong into an archive, or behind a link.
pub(super) const ATTACHMENTS_MAX: usize = 10;
/// A longer file belongs behind a link: many mailboxes refuse it.
pub(super) const ATTACHMENT_BYTES_MAX: usize = 5_000_000;
/// All files of one email. In a message they are longer by 37 %; with its texts it still fits into
/// the 10,240,000 bytes that Postfix takes by default.
pub(super) const ATTACHMENTS_BYTES_MAX: usize = 7_000_000;
/// What most file systems allow, in characters of a few bytes.
pub(super) const FILE_NAME_LENGTH_MAX: usize = 200;
/// RFC 4288 4.2: 127 characters for each of type and subtype; with parameters, a header line.
pub(super) const CONTENT_TYPE_LENGTH_MAX: usize = 200;
pub(super) const CONTENT_ID_LENGTH_MAX: usize = 100;

pub(super) const NAMES: [&str; 4] = ["name", "content_type", "content_id", "data"];

/// Reads the field `attachments`; what is wrong is noted.
pub(super) fn read(fields: &mut Fields<'_, '_>, has_html: bool) -> (Vec<Attachment>, Vec<Bytes>) {
    let files = fields.each("attachments", ATTACHMENTS_MAX, &NAMES, |file| {
        attachment(file, has_html)
    });
    let (attachments, files): (Vec<Attachment>, Vec<Bytes>) =
        files.unwrap_or_default().into_iter().unzip();
    let total: usize = files.iter().map(Bytes::len).sum();
    if total > ATTACHMENTS_BYTES_MAX {
        let detail =
            format!("are {total} bytes together: at most {ATTACHMENTS_BYTES_MAX} in one email");
        fields.wrong("attachments", detail);
    }
    let mut ids: Vec<&str> = attachments
        .iter()
        .filter_map(|attachment| attachment.content_id.as_deref())
        .collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        fields.wrong("attachments", "have a content_id twice");
    }
    (attachments, files)
}

fn attachment(fields: &mut Fields<'_, '_>, has_html: bool) -> Option<(Attachment, Bytes)> {
    fields.require(&["name", "content_type", "data"]);
    let name = name(fields);
    let content_type = content_type(fields);
    let content_id = content_id(fields, has_html);
    let bytes = data(fields)?;
    let attachment = Attachment {
        name: name?,
        content_type: content_type?,
        content_id,
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        sha256: hex::encode(digest(&SHA256, &bytes)),
    };
    Some((attachment, bytes))
}

/// One name, no way through folders, and none that reads otherwise than it is: characters that turn
/// the direction of writing make `fdp.exe` look like `exe.pdf`.
fn name(fields: &mut Fields<'_, '_>) -> Option<String> {
    let name = fields.line("name", FILE_NAME_LENGTH_MAX)?;
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.contains(['/', '\\']) || name.chars().any(turns) || name.trim_matches('.').is_empty() {
        let detail = "must be the name of a file, without folders and without characters that turn \
                      the direction of writing";
        fields.wrong("name", detail);
        return None;
    }
    Some(name)
}

/// `type/subtype` with plain parameters (RFC 2045 5.1). Composite types cannot be sent as files.
fn content_type(fields: &mut Fields<'_, '_>) -> Option<String> {
    let text = fields.line("content_type", CONTENT_TYPE_LENGTH_MAX)?;
    let is_token = |text: &str| {
        let special = |b: u8| b"()<>@,;:\\\"/[]?=".contains(&b);
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !special(b))
    };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_type = essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    let are_parameters = parts.all(|parameter| {
        let pair = parameter.split_once('=');
        pair.is_some_and(|(name, value)| is_token(name) && is_token(value))
    });
    if !is_type || !are_parameters {
        let detail = "must be a media type like application/pdf or text/calendar; method=REQUEST";
        fields.wrong("content_type", detail);
        return None;
    }
    if essence.starts_with("multipart/") || essence.starts_with("message/") {
        let detail = "must be the type of a file: multipart and message types are mails";
        fields.wrong("content_type", detail);
        return None;
    }
    Some(text)
}

/// As it stands in the HTML after `cid:`.
fn content_id(fields: &mut Fields<'_, '_>, has_html: bool) -> Option<String> {
    let id = fields.key("content_id", CONTENT_ID_LENGTH_MAX)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+@".contains(&b);
    if !id.bytes().all(plain) {
        fields.wrong("content_id", "must be letters, digits and . _ - + @ alone");
        return None;
    }
    if !has_html {
        fields.wrong("content_id", "needs `html`, which shows the file by cid:…");
        return None;
    }
    Some(id)
}

fn data(fields: &mut Fields<'_, '_>) -> Option<Bytes> {
    let text = fields.raw("data")?;
    // Base64 is longer than its bytes by a third: what is far too long is not decoded at all.
    if text.len() / 4 * 3 > ATTACHMENT_BYTES_MAX + 3 {
        too_large(fields, text.len() / 4 * 3);
        return None;
    }
    let Ok(bytes) = BASE64_STANDARD.decode(text) else {
        let detail = "must be base64 (RFC 4648 4, with padding, without line breaks)";
        fields.wrong("data", detail);
        return None;
    };
    if bytes.len() > ATTACHMENT_BYTES_MAX {
        too_large(fields, bytes.len());
        return None;
    }
    Some(bytes.into())
}

fn too_large(fields: &mut Fields<'_, '_>, bytes: usize) {
    let detail = format!("is {bytes} bytes: at most {ATTACHMENT_BYTES_MAX} in one file");
    fields.wrong("data", detail);
}

/// A file of an email.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(super) struct FileJson {
    name: String,
    content_type: String,
    /// What the HTML shows it by, as `cid:…`.
    content_id: Option<String>,
    /// In bytes.
    size: u64,
    /// In hexadecimal.
    sha256: String,
    /// Where the bytes are.
    href: String,
}

impl FileJson {
    pub(super) fn list(id: NotificationId, attachments: Vec<Attachment>) -> Vec<Self> {
        let files = attachments.into_iter().enumerate();
        let files = files.map(|(index, file)| Self {
            name: file.name,
            content_type: file.content_type,
            content_id: file.content_id,
            size: file.size,
            sha256: file.sha256,
            href: format!("/v1/notifications/{id}/attachments/{}", index + 1),
        });
        files.collect()
    }
}

/// The bytes of one attachment, as they were sent.
#[utoipa::path(
    get, path = "/v1/notifications/{id}/attachments/{n}", tag = "notifications",
    params(
        ("id" = String, Path, description = "The id that the enqueue gave."),
        ("n" = u32, Path, description = "Which of them, from 1."),
    ),
    responses(
        (status = 200, description = "The file.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "The business has no such notification, or it has no such attachment."),
    ),
)]
pub(super) async fn download(
    State(shared): State<Shared>,
    caller: Caller,
    Steps((id, n)): Steps<(String, String)>,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let id = NotificationId::parse(&id).ok_or_else(no_such_file)?;
    let index = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let content = shared.api.store.content(business, id).await?;
    let Some(Content::Email { attachments, .. }) = content else {
        return Err(no_such_file());
    };
    let file = index.and_then(|index| attachments.into_iter().nth(index));
    let file = file.ok_or_else(no_such_file)?;
    let found = shared
        .api
        .store
        .files(id, std::slice::from_ref(&file))
        .await?;
    let bytes = found.and_then(|found| found.into_iter().next());
    let bytes = bytes.ok_or_else(no_such_file)?;
    let content_type = HeaderValue::from_str(&file.content_type);
    let content_type =
        content_type.unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, disposition(&file.name)),
    ];
    Ok((headers, Body::from(bytes)).into_response())
}

/// To be kept, never to be shown as a page of ours (RFC 6266).
fn disposition(name: &str) -> HeaderValue {
    use std::fmt::Write as _;
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").ok(); // writing to a String cannot fail
        }
    }
    HeaderValue::from_str(&text).expect("visible ASCII characters are a header's value")
}

fn no_such_file() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is no notification with this id and with this attachment.",
    )
}
