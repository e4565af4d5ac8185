//! API keys: who calls, for which business, and what the key allows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::SHA256;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Shared;
use super::problem::{Kind, Problem};
use crate::domain::time::Timestamp;
use crate::store::Error;
use crate::store::Store;
use crate::store::keys::ApiKey;

/// A new key and the digest to be kept of it. The key is shown once and kept nowhere.
pub fn new_key() -> (String, String) {
    let secret: [u8; 32] = rand::random();
    let key = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    let digest = digest(&key);
    (key, digest)
}

/// SHA-256 in hexadecimal. A plain digest is enough, because the key is 256 random bits.
pub fn digest(key: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&SHA256, key.as_bytes()))
}

/// What a key can allow; the words of the `scopes` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Enqueue,
    Read,
    /// Allows everything.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Enqueue, Self::Read, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Lets secret scanners recognise a leaked key.
const PREFIX: &str = "st_";
/// Keys are 46 characters long; what is longer is not worth a digest.
const KEY_LENGTH_MAX: usize = 128;
/// A revoked key works no longer than this.
const CACHED_FOR: Duration = Duration::from_secs(1);
/// Keys in use at the same time; beyond it the cache starts anew.
const CACHED_MAX: usize = 1_000;

/// The holder of a valid key. Its business can be had only by naming the scope that is needed.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    business: String,
    /// The key's.
    name: String,
    scopes: Vec<Scope>,
}

impl Caller {
    /// The business that the key belongs to, if the key allows this.
    pub(super) fn allowed(&self, scope: Scope) -> Result<&str, Problem> {
        if self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin) {
            return Ok(&self.business);
        }
        let scope = scope.as_str();
        Err(Problem::new(
            Kind::Forbidden,
            format!("The API key has no scope `{scope}`; use a key that has it."),
        ))
    }
}

impl Caller {
    /// As people read on record who did something.
    pub(super) fn who(&self) -> String {
        format!("API key {}", self.name)
    }
}

/// The business of those who run the installation.
pub const OPERATORS: &str = "default";

impl Caller {
    /// Who it is, if the caller may give orders that concern all businesses.
    pub(super) fn operates(&self) -> Result<String, Problem> {
        if self.allowed(Scope::Admin)? == OPERATORS {
            return Ok(self.who());
        }
        Err(Problem::new(
            Kind::Forbidden,
            "This concerns every business; use an admin key of the business `default`.",
        ))
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let key = bearer(parts).ok_or_else(unauthorized)?;
        let now = shared.api.clock.now();
        let found = shared.keys.find(&shared.api.store, key, now).await?;
        let valid = found.filter(|key| {
            key.revoked_at.is_none() && key.expires_at.is_none_or(|expires_at| now < expires_at)
        });
        let key = valid.ok_or_else(unauthorized)?;
        Ok(Self {
            scopes: scopes(&key.scopes),
            business: key.business,
            name: key.name,
        })
    }
}

/// One text for every cause, so that it tells nothing about keys that exist.
fn unauthorized() -> Problem {
    Problem::new(
        Kind::Unauthorized,
        "Send `Authorization: Bearer KEY` with a valid API key.",
    )
}

/// The scheme is case-insensitive (RFC 9110 11.1).
fn bearer(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = text.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= KEY_LENGTH_MAX)
        .then_some(key)
}

fn scopes(words: &str) -> Vec<Scope> {
    words
        .split(',')
        .filter_map(|word| Scope::parse(word.trim()))
        .collect()
}

/// Keys that were read a moment ago, by digest. Unknown keys are not remembered: they cost a
/// look-up each, and a new key works at once.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<BTreeMap<String, (Timestamp, ApiKey)>>);

impl KeyCache {
    async fn find(
        &self,
        store: &Store,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, Error> {
        let digest = digest(key);
        if let Some(key) = self.fresh(&digest, now) {
            return Ok(Some(key));
        }
        let found = store.find_key(&digest).await?;
        if let Some(key) = &found {
            self.keep(digest, now, key);
        }
        Ok(found)
    }

    fn fresh(&self, digest: &str, now: Timestamp) -> Option<ApiKey> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, key) = cached.get(digest)?;
        is_fresh(*read_at, now).then(|| key.clone())
    }

    /// `read_at` is from before the look-up, so that a slow one does not lengthen a key's life.
    fn keep(&self, digest: String, read_at: Timestamp, key: &ApiKey) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHED_MAX {
            cached.retain(|_, (at, _)| is_fresh(*at, read_at));
        }
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(digest, (read_at, key.clone()));
    }
}

/// A clock that was set back makes nothing fresh.
fn is_fresh(read_at: Timestamp, now: Timestamp) -> bool {
    now >= read_at && now.since(read_at) < CACHED_FOR
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keys_are_random_and_only_their_digest_is_kept() {
        let (key, kept) = new_key();
        assert_eq!(key.len(), 46);
        assert!(key.starts_with("st_"));
        assert_eq!(kept, digest(&key));
        assert_eq!(kept.len(), 64);
        assert_ne!(new_key().0, key);
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "FIPS 180-2 appendix B.1"
        );
    }

    #[test]
    fn the_cache_is_bounded_and_forgets_after_a_second() {
        let cache = KeyCache::default();
        let key = ApiKey {
            id: Uuid::nil(),
            business: "b".to_owned(),
            name: String::new(),
            scopes: String::new(),
            created_at: Timestamp::EPOCH,
            expires_at: None,
            revoked_at: None,
        };
        let at = Timestamp::from_millis;
        for i in 0..3 * CACHED_MAX {
            cache.keep(i.to_string(), at(5_000), &key);
            assert!(cache.0.lock().unwrap().len() <= CACHED_MAX);
        }
        cache.keep("a".to_owned(), at(5_000), &key);
        assert!(cache.fresh("a", at(5_999)).is_some());
        assert!(cache.fresh("a", at(6_000)).is_none());
        assert!(cache.fresh("a", at(4_999)).is_none(), "set back");
    }
}
