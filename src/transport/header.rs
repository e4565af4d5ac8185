//! Header values as RFC 5322 and RFC 2047 want them: folded, and encoded where they must be.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// RFC 2047 2: no encoded word is longer, and no line that holds one is longer than one more.
const ENCODED_WORD_LENGTH_MAX: usize = 75;
/// RFC 5322 2.1.1: lines SHOULD be at most 78 characters; RFC 2047 2 says 76 for encoded ones.
const LINE_LENGTH_MAX: usize = 76;
/// RFC 5322 2.1.1: lines MUST be at most 998 characters; a word that alone comes near is encoded.
const PLAIN_WORD_LENGTH_MAX: usize = 200;
const ENCODED_WORD_OPENING: &str = "=?utf-8?b?";
const ENCODED_WORD_CLOSING: &str = "?=";

/// The value of an unstructured header such as `Subject`, folded; `name` is the header's name,
/// which takes room on the first line. A reader that unfolds and decodes it gets `value` back,
/// whatever is in it.
pub(super) fn unstructured(name: &str, value: &str) -> String {
    let column = name.len() + ": ".len();
    if is_plain(value) {
        fold(column, value)
    } else {
        encode(column, value)
    }
}

/// A display name: a quoted string where that is possible, encoded words otherwise.
pub(super) fn phrase(name: &str, value: &str) -> String {
    let column = name.len() + ": ".len();
    let printable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if printable && value.len() < LINE_LENGTH_MAX && !value.contains("=?") {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        encode(column, value)
    }
}

/// A parameter after the value of a header, such as the name of a file, on lines of its own: a quoted
/// string where that is possible, else percent-encoded in pieces (RFC 2231 3 and 4).
pub(super) fn parameter(name: &str, value: &str) -> String {
    let printable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let column = name.len() + " =\"\"".len();
    // Many readers take what looks like an encoded word in a quoted string for one.
    if printable && !value.contains("=?") && column + value.len() <= LINE_LENGTH_MAX {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        return format!(";\r\n {name}=\"{value}\"");
    }
    let mut parameter = String::with_capacity(value.len() * 4);
    let (mut piece, mut number) = (String::from("utf-8''"), 0_u32);
    let mut end = |piece: &mut String| {
        write!(parameter, ";\r\n {name}*{number}*={piece}")
            .expect("writing to a String cannot fail");
        number += 1;
        piece.clear();
    };
    // Some readers decode each piece by itself, so a character is whole in one of them.
    for character in value.chars() {
        if piece.len() > PIECE_LENGTH_MAX {
            end(&mut piece);
        }
        if character.is_ascii_alphanumeric() || "-._~".contains(character) {
            piece.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            write!(piece, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    end(&mut piece);
    parameter
}

/// With the name and number of a piece before it, a line of usual length.
const PIECE_LENGTH_MAX: usize = 55;

/// Visible ASCII words with single spaces between them, and nothing that a reader could take for
/// an encoded word: what survives folding and unfolding untouched.
fn is_plain(value: &str) -> bool {
    !value.contains("=?")
        && value.split(' ').all(|word| {
            (1..=PLAIN_WORD_LENGTH_MAX).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_graphic())
        })
}

fn fold(mut column: usize, value: &str) -> String {
    let mut folded = String::with_capacity(value.len() + value.len() / 20);
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            if column + 1 + word.len() > LINE_LENGTH_MAX {
                folded.push_str("\r\n");
                column = 0;
            }
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += word.len();
    }
    folded
}

fn encode(column: usize, value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() * 2);
    let mut rest = value;
    let mut room = LINE_LENGTH_MAX.saturating_sub(column);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunk_length(rest, room));
        if !encoded.is_empty() {
            encoded.push_str("\r\n ");
        }
        write!(
            encoded,
            "{ENCODED_WORD_OPENING}{}{ENCODED_WORD_CLOSING}",
            STANDARD.encode(chunk)
        )
        .expect("writing to a String cannot fail");
        rest = after;
        room = ENCODED_WORD_LENGTH_MAX;
    }
    encoded
}

/// How much of `text` fits into one encoded word of `room` characters; never a part of a character
/// (RFC 2047 5), and at least one character.
fn chunk_length(text: &str, room: usize) -> usize {
    let room = room.min(ENCODED_WORD_LENGTH_MAX);
    let bytes =
        room.saturating_sub(ENCODED_WORD_OPENING.len() + ENCODED_WORD_CLOSING.len()) / 4 * 3;
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.floor_char_boundary(bytes).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader makes of it: unfolded, encoded words decoded and joined (RFC 2047 6.2).
    fn read_back(encoded: &str) -> String {
        let unfolded = encoded.replace("\r\n", "");
        let is_encoded = |w: &&str| w.starts_with("=?") && w.ends_with("?=");
        if unfolded.split(' ').all(|w| is_encoded(&w)) && !unfolded.is_empty() {
            let bytes: Vec<u8> = unfolded
                .split(' ')
                .flat_map(|w| STANDARD.decode(&w[10..w.len() - 2]).unwrap())
                .collect();
            return String::from_utf8(bytes).unwrap();
        }
        unfolded
    }

    #[test]
    fn a_plain_subject_stays_as_it_is() {
        assert_eq!(
            unstructured("Subject", "See you on Monday"),
            "See you on Monday"
        );
    }

    #[test]
    fn a_non_ascii_subject_is_encoded() {
        assert_eq!(unstructured("Subject", "Grüße"), "=?utf-8?b?R3LDvMOfZQ==?=");
    }

    #[test]
    fn a_display_name_is_quoted_or_encoded() {
        assert_eq!(phrase("From", r#"O"Neil \ Co"#), r#""O\"Neil \\ Co""#);
        assert!(phrase("From", "Praxis Dr. Müller").starts_with("=?utf-8?b?"));
        assert!(phrase("From", &"n".repeat(500)).starts_with("=?utf-8?b?"));
    }

    #[test]
    fn a_parameter_is_quoted_or_percent_encoded_in_pieces() {
        let plain = ";\r\n filename=\"in \\\"voice\\\" \\\\.pdf\"";
        assert_eq!(parameter("filename", r#"in "voice" \.pdf"#), plain);
        let accents = ";\r\n filename*0*=utf-8''%C3%A9%3D%3F.pdf";
        assert_eq!(parameter("filename", "é=?.pdf"), accents);
        let long = parameter("filename", &"é".repeat(100));
        assert!(long.contains("\r\n filename*9*=%"), "{long}");
        assert!(long.split("\r\n").all(|line| line.len() < 80), "{long}");
    }

    proptest! {
        #[test]
        fn whatever_the_subject_it_is_read_back_and_its_lines_are_short(
            value in prop_oneof![
                "[ -~]{0,400}", "\\PC{0,300}", "([a-z]{1,30} ){0,80}[a-z]", "[a-z]{190,1500}",
                "(=\\?|a| |\u{a0}|é|😀|\"){0,60}",
            ]
        ) {
            let encoded = unstructured("Subject", &value);
            prop_assert_eq!(read_back(&encoded), value);
            for line in format!("Subject: {encoded}").split("\r\n") {
                prop_assert!(line.len() <= 300, "{}", line.len());
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
                prop_assert!(!line.trim().is_empty() || encoded.is_empty());
            }
        }
    }
}
