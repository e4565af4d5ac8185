//! FCM's errors: the one table that says what each means for a message.
//! <https://firebase.google.com/docs/cloud-messaging/error-codes>

use std::time::Duration;

use serde::Deserialize;

use crate::domain::outcome::Outcome;
use crate::domain::reason::Category;
use crate::transport::answer::Answer;
use crate::transport::http::Reply;
use crate::transport::push::device_gone;
use crate::transport::words::one_line;

/// FCM asks to wait this long when a quota is exceeded and it names no time itself.
const QUOTA_PAUSE: Duration = Duration::from_mins(1);
/// And at least this long when it is in trouble.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The code is FCM's own where there is one, or else Google's.
    pub(super) answer: Answer,
    /// FCM itself says so, and not something before it.
    by_fcm: bool,
    /// The field of the request that is wrong.
    field: Option<String>,
    /// The quota that is exceeded is the one device's.
    of_the_device: bool,
}

impl Refusal {
    pub(super) fn read(reply: &Reply) -> Self {
        let error = serde_json::from_slice::<Body>(&reply.body).map(|body| body.error);
        let error = error.unwrap_or_default();
        let details = &error.details;
        let own_code = details
            .iter()
            .filter(|detail| detail.kind.ends_with("/google.firebase.fcm.v1.FcmError"))
            .find_map(|detail| detail.error_code.clone());
        let mut fields = details.iter().flat_map(|detail| &detail.field_violations);
        let field = fields.next().map(|violation| violation.field.clone());
        let mut quotas = details.iter().flat_map(|detail| &detail.violations);
        Self {
            by_fcm: own_code.is_some(),
            field,
            of_the_device: quotas.any(Quota::is_of_the_device),
            answer: Answer {
                status: reply.status,
                code: own_code.or(error.word),
                text: error.message.unwrap_or_else(|| "no explanation".to_owned()),
                retry_after: reply.retry_after,
            },
        }
    }

    /// The access token is not accepted: it was withdrawn before its time.
    pub(super) fn is_of_the_token(&self) -> bool {
        self.answer.code.as_deref() == Some("UNAUTHENTICATED")
    }

    pub(super) fn outcome(&self) -> Outcome {
        let answer = &self.answer;
        let why = || answer.trouble();
        let rejected = |category| Outcome::Rejected(answer.failure(category));
        match answer.code.as_deref() {
            // Without FCM's own word a 404 is about our project, and no device is gone.
            Some("UNREGISTERED") if self.by_fcm => {
                Outcome::Rejected(device_gone(one_line(&answer.text)))
            }
            Some("INVALID_ARGUMENT") => rejected(self.about()),
            // The token is of another project's app. The app may still be there.
            Some("SENDER_ID_MISMATCH") => rejected(Category::InvalidAddress),
            Some(
                "THIRD_PARTY_AUTH_ERROR" | "UNAUTHENTICATED" | "PERMISSION_DENIED" | "NOT_FOUND",
            ) => Outcome::Broken { why: why() },
            // The project's quota, unless FCM says that it is the device's.
            Some("QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED") => Outcome::Throttled {
                after: Some(answer.retry_after.unwrap_or(QUOTA_PAUSE)),
                why: if self.of_the_device {
                    why().of_the_message()
                } else {
                    why()
                },
            },
            // FCM's own trouble, whichever message it meets.
            Some("UNAVAILABLE" | "INTERNAL") => Outcome::TryLater {
                after: Some(answer.retry_after.unwrap_or(TROUBLE_PAUSE)),
                why: why(),
            },
            _ => answer.by_status(),
        }
    }

    /// Whether a wrong argument is the device's token or what is to be shown. Never a reason to give
    /// a token up: a wrong payload is told in the same way.
    fn about(&self) -> Category {
        let about_the_token = match &self.field {
            Some(field) => field == "message.token",
            None => self.by_fcm && self.answer.text.contains("registration token"),
        };
        if about_the_token {
            Category::InvalidAddress
        } else {
            Category::ContentRejected
        }
    }
}

/// `google.rpc.Status` in JSON.
#[derive(Deserialize)]
struct Body {
    error: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    message: Option<String>,
    #[serde(rename = "status")]
    word: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(rename = "@type", default)]
    kind: String,
    error_code: Option<String>,
    #[serde(default)]
    field_violations: Vec<Violation>,
    /// Of `google.rpc.QuotaFailure`.
    #[serde(default)]
    violations: Vec<Quota>,
}

#[derive(Deserialize)]
struct Quota {
    #[serde(default)]
    description: String,
}

impl Quota {
    /// FCM has a message rate, a device message rate and a topic message rate.
    fn is_of_the_device(&self) -> bool {
        self.description.to_ascii_lowercase().contains("device")
    }
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}
