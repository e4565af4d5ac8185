//! The access token that Google asks for: fetched with a signed claim (OAuth 2.0, RFC 7523), kept
//! until shortly before its end, and fetched by one caller at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::account::Account;
use crate::clock::Clock;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::time::Timestamp;
use crate::transport::answer::{Answer, Fault};
use crate::transport::http::{Reply, exchange};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google takes no claim that is good for longer, and gives tokens for as long.
const LIFETIME: Duration = Duration::from_hours(1);
/// A token is replaced this long before its end, so that none ends on its way.
const EARLY: Duration = Duration::from_mins(5);
/// A token that is refused within this time was no better when it was given.
const YOUNG: Duration = Duration::from_mins(1);

pub(super) struct Bearer {
    client: Client,
    account: Account,
    clock: Clock,
    state: Mutex<State>,
    /// Fetches that have ended; who waited for one that failed does not begin the next.
    rounds: AtomicU64,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failure: Option<NoToken>,
}

/// Why there is no token. Nothing of a message has been sent by then.
#[derive(Clone)]
pub(super) enum NoToken {
    TryLater {
        after: Option<Duration>,
        why: Trouble,
    },
    Throttled {
        after: Option<Duration>,
        why: Trouble,
    },
    Broken {
        why: Trouble,
    },
}

impl NoToken {
    /// What becomes of the message.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::TryLater { after, why } => Outcome::TryLater { after, why },
            Self::Throttled { after, why } => Outcome::Throttled { after, why },
            Self::Broken { why } => Outcome::Broken { why },
        }
    }

    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::TryLater { why, .. } | Self::Throttled { why, .. } | Self::Broken { why } => why,
        }
    }
}

#[derive(Clone)]
pub(super) struct Token {
    text: SecretString,
    given_at: Timestamp,
    fresh_until: Timestamp,
}

impl Token {
    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

impl Bearer {
    pub(super) fn new(client: Client, account: Account, clock: Clock) -> Self {
        Self {
            client,
            account,
            clock,
            state: Mutex::default(),
            rounds: AtomicU64::new(0),
        }
    }

    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let round = self.rounds.load(Ordering::Acquire);
        // Held while one is fetched: the others wait for it here.
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(token) = &state.token
            && token.fresh_until > now
        {
            return Ok(token.clone());
        }
        let waited = self.rounds.load(Ordering::Acquire) != round;
        if let (true, Some(failure)) = (waited, &state.failure) {
            return Err(failure.clone());
        }
        let fetched = self.fetch(now).await;
        state.token = fetched.as_ref().ok().cloned();
        state.failure = fetched.as_ref().err().cloned();
        self.rounds.fetch_add(1, Ordering::Release);
        fetched
    }

    /// FCM does not accept this token: the next message gets a new one. When it was new itself, a
    /// newer one will not be better.
    pub(super) async fn refused(&self, refused: &Token, why: Trouble) -> Outcome {
        let mut state = self.state.lock().await;
        let is_current = |token: &Token| token.given_at == refused.given_at;
        if state.token.as_ref().is_some_and(is_current) {
            state.token = None;
        }
        if self.clock.now().since(refused.given_at) < YOUNG {
            return Outcome::Broken { why };
        }
        Outcome::TryLater { after: None, why }
    }

    async fn fetch(&self, now: Timestamp) -> Result<Token, NoToken> {
        let issued_at = now.as_millis() / 1_000;
        let account = &self.account;
        let assertion = account.key.sign(&json!({
            "iss": account.email,
            "scope": SCOPE,
            "aud": account.token_url.as_str(),
            "iat": issued_at,
            "exp": issued_at + i64::try_from(LIFETIME.as_secs()).unwrap_or(0),
        }));
        let assertion = assertion.map_err(|_unspecified| NoToken::Broken {
            why: Trouble::new(None, "the private key cannot sign"),
        })?;
        let form = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let call = self.client.post(account.token_url.clone()).form(&form);
        let reply = match exchange(call, now).await {
            Ok(reply) if reply.status == 200 => reply,
            Ok(reply) => return Err(not_given(&error(&reply))),
            Err(fault @ Fault::Setup(_)) => {
                let why = fault.trouble();
                return Err(NoToken::Broken { why });
            }
            Err(fault) => {
                let why = fault.trouble();
                return Err(NoToken::TryLater { after: None, why });
            }
        };
        let given = serde_json::from_slice::<Given>(&reply.body).map_err(|_may_quote_it| {
            let why = Trouble::new(None, "the answer to the request for a token holds none");
            NoToken::TryLater { after: None, why }
        })?;
        let lifetime = Duration::from_secs(given.expires_in).min(LIFETIME);
        Ok(Token {
            text: given.access_token,
            given_at: now,
            fresh_until: now.plus(lifetime.saturating_sub(EARLY.min(lifetime / 2))),
        })
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: SecretString,
    expires_in: u64,
}

/// An error of OAuth 2.0 (RFC 6749 5.2).
fn error(reply: &Reply) -> Answer {
    #[derive(Deserialize)]
    struct Error {
        error: String,
        error_description: Option<String>,
    }
    let error = serde_json::from_slice::<Error>(&reply.body).ok();
    let (code, text) = match error {
        Some(error) => (Some(error.error), error.error_description),
        None => (None, None),
    };
    Answer {
        status: reply.status,
        code,
        text: text.unwrap_or_else(|| "no access token was given".to_owned()),
        retry_after: reply.retry_after,
    }
}

fn not_given(answer: &Answer) -> NoToken {
    let (after, why) = (answer.retry_after, answer.trouble());
    match answer.status {
        429 => NoToken::Throttled { after, why },
        // invalid_grant and its relatives: the key, the account, or the clock of this machine.
        300..=499 => NoToken::Broken { why },
        _ => NoToken::TryLater { after, why },
    }
}
