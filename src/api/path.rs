//! The variable steps of a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Shared;
use super::problem::{Kind, Problem};

/// The steps as texts. What cannot be read names nothing, so it is not found.
#[derive(Debug)]
pub(super) struct Steps<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Steps<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let steps = Path::<T>::from_request_parts(parts, shared).await;
        steps
            .map(|Path(steps)| Self(steps))
            .map_err(|_unreadable| Problem::new(Kind::NotFound, "There is nothing at this path."))
    }
}
