//! The provider token by which Apple knows us: signed by ourselves, and the same one for close to an
//! hour, since Apple takes neither an older one nor many of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::clock::Clock;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::time::Timestamp;
use crate::transport::jwt;

/// Apple refuses tokens older than an hour.
const USED_FOR: Duration = Duration::from_mins(45);
/// Apple refuses more than one new token in this time (`TooManyProviderTokenUpdates`).
const RENEWED_AFTER: Duration = Duration::from_mins(20);

pub(super) struct ProviderToken {
    key: jwt::Key,
    team: String,
    clock: Clock,
    current: Mutex<Option<Token>>,
}

#[derive(Clone)]
pub(super) struct Token {
    /// Of `authorization`. Sensitive: never put into the table of compressed headers either, as
    /// Apple asks.
    pub(super) header: HeaderValue,
    made_at: Timestamp,
}

impl ProviderToken {
    pub(super) fn new(key: jwt::Key, team: String, clock: Clock) -> Self {
        Self {
            key,
            team,
            clock,
            current: Mutex::default(),
        }
    }

    pub(super) fn get(&self) -> Result<Token, Unspecified> {
        let now = self.clock.now();
        // Signing takes well under a millisecond, and none of the others could go on without it.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = current.as_ref()
            && now.since(token.made_at) < USED_FOR
        {
            return Ok(token.clone());
        }
        let claims = json!({ "iss": self.team, "iat": now.as_millis() / 1_000 });
        let text = format!("bearer {}", self.key.sign(&claims)?);
        let mut header = HeaderValue::try_from(text).map_err(|_never| Unspecified)?;
        header.set_sensitive(true);
        let token = Token {
            header,
            made_at: now,
        };
        *current = Some(token.clone());
        Ok(token)
    }

    /// Apple calls this token too old: the next message gets a new one. One that is not yet old by
    /// our clock is too old by Apple's, and so will the next one be.
    pub(super) fn too_old(&self, refused: &Token, why: Trouble) -> Outcome {
        let age = self.clock.now().since(refused.made_at);
        if age < RENEWED_AFTER {
            let text = format!(
                "{}: it was made {} s ago, so the clock of this machine is wrong",
                why.text,
                age.as_secs()
            );
            return Outcome::Broken {
                why: Trouble::new(why.code.as_deref(), text),
            };
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = |token: &Token| token.made_at == refused.made_at;
        if current.as_ref().is_some_and(is_current) {
            *current = None;
        }
        Outcome::TryLater { after: None, why }
    }
}
