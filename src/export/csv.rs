//! Comma-separated values (RFC 4180), in UTF-8, times in RFC 3339.

use std::borrow::Cow;

use super::cells::HEADINGS;
use super::{Error, Row};

/// Writes pieces that together are a file.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

impl Csv {
    pub fn headings() -> Result<Vec<u8>, Error> {
        written([HEADINGS.map(Cow::Borrowed).to_vec()])
    }

    pub fn rows(rows: &[Row]) -> Result<Vec<u8>, Error> {
        written(rows.iter().map(|row| {
            let date = Cow::Owned(row.date.to_string());
            let texts = row.texts().into_iter().map(harmless);
            std::iter::once(date).chain(texts).collect()
        }))
    }
}

fn written<'a>(rows: impl IntoIterator<Item = Vec<Cow<'a, str>>>) -> Result<Vec<u8>, Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        let fields = row.iter().map(|text| text.as_bytes());
        writer.write_record(fields).map_err(std::io::Error::from)?;
    }
    let whole = writer.into_inner();
    Ok(whole.map_err(csv::IntoInnerError::into_error)?)
}

/// A spreadsheet would take such a text for a formula (OWASP, CSV injection); with an apostrophe it
/// is a text. A phone number is none.
fn harmless(text: &str) -> Cow<'_, str> {
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ' ');
    let formula = match text.chars().next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => !text.get(1..).is_some_and(number),
        _ => false,
    };
    if formula {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_and_what_would_be_a_formula_is_a_text() {
        let head = String::from_utf8(Csv::headings().unwrap()).unwrap();
        assert!(head.starts_with("Date,Client,Client ID,User,Contact Method,Type,"));
        assert!(head.ends_with("Tags,Entry\r\n"));
        let row = Row::sample("=HYPERLINK(\"http://x\")", "one\n\"two\"");
        let text = String::from_utf8(Csv::rows(&[row]).unwrap()).unwrap();
        assert!(
            text.starts_with("2026-11-26T09:30:15.250Z,\"'=HYPERLINK(\"\"http://x\"\")\",C-1,"),
            "{text}"
        );
        assert!(text.contains(",\"one\n\"\"two\"\"\","), "{text}");
        assert!(text.contains(",\"Opened, Bounced\","), "{text}");
        for (text, kept) in [
            ("+351 912 345 678", "+351 912 345 678"),
            ("-12", "-12"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("", ""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(harmless(text), kept);
        }
    }
}
