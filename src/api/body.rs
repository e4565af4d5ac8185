//! Reading a JSON body: its size, its media type, its grammar.

use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

use super::problem::{Kind, Problem};

/// The JSON of a request that must have one.
pub(super) async fn required(request: Request) -> Result<Json, Problem> {
    let body = read(request).await?;
    body.ok_or_else(|| Problem::new(Kind::Malformed, "The body is empty."))
}

/// The JSON of a request that need not have one; without it all its fields are absent.
pub(super) async fn optional(request: Request) -> Result<Json, Problem> {
    let body = read(request).await?;
    Ok(body.unwrap_or_else(|| Json::Object(Map::new())))
}

/// The body; `None` when there is none. Bytes above the router's limit are not read.
pub(super) async fn read(request: Request) -> Result<Option<Json>, Problem> {
    let media_type = media_type(request.headers())?;
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(
                    Kind::TooLarge,
                    "Send fewer notifications in one request, or shorter ones.",
                )
            } else {
                Problem::new(Kind::Malformed, "The body did not arrive as a whole.")
            }
        })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if media_type == MediaType::Unnamed {
        return Err(not_json());
    }
    parse(&bytes).map(Some).map_err(|error| {
        // Line and column are part of the error's text.
        Problem::new(Kind::Malformed, format!("The body is not JSON: {error}."))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Json,
    Unnamed,
}

fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "Send the body without a Content-Encoding.";
        return Err(Problem::new(Kind::MediaType, detail));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(MediaType::Unnamed);
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    is_json.then_some(MediaType::Json).ok_or_else(not_json)
}

fn not_json() -> Problem {
    Problem::new(
        Kind::MediaType,
        "Send JSON with `Content-Type: application/json`.",
    )
}

/// Reads one JSON value and nothing after it. Nesting is limited by the parser (128 levels).
pub(super) fn parse(bytes: &[u8]) -> Result<Json, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let Strict(value) = Strict::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// A value in which no object has a name twice: which one counts is unpredictable (RFC 8259 4),
/// and a check made on one of them could be passed by the other.
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("a name occurs twice in one object"));
            }
            let Strict(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(Json::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_as_it_is() {
        let text = r#"{"a": [1, -2, 3.5, "x\u0000y", true, null], "b": {"a": {}}}"#;
        assert_eq!(
            parse(text.as_bytes()).unwrap(),
            json!({"a": [1, -2, 3.5, "x\0y", true, null], "b": {"a": {}}})
        );
        // The parser's own key for raw text is data like any other.
        let raw = json!({"$serde_json::private::RawValue": "[1"});
        assert_eq!(parse(raw.to_string().as_bytes()).unwrap(), raw);
    }

    #[test]
    fn what_is_ambiguous_too_deep_or_no_json_is_refused_with_its_place() {
        let deep = "[".repeat(100_000);
        for (text, words) in [
            (r#"{"a": 1, "a": 2}"#, "twice"),
            (r#"[{"b": {"a": 1, "\u0061": 2}}]"#, "twice"),
            (deep.as_str(), "recursion limit"),
            ("{} {}", "trailing characters"),
            ("{\n\"a\": }", "line 2 column 6"),
            ("1e999", "number out of range"),
            (r#""\ud800""#, "line 1 column"),
            ("", "EOF"),
            ("\u{feff}{}", "line 1 column 1"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(" at line "), "{error}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
    }
}
