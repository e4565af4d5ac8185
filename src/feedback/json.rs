//! JSON whose names and texts stay where they were read: one message has about a hundred of them, of
//! which a dozen are asked for, and to copy each costs as much as to verify the signature.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Whole(i64),
    Fraction(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    /// As written: a name may occur twice.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Json<'a> {
    /// Nesting is limited by the parser (128).
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// What is at a JSON pointer (RFC 6901; none of ours needs its escapes). Of two members with one
    /// name the last counts.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut steps = pointer.split('/');
        // A pointer begins with a slash; before it is nothing.
        steps.next();
        steps.try_fold(self, |value, step| match value {
            Self::Object(members) => {
                let mut members = members.iter().rev();
                let found = members.find(|(name, _)| name == step);
                found.map(|(_, value)| value)
            }
            Self::List(values) => values.get(step.parse::<usize>().ok()?),
            Self::Null | Self::Bool(_) | Self::Whole(_) | Self::Fraction(_) | Self::Text(_) => None,
        })
    }

    pub(super) fn whole(&self) -> Option<i64> {
        if let Self::Whole(number) = self {
            Some(*number)
        } else {
            None
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Whole(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Fraction(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}

/// The name of a member.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(value)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn as_value(json: &Json<'_>) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Whole(value) => (*value).into(),
            Json::Fraction(value) => (*value).into(),
            Json::Text(value) => value.as_ref().into(),
            Json::List(values) => values.iter().map(as_value).collect(),
            Json::Object(members) => members
                .iter()
                .map(|(name, value)| (name.to_string(), as_value(value)))
                .collect(),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_another_reader_of_json_reads(value in any_value()) {
            let text = value.to_string();
            let other: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(as_value(&Json::parse(&text).unwrap()), other);
        }
    }

    #[test]
    fn a_pointer_finds_members_and_items_and_nothing_else() {
        let text =
            r#"{"a": {"b\n": [1, {"c": "d"}], "n": null}, "x": 1, "x": 18446744073709551615}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.at("/a/b\n/1/c"), Some(&Json::Text("d".into())));
        assert_eq!(json.at("/a/b\n/0").and_then(Json::whole), Some(1));
        assert_eq!(json.at("/x").and_then(Json::whole), Some(i64::MAX));
        assert_eq!(json.at("/a/n"), Some(&Json::Null));
        for nothing in ["/a/c", "/a/b\n/2", "/a/b\n/-", "/x/0", "/a/b\n/1/c/d", "/"] {
            assert_eq!(json.at(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn texts_without_escapes_are_not_copied() {
        let text = r#"{"name": "plain", "escaped": "a\nb"}"#;
        let Json::Object(members) = Json::parse(text).unwrap() else {
            panic!()
        };
        assert!(
            members
                .iter()
                .all(|(name, _)| matches!(name, Cow::Borrowed(_)))
        );
        assert!(matches!(&members[0].1, Json::Text(Cow::Borrowed("plain"))));
        assert_eq!(members[1].1, Json::Text("a\nb".into()));
    }
}
