//! How a call to a provider can fail, and what each failure means for the message.

use std::error::Error as StdError;
use std::time::Duration;

use super::words::{impersonal, one_line};
use crate::domain::event::Failure;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;

/// How a call failed, as far as it decides what may have happened to the message.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// No connection, or a provider that says that it has not looked at the request: nothing was
    /// sent.
    NotSent(String),
    /// The request could not be made: credentials or configuration.
    Setup(String),
    /// The request was on the wire, and no answer that could be read came back.
    Lost(String),
    Answered(Answer),
}

/// A service's error answer.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) text: String,
    pub(super) retry_after: Option<Duration>,
}

/// A server may ask for patience, but not for more than this.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The header `Retry-After` in both of its forms (RFC 9110 10.2.3): seconds, or a date.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let span = match header.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_not_seconds) => {
            let at = jiff::fmt::rfc2822::parse(header.trim()).ok()?;
            Timestamp::from_millis(at.timestamp().as_millisecond()).since(now)
        }
    };
    Some(span.min(RETRY_AFTER_MAX))
}

/// The error and its causes in one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The outcome of a call that failed, `classify` being the service's own table.
pub(super) fn outcome(fault: Fault, classify: impl FnOnce(&Answer) -> Outcome) -> Outcome {
    match fault {
        Fault::NotSent(text) => Outcome::TryLater {
            after: None,
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Setup(text) => Outcome::Broken {
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Lost(text) => Outcome::Unknown {
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Answered(answer) => classify(&answer),
    }
}

impl Fault {
    /// For a call that sends nothing.
    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::NotSent(text) | Self::Setup(text) | Self::Lost(text) => {
                Trouble::new(None, impersonal(&text))
            }
            Self::Answered(answer) => answer.trouble(),
        }
    }
}

impl Answer {
    /// What the status alone says, where the service's own codes say nothing.
    pub(super) fn by_status(&self) -> Outcome {
        let why = self.trouble();
        match self.status {
            429 => Outcome::Throttled {
                after: self.retry_after,
                why,
            },
            // A gateway gave up waiting: what is behind it may have done the work (RFC 9110 15.6.5).
            504 => Outcome::Unknown { why },
            413 => Outcome::Rejected(self.failure(Category::ContentRejected)),
            // Not our service, or not as us: wrong address, proxy, redirect.
            300..=399 | 401 | 403 | 404 | 405 | 407 => Outcome::Broken { why },
            500.. => Outcome::TryLater {
                after: self.retry_after,
                why,
            },
            // What we have never heard of may be about this message or about all of them: neither
            // give the message up at once nor stop the others.
            _ => Outcome::TryLater {
                after: self.retry_after,
                why: why.of_the_message(),
            },
        }
    }

    /// We are known, and may not do this one thing (AWS).
    pub(super) fn is_denial(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("AccessDenied" | "AccessDeniedException" | "AuthorizationError")
        )
    }

    pub(super) fn trouble(&self) -> Trouble {
        let text = match &self.code {
            Some(code) => format!("{code}: {}", self.text),
            None => format!("HTTP {}: {}", self.status, self.text),
        };
        let status = self.status.to_string();
        Trouble::new(
            Some(self.code.as_deref().unwrap_or(&status)),
            impersonal(&text),
        )
    }

    pub(super) fn failure(&self, category: Category) -> Failure {
        Failure {
            category,
            code: self.code.clone().or_else(|| Some(self.status.to_string())),
            provider_text: Some(one_line(&self.text)),
        }
    }
}

/// Refused by ourselves because of what the message is.
pub(super) fn refused(code: &str, text: &str) -> Failure {
    Failure {
        category: Category::ContentRejected,
        code: Some(code.to_owned()),
        provider_text: Some(text.to_owned()),
    }
}

/// Every provider names the messages that it takes. A success that names none came from something
/// else.
pub(super) fn accepted(message_id: Option<String>) -> Outcome {
    match message_id.filter(|id| !id.is_empty()) {
        Some(id) => Outcome::Accepted {
            provider_message_id: Some(id),
        },
        None => Outcome::Unknown {
            why: Trouble::new(None, "the answer was a success without a message id"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date_and_within_reason() {
        let now = Timestamp::parse("2026-01-15T10:00:00Z").unwrap();
        for (header, seconds) in [
            ("30", Some(30)),
            (" 0 ", Some(0)),
            ("86400", Some(3_600)),
            ("Thu, 15 Jan 2026 10:01:00 GMT", Some(60)),
            ("Thu, 15 Jan 2026 09:00:00 GMT", Some(0)),
            ("Fri, 15 Jan 2027 10:00:00 GMT", Some(3_600)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let found = retry_after(header, now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{header}");
        }
    }
}
