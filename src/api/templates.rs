//! `/v1/templates`: what messages are made from, every version of it.

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::{Caller, Scope};
use super::content::{EMAIL_TEXT_LENGTH_MAX, SUBJECT_LENGTH_MAX};
use super::fields::{Errors, Fields, step};
use super::intake::{METHODS, NAME_LENGTH_MAX};
use super::path::Steps;
use super::problem::{FieldError, Kind, Problem};
use super::rendering::source;
pub use super::rendering::{check_rendered, is_template_name};
use super::schemas::TemplateBody;
use super::{Shared, body};
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::store::templates::{Listed, StoredTemplate, TEMPLATES_PAGE_MAX, Written};
use crate::template::{Mistake, Source, Template};

/// One version of a template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct TemplateJson {
    name: String,
    /// Made from the content: the same content is the same version.
    version: String,
    /// This version is the one that is used.
    current: bool,
    #[schema(example = "email")]
    method: &'static str,
    /// The type of the notifications made from it, unless they bring their own.
    #[serde(rename = "type")]
    type_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    text: Option<String>,
    html: Option<String>,
    /// The names that it takes from the data.
    variables: Vec<String>,
}

impl TemplateJson {
    fn new(stored: StoredTemplate, current: bool) -> Self {
        let (name, version) = (stored.name.clone(), stored.version.to_string());
        let source = source(stored);
        let template = Template::compile(source.clone());
        let variables = template.map(|template| template.variables().iter().cloned().collect());
        let (mut subject, mut title) = (source.subject, None);
        if source.method == Method::Push {
            title = subject.take();
        }
        Self {
            name,
            version,
            current,
            method: source.method.as_str(),
            type_name: source.type_name,
            subject,
            title,
            text: source.text,
            html: source.html,
            variables: variables.unwrap_or_default(),
        }
    }
}

/// A line of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateLine)]
pub(super) struct Line {
    name: String,
    version: String,
    #[schema(example = "email")]
    method: &'static str,
    #[serde(rename = "type")]
    type_name: Option<String>,
    /// Of a template, when this version became current; of a version, when it was first written.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<Listed> for Line {
    fn from(listed: Listed) -> Self {
        Self {
            name: listed.name,
            version: listed.version.to_string(),
            method: listed.method.as_str(),
            type_name: listed.type_name,
            at: listed.at,
        }
    }
}

/// One page of templates, or of the versions of one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Templates {
    templates: Vec<Line>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// 1 to 200; 50 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

const PAGE_DEFAULT: usize = 50;

impl Page {
    fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.limit.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(PAGE_DEFAULT);
        };
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=TEMPLATES_PAGE_MAX).contains(limit));
        limit.ok_or_else(|| wrong("/limit", format!("must be from 1 to {TEMPLATES_PAGE_MAX}")))
    }

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|text| !text.is_empty())
    }
}

/// A query that can be read, or a problem that says what it may hold.
type Asked = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

fn page(asked: Asked) -> Result<Page, Problem> {
    let detail = "The names known in this query are limit and cursor, once each.";
    let page = asked.map_err(|_unreadable| Problem::new(Kind::Malformed, detail))?;
    Ok(page.0)
}

fn wrong(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![FieldError {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }])
}

fn templates(
    mut listed: Vec<Listed>,
    limit: usize,
    cursor: impl Fn(&Listed) -> String,
) -> Json<Templates> {
    let more = listed.len() > limit;
    listed.truncate(limit);
    let next = listed.last().filter(|_| more).map(cursor);
    let templates = listed.into_iter().map(Line::from).collect();
    Json(Templates { templates, next })
}

/// The business's templates, by name.
#[utoipa::path(
    get, path = "/v1/templates", tag = "templates", params(Page),
    responses(
        (status = 200, description = "A page of templates.", body = Templates),
        (status = 400, description = "The query cannot be read."),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    asked: Asked,
) -> Result<Json<Templates>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let page = page(asked)?;
    let (limit, after) = (page.limit()?, page.cursor());
    if after.is_some_and(|name| !is_template_name(name)) {
        return Err(wrong("/cursor", "is no cursor of this list"));
    }
    let listed = shared.api.store.templates(business, after, limit).await?;
    Ok(templates(listed, limit, |last| last.name.clone()))
}

/// The versions of a template, the latest first.
#[utoipa::path(
    get, path = "/v1/templates/{name}/versions", tag = "templates",
    params(("name" = String, Path, description = "The template's name."), Page),
    responses(
        (status = 200, description = "A page of versions.", body = Templates),
        (status = 400, description = "The query cannot be read."),
        (status = 404, description = "The business has no such template."),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn versions(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(name): Steps<String>,
    asked: Asked,
) -> Result<Json<Templates>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let page = page(asked)?;
    let limit = page.limit()?;
    let after = page.cursor().map(Uuid::try_parse).transpose();
    let after = after.map_err(|_no_version| wrong("/cursor", "is no cursor of this list"))?;
    let name = known(&name)?;
    let store = &shared.api.store;
    let listed = store
        .template_versions(business, name, after, limit)
        .await?;
    if listed.is_empty() && after.is_none() {
        return Err(no_such_template());
    }
    Ok(templates(listed, limit, |last| last.version.to_string()))
}

/// A template as it is used now.
#[utoipa::path(
    get, path = "/v1/templates/{name}", tag = "templates",
    params(("name" = String, Path, description = "The template's name.")),
    responses(
        (status = 200, description = "The template.", body = TemplateJson),
        (status = 404, description = "The business has no such template."),
    ),
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(name): Steps<String>,
) -> Result<Json<TemplateJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let store = &shared.api.store;
    let stored = store.template(business, known(&name)?, None).await?;
    let stored = stored.ok_or_else(no_such_template)?;
    Ok(Json(TemplateJson::new(stored, true)))
}

/// A template as it was: what the entry of a notification names.
#[utoipa::path(
    get, path = "/v1/templates/{name}/versions/{version}", tag = "templates",
    params(
        ("name" = String, Path, description = "The template's name."),
        ("version" = String, Path, description = "One of its versions."),
    ),
    responses(
        (status = 200, description = "The template at this version.", body = TemplateJson),
        (status = 404, description = "The business has no such template, or not at this version."),
    ),
)]
pub(super) async fn show_version(
    State(shared): State<Shared>,
    caller: Caller,
    Steps((name, version)): Steps<(String, String)>,
) -> Result<Json<TemplateJson>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let name = known(&name)?;
    let version = Uuid::try_parse(&version).map_err(|_no_version| no_such_template())?;
    let store = &shared.api.store;
    let stored = store.template(business, name, Some(version)).await?;
    let stored = stored.ok_or_else(no_such_template)?;
    let current = store
        .current_templates(business, &[name.to_owned()])
        .await?;
    let is_current = current.get(name) == Some(&version);
    Ok(Json(TemplateJson::new(stored, is_current)))
}

pub(super) const NAMES: [&str; 6] = ["method", "type", "subject", "title", "text", "html"];

/// Writes a template. What it was before is kept as an earlier version; the same content again
/// changes nothing. A content from before becomes current again under the version that it had.
#[utoipa::path(
    put, path = "/v1/templates/{name}", tag = "templates",
    params((
        "name" = String, Path,
        description = "Up to 100 letters, digits, `-`, `_` and `.`; the first is a letter or digit.",
    )),
    request_body = TemplateBody,
    responses(
        (status = 200, description = "It is current now, or was already.", body = TemplateJson),
        (status = 201, description = "The name is new.", body = TemplateJson),
        (status = 400, description = "The body is not JSON."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "The template has mistakes; nothing was changed."),
    ),
)]
pub(super) async fn write(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(name): Steps<String>,
    request: Request,
) -> Result<Response, Problem> {
    let business = caller.allowed(Scope::Admin)?;
    let body = body::required(request).await?;
    if !is_template_name(&name) {
        let detail = "The name in the path must be up to 100 letters, digits, `-`, `_` and `.`, \
                      the first a letter or digit.";
        return Err(Problem::new(Kind::Invalid, detail));
    }
    let template = read(&body).map_err(Problem::invalid)?;
    let stored = stored(name, &template);
    let written = shared.api.store.put_template(business, &stored).await?;
    let status = match written {
        Written::Created => StatusCode::CREATED,
        Written::Changed | Written::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(TemplateJson::new(stored, true))).into_response())
}

/// As the store keeps it.
pub fn stored(name: String, template: &Template) -> StoredTemplate {
    let source = template.source().clone();
    StoredTemplate {
        name,
        version: template.version(),
        method: source.method,
        type_name: source.type_name,
        subject: source.subject,
        text: source.text,
        html: source.html,
    }
}

/// A template from JSON, with every mistake that can be known without data.
fn read(body: &Value) -> Result<Template, Vec<FieldError>> {
    let source = source_of(body)?;
    Template::compile(source).map_err(|mistakes| mistakes.iter().map(error).collect())
}

/// The parts of a template from JSON; not yet whether they are templates.
pub fn source_of(body: &Value) -> Result<Source, Vec<FieldError>> {
    let mut errors = Errors::default();
    let source = Fields::open(body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&["method"]);
        let sent = |word: &str| Method::parse(word).filter(|method| method.is_sent_by_us());
        let method = fields.word("method", sent, &METHODS);
        Some(parts(&mut fields, method?))
    });
    errors.unless_any(source)
}

/// The parts that a message of this method has.
fn parts(fields: &mut Fields<'_, '_>, method: Method) -> Source {
    let (head, required, misplaced) = match method {
        Method::Email => ("subject", &["subject"][..], &["title"][..]),
        Method::Push => ("title", &["text"][..], &["subject", "html"][..]),
        Method::Sms | Method::InPerson | Method::Mail | Method::Phone => {
            ("", &["text"][..], &["subject", "title", "html"][..])
        }
    };
    for name in misplaced {
        if fields.get(name).is_some() {
            fields.wrong(name, format!("is no part of a message for {method}"));
        }
    }
    fields.require(required);
    if method == Method::Email && fields.get("text").is_none() && fields.get("html").is_none() {
        fields.wrong_here("needs `text` or `html`, or both");
    }
    Source {
        method,
        type_name: fields.line("type", NAME_LENGTH_MAX),
        subject: fields.text(head, SUBJECT_LENGTH_MAX),
        text: fields.text("text", EMAIL_TEXT_LENGTH_MAX),
        html: fields.text("html", EMAIL_TEXT_LENGTH_MAX),
    }
}

fn error(mistake: &Mistake) -> FieldError {
    FieldError {
        pointer: step("", mistake.part.as_str()),
        detail: format!("line {}: {}", mistake.line, mistake.what),
    }
}

/// A name that no template can have names none.
fn known(name: &str) -> Result<&str, Problem> {
    Some(name)
        .filter(|name| is_template_name(name))
        .ok_or_else(no_such_template)
}

fn no_such_template() -> Problem {
    Problem::new(Kind::NotFound, "There is no such template.")
}
