//! Providers' own words, made fit to be kept and logged: one line, bounded, no personal data.

/// Longer texts are cut: RFC 5321 4.5.3.1.5 allows reply lines of 512 octets, and nothing beyond
/// the first two of them helped anybody yet.
const TEXT_LENGTH_MAX: usize = 1000;

/// Runs of this many digits may be a phone number (E.164 has 7 to 15).
const PHONE_DIGITS_MIN: usize = 7;

/// One line without control characters, cut at [`TEXT_LENGTH_MAX`] bytes. For what only people with
/// access to the entry see: it may name the recipient.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(TEXT_LENGTH_MAX));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if c == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if line.len() + c.len_utf8() > TEXT_LENGTH_MAX {
            break;
        }
        line.push(c);
    }
    line.truncate(line.trim_end().len());
    line
}

/// [`one_line`], with everything that could be an address, a phone number or a device replaced. For
/// what is logged.
pub(super) fn impersonal(text: &str) -> String {
    let line = one_line(text);
    let mut safe = String::with_capacity(line.len());
    for word in line.split(' ') {
        if !safe.is_empty() {
            safe.push(' ');
        }
        safe.push_str(if word.contains('@') {
            "[address]"
        } else if word.contains("arn:") {
            "[arn]"
        } else if is_like_a_phone_number(word) {
            "[number]"
        } else {
            word
        });
    }
    safe
}

/// A plus sign, digits and what people put between them. Queue ids and dates are left alone.
fn is_like_a_phone_number(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '+');
    bare.bytes().filter(u8::is_ascii_digit).count() >= PHONE_DIGITS_MIN
        && bare
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'(' | b')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_bounded_line() {
        assert_eq!(one_line(" a\r\n\tb\0c  d "), "a b c d");
        assert!(one_line(&"ü".repeat(5000)).len() <= TEXT_LENGTH_MAX);
    }

    #[test]
    fn texts_for_the_log_name_nobody() {
        assert_eq!(
            impersonal("550 5.1.1 <ana@example.com>: unknown, tel. +1 or (415)555-0123."),
            "550 5.1.1 [address] unknown, tel. +1 or [number]"
        );
        assert_eq!(
            impersonal("no endpoint arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/x here"),
            "no endpoint [arn] here"
        );
        assert_eq!(
            impersonal("queued as 4XyzAB1234567"),
            "queued as 4XyzAB1234567"
        );
    }
}
