//! The door: every page is added with a rule, and every request passes the one function that applies it.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::MethodRouter;
use tracing::warn;

use super::{Notice, Staff, Visitor, origin};
use crate::domain::by_hand::DESCRIPTION_LENGTH_MAX;
use crate::domain::role::Right;

/// Who may have a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everybody.
    Open,
    /// Whoever is signed in.
    SignedIn,
    /// Whose role has this right.
    Needs(Right),
    /// The same, for what an open page asks for by itself: it does not keep a session alive.
    Polled(Right),
}

/// The longest form has two descriptions, of a contact and of a task, whose characters take twelve
/// each: four bytes, three characters a byte. The same again is for the rest.
const FORM_BYTES_MAX: usize = 4 * 12 * DESCRIPTION_LENGTH_MAX;
const FORM: &str = "application/x-www-form-urlencoded";
/// The field of a form that carries its token.
const TOKEN: &str = "token";

/// A router to which nothing can be added without a rule.
#[derive(Debug)]
pub struct Guarded<S> {
    staff: Staff,
    router: Router<S>,
    rules: Vec<(&'static str, Rule)>,
}

impl<S: Clone + Send + Sync + 'static> Guarded<S> {
    pub fn new(staff: Staff) -> Self {
        Self {
            staff,
            router: Router::new(),
            rules: Vec::new(),
        }
    }

    #[must_use]
    pub fn page(mut self, path: &'static str, rule: Rule, methods: MethodRouter<S>) -> Self {
        let guard = from_fn_with_state((self.staff.clone(), rule), guard);
        self.router = self.router.route(path, methods.layer(guard));
        self.rules.push((path, rule));
        self
    }

    /// The router, and its rules by path.
    pub fn finish(self) -> (Router<S>, Vec<(&'static str, Rule)>) {
        (self.router, self.rules)
    }
}

async fn guard(
    State((staff, rule)): State<(Staff, Rule)>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match Box::pin(admit(&staff, rule, request)).await {
        Ok(request) => next.run(request).await,
        Err(refused) => refused,
    };
    // With `no-referrer`, browsers would send `Origin: null` with our own forms (Fetch 3.2).
    let policy = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(REFERRER_POLICY, policy);
    response
}

/// The request, with its visitor where the rule asks for one; or what is answered in its place.
async fn admit(staff: &Staff, rule: Rule, request: Request) -> Result<Request, Response> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !origin::is_own(request.headers()) {
        return Err(Notice::ForeignForm.into_response());
    }
    let right = match rule {
        Rule::Open => return Ok(request),
        Rule::SignedIn => None,
        Rule::Needs(right) | Rule::Polled(right) => Some(right),
    };
    let found = Visitor::find(staff, request.headers()).await;
    let found = found.map_err(|failed| Notice::from(failed).into_response())?;
    let Some(visitor) = found else {
        return Err(unknown(&request));
    };
    if let Some(right) = right.filter(|right| !visitor.account.may(*right)) {
        warn!(account = %visitor.account.id, ?right, "a page was refused");
        return Err(Notice::NoRight(visitor.head("").into()).into_response());
    }
    let mut request = if changes {
        with_token(&visitor, request).await?
    } else {
        request
    };
    if !matches!(rule, Rule::Polled(_)) {
        visitor.keep(staff).await;
    }
    request.extensions_mut().insert(visitor);
    Ok(request)
}

/// To the sign-in, and back from there. What a script or a form asks for cannot be come back to.
fn unknown(request: &Request) -> Response {
    let mode = request.headers().get("sec-fetch-mode");
    let navigates = mode.is_none_or(|mode| mode == "navigate");
    if !navigates {
        return Notice::SignInAgain.into_response();
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    if *request.method() == Method::GET && path != "/" {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("next", path)
            .finish();
        return Redirect::to(&format!("/sign-in?{query}")).into_response();
    }
    Redirect::to("/sign-in").into_response()
}

/// A form must carry the token of the session in which it was shown.
async fn with_token(visitor: &Visitor, request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    let bytes = if is_form(&parts.headers) {
        to_bytes(body, FORM_BYTES_MAX).await.unwrap_or_default()
    } else {
        Bytes::new()
    };
    let token = form_urlencoded::parse(&bytes).find(|(name, _)| name == TOKEN);
    if token.is_some_and(|(_, token)| visitor.is_form_token(&token)) {
        Ok(Request::from_parts(parts, Body::from(bytes)))
    } else {
        Err(Notice::OldForm.into_response())
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    declared.is_some_and(|it| {
        it.split(';')
            .next()
            .unwrap_or("")
            .trim()
            .eq_ignore_ascii_case(FORM)
    })
}
