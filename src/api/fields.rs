//! The checking reader: takes known fields out of a JSON object and notes everything that is wrong.

use serde_json::{Map, Value as Json};

use super::problem::FieldError;
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// What is wrong with a request, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

/// Errors listed in one answer; a hostile body could make millions of them.
const ERRORS_MAX: usize = 1_000;
/// Characters of a caller's own name that are repeated to it.
const NAME_SHOWN_MAX: usize = 100;

impl Errors {
    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError {
                pointer: pointer.into(),
                detail: detail.into(),
            });
        }
    }

    /// The value, if nothing was wrong.
    pub(super) fn unless_any<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) | None => Err(self.0),
        }
    }
}

/// A pointer one step deeper (RFC 6901 3 and 4).
pub(super) fn step(at: &str, name: &str) -> String {
    let shown: String = name.chars().take(NAME_SHOWN_MAX).collect();
    format!("{at}/{}", shown.replace('~', "~0").replace('/', "~1"))
}

/// Names that belong elsewhere, and the words that say where.
#[derive(Debug)]
pub(super) struct Misplaced<'n> {
    pub(super) names: &'n [&'n str],
    pub(super) why: &'n str,
}

const NONE: Misplaced<'static> = Misplaced {
    names: &[],
    why: "",
};

/// One object being read. `null` is the same as absent.
#[derive(Debug)]
pub(super) struct Fields<'a, 'e> {
    map: &'a Map<String, Json>,
    at: String,
    errors: &'e mut Errors,
}

impl<'a, 'e> Fields<'a, 'e> {
    /// `None`, and noted, when it is no object. Names that are not known are noted.
    pub(super) fn open(
        value: &'a Json,
        at: String,
        names: &[&str],
        errors: &'e mut Errors,
    ) -> Option<Self> {
        Self::open_without(value, at, names, &NONE, errors)
    }

    fn open_without(
        value: &'a Json,
        at: String,
        names: &[&str],
        misplaced: &Misplaced<'_>,
        errors: &'e mut Errors,
    ) -> Option<Self> {
        let Json::Object(map) = value else {
            errors.add(at, "must be an object");
            return None;
        };
        for name in map.keys().filter(|name| !names.contains(&name.as_str())) {
            let known = names.join(", ");
            let detail = if misplaced.names.contains(&name.as_str()) {
                misplaced.why.to_owned()
            } else {
                format!("is not known here; the names known here are: {known}")
            };
            errors.add(step(&at, name), detail);
        }
        Some(Self { map, at, errors })
    }

    /// Where this object is in the request.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Json> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.add(step(&self.at, name), detail);
    }

    /// The same of an item of a list.
    pub(super) fn wrong_at(&mut self, name: &str, index: usize, detail: &str) {
        let at = step(&self.at, name);
        self.errors.add(step(&at, &index.to_string()), detail);
    }

    /// Notes something that is wrong with the object as a whole.
    pub(super) fn wrong_here(&mut self, detail: impl Into<String>) {
        self.errors.add(self.at.clone(), detail);
    }

    /// Notes which of these are absent; what is present and wrong is noted when it is read.
    pub(super) fn require(&mut self, names: &[&str]) {
        for name in names {
            if self.get(name).is_none() {
                self.wrong(name, "is required");
            }
        }
    }

    /// Notes a value that would be wrong whatever else the request says.
    pub(super) fn expect_text(&mut self, name: &str) {
        if self.get(name).is_some_and(|value| !value.is_string()) {
            self.wrong(name, "must be a string");
        }
    }

    /// The same of an object.
    pub(super) fn expect_object(&mut self, name: &str) {
        if self.get(name).is_some_and(|value| !value.is_object()) {
            self.wrong(name, "must be an object");
        }
    }

    /// An object within.
    pub(super) fn object(&mut self, name: &str, names: &[&str]) -> Option<Fields<'a, '_>> {
        let value = self.get(name)?;
        Fields::open(value, step(&self.at, name), names, self.errors)
    }

    /// An object within, which has no names that belong elsewhere.
    pub(super) fn object_without(
        &mut self,
        name: &str,
        names: &[&str],
        misplaced: &Misplaced<'_>,
    ) -> Option<Fields<'a, '_>> {
        let value = self.get(name)?;
        let at = step(&self.at, name);
        Fields::open_without(value, at, names, misplaced, self.errors)
    }

    /// Reads each object of a list; all of them, so that what is wrong with any is noted.
    pub(super) fn each<T>(
        &mut self,
        name: &str,
        count_max: usize,
        names: &[&str],
        mut read: impl FnMut(&mut Fields<'a, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Json::Array(items) = self.get(name)? else {
            self.wrong(name, "must be a list");
            return None;
        };
        if items.len() > count_max {
            let count = items.len();
            self.wrong(name, format!("has {count} items: at most {count_max}"));
            return None;
        }
        let at = step(&self.at, name);
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let at = step(&at, &index.to_string());
                read(&mut Fields::open(item, at, names, self.errors)?)
            })
            .collect();
        read.into_iter().collect()
    }

    /// It is there and `null`: in a change, that takes the value away.
    pub(super) fn is_cleared(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Json::is_null)
    }

    fn string(&mut self, name: &str, length_max: usize) -> Option<&'a str> {
        let Json::String(text) = self.get(name)? else {
            self.wrong(name, "must be a string");
            return None;
        };
        if text.trim().is_empty() {
            self.wrong(name, "must not be empty");
            return None;
        }
        // Every character has at least one byte, so that short texts need no counting.
        if text.len() > length_max && text.chars().count() > length_max {
            let detail = format!("is too long: at most {length_max} characters");
            self.wrong(name, detail);
            return None;
        }
        Some(text)
    }

    /// Text of one line, without the white space around it. Line breaks could forge mail headers.
    pub(super) fn line(&mut self, name: &str, length_max: usize) -> Option<String> {
        let text = self.string(name, length_max)?.trim();
        if text.chars().any(char::is_control) {
            self.wrong(name, "must be one line without control characters");
            return None;
        }
        Some(text.to_owned())
    }

    /// A name by which something is found again, so it is taken exactly as it is.
    pub(super) fn id(&mut self, name: &str, length_max: usize) -> Option<String> {
        let text = self.string(name, length_max)?;
        if text.chars().any(char::is_control) || text.trim() != text {
            let detail = "must have no control characters, and no white space around it";
            self.wrong(name, detail);
            return None;
        }
        Some(text.to_owned())
    }

    /// Text of many lines.
    pub(super) fn text(&mut self, name: &str, length_max: usize) -> Option<String> {
        let text = self.string(name, length_max)?;
        if text.contains('\0') {
            self.wrong(name, NUL);
            return None;
        }
        Some(text.to_owned())
    }

    /// Visible ASCII characters only.
    pub(super) fn key(&mut self, name: &str, length_max: usize) -> Option<String> {
        let text = self.string(name, length_max)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(name, "must be visible ASCII characters without spaces");
            return None;
        }
        Some(text.to_owned())
    }

    /// One of a few words.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        allowed: &[&str],
    ) -> Option<T> {
        let found = match self.get(name)? {
            Json::String(text) => parse(text),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
        };
        if found.is_none() {
            let allowed = allowed.join(", ");
            self.wrong(name, format!("must be one of: {allowed}"));
        }
        found
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let flag = self.get(name)?.as_bool();
        if flag.is_none() {
            self.wrong(name, "must be true or false");
        }
        flag
    }

    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.string(name, TIME_LENGTH_MAX)?;
        match Timestamp::parse_strictly(text) {
            Ok(at) => Some(at),
            Err(why) => {
                self.wrong(name, format!("is {why}"));
                None
            }
        }
    }

    /// What a parser of the domain makes of a text; its errors say what is allowed.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Json::String(text) = self.get(name)? else {
            self.wrong(name, "must be a string");
            return None;
        };
        parse(text)
            .map_err(|why| self.wrong(name, why.to_string()))
            .ok()
    }

    /// The text as it is, whatever is in it.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a str> {
        self.string(name, usize::MAX)
    }

    pub(super) fn address(&mut self, name: &str, method: Method) -> Option<Address> {
        self.parsed(name, |text| Address::parse(method, text))
    }

    /// An object with any JSON in it, as long as both databases can keep it.
    pub(super) fn data(&mut self, name: &str, bytes_max: usize) -> Option<Map<String, Json>> {
        let value = self.get(name)?;
        let Json::Object(map) = value else {
            self.wrong(name, "must be an object");
            return None;
        };
        let bytes = serde_json::to_string(map).map_or(usize::MAX, |text| text.len());
        if bytes > bytes_max {
            let detail = format!("is too large: at most {bytes_max} bytes of JSON");
            self.wrong(name, detail);
            return None;
        }
        if has_nul(value) {
            self.wrong(name, NUL);
            return None;
        }
        if is_deeper(value, DATA_LEVELS_MAX) {
            let detail = format!("is nested too deeply: at most {DATA_LEVELS_MAX} levels");
            self.wrong(name, detail);
            return None;
        }
        Some(map.clone())
    }
}

/// PostgreSQL cannot keep it.
const NUL: &str = "must not contain the NUL character";
/// The longest RFC 3339 time with nanoseconds and offset has 35.
const TIME_LENGTH_MAX: usize = 64;

/// What is stored must be read again, within other JSON, by a parser that goes 127 levels deep.
const DATA_LEVELS_MAX: usize = 100;

fn is_deeper(value: &Json, levels: usize) -> bool {
    let within = |value: &Json| is_deeper(value, levels.saturating_sub(1));
    match value {
        Json::Array(items) => levels == 0 || items.iter().any(within),
        Json::Object(map) => levels == 0 || map.values().any(within),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// The depth is limited by the parser.
fn has_nul(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(map) => map
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_reserves() {
        assert_eq!(
            step("/notifications/3", "a/b~c"),
            "/notifications/3/a~1b~0c"
        );
        assert_eq!(step("", &"x".repeat(5_000)).len(), NAME_SHOWN_MAX + 1);
    }
}
