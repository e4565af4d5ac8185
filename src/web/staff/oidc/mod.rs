//! Single sign-on: OpenID Connect Core 1.0, the authorization code flow, with PKCE (RFC 7636), state and
//! nonce. It opens accounts that exist; it makes none.

mod flow;
mod id_token;
mod provider;

use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use tracing::{info, warn};

pub use provider::{NoClient, Provider, ProviderSettings, Trouble};

use self::flow::Flow;
use self::id_token::Claims;
use super::sign_in::{Refused, begin, form, note_failure, place};
use super::{Notice, Staff};
use crate::store::staff::Account;

#[derive(Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

/// What the provider sends back, by way of the browser (RFC 6749 4.1.2, RFC 9207).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    code: String,
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

/// To the provider, with a cookie that knows the way back.
pub(super) async fn start(State(staff): State<Staff>, Query(wanted): Query<Wanted>) -> Response {
    let next = place(wanted.next.as_deref());
    let Some(provider) = &staff.provider else {
        return Redirect::to("/sign-in").into_response();
    };
    let flow = Flow::new(next);
    let address = match provider.authorization(&flow).await {
        Ok(address) => address,
        Err(trouble) => return form(&staff, Some(told(&trouble)), "", next),
    };
    let mut response = Redirect::to(&address).into_response();
    if let Some(cookie) = staff.cookies.set_flow(&flow.to_string()) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Back from the provider. Whatever comes of it, the same answer is not taken twice.
pub(super) async fn finish(
    State(staff): State<Staff>,
    Query(answer): Query<Answer>,
    headers: HeaderMap,
) -> Response {
    let flow = staff.cookies.read_flow(&headers);
    let flow = flow.and_then(|text| Flow::parse(&text));
    let next = place(flow.as_ref().map(Flow::next)).to_owned();
    let signed_in = Box::pin(sign_in(&staff, flow.as_ref(), &answer, &headers)).await;
    let mut response = match signed_in {
        Ok(cookie) => ([(SET_COOKIE, cookie)], Redirect::to(&next)).into_response(),
        Err(Ended::Refused(refused)) => form(&staff, Some(refused), "", &next),
        Err(Ended::Notice(notice)) => notice.into_response(),
    };
    if let Some(cookie) = staff.cookies.clear_flow() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Why nobody is signed in.
enum Ended {
    Refused(Refused),
    Notice(Notice),
}

impl From<crate::store::Error> for Ended {
    fn from(failed: crate::store::Error) -> Self {
        Self::Notice(failed.into())
    }
}

const fn refused(status: StatusCode, text: &'static str) -> Ended {
    Ended::Refused(Refused::Told(status, text))
}

const START_AGAIN: Ended = refused(
    StatusCode::BAD_REQUEST,
    "This sign-in was begun too long ago, in another browser, or has ended already. Begin it again \
     here.",
);
const CANCELLED: Ended = refused(
    StatusCode::FORBIDDEN,
    "The sign-on service did not let you in, or you stopped there. Begin again, or sign in with your \
     password.",
);
const UNVERIFIED: Ended = refused(
    StatusCode::FORBIDDEN,
    "The sign-on service has not verified your email address, so it does not show which account is \
     yours. Have it verified there, or sign in with your password.",
);
const UNKNOWN: Ended = refused(
    StatusCode::FORBIDDEN,
    "Nobody here has an account with the email address that the sign-on service knows you by. Ask an \
     Admin of your business for one.",
);
const ANOTHERS: Ended = refused(
    StatusCode::FORBIDDEN,
    "The account with your email address belongs to another person at the sign-on service. Ask \
     whoever runs this program: `sendtrail staff forget-sign-on` frees it.",
);
const DEACTIVATED: Ended = refused(
    StatusCode::FORBIDDEN,
    "Your account is deactivated. Ask an Admin of your business.",
);

/// The cookie of the new session.
async fn sign_in(
    staff: &Staff,
    flow: Option<&Flow>,
    answer: &Answer,
    headers: &HeaderMap,
) -> Result<HeaderValue, Ended> {
    let (Some(provider), Some(flow)) = (&staff.provider, flow) else {
        return Err(START_AGAIN);
    };
    let foreign = answer
        .iss
        .as_deref()
        .is_some_and(|iss| iss != provider.issuer());
    if !flow.is_state(&answer.state) || foreign {
        return Err(START_AGAIN);
    }
    if let Some(error) = &answer.error {
        // From whoever made the link: a word of RFC 6749, or nothing that is worth a line.
        let known = error.len() < 50 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        info!(
            error = known.then_some(error.as_str()),
            "the sign-on provider refused"
        );
        return Err(CANCELLED);
    }
    let found = Box::pin(provider.claims(flow, &answer.code)).await;
    let claims = found.map_err(|trouble| Ended::Refused(told(&trouble)))?;
    let account = Box::pin(account(staff, provider, &claims)).await?;
    if account.deactivated_at.is_some() {
        note_failure(staff, account.id);
        return Err(DEACTIVATED);
    }
    match Box::pin(begin(staff, &account, headers)).await? {
        Some(cookie) => Ok(cookie),
        None => Err(DEACTIVATED),
    }
}

/// Whose account it is: the one that is bound to the person at the provider, or the one with the
/// person's verified address, which is bound now. Addresses are given to others, subjects never
/// (OpenID Connect Core 5.7).
async fn account(staff: &Staff, provider: &Provider, claims: &Claims) -> Result<Account, Ended> {
    let (store, issuer) = (&staff.store, provider.issuer());
    if let Some(account) = store.staff_by_identity(issuer, &claims.sub).await? {
        return Ok(account);
    }
    let Some(email) = claims.verified_email() else {
        return Err(UNVERIFIED);
    };
    let found = store.staff_credentials(email).await?;
    let account = found.map(|it| it.account).ok_or(UNKNOWN)?;
    if account.deactivated_at.is_some() {
        return Ok(account);
    }
    let bound = store.bind_staff_identity(account.id, issuer, &claims.sub);
    if bound.await? {
        Ok(account)
    } else {
        Err(ANOTHERS)
    }
}

fn told(trouble: &Trouble) -> Refused {
    warn!(error = %trouble, "single sign-on failed");
    match trouble {
        Trouble::Away(_) => Refused::Told(
            StatusCode::SERVICE_UNAVAILABLE,
            "The sign-on service does not answer at the moment. Try again in a minute, or sign in \
             with your password.",
        ),
        Trouble::Code => Refused::Told(
            StatusCode::FORBIDDEN,
            "The sign-on service does not know this sign-in any more. Begin it again.",
        ),
        Trouble::Answer(_) | Trouble::Token(_) => Refused::Told(
            StatusCode::BAD_GATEWAY,
            "What the sign-on service answered cannot be trusted, so nobody was signed in. Tell \
             whoever runs this program; the reason is in its log.",
        ),
    }
}
