//! One call of the API: what it takes, an example, and what it answers.

use serde_json::{Map, Value as Json};

use super::shape::{Piece, Shapes, about, kind, named_in};
use super::words::{Part, words};

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) group: String,
    /// Where links lead, within its page.
    pub(super) anchor: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) about: Vec<Part>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    /// A call for the command line.
    pub(super) example: String,
    pub(super) answers: Vec<Answer>,
    /// Problem documents, where there are any bodies.
    pub(super) errors: Vec<Answer>,
    /// The names of the shapes that it takes and answers.
    pub(super) shapes: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// `path`, `query` or `header`.
    pub(super) place: String,
    pub(super) kind: Vec<Piece>,
    pub(super) is_required: bool,
    pub(super) about: Vec<Part>,
}

#[derive(Debug)]
pub(super) struct Body {
    /// `JSON`, or the media type.
    pub(super) media: String,
    pub(super) kind: Vec<Piece>,
    pub(super) is_required: bool,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) about: Vec<Part>,
    pub(super) kind: Vec<Piece>,
}

/// In the order in which one meets them: what makes something comes first.
const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];
const FORM: &str = "application/x-www-form-urlencoded";
/// No schema of the API is as deep.
const DEPTH_MAX: u8 = 8;

pub(super) fn operations(document: &Json) -> Vec<Operation> {
    let none = Map::new();
    let paths = document
        .get("paths")
        .and_then(Json::as_object)
        .unwrap_or(&none);
    let mut all = Vec::new();
    for (path, item) in paths {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                all.push(of(document, path, method, operation));
            }
        }
    }
    all
}

fn of(document: &Json, path: &str, method: &str, operation: &Json) -> Operation {
    let text = |name: &str| {
        operation
            .get(name)
            .and_then(Json::as_str)
            .unwrap_or_default()
    };
    let about = [text("summary"), text("description")]
        .join(" ")
        .replace('\n', " ");
    let parameters = operation.get("parameters").and_then(Json::as_array);
    let parameters: Vec<Parameter> = parameters.into_iter().flatten().map(parameter).collect();
    let body = operation.get("requestBody");
    let (answers, errors) = answers(operation);
    let group = operation.pointer("/tags/0").and_then(Json::as_str);
    Operation {
        group: group.unwrap_or("others").to_owned(),
        anchor: anchor(method, path),
        method: method.to_uppercase(),
        path: path.to_owned(),
        about: words(about.trim()),
        example: example(document, path, method, operation, &parameters),
        body: body.map(|body| Body {
            media: media(body),
            kind: schema_of(body).map(kind).unwrap_or_default(),
            is_required: body
                .get("required")
                .and_then(Json::as_bool)
                .unwrap_or(false),
        }),
        parameters,
        answers,
        errors,
        shapes: named_in(operation),
    }
}

fn anchor(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "v1");
    [method]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join("-")
}

fn parameter(parameter: &Json) -> Parameter {
    let text = |name: &str| {
        let text = parameter.get(name).and_then(Json::as_str);
        text.unwrap_or_default().to_owned()
    };
    let schema = parameter.get("schema").unwrap_or(&Json::Null);
    let told = [text("description"), about(schema)].join(" ");
    Parameter {
        name: text("name"),
        place: text("in"),
        kind: kind(schema),
        is_required: parameter
            .get("required")
            .and_then(Json::as_bool)
            .unwrap_or(false),
        about: words(told.trim()),
    }
}

/// The schema of a body, of whatever media type.
fn schema_of(body: &Json) -> Option<&Json> {
    let content = body.get("content")?.as_object()?;
    content.values().next()?.get("schema")
}

fn media(body: &Json) -> String {
    let content = body.get("content").and_then(Json::as_object);
    match content.and_then(|content| content.keys().next()) {
        Some(other) if other != "application/json" => other.clone(),
        _ => "JSON".to_owned(),
    }
}

fn answers(operation: &Json) -> (Vec<Answer>, Vec<Answer>) {
    let none = Map::new();
    let responses = operation
        .get("responses")
        .and_then(Json::as_object)
        .unwrap_or(&none);
    let all = responses.iter().map(|(status, response)| {
        let about = response.get("description").and_then(Json::as_str);
        Answer {
            status: status.clone(),
            about: words(about.unwrap_or_default()),
            kind: schema_of(response).map(kind).unwrap_or_default(),
        }
    });
    all.partition(|answer| answer.status.as_str() < "400")
}

/// A line for a shell.
fn example(
    document: &Json,
    path: &str,
    method: &str,
    operation: &Json,
    parameters: &[Parameter],
) -> String {
    let mut address = path.to_owned();
    for parameter in parameters.iter().filter(|it| it.is_required) {
        let named = parameter.name.to_uppercase();
        if parameter.place == "path" {
            address = address.replace(&format!("{{{}}}", parameter.name), &named);
        } else if parameter.place == "query" {
            let sign = if address.contains('?') { '&' } else { '?' };
            address = format!("{address}{sign}{}={named}", parameter.name);
        }
    }
    let method = if method == "get" {
        String::new()
    } else {
        format!(" -X {}", method.to_uppercase())
    };
    let mut lines = vec![format!("curl{method} \"$SENDTRAIL{address}\"")];
    let headers = parameters.iter().filter(|it| it.place == "header");
    lines.extend(headers.map(|it| format!("-H '{}: …'", it.name)));
    if operation.get("security").is_some() {
        lines.push("-H \"Authorization: Bearer $KEY\"".to_owned());
    }
    if let Some((media_type, body)) = operation
        .get("requestBody")
        .and_then(|body| body_of(document, body))
    {
        lines.extend(sent(media_type, &body));
    }
    lines.join(" \\\n  ")
}

/// How a shell sends a body.
fn sent(media_type: &str, body: &Json) -> Vec<String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    if let (FORM, Some(fields)) = (media_type, body.as_object()) {
        let field = |(name, value): (&String, &Json)| {
            let value = value.as_str().unwrap_or_default();
            format!("--data-urlencode {}", quoted(&format!("{name}={value}")))
        };
        return fields.iter().map(field).collect();
    }
    let text = serde_json::to_string_pretty(body).unwrap_or_default();
    vec![
        format!("-H 'Content-Type: {media_type}'"),
        format!("-d {}", quoted(&text)),
    ]
}

/// Its media type, and the document's own example, or one that is made of the schema.
fn body_of<'a>(document: &Json, body: &'a Json) -> Option<(&'a str, Json)> {
    let (media_type, content) = body.get("content")?.as_object()?.iter().next()?;
    if let Some(example) = content.get("example") {
        return Some((media_type, example.clone()));
    }
    Some((media_type, sample(document, content.get("schema")?, 0)))
}

fn sample(document: &Json, schema: &Json, depth: u8) -> Json {
    let schema = Shapes::new(document).resolved(schema);
    let first = |name: &str| schema.get(name).and_then(|list| list.get(0));
    let given = schema.get("example").or_else(|| first("examples"));
    let given = given
        .or_else(|| schema.get("default"))
        .or_else(|| first("enum"));
    if let Some(given) = given {
        return given.clone();
    }
    if depth > DEPTH_MAX {
        return Json::Null;
    }
    if let Some(variant) = first("oneOf").filter(|_| schema.get("properties").is_none()) {
        return sample(document, variant, depth + 1);
    }
    let of_type = |name: &str| {
        let kind = schema.get("type");
        let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
        kind == Some(name)
    };
    if of_type("array") {
        let items = schema.get("items").unwrap_or(&Json::Null);
        return Json::Array(vec![sample(document, items, depth + 1)]);
    }
    if of_type("object") {
        return object(document, schema, depth);
    }
    if of_type("integer") || of_type("number") {
        return schema.get("minimum").cloned().unwrap_or_else(|| 1.into());
    }
    if of_type("boolean") {
        return true.into();
    }
    match schema.get("format").and_then(Json::as_str) {
        Some("date-time") => "2027-01-01T09:00:00Z".into(),
        Some("email") => "ana@example.com".into(),
        _ => "…".into(),
    }
}

/// What is required; where nothing is, the first field.
fn object(document: &Json, schema: &Json, depth: u8) -> Json {
    let none = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Json::as_object)
        .unwrap_or(&none);
    let required = schema.get("required").and_then(Json::as_array);
    let required: Vec<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let names = if required.is_empty() {
        properties.keys().take(1).map(String::as_str).collect()
    } else {
        required
    };
    let fields = names.into_iter().filter_map(|name| {
        let property = properties.get(name)?;
        Some((name.to_owned(), sample(document, property, depth + 1)))
    });
    Json::Object(fields.collect())
}
