//! Why a message is not taken for Twilio's, and what its sender is told.

use super::form::PARAMETERS_MAX;
use super::verifier::BODY_MAX;

/// Every reason to refuse. The texts hold nothing of the message, so they may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the body is larger than {BODY_MAX} bytes; no message of Twilio's is")]
    TooLarge,
    #[error("the body is neither a form nor a JSON object: only Twilio may post here")]
    NotTwilios,
    #[error("the body has more than {PARAMETERS_MAX} parameters; no message of Twilio's has")]
    TooManyParameters,
    #[error("the parameter AccountSid is missing: not a message that Twilio makes")]
    NoAccount,
    #[error(
        "nothing of Twilio's can be verified here: set twilio.account_sid, twilio.auth_token and \
         twilio.status_callback_url"
    )]
    NotSetUp,
    #[error("the message is of another account than twilio.account_sid")]
    ForeignAccount,
    #[error("the header X-Twilio-Signature is missing, so nothing proves who sent this")]
    NoSignature,
    #[error(
        "the signature does not fit: the message was altered or is not Twilio's, or \
         twilio.auth_token is not the primary token, or twilio.status_callback_url is not the \
         address at which Twilio calls, to the letter"
    )]
    Signature,
    #[error("the digest bodySHA256 in the address is missing or does not fit the body")]
    BodyDigest,
}

/// What the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 403: not from Twilio, or not for us.
    Forged,
    /// 400: not a message of Twilio's at all.
    NotTwilios,
    /// 413.
    TooLarge,
}

impl Refusal {
    pub const fn class(self) -> Class {
        match self {
            Self::TooLarge => Class::TooLarge,
            Self::NotTwilios | Self::TooManyParameters | Self::NoAccount => Class::NotTwilios,
            Self::NotSetUp
            | Self::ForeignAccount
            | Self::NoSignature
            | Self::Signature
            | Self::BodyDigest => Class::Forged,
        }
    }

    /// A short fixed word for a metric; of what SNS is refused for as well, the same.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotTwilios => "not_twilio",
            Self::TooManyParameters => "too_many_parameters",
            Self::NoAccount => "field",
            Self::NotSetUp => "not_set_up",
            Self::ForeignAccount => "foreign_account",
            Self::NoSignature => "no_signature",
            Self::Signature => "signature",
            Self::BodyDigest => "body_digest",
        }
    }
}
