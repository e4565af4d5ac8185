//! Text that a provider or a remote server wrote: bounded, on one line, and found without trust in
//! its place.

use super::json::Json;
use crate::domain::line::bounded;

/// In characters. Longer than the replies of mail servers that say anything; they are kept as they
/// are, addresses too, because operators need the server's own words.
const TEXT_MAX: usize = 500;
/// In characters; for links and user agents, which are compared and shown but seldom read.
const LONG_MAX: usize = 2000;
/// In characters; for names of kinds, types and codes.
const WORD_MAX: usize = 64;

/// A sentence, such as a server's reply.
pub(super) fn sentence(text: &str) -> String {
    bounded(text, TEXT_MAX)
}

pub(super) fn long(text: &str) -> String {
    bounded(text, LONG_MAX)
}

pub(super) fn word(text: &str) -> String {
    bounded(text, WORD_MAX)
}

/// The text at a JSON pointer. Anything else there counts as absent: providers change the types of
/// what matters little, and one odd field must not cost us the rest.
pub(super) fn text_at<'a>(value: &'a Json<'_>, pointer: &str) -> Option<&'a str> {
    match value.at(pointer) {
        Some(Json::Text(text)) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// The list at a JSON pointer; empty when there is none.
pub(super) fn list_at<'a, 'text>(value: &'a Json<'text>, pointer: &str) -> &'a [Json<'text>] {
    match value.at(pointer) {
        Some(Json::List(values)) => values,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_text_is_one_bounded_line_without_control_characters() {
        assert_eq!(
            sentence(" smtp; 550-5.1.1\r\n550 \u{1b}[31mno\tsuch\0user\u{85} "),
            "smtp; 550-5.1.1 550 [31mno such user"
        );
        assert_eq!(sentence(&"é".repeat(10_000)).chars().count(), TEXT_MAX);
        assert_eq!(sentence(&"ab ".repeat(10_000)).chars().count(), TEXT_MAX);
        assert_eq!(word(&format!("{} b", "a".repeat(63))), "a".repeat(63));
        assert_eq!(word(" \n "), "");
        for text in [
            "550 5.1.1 no such user",
            " a",
            "a ",
            "a  b",
            "",
            "a\tb",
            "é b",
        ] {
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(sentence(text), words.join(" "), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_expected_type_counts_as_absent() {
        let value = Json::parse(r#"{"a": {"b": "c", "n": null, "e": " "}, "l": [1]}"#).unwrap();
        assert_eq!(text_at(&value, "/a/b"), Some("c"));
        for pointer in ["/a", "/a/n", "/a/e", "/a/x", "/l"] {
            assert_eq!(text_at(&value, pointer), None, "{pointer}");
        }
        assert_eq!(list_at(&value, "/l").len(), 1);
        assert!(list_at(&value, "/a").is_empty());
    }
}
