//! Passwords of staff as they are kept: Argon2id, a few at a time, away from the threads that answer.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

/// The work of one hash, the first of the sets of the OWASP Password Storage Cheat Sheet with one lane:
/// kilobytes of memory, passes, lanes.
const MEMORY_KB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// 76 MB and four cores at most, whoever tries to sign in.
const AT_ONCE: usize = 4;
/// How long a sign-in waits for its turn: longer than a hundred hashes take.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Cheap to clone; clones share their turns.
#[derive(Clone, Debug)]
pub struct Hasher(Arc<Semaphore>);

/// Why there is no hash.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Unhashed {
    #[error("too many passwords are being checked; try again in a few seconds")]
    Busy,
    #[error("the password could not be hashed")]
    Failed,
}

impl Default for Hasher {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Hasher {
    /// In the PHC string format, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, Unhashed> {
        self.run(move || hash(&password)).await?
    }

    /// Takes as long when there is nothing to compare with.
    pub async fn matches(&self, password: String, kept: Option<String>) -> Result<bool, Unhashed> {
        self.run(move || {
            let (kept, exists) = match &kept {
                Some(kept) => (kept.as_str(), true),
                None => (NOBODYS.as_str(), false),
            };
            let kept = PasswordHash::new(kept).map_err(|_unreadable| Unhashed::Failed)?;
            let same = hasher()?
                .verify_password(password.as_bytes(), &kept)
                .is_ok();
            Ok(same && exists)
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unhashed> {
        let turn = tokio::time::timeout(TURN_MAX, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Unhashed::Busy);
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            // Not before: a caller that goes away does not stop the work.
            drop(turn);
            result
        });
        done.await.map_err(|_panicked| Unhashed::Failed)
    }
}

/// What the password of nobody is compared with.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hash("").unwrap_or_default());

fn hasher() -> Result<Argon2<'static>, Unhashed> {
    let params = Params::new(MEMORY_KB, PASSES, LANES, None);
    let params = params.map_err(|_unusable| Unhashed::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<String, Unhashed> {
    let hashed = hasher()?.hash_password(password.as_bytes());
    Ok(hashed.map_err(|_failed| Unhashed::Failed)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_names_its_costs_and_matches_its_password_alone() {
        let hasher = Hasher::default();
        let kept = hasher
            .hash("correct horse battery".to_owned())
            .await
            .unwrap();
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        let again = hasher
            .hash("correct horse battery".to_owned())
            .await
            .unwrap();
        assert_ne!(kept, again, "salted");
        for (password, kept, matches) in [
            ("correct horse battery", Some(kept.clone()), true),
            ("correct horse batter", Some(kept), false),
            ("", None, false),
        ] {
            let found = hasher.matches(password.to_owned(), kept).await.unwrap();
            assert_eq!(found, matches, "{password}");
        }
        assert!(
            hasher
                .matches(String::new(), Some("plain".to_owned()))
                .await
                .is_err()
        );
    }
}
