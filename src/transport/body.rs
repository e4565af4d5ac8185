//! The body of an email: its texts, its files, and how they are put together (RFC 2045, 2046, 2387).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::Body;
use lettre::message::header::ContentTransferEncoding;

use super::header;
use super::mime::refused;
use crate::domain::event::Failure;
use crate::domain::id::NotificationId;
use crate::domain::message::{Attachment, Content, Outgoing};

/// RFC 5322 2.1.1: a line MUST be at most 998 characters without its CRLF.
const LINE_LENGTH_MAX: usize = 998;
/// What one line of base64 holds: 76 characters (RFC 2045 6.8).
const BASE64_LINE_BYTES: usize = 57;
const BASE64_LINE_LENGTH: usize = 76;

/// A part of a message.
enum Node<'a> {
    Text(&'static str, &'a str),
    File(&'a Attachment, &'a [u8]),
    Many(Multipart, Vec<Node<'a>>),
}

#[derive(Clone, Copy)]
enum Multipart {
    /// Plain first: readers show the last alternative that they understand (RFC 2046 5.1.4).
    Alternative,
    /// The HTML and what it shows by `cid:…`.
    Related,
    Mixed,
}

/// Writes the body with its headers, after those of the message.
pub(super) fn push(out: &mut String, outgoing: &Outgoing) -> Result<(), Failure> {
    match tree(outgoing)? {
        Node::Text(kind, text) => push_whole(out, kind, text),
        node @ (Node::Many(..) | Node::File(..)) => push_node(out, outgoing.id, &node),
    }
    Ok(())
}

/// How the parts are put together.
fn tree(outgoing: &Outgoing) -> Result<Node<'_>, Failure> {
    let Content::Email {
        subject: _,
        text,
        html,
        reply_to: _,
        attachments,
    } = &outgoing.content
    else {
        return Err(refused("WrongMethod", "only email can be sent this way"));
    };
    if attachments.len() != outgoing.files.len() || !attachments.iter().all(is_safe) {
        return Err(refused("Attachment", "an attachment cannot be written"));
    }
    let (mut within, mut beside) = (Vec::new(), Vec::new());
    for (attachment, bytes) in attachments.iter().zip(&outgoing.files) {
        let shown = attachment.content_id.is_some() && html.is_some();
        let place = if shown { &mut within } else { &mut beside };
        place.push(Node::File(attachment, bytes));
    }
    let html = html.as_deref().map(|html| {
        let html = Node::Text("text/html", html);
        joined(Multipart::Related, html, within)
    });
    let text = text.as_deref().map(|text| Node::Text("text/plain", text));
    let texts = match (text, html) {
        (Some(text), Some(html)) => joined(Multipart::Alternative, text, vec![html]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Err(refused("NoBody", "the message has neither text nor html")),
    };
    Ok(joined(Multipart::Mixed, texts, beside))
}

fn joined<'a>(kind: Multipart, first: Node<'a>, others: Vec<Node<'a>>) -> Node<'a> {
    if others.is_empty() {
        return first;
    }
    let mut parts = vec![first];
    parts.extend(others);
    Node::Many(kind, parts)
}

/// Nothing that is written into a header can break out of it. Checked at the edge as well; here it
/// is the last moment before the wire.
fn is_safe(attachment: &Attachment) -> bool {
    let visible = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b));
    let id = attachment.content_id.as_deref().unwrap_or_default();
    !attachment.name.chars().any(char::is_control)
        && visible(&attachment.content_type)
        && visible(id)
        && !id.contains(['<', '>', ' '])
}

fn push_node(out: &mut String, id: NotificationId, node: &Node<'_>) {
    match node {
        Node::Text(kind, text) => drop(push_text(out, kind, text)),
        Node::File(attachment, bytes) => push_file(out, attachment, bytes),
        Node::Many(kind, parts) => push_many(out, id, *kind, parts),
    }
}

fn push_many(out: &mut String, id: NotificationId, kind: Multipart, parts: &[Node<'_>]) {
    let (name, letter) = match kind {
        Multipart::Alternative => ("alternative", 'a'),
        Multipart::Related => ("related; type=\"text/html\"", 'r'),
        Multipart::Mixed => ("mixed", 'm'),
    };
    // `=_` occurs in no quoted-printable or base64 text, and no content can name an id that is
    // given to it only when it is taken in. None is the beginning of another one.
    let boundary = format!("=_{letter}_{id}");
    out.push_str("Content-Type: multipart/");
    out.push_str(name);
    out.push_str(";\r\n boundary=\"");
    out.push_str(&boundary);
    out.push_str("\"\r\n\r\n");
    for part in parts {
        out.push_str("--");
        out.push_str(&boundary);
        out.push_str("\r\n");
        push_node(out, id, part);
        out.push_str("\r\n");
    }
    out.push_str("--");
    out.push_str(&boundary);
    out.push_str("--\r\n");
}

fn push_file(out: &mut String, attachment: &Attachment, bytes: &[u8]) {
    out.push_str("Content-Type: ");
    out.push_str(&attachment.content_type);
    let disposition = if let Some(id) = &attachment.content_id {
        out.push_str("\r\nContent-ID: <");
        out.push_str(id);
        out.push('>');
        "inline"
    } else {
        "attachment"
    };
    out.push_str("\r\nContent-Disposition: ");
    out.push_str(disposition);
    out.push_str(&header::parameter("filename", &attachment.name));
    out.push_str("\r\n");
    out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
    for line in bytes.chunks(BASE64_LINE_BYTES) {
        STANDARD.encode_string(line, out);
        out.push_str("\r\n");
    }
}

/// How long a file becomes in a message.
pub(super) fn encoded_length(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(BASE64_LINE_BYTES) * (BASE64_LINE_LENGTH + "\r\n".len())
}

/// The only part of a message. The message must end in CRLF; in quoted-printable that can be one
/// that is not part of the text.
fn push_whole(out: &mut String, kind: &str, text: &str) {
    let encoding = push_text(out, kind, text);
    if !out.ends_with("\r\n") {
        out.push_str(match encoding {
            Encoding::QuotedPrintable => "=\r\n",
            Encoding::SevenBit | Encoding::Base64 => "\r\n",
        });
    }
}

fn push_text(out: &mut String, kind: &str, text: &str) -> Encoding {
    let text = crlf(text);
    let encoding = transfer_encoding(&text);
    out.push_str("Content-Type: ");
    out.push_str(kind);
    out.push_str("; charset=utf-8\r\nContent-Transfer-Encoding: ");
    out.push_str(match encoding {
        Encoding::SevenBit => "7bit",
        Encoding::QuotedPrintable => "quoted-printable",
        Encoding::Base64 => "base64",
    });
    out.push_str("\r\n\r\n");
    match encoding {
        Encoding::SevenBit => out.push_str(&text),
        Encoding::QuotedPrintable => {
            push_encoded(out, text, ContentTransferEncoding::QuotedPrintable);
        }
        Encoding::Base64 => push_encoded(out, text, ContentTransferEncoding::Base64),
    }
    encoding
}

fn push_encoded(out: &mut String, text: String, encoding: ContentTransferEncoding) {
    let body = Body::new_with_encoding(text, encoding)
        .expect("quoted-printable and base64 can carry any text");
    out.push_str(std::str::from_utf8(body.as_ref()).expect("both encodings are ASCII"));
}

#[derive(Clone, Copy)]
enum Encoding {
    SevenBit,
    QuotedPrintable,
    Base64,
}

/// The most readable encoding that is safe: as it is when it can be, base64 when most would be
/// escaped.
fn transfer_encoding(text: &str) -> Encoding {
    let lines_fit = text.split("\r\n").all(|line| line.len() <= LINE_LENGTH_MAX);
    let printable = |b: u8| matches!(b, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    let unprintable = text.bytes().filter(|b| !printable(*b)).count();
    if unprintable == 0 && lines_fit {
        Encoding::SevenBit
    } else if unprintable <= text.len() / 3 {
        Encoding::QuotedPrintable
    } else {
        Encoding::Base64
    }
}

/// Every line end, whatever it was, as CRLF.
fn crlf(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let (line, end) = rest.split_at(at);
        lines.push_str(line);
        lines.push_str("\r\n");
        let length = if end.starts_with("\r\n") { 2 } else { 1 };
        rest = end.split_at(length).1;
    }
    lines.push_str(rest);
    lines
}
