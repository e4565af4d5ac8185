//! What is wrong with a template or with the data for it, and where.

use std::fmt;

use minijinja::value::Serde;
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::{Failed, Part, Template, engine};

/// Something wrong, found while a template was compiled or filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub part: Part,
    /// In the part, from 1; 0 where no line is to blame.
    pub line: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The data has no such value: the names that lead to it.
    Missing(Vec<String>),
    /// The value is there and null.
    Null(Vec<String>),
    /// An endless loop, or a text without end.
    TooMuchWork,
    /// In the engine's words, or ours.
    Other(String),
}

impl Mistake {
    /// What to do about it, where that is not plain from the words.
    pub fn remedy(&self) -> Option<&'static str> {
        match &self.what {
            What::Missing(_) => Some(
                "give it a value, correct its name, or write `NAME|default(\"\")` where it may be \
                 absent",
            ),
            What::Null(_) => Some("give it a value, or write `NAME or \"\"` where it may be null"),
            What::TooMuchWork => Some("end its loops earlier and shorten what it makes"),
            What::Other(_) => None,
        }
    }

    pub(super) fn of_error(part: Part, error: &Error) -> Self {
        Self {
            part,
            line: error.line().unwrap_or(0),
            what: what(error),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "`{}` is missing", path.join(".")),
            Self::Null(path) => write!(f, "`{}` is null", path.join(".")),
            Self::TooMuchWork => f.write_str("takes too much work or makes too long a text"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

fn what(error: &Error) -> What {
    let detail = error.detail().unwrap_or_default();
    if error.kind() == ErrorKind::OutOfFuel {
        return What::TooMuchWork;
    }
    if let Some(path) = undefined(detail).and_then(path) {
        return What::Missing(path);
    }
    if detail == engine::NULL {
        let expression = error
            .range()
            .and_then(|range| error.template_source()?.get(range));
        if let Some(path) = expression.and_then(path) {
            return What::Null(path);
        }
    }
    What::Other(match detail {
        "" => error.kind().to_string(),
        detail => format!("{}: {detail}", error.kind()),
    })
}

/// The engine names the expression that has no value: "`customer.name` is undefined".
fn undefined(detail: &str) -> Option<&str> {
    let (before, _) = detail.split_once("` is undefined")?;
    before.rsplit_once('`').map(|(_, expression)| expression)
}

/// `a.b["c"][0]` as the names that lead there; none when it is no such plain way.
fn path(expression: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = expression.trim();
    loop {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !plain || (name.is_empty() && names.is_empty()) {
            return None;
        }
        if !name.is_empty() {
            names.push(name.to_owned());
        }
        if let Some(after) = after.strip_prefix('.') {
            rest = after;
        } else if let Some(after) = after.strip_prefix('[') {
            let (key, after) = after.split_once(']')?;
            let bare = key.trim().trim_matches(['"', '\'']);
            if bare.is_empty() || bare.contains(['"', '\'', '(', '.']) {
                return None;
            }
            names.push(bare.to_owned());
            rest = after;
        } else {
            return Some(names);
        }
        if rest.is_empty() {
            return Some(names);
        }
    }
}

/// Values that one part may miss and are named one by one; each costs another try.
const MISSING_MAX: usize = 20;

impl Template {
    /// The engine stops at the first value that is missing. The others are found by standing in for
    /// it and trying again.
    pub(super) fn every_mistake(
        &self,
        part: Part,
        data: &Map<String, Json>,
        first: &Error,
        failed: &mut Failed,
    ) {
        let mut data = data.clone();
        let mut next = Some(Mistake::of_error(part, first));
        failed.tries += 1;
        for _ in 0..MISSING_MAX {
            let Some(mistake) = next.take() else { return };
            let path = match &mistake.what {
                What::Missing(path) | What::Null(path) => Some(path.clone()),
                What::TooMuchWork | What::Other(_) => None,
            };
            // A value that the subject misses as well is named once.
            if failed
                .mistakes
                .iter()
                .all(|known| known.what != mistake.what)
            {
                failed.mistakes.push(mistake);
            }
            let Some(path) = path else { return };
            // Most values are texts; one that is gone through must be a list. What else goes wrong
            // then may come from the stand-in.
            for stand_in in [Json::from("x"), Json::Array(Vec::new())] {
                put(&mut data, &path, stand_in);
                failed.tries += 1;
                match self.mistake_in(part, &data) {
                    None => return,
                    Some(found) if found.is_absence_beyond(&path) => {
                        next = Some(found);
                        break;
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn mistake_in(&self, part: Part, data: &Map<String, Json>) -> Option<Mistake> {
        let template = self.environment.get_template(part.as_str()).ok()?;
        let error = template.render(Value::from(Serde(data))).err()?;
        Some(Mistake::of_error(part, &error))
    }
}

impl Mistake {
    /// Something else is missing than what was just stood in for.
    fn is_absence_beyond(&self, path: &[String]) -> bool {
        matches!(&self.what, What::Missing(found) | What::Null(found) if found != path)
    }
}

/// Puts a value where the names lead, making objects on the way.
fn put(data: &mut Map<String, Json>, path: &[String], value: Json) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut place = data;
    for name in way {
        let next = place.entry(name.as_str()).or_insert(Json::Null);
        if !next.is_object() {
            *next = Json::Object(Map::new());
        }
        let Json::Object(object) = next else { return };
        place = object;
    }
    place.insert(last.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_a_way_through_the_data_or_not() {
        for (expression, names) in [
            ("name", Some(vec!["name"])),
            ("customer.name", Some(vec!["customer", "name"])),
            ("a.b[\"c d\"][0].e", Some(vec!["a", "b", "c d", "0", "e"])),
            ("名前", Some(vec!["名前"])),
            ("(...).x", None),
            ("a[...]", None),
            ("a + b", None),
            ("", None),
            (".a", None),
            ("a[", None),
        ] {
            let expected =
                names.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(path(expression), expected, "{expression}");
        }
    }
}
