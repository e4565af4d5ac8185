//! Staff at our pages: sign-in, sessions, and the door that every page stands behind.

mod account;
mod client_address;
mod cookie;
mod door;
mod hasher;
mod members;
mod notice;
mod oidc;
mod origin;
mod sign_in;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderName;
use axum::routing::{get, post};

pub use cookie::Cookies;
pub use door::{Guarded, Rule};
pub use hasher::{Hasher, Unhashed};
pub use notice::Notice;
pub use oidc::{NoClient, Provider, ProviderSettings, Trouble};
pub use sign_in::place;
pub use visitor::{Head, Visitor};

use crate::domain::role::Right;
use crate::store::Store;

/// What sign-in and sessions work with.
#[derive(Clone, Debug)]
pub struct Staff {
    pub store: Store,
    pub hasher: Hasher,
    pub cookies: Cookies,
    /// The header in which our proxy names the address of whoever asks.
    pub address_header: Option<HeaderName>,
    /// Members of a demonstration, offered on the sign-in page with their passwords.
    pub samples: Arc<[Sample]>,
    /// Single sign-on, where it is set up.
    pub provider: Option<Provider>,
}

/// A member of a demonstration.
#[derive(Clone, Debug)]
pub struct Sample {
    pub label: String,
    pub email: String,
    pub password: String,
}

/// Sign-in and what belongs to it.
pub fn pages(staff: Staff) -> Guarded<Staff> {
    Guarded::new(staff)
        .page(
            "/sign-in",
            Rule::Open,
            get(sign_in::show).post(sign_in::sign_in),
        )
        .page("/sign-in/oidc", Rule::Open, get(oidc::start))
        .page("/sign-in/oidc/callback", Rule::Open, get(oidc::finish))
        .page("/sign-out", Rule::SignedIn, post(sign_in::sign_out))
        .page("/account", Rule::SignedIn, get(account::show))
        .page(
            "/account/password",
            Rule::SignedIn,
            post(account::change_password),
        )
        .page(
            "/account/sign-out-everywhere",
            Rule::SignedIn,
            post(account::sign_out_everywhere),
        )
        .page("/staff", Rule::Needs(Right::SeeStaff), get(members::show))
}

/// The routes with their state, and the rule of each.
pub fn router(staff: Staff) -> (Router, Vec<(&'static str, Rule)>) {
    let (router, rules) = pages(staff.clone()).finish();
    (router.with_state(staff), rules)
}
