//! What the API takes and answers: the schemas of the document as tables of fields.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::words::{Part, words};

/// A schema with a name.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) about: Vec<Part>,
    /// One, or several of which one holds.
    pub(super) forms: Vec<Vec<Field>>,
}

/// A field, or a field of a field: `content.attachments[].name`.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Vec<Piece>,
    pub(super) is_required: bool,
    pub(super) about: Vec<Part>,
}

/// A part of the name of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// It is the name of a shape.
    pub(super) is_shape: bool,
}

/// The named schemas of a document.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    document: &'a Json,
}

const PREFIX: &str = "#/components/schemas/";

impl<'a> Shapes<'a> {
    pub(super) const fn new(document: &'a Json) -> Self {
        Self { document }
    }

    fn find(&self, name: &str) -> Option<&'a Json> {
        self.document.pointer("/components/schemas")?.get(name)
    }

    /// These and what they are made of, by name.
    pub(super) fn with(&self, names: impl IntoIterator<Item = String>) -> Vec<Shape> {
        let mut open: Vec<String> = names.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let (Some(schema), true) = (self.find(&name), seen.insert(name.clone())) {
                open.extend(named_in(schema));
            }
        }
        let shapes = seen.into_iter().filter_map(|name| {
            let schema = self.find(&name)?;
            Some(Shape {
                about: words(text(schema, "description")),
                forms: self.forms(schema),
                name,
            })
        });
        shapes.collect()
    }

    fn forms(&self, schema: &Json) -> Vec<Vec<Field>> {
        let variants = schema.get("oneOf").and_then(Json::as_array);
        match variants {
            // Beside properties it only says which of them go together.
            Some(variants) if schema.get("properties").is_none() => {
                let forms = variants
                    .iter()
                    .map(|variant| self.fields("", self.resolved(variant)));
                forms.filter(|form| !form.is_empty()).collect()
            }
            _ => vec![self.fields("", schema)],
        }
    }

    /// What a reference leads to; any other schema itself.
    pub(super) fn resolved<'s>(&self, schema: &'s Json) -> &'s Json
    where
        'a: 's,
    {
        reference(schema)
            .and_then(|name| self.find(name))
            .unwrap_or(schema)
    }

    fn fields(&self, above: &str, schema: &Json) -> Vec<Field> {
        let mut fields = Vec::new();
        for part in schema
            .get("allOf")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            fields.extend(self.fields(above, self.resolved(part)));
        }
        let none = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Json::as_object)
            .unwrap_or(&none);
        let required = |name: &str| {
            let list = schema.get("required").and_then(Json::as_array);
            list.is_some_and(|list| list.iter().any(|it| it.as_str() == Some(name)))
        };
        let (needed, others): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(name, _)| required(name));
        for (name, property) in needed.into_iter().chain(others) {
            let path = format!("{above}{name}");
            fields.push(Field {
                kind: kind(property),
                is_required: required(name),
                about: words(&about(property)),
                name: path.clone(),
            });
            fields.extend(self.inner(&path, property));
        }
        fields
    }

    /// The fields of a field whose schema has no name of its own.
    fn inner(&self, path: &str, property: &Json) -> Vec<Field> {
        if let Some(items) = property.get("items") {
            return self.inner(&format!("{path}[]"), items);
        }
        let mut fields = self.fields(&format!("{path}."), property);
        for variant in property
            .get("oneOf")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            fields.extend(self.inner(path, variant));
        }
        fields
    }
}

/// The named schemas that a schema speaks of, at any depth.
pub(super) fn named_in(schema: &Json) -> Vec<String> {
    let inner = |values: &mut dyn Iterator<Item = &Json>| values.flat_map(named_in).collect();
    match schema {
        Json::Object(map) => {
            let mut names: Vec<String> = inner(&mut map.values());
            names.extend(reference(schema).map(str::to_owned));
            names
        }
        Json::Array(items) => inner(&mut items.iter()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    }
}

fn reference(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(PREFIX)
}

fn text<'a>(schema: &'a Json, name: &str) -> &'a str {
    schema.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn plain(text: impl Into<String>) -> Piece {
    Piece {
        text: text.into(),
        is_shape: false,
    }
}

/// The type in words.
pub(super) fn kind(schema: &Json) -> Vec<Piece> {
    if let Some(name) = reference(schema) {
        return vec![Piece {
            text: name.to_owned(),
            is_shape: true,
        }];
    }
    let variants = schema.get("oneOf").or_else(|| schema.get("anyOf"));
    if let (Some(variants), None) = (variants.and_then(Json::as_array), schema.get("type")) {
        let mut pieces: Vec<Piece> = Vec::new();
        for variant in variants {
            if !pieces.is_empty() {
                pieces.push(plain(" or "));
            }
            pieces.extend(kind(variant));
        }
        return pieces;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
        Some(Json::String(one)) => vec![one],
        _ => Vec::new(),
    };
    if types.first() == Some(&"array") {
        let mut pieces = vec![plain("list of ")];
        match schema.get("items") {
            Some(items) => pieces.extend(kind(items)),
            None => pieces.push(plain("any")),
        }
        return pieces;
    }
    let in_words = types
        .iter()
        .map(|one| match (*one, text(schema, "format")) {
            ("string", "date-time") => "time",
            ("string", _) => "text",
            ("integer", _) => "whole number",
            ("boolean", _) => "true or false",
            (other, _) => other,
        });
    let in_words = in_words.collect::<Vec<_>>().join(" or ");
    vec![plain(if in_words.is_empty() {
        "any"
    } else {
        &in_words
    })]
}

/// The description, and the limits in words.
pub(super) fn about(schema: &Json) -> String {
    let mut sentences = Vec::new();
    let description = text(schema, "description");
    if !description.is_empty() {
        sentences.push(description.replace('\n', " "));
    }
    let list = |name: &str| schema.get(name).and_then(Json::as_array);
    if let Some(values) = list("enum") {
        let values: Vec<String> = values.iter().map(value).collect();
        sentences.push(format!("One of {}.", values.join(", ")));
    }
    let number = |name: &str| schema.get(name).and_then(Json::as_u64);
    for (low, high, unit) in [
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
        ("minimum", "maximum", ""),
    ] {
        match (number(low).filter(|low| *low > 0), number(high)) {
            (Some(low), Some(high)) => sentences.push(format!("{low} to {high}{unit}.")),
            (Some(low), None) => sentences.push(format!("At least {low}{unit}.")),
            (None, Some(high)) => sentences.push(format!("At most {high}{unit}.")),
            (None, None) => {}
        }
    }
    if let Some(default) = schema.get("default") {
        sentences.push(format!("{} when absent.", value(default)));
    }
    let example = schema.get("example").or_else(|| list("examples")?.first());
    if let Some(example) = example {
        sentences.push(format!("For example {}.", value(example)));
    }
    sentences.join(" ")
}

/// As code; a text without its quotes.
fn value(value: &Json) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    format!("`{}`", text.replace('`', "'"))
}
