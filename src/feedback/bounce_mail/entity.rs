//! A mail or a part of one: its header and what follows (RFC 2045 to 2049).
//!
//! Only the parts of the mail itself are looked at, none within them: reports stand there (RFC 3462 1), and
//! what is nested without end costs nothing. Header fields are read by `mail-parser`.

use jiff::fmt::rfc2822::DateTimeParser;
use mail_parser::{Message, MessageParser, MimeHeaders as _};

use crate::domain::time::Timestamp;
use crate::feedback::provider_text::sentence;

/// A report has three parts (RFC 3462 1); mailing lists and scanners add one or two.
const PARTS_MAX: usize = 16;

pub(super) struct Entity<'a> {
    /// None: there is no field that could be read.
    header: Option<Message<'a>>,
    pub(super) body: &'a str,
}

impl<'a> Entity<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            end += line.len();
            if is_blank(line) {
                break;
            }
        }
        let (header, body) = text.split_at(end);
        Self {
            header: MessageParser::new().parse_headers(header),
            body,
        }
    }

    /// The fields of this name, from the first to the last, still folded.
    pub(super) fn fields<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e str> {
        let fields = self.header.iter().flat_map(Message::headers_raw);
        fields
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn field<'e>(&'e self, name: &'e str) -> Option<&'e str> {
        self.fields(name).next()
    }

    /// The time in a field (RFC 5322 3.3). By `jiff`: `mail-parser` takes zones of twelve hours and more for
    /// none.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
        let read = PARSER.parse_timestamp(sentence(self.field(name)?)).ok()?;
        Some(Timestamp::from_millis(read.as_millisecond()))
    }

    /// Of the type, `message`, one of these subtypes.
    pub(super) fn is_message(&self, subtypes: &[&str]) -> bool {
        let mut subtypes = subtypes.iter();
        subtypes.any(|subtype| self.is_of("message", subtype))
    }

    pub(super) fn is_of(&self, kind: &str, subtype: &str) -> bool {
        let header = self.header.as_ref();
        header.is_some_and(|header| header.is_content_type(kind, subtype))
    }

    /// The parts of a multipart; none of anything else.
    pub(super) fn parts(&self) -> Vec<Entity<'a>> {
        let content_type = self.header.as_ref().and_then(|it| it.content_type());
        let boundary = content_type
            .filter(|it| it.ctype().eq_ignore_ascii_case("multipart"))
            .and_then(|it| it.attribute("boundary"))
            .filter(|boundary| !boundary.is_empty());
        match boundary {
            Some(boundary) => parts(self.body, boundary),
            None => Vec::new(),
        }
    }

    /// The body as groups of fields with empty lines between them (RFC 3464 2.1).
    pub(super) fn groups(&self) -> Vec<Entity<'a>> {
        let (mut groups, mut rest) = (Vec::new(), self.body);
        while !rest.is_empty() {
            let group = Self::read(rest);
            rest = group.body;
            if group.header.is_some() {
                groups.push(group);
            }
        }
        groups
    }
}

fn is_blank(line: &str) -> bool {
    line.trim_end_matches(['\r', '\n']).is_empty()
}

/// What stands between the lines of the boundary (RFC 2046 5.1.1). A mail that was cut has no last one.
fn parts<'a>(body: &'a str, boundary: &str) -> Vec<Entity<'a>> {
    let mut parts = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in body.split_inclusive('\n') {
        if let Some(is_last) = delimiter(line, boundary) {
            let part = start.and_then(|start| body.get(start..at));
            parts.extend(part.map(Entity::read));
            start = Some(at + line.len());
            if is_last || parts.len() >= PARTS_MAX {
                return parts;
            }
        }
        at += line.len();
    }
    let part = start.and_then(|start| body.get(start..));
    parts.extend(part.map(Entity::read));
    parts
}

/// Whether it is the last one; `None`: the line is none.
fn delimiter(line: &str, boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix("--")?.strip_prefix(boundary)?.trim_end();
    match rest {
        "" => Some(false),
        "--" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case_and_still_folded() {
        let entity = Entity::read("Subject: Hello\r\n you\r\nX-A: 1\r\nx-a: 2\r\n\r\nX-A: 3\r\n");
        assert_eq!(entity.fields("x-A").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(entity.field("subject"), Some("Hello\r\n you"));
        assert_eq!(entity.body, "X-A: 3\r\n");
        assert_eq!(entity.field("X-B"), None);
    }

    #[test]
    fn a_time_is_read_with_its_zone_and_nonsense_is_none() {
        for text in [
            "Fri, 1 Jan 2027 10:00:00 +0100 (CET)",
            "Fri,  1 Jan 2027 22:00:00\r\n +1300",
            "1 Jan 2027 09:00:00 GMT",
            "Mon, 1 Jan 2027 09:00:00 -0000",
        ] {
            let mail = format!("Date: {text}\r\n\r\n");
            let read = Entity::read(&mail).time("Date").map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some("2027-01-01T09:00:00.000Z"), "{text}");
        }
        assert_eq!(Entity::read("Date: tomorrow\n\n").time("Date"), None);
    }

    #[test]
    fn parts_end_at_lines_of_the_boundary_alone() {
        let text = "Content-Type: Multipart/Report; boundary=\"b b\"\r\n\r\npreamble\r\n--b b\r\n\
            Content-Type: message/delivery-status\r\n\r\nA: 1\r\n--b bc\r\nB: 2\r\n--b b  \r\n\r\ntext\r\n\
            --b b--\r\nepilogue\r\n--b b\r\n\r\nmore\r\n";
        let parts = Entity::read(text).parts();
        let bodies: Vec<&str> = parts.iter().map(|part| part.body).collect();
        assert_eq!(bodies, ["A: 1\r\n--b bc\r\nB: 2\r\n", "text\r\n"]);
        assert!(parts[0].is_message(&["delivery-status"]));
        assert!(!parts[1].is_message(&["delivery-status"]));
    }

    #[test]
    fn a_mail_that_was_cut_has_its_parts_up_to_there_and_many_parts_are_too_many() {
        let head = "Content-Type: multipart/report; boundary=b\n\n";
        let cut = format!("{head}--b\n\none\n--b\n\ntw");
        assert_eq!(Entity::read(&cut).parts().len(), 2);
        let many = format!("{head}{}", "--b\n\nx\n".repeat(10_000));
        assert_eq!(Entity::read(&many).parts().len(), PARTS_MAX);
    }

    #[test]
    fn groups_are_told_apart_by_empty_lines_of_either_kind() {
        let status = Entity::read("\r\nA: 1\r\n\r\n\r\nB: 2\n\nB: 3\nC: 4");
        let found = status.groups();
        let fields: Vec<_> = found.iter().map(|group| group.field("B")).collect();
        assert_eq!(fields, [None, Some("2"), Some("3")]);
        assert_eq!(found[2].field("c"), Some("4"));
    }
}
