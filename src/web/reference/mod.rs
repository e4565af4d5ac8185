//! The reference of the API: pages made of its OpenAPI document, one for each group of operations. They
//! are the same for everybody and need no sign-in.

mod operation;
mod shape;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value as Json;

use super::headers;
use operation::{Operation, operations};
use shape::{Shape, Shapes};
use words::{Part, words};

/// The groups in the order in which one meets them; those that are not named here follow.
const ORDER: [&str; 11] = [
    "notifications",
    "clients",
    "history",
    "tasks",
    "templates",
    "business",
    "suppressions",
    "webhooks",
    "feedback",
    "failures",
    "providers",
];
/// What every operation answers a wrong request with; shown on the first page.
const PROBLEM: &str = "Problem";

/// The pages by the name of their group; the first has none.
type Pages = BTreeMap<String, String>;

struct Group {
    name: String,
    title: String,
    operations: Vec<Operation>,
    /// What the operations take and answer, and what that is made of.
    shapes: Vec<Shape>,
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferenceTemplate<'a> {
    groups: &'a [Group],
    group: &'a Group,
}

#[derive(Template)]
#[template(path = "reference_start.html")]
struct StartTemplate<'a> {
    groups: &'a [Group],
    about: Vec<Part>,
    version: &'a str,
    problem: Vec<Shape>,
}

/// Serves `/docs/api` and a page below it for each group of operations.
pub fn reference<S>(document: &Json) -> Result<Router<S>, askama::Error>
where
    S: Clone + Send + Sync + 'static,
{
    let pages = Arc::new(pages(document)?);
    let of_group = Arc::clone(&pages);
    let start = async move |request: HeaderMap| page(&pages, &request, "");
    let group =
        async move |Path(name): Path<String>, request: HeaderMap| page(&of_group, &request, &name);
    Ok(Router::new()
        .route("/docs/api", get(start.clone()))
        .route("/docs/api/", get(start))
        .route("/docs/api/{group}", get(group))
        .layer(map_response(headers::secure_headers)))
}

fn page(pages: &Pages, request: &HeaderMap, name: &str) -> Response {
    if let Some(page) = pages.get(name) {
        return headers::html(request, page.clone());
    }
    let text = "There is no such page; /docs/api names all of them.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

fn pages(document: &Json) -> Result<Pages, askama::Error> {
    let groups = groups(document);
    let mut pages = Pages::new();
    let text = |pointer: &str| document.pointer(pointer).and_then(Json::as_str);
    let start = StartTemplate {
        groups: &groups,
        about: words(text("/info/description").unwrap_or_default()),
        version: text("/info/version").unwrap_or_default(),
        problem: Shapes::new(document).with([PROBLEM.to_owned()]),
    };
    pages.insert(String::new(), start.render()?);
    for group in &groups {
        let page = ReferenceTemplate {
            groups: &groups,
            group,
        };
        pages.insert(group.name.clone(), page.render()?);
    }
    Ok(pages)
}

fn groups(document: &Json) -> Vec<Group> {
    let mut by_name: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for operation in operations(document) {
        by_name
            .entry(operation.group.clone())
            .or_default()
            .push(operation);
    }
    let shapes = Shapes::new(document);
    let mut groups: Vec<Group> = by_name
        .into_iter()
        .map(|(name, operations)| {
            let used: BTreeSet<String> = operations
                .iter()
                .flat_map(|it| it.shapes.iter().cloned())
                .collect();
            Group {
                title: title(&name),
                name,
                operations,
                shapes: shapes.with(used.into_iter().filter(|name| name != PROBLEM)),
            }
        })
        .collect();
    groups.sort_by_key(|group| {
        let place = ORDER.iter().position(|name| *name == group.name);
        place.unwrap_or(ORDER.len())
    });
    groups
}

/// With a capital.
fn title(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
