//! The accounts by which the stand-ins of Twilio, Google and Apple know their callers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::signer::KeyError;
use crate::domain::time::Timestamp;

pub(super) const TWILIO_ACCOUNT: &str = "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d";
pub(super) const TWILIO_FROM: &str = "+15005550006";
pub(super) const GOOGLE_PROJECT: &str = "sandbox-project";
const GOOGLE_EMAIL: &str = "sandbox@sandbox-project.iam.gserviceaccount.com";
const GOOGLE_KEY_ID: &str = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c5a4db";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const APPLE_KEY_ID: &str = "SANDBOXKEY";
const APPLE_TEAM: &str = "SANDBOXDEV";
pub(super) const APPLE_TOPIC: &str = "test.simulator.app";

/// Google gives tokens for this long, less the second that they take.
pub(super) const GOOGLE_TOKEN_SECONDS: u64 = 3_599;
/// Neither takes a claim made longer ago than this; a clock may be wrong by [`SKEW`].
const CLAIM_MAX: Duration = Duration::from_hours(1);
const SKEW: Duration = Duration::from_mins(5);
/// Tokens in use at the same time; the oldest are forgotten first.
const GOOGLE_TOKENS_MAX: usize = 100;

/// Made anew at every start and kept in memory only: nobody can get into tomorrow's sandbox.
pub(super) struct Accounts {
    twilio_token: SecretString,
    google: KeyPair,
    apple: KeyPair,
    google_tokens: Mutex<VecDeque<(String, Timestamp)>>,
    google_tokens_given: AtomicU64,
    apple_token: Mutex<String>,
    apple_tokens_seen: AtomicU64,
}

/// What goes into the sections of the configuration.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub twilio_account_sid: String,
    pub twilio_auth_token: SecretString,
    pub twilio_from: String,
    /// The key of a service account, in JSON.
    pub google_service_account: SecretString,
    /// In PEM form.
    pub apple_key: SecretString,
    pub apple_key_id: String,
    pub apple_team_id: String,
    pub apple_topic: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logins {
    /// Access tokens that Google's stand-in has given.
    pub google_tokens: u64,
    /// Provider tokens that Apple's stand-in has seen, each counted once while it is in use.
    pub apple_tokens: u64,
}

impl Accounts {
    /// Takes a good part of a second of computing time: not for an async thread.
    pub(super) fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            twilio_token: hex::encode(rand::random::<[u8; 16]>()).into(),
            google: KeyPair::generate_for(&PKCS_RSA_SHA256)?,
            apple: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            google_tokens: Mutex::default(),
            google_tokens_given: AtomicU64::new(0),
            apple_token: Mutex::default(),
            apple_tokens_seen: AtomicU64::new(0),
        })
    }

    pub(super) fn credentials(&self, base: &str) -> Credentials {
        let account = json!({
            "type": "service_account",
            "project_id": GOOGLE_PROJECT,
            "private_key_id": GOOGLE_KEY_ID,
            "private_key": self.google.serialize_pem(),
            "client_email": GOOGLE_EMAIL,
            "token_uri": format!("{base}{}", super::fcm_http::TOKEN),
        });
        Credentials {
            twilio_account_sid: TWILIO_ACCOUNT.to_owned(),
            twilio_auth_token: self.twilio_token.clone(),
            twilio_from: TWILIO_FROM.to_owned(),
            google_service_account: account.to_string().into(),
            apple_key: self.apple.serialize_pem().into(),
            apple_key_id: APPLE_KEY_ID.to_owned(),
            apple_team_id: APPLE_TEAM.to_owned(),
            apple_topic: APPLE_TOPIC.to_owned(),
        }
    }

    pub(super) fn logins(&self) -> Logins {
        Logins {
            google_tokens: self.google_tokens_given.load(Ordering::Relaxed),
            apple_tokens: self.apple_tokens_seen.load(Ordering::Relaxed),
        }
    }

    /// Signs Twilio's callbacks too.
    pub(super) fn twilio_token(&self) -> &str {
        self.twilio_token.expose_secret()
    }

    /// Gives an access token for a signed claim, or says what is wrong with it in Google's words.
    pub(super) fn google_token(
        &self,
        claim: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, &'static str> {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.google.public_key_raw());
        let claims = read(claim, "RS256", GOOGLE_KEY_ID, &key).ok_or("Invalid JWT Signature.")?;
        let ends_at = claims.get("exp").and_then(Value::as_i64).unwrap_or(0) * 1_000;
        let lasts = Timestamp::from_millis(ends_at).since(now.minus(SKEW));
        if !is_recent(&claims, now) || lasts.is_zero() || lasts > CLAIM_MAX + SKEW * 2 {
            return Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                 timeframe. Check your iat and exp values in the JWT claim.",
            );
        }
        for (name, wanted) in [
            ("iss", GOOGLE_EMAIL),
            ("scope", GOOGLE_SCOPE),
            ("aud", audience),
        ] {
            if claims.get(name).and_then(Value::as_str) != Some(wanted) {
                return Err("Invalid JWT: issuer, scope or audience.");
            }
        }
        let token = format!("ya29.{}", hex::encode(rand::random::<[u8; 16]>()));
        let until = now.plus(Duration::from_secs(GOOGLE_TOKEN_SECONDS));
        let mut tokens = self.google_tokens();
        if tokens.len() >= GOOGLE_TOKENS_MAX {
            tokens.pop_front();
        }
        tokens.push_back((token.clone(), until));
        self.google_tokens_given.fetch_add(1, Ordering::Relaxed);
        Ok(token)
    }

    pub(super) fn google_knows(&self, token: &str, now: Timestamp) -> bool {
        let tokens = self.google_tokens();
        tokens
            .iter()
            .any(|(known, until)| known == token && *until > now)
    }

    /// Lets a provider token in, or says why not by Apple's reasons.
    pub(super) fn apple_lets_in(&self, token: &str, now: Timestamp) -> Result<(), &'static str> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.apple.public_key_raw());
        let claims = read(token, "ES256", APPLE_KEY_ID, &key).ok_or("InvalidProviderToken")?;
        if claims.get("iss").and_then(Value::as_str) != Some(APPLE_TEAM) {
            return Err("InvalidProviderToken");
        }
        if !is_recent(&claims, now) {
            return Err("ExpiredProviderToken");
        }
        let mut current = self
            .apple_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *current != token {
            token.clone_into(&mut current);
            self.apple_tokens_seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn google_tokens(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Timestamp)>> {
        self.google_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claims of a JSON Web Token that was signed with this key under this name (RFC 7515).
fn read(
    token: &str,
    algorithm: &str,
    key_id: &str,
    key: &UnparsedPublicKey<&[u8]>,
) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).ok();
    let header = json(header)?;
    let is = |name: &str, wanted: &str| header.get(name).and_then(Value::as_str) == Some(wanted);
    if !is("alg", algorithm) || !is("kid", key_id) {
        return None;
    }
    key.verify(signed.as_bytes(), &decoded(signature)?).ok()?;
    json(claims)
}

fn is_recent(claims: &Value, now: Timestamp) -> bool {
    let issued_at = claims.get("iat").and_then(Value::as_i64).unwrap_or(0);
    let issued_at = Timestamp::from_millis(issued_at.saturating_mul(1_000));
    issued_at <= now.plus(SKEW) && now.since(issued_at) <= CLAIM_MAX
}
