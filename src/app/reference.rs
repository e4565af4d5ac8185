//! The reference of the API, where the API is served or staff's pages are.

use anyhow::Context as _;
use axum::Router;
use axum::middleware::map_response;

use super::Roles;
use crate::api;
use crate::web;

pub(super) fn pages(roles: Roles) -> anyhow::Result<Router> {
    if !roles.api && !roles.web {
        return Ok(Router::new());
    }
    let pages = web::reference(&api::document()).context("the API reference cannot be written")?;
    if roles.web {
        return Ok(pages);
    }
    // Its style sheet is among the pages for staff, which this process does not have.
    let assets = web::assets().layer(map_response(web::secure_headers));
    Ok(pages.merge(assets))
}
