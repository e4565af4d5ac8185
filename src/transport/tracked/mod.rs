//! A message with the links by which its opens and clicks are learnt. Every byte of its HTML stays but
//! the addresses of its links and the place of a picture; its plain text stays as it is.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::ops::Range;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use crate::domain::id::NotificationId;
use crate::domain::message::{Content, Outgoing};
use crate::domain::tracking::{Links, Target};

/// Links of one message that are rewritten; more are left as they are, so that hostile HTML does not
/// grow without bound.
const LINKS_MAX: usize = 500;
/// `data-track="no"` on a link leaves it alone.
const MARK: (&[u8], &[u8]) = (b"data-track", b"no");
/// How SES has it, for messages that may go by either.
/// <https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html>
const MARK_OF_SES: &[u8] = b"ses:no-track";

/// `None`: it goes out as it is.
pub(super) fn tracked(message: &Outgoing) -> Option<Outgoing> {
    let links = message.tracking_links.as_ref()?;
    let Content::Email {
        html: Some(html), ..
    } = &message.content
    else {
        return None;
    };
    let (opens, clicks) = (message.tracking.opens, message.tracking.clicks);
    let html = (opens || clicks).then(|| rewritten(html, message, links))?;
    let mut message = message.clone();
    if let Content::Email { html: own, .. } = &mut message.content {
        *own = Some(html);
    }
    Some(message)
}

/// An open of it would be learnt.
pub(super) fn opens_tracked(message: &Outgoing) -> bool {
    let Content::Email {
        html: Some(html), ..
    } = &message.content
    else {
        return false;
    };
    message.tracking.opens && message.tracking_links.is_some() && found(html).end.is_some()
}

fn rewritten(html: &str, message: &Outgoing, links: &Links) -> String {
    let found = found(html);
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    if message.tracking.clicks {
        let led_on = found.links.into_iter();
        let led_on = led_on.filter(|link| !links.is_ours(&link.target));
        changes.extend(led_on.take(LINKS_MAX).map(|link| {
            let address = links.click(message.id, &link.target);
            (link.place, escaped(&address))
        }));
    }
    if let Some(end) = found.end.filter(|_| message.tracking.opens) {
        changes.push((end..end, picture(links, message.id)));
    }
    // There may be links after the end of the body.
    changes.sort_by_key(|(place, _)| place.start);
    let added: usize = changes.iter().map(|(_, text)| text.len()).sum();
    let (mut out, mut rest) = (String::with_capacity(html.len() + added), 0);
    for (place, text) in changes {
        out.push_str(html.get(rest..place.start).unwrap_or_default());
        out.push_str(&text);
        rest = place.end;
    }
    out.push_str(html.get(rest..).unwrap_or_default());
    out
}

fn picture(links: &Links, id: NotificationId) -> String {
    let address = links.picture(id);
    let address = escaped(&address);
    format!("<img src=\"{address}\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0\">")
}

/// So that it ends no attribute, however that is quoted. Our own address may hold these.
fn escaped(address: &str) -> String {
    let address = address.replace('&', "&amp;");
    address.replace('"', "&quot;").replace('\'', "&#39;")
}

/// What of an HTML text is of interest.
#[derive(Default)]
struct Found {
    /// In the order of the text.
    links: Vec<Link>,
    /// Where the picture goes: before the end of the body, else at the end of the text. `None`: the text
    /// breaks off within a tag or a comment, which would swallow it.
    end: Option<usize>,
}

struct Link {
    target: Target,
    /// Of its address, between the quotes.
    place: Range<usize>,
}

fn found(html: &str) -> Found {
    let mut page = Page {
        html,
        link: None,
        attribute: Attribute::Other,
        body_end: None,
        breaks_off: false,
        found: Found::default(),
    };
    let read = |event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
        page.read(&event, span);
        None
    };
    let mut emitter = CallbackEmitter::new(read);
    // The texts of scripts, styles and titles are no markup.
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    let whole = (!page.breaks_off).then_some(html.len());
    page.found.end = page.body_end.or(whole);
    page.found
}

struct Page<'a> {
    html: &'a str,
    /// The link whose tag is being read.
    link: Option<Tag>,
    attribute: Attribute,
    body_end: Option<usize>,
    breaks_off: bool,
    found: Found,
}

/// The tag `<a …>` as far as it is read.
#[derive(Default)]
struct Tag {
    /// There was one, whatever it was: of two the first counts.
    has_address: bool,
    link: Option<Link>,
    is_left_alone: bool,
}

#[derive(Clone, Copy)]
enum Attribute {
    Href,
    Mark,
    Other,
}

impl Page<'_> {
    fn read(&mut self, event: &CallbackEvent<'_>, span: Span<usize>) {
        match *event {
            CallbackEvent::OpenStartTag { name } => {
                self.link = (name == b"a").then(Tag::default);
                self.attribute = Attribute::Other;
            }
            CallbackEvent::AttributeName { name } => self.begin_attribute(name),
            CallbackEvent::AttributeValue { value } => self.value(value, span.start),
            CallbackEvent::CloseStartTag { .. } => {
                let tag = self.link.take().filter(|tag| !tag.is_left_alone);
                self.found.links.extend(tag.and_then(|tag| tag.link));
            }
            CallbackEvent::EndTag { name } => {
                let begins = self.html.get(span.start..);
                if name == b"body" && begins.is_some_and(|rest| rest.starts_with("</")) {
                    self.body_end = Some(span.start);
                }
            }
            CallbackEvent::Error(error) => self.breaks_off |= error.as_str().starts_with("eof-"),
            CallbackEvent::String { .. }
            | CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. } => {}
        }
    }

    fn begin_attribute(&mut self, name: &[u8]) {
        let Some(tag) = &mut self.link else {
            return;
        };
        tag.is_left_alone |= name == MARK_OF_SES;
        self.attribute = if name == b"href" && !std::mem::replace(&mut tag.has_address, true) {
            Attribute::Href
        } else if name == MARK.0 {
            Attribute::Mark
        } else {
            Attribute::Other
        };
    }

    fn value(&mut self, value: &[u8], start: usize) {
        let Some(tag) = &mut self.link else {
            return;
        };
        match self.attribute {
            Attribute::Href => {
                let target = std::str::from_utf8(value).ok().and_then(Target::parse);
                tag.link = target.and_then(|target| {
                    let place = place(self.html, start)?;
                    Some(Link { target, place })
                });
            }
            Attribute::Mark => {
                tag.is_left_alone |= value.trim_ascii().eq_ignore_ascii_case(MARK.1);
            }
            Attribute::Other => {}
        }
    }
}

/// The value of an attribute that begins here, as it is written: up to its quote, or without quotes up
/// to white space or the end of the tag (HTML 13.1.2.3).
fn place(html: &str, start: usize) -> Option<Range<usize>> {
    let (before, value) = html.split_at_checked(start)?;
    let end = match before.chars().next_back()? {
        quote @ ('"' | '\'') => value.find(quote)?,
        _unquoted => value.find(|c: char| c.is_ascii_whitespace() || c == '>')?,
    };
    Some(start..start + end)
}
