//! The parameters of a message: what the signature is made over, and what they say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Refusal;

/// Twilio sends some twenty, and for a message with ten pictures some forty.
pub(super) const PARAMETERS_MAX: usize = 200;

/// Distinct parameters in the order in which they are signed: by name and then by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// A form as it is posted, or a JSON object, which begins otherwise.
    pub fn read(body: &str) -> Result<Self, Refusal> {
        if body.trim_start().starts_with('{') {
            return Self::of_json(body);
        }
        let pairs = form_urlencoded::parse(body.as_bytes()).into_owned();
        // One more than are allowed, so that it is seen.
        Self::of(pairs.take(PARAMETERS_MAX + 1).collect())
    }

    /// The texts, numbers and truth values of the object; Twilio's are flat.
    fn of_json(body: &str) -> Result<Self, Refusal> {
        let object: BTreeMap<String, Value> =
            serde_json::from_str(body).map_err(|_not_an_object| Refusal::NotTwilios)?;
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let pairs = object.into_iter();
        let pairs = pairs.filter_map(|(name, value)| Some((name, text(value)?)));
        Self::of(pairs.take(PARAMETERS_MAX + 1).collect())
    }

    pub(super) fn of(mut pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
        if pairs.len() > PARAMETERS_MAX {
            return Err(Refusal::TooManyParameters);
        }
        pairs.sort_unstable();
        pairs.dedup();
        Ok(Self { pairs })
    }

    /// Every name and value, without anything in between.
    pub(super) fn signed_text(&self) -> String {
        let parts = self.pairs.iter();
        parts.flat_map(|(n, v)| [n.as_str(), v.as_str()]).collect()
    }

    /// The value of that name, if it is not empty. Of several the first: Twilio sends each of the
    /// names that we know once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        let (_, value) = pairs.find(|(known, value)| known == name && !value.is_empty())?;
        Some(value)
    }

    /// Is there such a name, whatever its value?
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == name)
    }

    /// As it would be posted.
    pub(super) fn body(&self) -> String {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&self.pairs).finish()
    }
}
