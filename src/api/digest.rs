//! The digest of what was asked for, made of bytes that SQL can make as well (`sendtrail_digest` in
//! the migrations): the same key and the same body agree whichever way they come in.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Number, Value as Json};
use uuid::Uuid;

use crate::domain::message::Attachment;

/// The first 128 bits of the SHA-256 of these texts, in this order.
pub(super) fn of(parts: &[Option<String>]) -> Uuid {
    let text = serde_json::to_string(parts).unwrap_or_default();
    let digest = digest(&SHA256, text.as_bytes());
    let first = digest.as_ref().first_chunk::<16>();
    Uuid::new_v8(*first.expect("a SHA-256 has 32 bytes"))
}

/// Data as one of the texts.
pub(super) fn data(map: &Map<String, Json>) -> String {
    let mut text = String::new();
    write_object(map, &mut text);
    text
}

/// Attachments as one of the texts, if there are any; of the bytes of each its digest.
pub(super) fn attachments(attachments: &[Attachment]) -> Option<String> {
    let json = serde_json::to_value(attachments).ok()?;
    let mut text = String::new();
    write(&json, &mut text);
    (!attachments.is_empty()).then_some(text)
}

/// JSON without white space, names in the order of their bytes (`serde_json` keeps them so), and
/// each number as the bits of its double: there is no other form in which two languages agree on
/// 1e2, 100 and 100.0, and RFC 8259 6 promises no more precision than a double has.
fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null | Json::Bool(_) | Json::String(_) => out.push_str(&value.to_string()),
        Json::Number(number) => out.push_str(&bits(number)),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => write_object(fields, out),
    }
}

fn write_object(fields: &Map<String, Json>, out: &mut String) {
    out.push('{');
    for (i, (name, value)) in fields.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(&Json::from(name.as_str()).to_string());
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn bits(number: &Number) -> String {
    // A sum with zero has no negative zero, which PostgreSQL's numeric does not know either.
    let double = number.as_f64().unwrap_or(f64::NAN) + 0.0;
    hex::encode(double.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_value_are_one_text() {
        let text = |json: &str| {
            let mut out = String::new();
            write(&serde_json::from_str(json).unwrap(), &mut out);
            out
        };
        assert_eq!(text("[1e2, 100, 100.0]"), text("[100, 1.0e2, 100.00]"));
        assert_eq!(text("[0, -0.0, 0e7, 1e-999]"), text("[-0, 0, 0.0, 0]"));
        assert_eq!(text("1"), "3ff0000000000000");
        assert_ne!(text("0.1"), text("0.10000000000000002"));
        assert_eq!(
            text(r#"{"b": [null, true, "é\n\u0001"], "a": {}}"#),
            "{\"a\":{},\"b\":[null,true,\"é\\n\\u0001\"]}"
        );
    }

    #[test]
    fn a_double_is_read_as_the_one_nearest_to_what_is_written() {
        // The parser's default is faster, and off by the last bit for this one.
        let read: Json = serde_json::from_str("65740736733491409e6").unwrap();
        let nearest: f64 = "65740736733491409e6".parse().unwrap();
        assert_eq!(
            bits(read.as_number().unwrap()),
            hex::encode(nearest.to_be_bytes())
        );
    }
}
