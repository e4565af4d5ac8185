//! What is common to the settings of all transports: how a wrong one is named, and limits.

/// A wrong setting: its key within the section, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {message}")]
pub struct Problem {
    pub key: &'static str,
    pub message: String,
}

impl Problem {
    pub fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            message: message.into(),
        }
    }
}

/// The longest time-out that makes sense: RFC 5321 4.5.3.2.6 waits ten minutes for the last reply.
const TIMEOUT_MS_MAX: u64 = 600_000;

/// A time-out is above zero and at most [`TIMEOUT_MS_MAX`].
pub(super) fn check_timeout(problems: &mut Vec<Problem>, key: &'static str, millis: u64) {
    if !(1..=TIMEOUT_MS_MAX).contains(&millis) {
        problems.push(Problem::new(
            key,
            format!("is {millis}; it must be 1 to {TIMEOUT_MS_MAX} (milliseconds)"),
        ));
    }
}

/// `http://` or `https://` and a host.
pub(super) fn check_endpoint(problems: &mut Vec<Problem>, key: &'static str, url: Option<&str>) {
    let Some(url) = url else { return };
    let fits = reqwest::Url::parse(url)
        .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    if !fits {
        problems.push(Problem::new(
            key,
            "is not an address: write it like https://email.eu-west-1.amazonaws.com",
        ));
    }
}
