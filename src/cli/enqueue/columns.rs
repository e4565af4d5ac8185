//! The columns of a CSV file: what each means in the JSON of a notification.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// Column and pointer. Those that end in a point stand for any name after it.
const KNOWN: &[(&str, &str)] = &[
    ("client_id", "/client/id"),
    ("client_name", "/client/name"),
    ("email", "/client/email"),
    ("phone", "/client/phone"),
    ("method", "/method"),
    ("to", "/to"),
    ("type", "/type"),
    ("contact_type", "/contact_type"),
    ("subject", "/content/subject"),
    ("title", "/content/title"),
    ("text", "/content/text"),
    ("html", "/content/html"),
    ("template", "/template/name"),
    ("data.", "/data/"),
    ("staff_id", "/staff_id"),
    ("send_at", "/send_at"),
    ("expires_at", "/expires_at"),
    ("priority", "/priority"),
    ("idempotency_key", "/idempotency_key"),
    ("metadata.", "/metadata/"),
];

/// Data belongs to the template if there is one, else to the content of a push message.
const DATA: &str = "/data/";

/// The columns of one file, in their order.
#[derive(Debug)]
pub(super) struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    name: String,
    /// With the rest of the name as its last step, unescaped.
    pointer: String,
}

impl Columns {
    pub(super) fn read(names: &csv::StringRecord) -> Result<Self, Vec<String>> {
        let (mut columns, mut wrong) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for name in names.iter().map(str::trim) {
            if !seen.insert(name) {
                wrong.push(format!("the column {name:?} is there twice"));
            }
            match pointer(name) {
                Some(pointer) => columns.push(Column {
                    name: name.to_owned(),
                    pointer,
                }),
                None => wrong.push(format!("the column {name:?} is not known")),
            }
        }
        if wrong.is_empty() {
            return Ok(Self(columns));
        }
        let known = KNOWN.iter().map(|(column, _)| {
            let any = if column.ends_with('.') { "NAME" } else { "" };
            format!("{column}{any}")
        });
        let known = known.collect::<Vec<_>>().join(", ");
        wrong.push(format!("the columns known here are: {known}"));
        Err(wrong)
    }

    /// The notification, and how many fields there are beyond the last column. An empty field is
    /// absent.
    pub(super) fn json(&self, record: &csv::StringRecord) -> (Json, usize) {
        let mut json = json!({});
        let cells = || {
            self.0
                .iter()
                .zip(record)
                .filter(|(_, text)| !text.is_empty())
        };
        let has_template = cells().any(|(column, _)| column.pointer.starts_with("/template/"));
        for (column, text) in cells() {
            let (pointer, below) = match column.pointer.strip_prefix(DATA) {
                Some(rest) if has_template => ("/template/data/", rest),
                Some(rest) => ("/content/data/", rest),
                None => (column.pointer.as_str(), ""),
            };
            put(&mut json, &format!("{pointer}{below}"), text);
        }
        (json, record.len().saturating_sub(self.0.len()))
    }

    /// The column that is at the place of a pointer, or else the pointer.
    pub(super) fn of<'a>(&'a self, pointer: &'a str) -> &'a str {
        let ends = ["", "/content", "/template"];
        let found = self.0.iter().find(|column| {
            ends.iter()
                .any(|at| pointer.strip_prefix(at) == Some(&column.pointer))
        });
        let known = KNOWN.iter().find(|(_, known)| *known == pointer);
        found.map_or_else(
            || known.map_or(pointer, |(column, _)| column),
            |column| &column.name,
        )
    }
}

fn pointer(name: &str) -> Option<String> {
    KNOWN.iter().find_map(|(column, pointer)| {
        let rest = name.strip_prefix(column)?;
        let fits = column.ends_with('.') != rest.is_empty();
        fits.then(|| format!("{pointer}{rest}"))
    })
}

/// Sets a text at a place two or three steps deep; the last step is taken as it is.
fn put(json: &mut Json, pointer: &str, text: &str) {
    let steps: Vec<&str> = match pointer.matches('/').count() {
        0 | 1 => pointer.splitn(2, '/').skip(1).collect(),
        _ if pointer.contains("/data/") => pointer.splitn(4, '/').skip(1).collect(),
        _ => pointer.splitn(3, '/').skip(1).collect(),
    };
    let mut at = json;
    for step in steps {
        if !at.is_object() {
            *at = Json::Object(Map::new());
        }
        at = &mut at[step];
    }
    *at = Json::from(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Result<Columns, Vec<String>> {
        Columns::read(&csv::StringRecord::from(names.to_vec()))
    }

    #[test]
    fn a_record_becomes_a_notification() {
        let columns = columns(&[
            "client_id",
            "email",
            "method",
            " subject ",
            "data.first/name",
            "metadata.a.b",
            "send_at",
        ])
        .unwrap();
        let record =
            csv::StringRecord::from(vec!["C", "a@example.com", "push", "x", "Ana", "1", ""]);
        let expected = json!({
            "client": {"id": "C", "email": "a@example.com"}, "method": "push",
            "content": {"subject": "x", "data": {"first/name": "Ana"}}, "metadata": {"a.b": "1"},
        });
        assert_eq!(columns.json(&record), (expected, 0));
        let long = csv::StringRecord::from(vec!["C", "", "", "", "", "", "", "more", "and more"]);
        assert_eq!(columns.json(&long), (json!({"client": {"id": "C"}}), 2));
        let short = csv::StringRecord::from(vec!["C"]);
        assert_eq!(columns.json(&short), (json!({"client": {"id": "C"}}), 0));
    }

    #[test]
    fn data_belongs_to_the_template_where_there_is_one() {
        let columns = columns(&["template", "data.name"]).unwrap();
        let record = csv::StringRecord::from(vec!["welcome", "Ana"]);
        let expected = json!({"template": {"name": "welcome", "data": {"name": "Ana"}}});
        assert_eq!(columns.json(&record).0, expected);
        assert_eq!(columns.of("/template/data/name"), "data.name");
        assert_eq!(columns.of("/template/name"), "template");
    }

    #[test]
    fn errors_name_columns() {
        let columns = columns(&["client_id", "subject", "data.a", "metadata.b"]).unwrap();
        for (pointer, column) in [
            ("/client/id", "client_id"),
            ("/content/subject", "subject"),
            ("/content/data/a", "data.a"),
            ("/metadata/b", "metadata.b"),
            ("/to", "to"),
            ("/client/phone", "phone"),
            ("/content", "/content"),
            ("", ""),
        ] {
            assert_eq!(columns.of(pointer), column, "{pointer}");
        }
    }

    #[test]
    fn every_column_that_is_not_known_is_named() {
        let wrong = columns(&["client_id", "colour", "data.", "to", "to", ""]).unwrap_err();
        let wrong = wrong.join("; ");
        for words in [
            "\"colour\" is not known",
            "\"data.\" is not",
            "\"to\" is there twice",
            "\"\" is not",
            "data.NAME",
        ] {
            assert!(wrong.contains(words), "{words} in {wrong}");
        }
    }
}
