//! The ID token: who signed in, in the provider's signed words (OpenID Connect Core 3.1.3.7).

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value as Json;

use super::flow::Flow;
use crate::domain::time::Timestamp;

/// Signatures by a key that only the provider has. None that is made with a secret we share, and none
/// that is none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How far the provider's clock may be from ours.
const SKEW_MAX: Duration = Duration::from_mins(1);

/// What the token must be about.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) flow: &'a Flow,
    pub(super) now: Timestamp,
}

/// What it says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    /// Seconds, maybe with a fraction (RFC 7519 2).
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    azp: Option<String>,
    #[serde(default)]
    nonce: String,
    #[serde(flatten)]
    pub(super) mail: Mail,
}

/// Where the person is reached; in the token or in what the provider tells besides.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Mail {
    pub(super) email: Option<String>,
    #[serde(default)]
    email_verified: Json,
}

/// Why it is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// None of the keys at hand is the one that it names: the provider may have a new one.
    UnknownKey,
    Because(&'static str),
}

/// OpenID Connect Core 2: at most 255 ASCII characters.
const SUBJECT_LENGTH_MAX: usize = 255;

impl Claims {
    /// The address, where the provider says that it is the person's.
    pub(super) fn verified_email(&self) -> Option<&str> {
        // Some providers write the boolean as a text.
        let verified = self.mail.email_verified == true || self.mail.email_verified == "true";
        self.mail.email.as_deref().filter(|_| verified)
    }
}

/// Believes the token, or says why not.
pub(super) fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Claims, Wrong> {
    let header = decode_header(token).map_err(|_unreadable| Wrong::Because("no signed token"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Wrong::Because("signed in a way that we do not take"));
    }
    let candidates = keys.iter().filter(|key| is_for(key, header.alg));
    let named: Vec<&Jwk> = candidates
        .filter(|key| header.kid.is_none() || key.common.key_id == header.kid)
        .collect();
    if named.is_empty() {
        return Err(Wrong::UnknownKey);
    }
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    // The time is the Clock's, below.
    validation.validate_exp = false;
    let mut why = Wrong::UnknownKey;
    for key in named {
        let Ok(key) = DecodingKey::from_jwk(key) else {
            continue;
        };
        match decode::<Claims>(token, &key, &validation) {
            Ok(token) => return check(token.claims, expected),
            Err(error) => why = Wrong::Because(because(error.kind())),
        }
    }
    Err(why)
}

fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let signs = common
        .public_key_use
        .as_ref()
        .is_none_or(|it| *it == PublicKeyUse::Signature);
    signs && common.key_algorithm.is_none_or(|it| it == algorithm.into())
}

const fn because(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of a library, which grows"
    )]
    match kind {
        ErrorKind::InvalidSignature => "the signature is not the provider's",
        ErrorKind::InvalidIssuer => "made by another issuer",
        ErrorKind::InvalidAudience => "made for another client",
        _ => "not an ID token",
    }
}

fn check(claims: Claims, expected: &Expected<'_>) -> Result<Claims, Wrong> {
    let now = expected.now;
    let wrong = if claims
        .azp
        .as_deref()
        .is_some_and(|azp| azp != expected.client_id)
    {
        "made for another client"
    } else if instant(claims.exp).plus(SKEW_MAX) <= now {
        "it has expired"
    } else if [Some(claims.iat), claims.nbf]
        .into_iter()
        .flatten()
        .any(|at| instant(at) > now.plus(SKEW_MAX))
    {
        "it is of the future"
    } else if !expected.flow.is_nonce(&claims.nonce) {
        "made for another sign-in"
    } else if claims.sub.is_empty() || claims.sub.len() > SUBJECT_LENGTH_MAX {
        "its subject is none"
    } else {
        return Ok(claims);
    };
    Err(Wrong::Because(wrong))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range is clamped"
)]
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(json: Json) -> Option<String> {
        let mail: Mail = serde_json::from_value(json).unwrap();
        let claims = Claims {
            sub: "1".to_owned(),
            exp: 0.0,
            iat: 0.0,
            nbf: None,
            azp: None,
            nonce: String::new(),
            mail,
        };
        claims.verified_email().map(str::to_owned)
    }

    #[test]
    fn only_a_verified_address_shows_whose_account_it_is() {
        use serde_json::json;
        let address = "ana@example.com";
        for (verified, taken) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!(1), false),
            (Json::Null, false),
        ] {
            let said = mail(json!({"email": address, "email_verified": verified}));
            assert_eq!(said.is_some(), taken, "{verified}");
        }
        assert_eq!(mail(json!({"email": address})), None);
        assert_eq!(mail(json!({"email_verified": true})), None);
    }

    #[test]
    fn nothing_that_is_signed_with_a_shared_secret_or_not_at_all_is_a_token() {
        use base64::Engine as _;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD;
        let flow = Flow::new("/");
        let expected = Expected {
            issuer: "https://login.example.com",
            client_id: "sendtrail",
            flow: &flow,
            now: Timestamp::EPOCH,
        };
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, "{}", "x"] {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            let token = format!("{header}.e30.");
            let wrong = verify(&token, &[], &expected).unwrap_err();
            assert!(matches!(wrong, Wrong::Because(_)), "{wrong:?}");
        }
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"a"}"#);
        let unknown = verify(&format!("{header}.e30.AA"), &[], &expected);
        assert_eq!(unknown.unwrap_err(), Wrong::UnknownKey);
    }
}
