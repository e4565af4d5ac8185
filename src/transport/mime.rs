//! One email as bytes: the same for every provider that takes a whole message (RFC 5322, MIME).

use std::fmt::Write as _;

use lettre::message::header::ContentTransferEncoding;
use lettre::message::{Body, Mailbox};
use serde::Deserialize;

use super::header;
use super::settings::Problem;
use crate::domain::event::Failure;
use crate::domain::id::NotificationId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::domain::unsubscribe::Unsubscribe;

/// RFC 5322 2.1.1: a line MUST be at most 998 characters without its CRLF.
const LINE_LENGTH_MAX: usize = 998;
/// Headers of a message of ours, the subject apart.
const HEADERS_LENGTH_TYPICAL: usize = 700;

/// The section `[email]` as far as sending is concerned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmailSettings {
    /// Who the messages are from: `Name <box@example.com>` or the bare address.
    pub from: String,
}

impl EmailSettings {
    pub fn validate(&self) -> Vec<Problem> {
        match Sender::parse(&self.from) {
            Ok(_) => Vec::new(),
            Err(problem) => vec![problem],
        }
    }
}

/// Who a message is from, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The value of the header `From`.
    header: String,
    /// The bare address, in ASCII.
    pub(super) address: String,
    domain: String,
}

impl Sender {
    pub(super) fn parse(from: &str) -> Result<Self, Problem> {
        let wrong = || {
            Problem::new(
                "from",
                "is not a mailbox: write it like Bookings <bookings@example.com>",
            )
        };
        if from.chars().any(char::is_control) {
            return Err(wrong());
        }
        let mailbox: Mailbox = from.trim().parse().map_err(|_not_a_mailbox| wrong())?;
        let domain = domain_to_ascii(mailbox.email.domain()).ok_or_else(wrong)?;
        let local = mailbox.email.user();
        if !local.is_ascii() {
            return Err(Problem::new(
                "from",
                "needs an ASCII name before the @: many servers refuse others",
            ));
        }
        let address = format!("{local}@{domain}");
        let header = match mailbox.name.as_deref().map(str::trim) {
            None | Some("") => address.clone(),
            Some(name) => format!("{}\r\n <{address}>", header::phrase("From", name)),
        };
        Ok(Self {
            header,
            address,
            domain,
        })
    }
}

/// Where a message goes, as providers want it: the domain in ASCII (IDNA).
#[derive(Clone)]
pub(super) struct Recipient {
    pub(super) address: String,
}

impl Recipient {
    pub(super) fn new(outgoing: &Outgoing) -> Result<Self, Failure> {
        let text = outgoing.to.as_str();
        let address = text
            .rsplit_once('@')
            .and_then(|(local, domain)| Some(format!("{local}@{}", domain_to_ascii(domain)?)))
            .ok_or_else(|| Failure {
                category: Category::InvalidAddress,
                code: Some("InvalidDomain".to_owned()),
                provider_text: None,
            })?;
        Ok(Self { address })
    }

    /// The local part is not ASCII: only servers with SMTPUTF8 (RFC 6531) can take it.
    pub(super) fn needs_utf8(&self) -> bool {
        !self.address.is_ascii()
    }
}

/// A provider refuses a recipient that it has no way to write.
pub(super) fn utf8_address_refused() -> Failure {
    Failure {
        category: Category::InvalidAddress,
        code: Some("SMTPUTF8".to_owned()),
        provider_text: Some(
            "the mail server does not take addresses with letters beyond ASCII before the @"
                .to_owned(),
        ),
    }
}

/// A whole message: lines end in CRLF, none is longer than 998 characters, there is no NUL and no
/// lone CR or LF. All is ASCII unless the recipient [needs UTF-8](Recipient::needs_utf8).
///
/// `extra` are headers of the provider, written as they are: they hold nothing but our settings.
/// Refuses content that is not an email and subjects that would break out of their line.
pub(super) fn build(
    sender: &Sender,
    recipient: &Recipient,
    outgoing: &Outgoing,
    date: Timestamp,
    extra: &[(&str, &str)],
) -> Result<String, Failure> {
    let Content::Email {
        subject,
        text,
        html,
    } = &outgoing.content
    else {
        return Err(refused("WrongMethod", "only email can be sent this way"));
    };
    // Checked at the edge as well; here it is the last moment before the wire.
    if subject.contains(['\r', '\n', '\0']) {
        return Err(refused("SubjectLineBreak", "the subject has a line break"));
    }
    let bodies = text.as_ref().map_or(0, String::len) + html.as_ref().map_or(0, String::len);
    let mut out = String::with_capacity(HEADERS_LENGTH_TYPICAL + subject.len() + bodies * 9 / 8);
    let id = outgoing.id;
    let mut headers = || -> std::fmt::Result {
        write!(out, "From: {}\r\n", sender.header)?;
        write!(out, "To: {}\r\n", recipient.address)?;
        write!(
            out,
            "Subject: {}\r\n",
            header::unstructured("Subject", subject)
        )?;
        write!(out, "Date: {}\r\n", rfc5322_date(date))?;
        // The same for every attempt, so that a receiver can see a repetition for what it is.
        write!(out, "Message-ID: <{id}@{}>\r\n", sender.domain)?;
        write!(out, "X-Sendtrail-Id: {id}\r\n")?;
        if let Some(Unsubscribe { link, mailto }) = &outgoing.unsubscribe {
            // RFC 2369 3.2: the first that the reader's program can use; RFC 8058 3.1.
            write!(out, "List-Unsubscribe: <{link}>")?;
            if let Some(mailto) = mailto {
                write!(out, ",\r\n <{mailto}>")?;
            }
            out.write_str("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")?;
        }
        for (name, value) in extra {
            write!(out, "{name}: {value}\r\n")?;
        }
        out.write_str("MIME-Version: 1.0\r\n")
    };
    headers().expect("writing to a String cannot fail");
    match (text, html) {
        (Some(text), Some(html)) => push_alternative(&mut out, id, text, html),
        (Some(text), None) => push_whole(&mut out, "text/plain", text),
        (None, Some(html)) => push_whole(&mut out, "text/html", html),
        (None, None) => return Err(refused("NoBody", "the message has neither text nor html")),
    }
    Ok(out)
}

fn refused(code: &str, text: &str) -> Failure {
    Failure {
        category: Category::ContentRejected,
        code: Some(code.to_owned()),
        provider_text: Some(text.to_owned()),
    }
}

/// Plain first: readers show the last alternative that they understand (RFC 2046 5.1.4).
fn push_alternative(out: &mut String, id: NotificationId, text: &str, html: &str) {
    // `=_` occurs in no quoted-printable or base64 text, and no content can name an id that is
    // given to it only when it is taken in.
    let boundary = format!("=_{id}");
    let parts = [("text/plain", text), ("text/html", html)];
    out.push_str("Content-Type: multipart/alternative;\r\n boundary=\"");
    out.push_str(&boundary);
    out.push_str("\"\r\n\r\n");
    for (kind, body) in parts {
        out.push_str("--");
        out.push_str(&boundary);
        out.push_str("\r\n");
        push_part(out, kind, body);
        out.push_str("\r\n");
    }
    out.push_str("--");
    out.push_str(&boundary);
    out.push_str("--\r\n");
}

/// The only part of a message. The message must end in CRLF; in quoted-printable that can be one
/// that is not part of the text.
fn push_whole(out: &mut String, kind: &str, text: &str) {
    let encoding = push_part(out, kind, text);
    if !out.ends_with("\r\n") {
        out.push_str(match encoding {
            Encoding::QuotedPrintable => "=\r\n",
            Encoding::SevenBit | Encoding::Base64 => "\r\n",
        });
    }
}

fn push_part(out: &mut String, kind: &str, text: &str) -> Encoding {
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

/// RFC 5322 3.3, in UTC.
fn rfc5322_date(at: Timestamp) -> String {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    jiff::Timestamp::from_millisecond(at.as_millis())
        .and_then(|t| printer.zoned_to_string(&t.to_zoned(jiff::tz::TimeZone::UTC)))
        .unwrap_or_else(|_out_of_range| "Thu, 1 Jan 1970 00:00:00 +0000".to_owned())
}

/// The domain as the DNS knows it (IDNA, by the rules of the URL standard); `None` when there is no
/// such form.
fn domain_to_ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    let url = reqwest::Url::parse(&format!("http://{domain}")).ok()?;
    let nothing_else = url.path() == "/" && url.port().is_none() && url.username().is_empty();
    url.host_str()
        .filter(|host| nothing_else && host.is_ascii())
        .map(str::to_owned)
}
