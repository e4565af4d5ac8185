//! An email as the provider sees it: envelope, headers, tags. The body is not kept.

use crate::smtpd::bare_address;

/// SES cuts the headers of its events at 10 KB and says so.
/// <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>
const HEADERS_BYTES_MAX: usize = 10 * 1024;
/// Message tags per email: our own bound, far above what anyone sends.
pub(super) const TAGS_MAX: usize = 50;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mail {
    /// The envelope's sender.
    pub source: String,
    /// The envelope's recipients, at least one.
    pub recipients: Vec<String>,
    pub headers: Vec<Header>,
    pub headers_truncated: bool,
    pub tags: Vec<Tag>,
    pub configuration_set: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub name: String,
    pub value: String,
}

impl Mail {
    /// Reads the headers of an RFC 5322 message and takes out those that speak to SES alone. Tags
    /// of the request, where there are any, take the place of those in the header.
    pub(super) fn read(raw: &[u8]) -> Self {
        let mut mail = Self::default();
        for header in headers(raw) {
            mail.add(header);
        }
        mail
    }

    pub(super) fn add(&mut self, header: Header) {
        match header.name.to_ascii_lowercase().as_str() {
            "x-ses-message-tags" => self.tags = tags(&header.value),
            "x-ses-configuration-set" => {
                self.configuration_set = Some(header.value).filter(|name| is_plain_name(name));
            }
            // After the first cut nothing is looked at any more: a flood of headers costs little.
            _other if self.headers_truncated => {}
            _other => {
                let length: usize = self.headers.iter().map(Header::length).sum();
                if length + header.length() > HEADERS_BYTES_MAX {
                    self.headers_truncated = true;
                } else {
                    self.headers.push(header);
                }
            }
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_str())
    }

    /// The addresses of a header that lists some, without their display names.
    pub(super) fn addresses(&self, name: &str) -> Vec<String> {
        let list = self.header(name).unwrap_or_default();
        list.split(',').filter_map(bare_address).collect()
    }

    pub(super) fn first_recipient(&self) -> &str {
        self.recipients.first().map_or("", String::as_str)
    }

    /// What tells this email from others: the sender's own id, else the address.
    pub(super) fn identity(&self) -> &str {
        let tag = self.tags.iter().find(|tag| tag.name == "notification_id");
        tag.map(|tag| tag.value.as_str())
            .or_else(|| self.header("X-Sendtrail-Id"))
            .unwrap_or_else(|| self.first_recipient())
    }
}

impl Tag {
    pub(super) fn is_valid(&self) -> bool {
        is_plain_name(&self.name) && is_plain_name(&self.value)
    }
}

/// What SES takes as the name or the value of a tag and as the name of a configuration set.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html>
pub(super) fn is_plain_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=256).contains(&text.len()) && text.bytes().all(is_plain)
}

impl Header {
    fn length(&self) -> usize {
        self.name.len() + self.value.len() + 4
    }
}

/// The header lines up to the first empty one, unfolded.
fn headers(raw: &[u8]) -> Vec<Header> {
    let mut found: Vec<Header> = Vec::new();
    for line in raw.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(last) = found.last_mut() {
                last.value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            found.push(Header {
                name: name.trim_end().to_owned(),
                value: value.trim_start().to_owned(),
            });
        }
    }
    found
}

/// `a=b, c=d`; those that are not valid are ignored.
fn tags(list: &str) -> Vec<Tag> {
    list.split(',')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| Tag {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .filter(Tag::is_valid)
        .take(TAGS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"From: Sendtrail <noreply@example.com>\r\nTo: Ana <ana@example.com>,\r\n\tbo@example.com\r\nX-SES-MESSAGE-TAGS: notification_id=5f1c, bad=a@b, kind=receipt\r\nx-ses-configuration-set: notify\r\nX-Sendtrail-Id: 5f1c\r\n\r\nNot: a header\r\n";

    #[test]
    fn headers_are_unfolded_and_those_for_ses_taken_out() {
        let mail = Mail::read(RAW);
        let names: Vec<_> = mail.headers.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["From", "To", "X-Sendtrail-Id"]);
        assert_eq!(mail.addresses("to"), ["ana@example.com", "bo@example.com"]);
        assert_eq!(mail.configuration_set.as_deref(), Some("notify"));
        let tags: Vec<_> = mail.tags.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(tags, ["notification_id", "kind"]);
        assert_eq!(mail.identity(), "5f1c");
    }

    #[test]
    fn an_email_is_known_by_tag_then_header_then_address() {
        let mut mail = Mail::read(b"X-Sendtrail-Id: from-header\n\n");
        assert_eq!(mail.identity(), "from-header");
        mail.tags = tags("notification_id=from-tag");
        assert_eq!(mail.identity(), "from-tag");
        let bare = Mail {
            recipients: vec!["ana@example.com".to_owned()],
            ..Mail::default()
        };
        assert_eq!(bare.identity(), "ana@example.com");
    }

    #[test]
    fn long_headers_are_cut_and_the_cut_is_told() {
        let mut raw = b"Subject: kept\r\n".to_vec();
        raw.extend(b"X-Long: ");
        raw.extend(std::iter::repeat_n(b'x', HEADERS_BYTES_MAX));
        raw.extend(b"\r\n\r\n");
        let mail = Mail::read(&raw);
        assert!(mail.headers_truncated);
        assert_eq!(mail.headers.len(), 1);
    }
}
