//! One email as bytes: the same for every provider that takes a whole message (RFC 5322, MIME).

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;

use super::settings::Problem;
use super::{body, header};
use crate::domain::event::Failure;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::{Content, Outgoing};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::domain::unsubscribe::Unsubscribe;

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
        let mailbox = Mailbox::parse(from).map_err(|why| Problem::new("from", why.to_string()))?;
        let domain = "has a domain that the DNS cannot know";
        Self::of(&mailbox).ok_or_else(|| Problem::new("from", domain))
    }

    /// `None` when the DNS knows no such domain.
    fn of(mailbox: &Mailbox) -> Option<Self> {
        let (local, domain) = mailbox.address().rsplit_once('@')?;
        let domain = domain_to_ascii(domain)?;
        Some(Self {
            header: mailbox_header("From", mailbox)?,
            address: format!("{local}@{domain}"),
            domain,
        })
    }

    /// Of this message: its own sender, else this one, which is that of the settings.
    pub(super) fn of_message<'a>(&'a self, outgoing: &Outgoing) -> Result<Cow<'a, Self>, Failure> {
        let Some(own) = &outgoing.sender else {
            return Ok(Cow::Borrowed(self));
        };
        let own = Mailbox::parse(own).ok().as_ref().and_then(Self::of);
        own.map(Cow::Owned).ok_or_else(|| {
            let text = "the business's own sender is no address that mail can come from";
            sender_refused(Some("OwnSender"), text)
        })
    }
}

/// A business's own sender is refused: that concerns its messages and nobody else's.
pub(super) fn sender_refused(code: Option<&str>, text: &str) -> Failure {
    Failure {
        category: Category::Credentials,
        code: code.map(str::to_owned),
        provider_text: Some(text.to_owned()),
    }
}

/// The value of a header that names a mailbox; `None` when the DNS knows no such domain.
fn mailbox_header(name: &str, mailbox: &Mailbox) -> Option<String> {
    let (local, domain) = mailbox.address().rsplit_once('@')?;
    let address = format!("{local}@{}", domain_to_ascii(domain)?);
    Some(match mailbox.name() {
        None => address,
        Some(shown) => format!("{}\r\n <{address}>", header::phrase(name, shown)),
    })
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
        reply_to,
        attachments: _,
    } = &outgoing.content
    else {
        return Err(refused("WrongMethod", "only email can be sent this way"));
    };
    // Checked at the edge as well; here it is the last moment before the wire.
    if subject.contains(['\r', '\n', '\0']) {
        return Err(refused("SubjectLineBreak", "the subject has a line break"));
    }
    let reply_to = reply_to.as_ref().or(outgoing.reply_to.as_ref());
    let reply_to = reply_to
        .map(|mailbox| {
            mailbox_header("Reply-To", mailbox).ok_or_else(|| {
                let text = "the address for answers has a domain that the DNS cannot know";
                refused("ReplyTo", text)
            })
        })
        .transpose()?;
    let bodies = text.as_ref().map_or(0, String::len) + html.as_ref().map_or(0, String::len);
    let files: usize = outgoing
        .files
        .iter()
        .map(|file| body::encoded_length(file))
        .sum();
    let capacity = HEADERS_LENGTH_TYPICAL + subject.len() + bodies * 9 / 8 + files;
    let mut out = String::with_capacity(capacity);
    let id = outgoing.id;
    let mut headers = || -> std::fmt::Result {
        write!(out, "From: {}\r\n", sender.header)?;
        write!(out, "To: {}\r\n", recipient.address)?;
        if let Some(reply_to) = &reply_to {
            write!(out, "Reply-To: {reply_to}\r\n")?;
        }
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
    body::push(&mut out, outgoing)?;
    Ok(out)
}

pub(super) fn refused(code: &str, text: &str) -> Failure {
    Failure {
        category: Category::ContentRejected,
        code: Some(code.to_owned()),
        provider_text: Some(text.to_owned()),
    }
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
