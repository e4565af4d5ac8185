//! The document that the program serves: whole, true, and the same as its routes.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value as Json;
use tower::ServiceExt as _;

use super::openapi::build;
use super::operations::PATHS;
use super::{
    business, clients, contact_log, content, decide, files, intake, providers, reports, resend,
    suppressions, tasks, templates, webhooks,
};
use crate::api::{Api, Limits, rendering, router, routes};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::history::PAGE_MAX;

async fn api() -> Router {
    let clock = Clock::system();
    let store = Store::open("sqlite::memory:", 1, clock.clone()).await;
    router(Api {
        store: store.unwrap(),
        clock,
        metrics: std::sync::Arc::default(),
        providers: std::sync::Arc::default(),
        woken: std::sync::Arc::default(),
        account_list: None,
        reader: crate::store::inbox::Reader::default(),
        limits: Limits::default(),
        webhook_rules: crate::domain::webhook::UrlRules::default(),
    })
}

fn documented() -> Json {
    serde_json::to_value(build()).unwrap()
}

#[tokio::test]
async fn the_document_has_exactly_the_paths_and_methods_of_the_router() {
    let (document, server) = (documented(), api().await);
    let paths = document["paths"].as_object().unwrap();
    let routed = routes();
    let routed = routed.iter().map(|(path, _)| *path).chain(PATHS);
    assert_eq!(
        routed.collect::<BTreeSet<_>>(),
        paths.keys().map(String::as_str).collect()
    );
    let ours = paths.iter().filter(|(path, _)| !PATHS.contains(&&***path));
    for (path, item) in ours {
        let request = Request::builder().method("TRACE").uri(path.as_str());
        let request = request.body(Body::empty()).unwrap();
        let response = server.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        let allow = response.headers()["allow"].to_str().unwrap();
        let allowed: BTreeSet<String> = allow
            .split(',')
            .filter(|method| *method != "HEAD")
            .map(str::to_lowercase)
            .collect();
        let methods = item.as_object().unwrap().keys().cloned().collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[test]
fn the_document_names_the_fields_that_the_readers_know() {
    let document = documented();
    let schemas = &document["components"]["schemas"];
    let names = |schema: &Json| -> BTreeSet<String> {
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let one = &schemas["Enqueue"]["oneOf"][0];
    assert_eq!(names(one), set(&intake::NAMES));
    let client = &one["properties"]["client"]["oneOf"][1];
    assert_eq!(names(client), set(&intake::CLIENT_NAMES));
    assert_eq!(names(&schemas["Resend"]), set(&resend::NAMES));
    assert_eq!(names(&schemas["Pause"]), set(&providers::NAMES));
    assert_eq!(names(&schemas["Decide"]), set(&decide::NAMES));
    assert_eq!(names(&schemas["NewEvent"]), set(&reports::NAMES));
    assert_eq!(names(&schemas["Suppress"]), set(&suppressions::NAMES));
    assert_eq!(names(&schemas["Lift"]), set(&suppressions::LIFT_NAMES));
    assert_eq!(names(&schemas["NewClient"]), set(&clients::NAMES));
    assert_eq!(
        names(&schemas["ClientChanges"]),
        set(&clients::CHANGE_NAMES)
    );
    assert_eq!(names(&schemas["NewContact"]), set(&contact_log::NAMES));
    assert_eq!(
        names(&schemas["NewDescription"]),
        set(&contact_log::DESCRIPTION_NAMES)
    );
    assert_eq!(names(&schemas["NewTask"]), set(&tasks::NAMES));
    assert_eq!(names(&schemas["TaskChange"]), set(&tasks::CHANGE_NAMES));
    let content = &one["properties"]["content"];
    let all = [&content::EMAIL_NAMES[..], &["title", "data"]].concat();
    assert_eq!(names(content), set(&all));
    let file = &content["properties"]["attachments"]["items"];
    assert_eq!(names(file), set(&files::NAMES));
    let template = &one["properties"]["template"];
    assert_eq!(names(template), set(&rendering::EMAIL_NAMES));
    assert_eq!(names(&schemas["NewWebhook"]), set(&webhooks::NAMES));
    assert_eq!(names(&schemas["Replay"]), set(&webhooks::REPLAY_NAMES));
    let written = &schemas["ChangeOfTemplate"];
    assert_eq!(names(written), set(&templates::NAMES));
    let changed = &schemas["ChangeOfBusiness"];
    assert_eq!(names(changed), set(&business::NAMES));
    assert_eq!(
        one["properties"]["type"]["maxLength"],
        intake::NAME_LENGTH_MAX
    );
    let parameters = &document["paths"]["/v1/history"]["get"]["parameters"];
    for parameter in parameters.as_array().unwrap() {
        assert_eq!(parameter["required"], false, "{}", parameter["name"]);
        if parameter["name"] == "limit" {
            assert_eq!(parameter["schema"]["maximum"], PAGE_MAX);
        }
    }
}

#[test]
fn what_reads_a_body_says_how_it_refuses_one() {
    let document = documented();
    let paths = document["paths"].as_object().unwrap().iter();
    let ours = paths.filter(|(path, _)| !PATHS.contains(&&***path));
    let operations = ours.flat_map(|(_, item)| item.as_object().unwrap().values());
    let reading: Vec<&Json> = operations
        .filter(|operation| !operation["requestBody"].is_null())
        .collect();
    assert_eq!(reading.len(), 21);
    for operation in reading {
        for status in ["400", "413", "415", "422"] {
            let answer = &operation["responses"][status];
            assert!(
                answer.is_object(),
                "{status} of {}",
                operation["operationId"]
            );
        }
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = documented();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::Object(map) => {
            found.extend(map.get("$ref").and_then(Json::as_str));
            map.values()
                .for_each(|value| collect_references(value, found));
        }
        Json::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
