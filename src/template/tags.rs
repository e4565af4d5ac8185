//! The words that a content is tagged with: of its text, or of the text of its HTML.

use super::plain;
use crate::domain::message::Content;
use crate::domain::tags;

/// HTML that is looked at: mail has more markup than text, and its styles come first.
pub(super) const HTML_BYTES_MAX: usize = 16 * 1024;

/// The weightiest words of a content, the best first.
pub fn of_content(content: &Content) -> Vec<String> {
    match content {
        Content::Email {
            subject,
            text,
            html,
            ..
        } => of_parts(Some(subject), text.as_deref(), html.as_deref()),
        Content::Sms { text } => of_parts(None, Some(text), None),
        Content::Push { title, text, .. } => of_parts(title.as_deref(), Some(text), None),
    }
}

/// The same of a message's parts.
pub fn of_parts(subject: Option<&str>, text: Option<&str>, html: Option<&str>) -> Vec<String> {
    match (text, html) {
        (Some(text), _) => tags::candidates(subject, text),
        (None, Some(html)) => {
            let end = html.floor_char_boundary(HTML_BYTES_MAX);
            let text = plain(html.get(..end).unwrap_or_default());
            tags::candidates(subject, &text)
        }
        (None, None) => tags::candidates(subject, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_read_as_text_where_there_is_no_text() {
        let html = "<style>p{color:red}</style><p>The <b>invoice</b> of <a href=\"https://x.example/y\">April</a></p>";
        let words = of_parts(None, None, Some(html));
        assert_eq!(words, ["invoice", "april"]);
        let words = of_parts(Some("Refund"), Some("granted"), Some(html));
        assert_eq!(words, ["refund", "granted"]);
    }
}
