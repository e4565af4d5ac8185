//! Why an SNS message is not accepted, what the sender is told, and what an operator can do.

use std::time::Duration;

use super::envelope::{BODY_MAX, TopicArn};
use crate::domain::time::Timestamp;

/// Every reason to refuse. The texts carry no personal data and nothing of the sender's choosing
/// but a topic ARN of valid shape, so they may be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the body is larger than {BODY_MAX} bytes; no SNS message is")]
    TooLarge,
    #[error(
        "the message came without its SNS envelope, so nothing proves who sent it: turn raw message \
         delivery off for this subscription"
    )]
    RawDelivery,
    #[error("the body is not a JSON object: only SNS may post here")]
    NotJson,
    #[error("a key occurs twice in the JSON object, so it has no single meaning")]
    RepeatedKey,
    #[error("the field {name} {fault}: not a message that SNS makes")]
    Field {
        name: &'static str,
        fault: &'static str,
    },
    #[error("no topic may report here: list the ARNs of your topics in feedback.sns.topics")]
    NoTopics,
    #[error("the topic {0} is not listed in feedback.sns.topics: if it is yours, add it there")]
    ForeignTopic(TopicArn),
    #[error(
        "SNS in the region of topic {0} is not known to this version, so its certificate cannot be \
         told from another's: use a topic in another region or a newer version"
    )]
    UnknownRegion(TopicArn),
    #[error("the signing certificate's address is not one of SNS at https://{host}/")]
    CertificateAddress { host: String },
    #[error(
        "the subscription address does not belong to the topic and token of the message; it has not \
         been visited"
    )]
    SubscribeAddress,
    #[error(
        "the signing certificate cannot be had just now ({why}); SNS sends the message again: allow \
         outgoing HTTPS to the host sns.REGION.amazonaws.com of your topics"
    )]
    CertificateUnavailable { why: &'static str },
    #[error("the signing certificate does not bear the name {expected}")]
    CertificateName { expected: String },
    #[error("the signing certificate has no RSA key of 2048 bits or more")]
    CertificateKey,
    #[error(
        "the signing certificate is valid from {not_before} to {not_after} only: check this \
         machine's clock"
    )]
    CertificateValidity {
        not_before: Timestamp,
        not_after: Timestamp,
    },
    #[error("the signature version is neither 1 nor 2")]
    SignatureVersion,
    #[error(
        "signature version 1 (SHA-1) is switched off: set the attribute SignatureVersion of the \
         topic to 2, or feedback.sns.accept_signature_v1 to true"
    )]
    SignatureV1,
    #[error("the signature does not fit the message: SNS did not sign this")]
    Signature,
    #[error(
        "the message of {sent_at} is older than {} s; SNS itself gives up after 3600 s: check this \
         machine's clock, or raise feedback.sns.max_age_seconds to replay old messages",
        max_age.as_secs()
    )]
    Stale {
        sent_at: Timestamp,
        max_age: Duration,
    },
    #[error(
        "the signing certificate cannot be had just now, and the message of {sent_at} is older than \
         {} s, so that no certificate would help",
        max_age.as_secs()
    )]
    StaleAndUnproven {
        sent_at: Timestamp,
        max_age: Duration,
    },
    #[error("the message is dated {sent_at}, which is still to come: check this machine's clock")]
    FromTheFuture { sent_at: Timestamp },
}

/// What the sender is told. SNS sends a message again after 5xx and 429, and drops it for good
/// after any other 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 403: not from SNS, not for us, or not of this hour.
    Forged,
    /// 400: not an SNS message at all.
    NotSns,
    /// 413.
    TooLarge,
    /// 503: trouble on our side; to be sent again.
    Unavailable,
}

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Size,
    Json,
    Fields,
    Topic,
    Addresses,
    Certificate,
    Validity,
    Signature,
    Age,
}

impl Refusal {
    /// It may be good once the settings or the clock are mended, so it must not be thrown away.
    pub const fn may_be_our_mistake(&self) -> bool {
        matches!(
            self,
            Self::NoTopics
                | Self::ForeignTopic(_)
                | Self::UnknownRegion(_)
                | Self::SignatureV1
                | Self::CertificateValidity { .. }
                | Self::CertificateUnavailable { .. }
                | Self::FromTheFuture { .. }
        )
    }

    pub const fn class(&self) -> Class {
        match self {
            Self::TooLarge => Class::TooLarge,
            Self::RawDelivery | Self::NotJson | Self::RepeatedKey | Self::Field { .. } => {
                Class::NotSns
            }
            // SNS signed what is still to come: it is our clock that is behind.
            Self::CertificateUnavailable { .. } | Self::FromTheFuture { .. } => Class::Unavailable,
            Self::NoTopics
            | Self::ForeignTopic(_)
            | Self::UnknownRegion(_)
            | Self::CertificateAddress { .. }
            | Self::SubscribeAddress
            | Self::CertificateName { .. }
            | Self::CertificateKey
            | Self::CertificateValidity { .. }
            | Self::SignatureVersion
            | Self::SignatureV1
            | Self::Signature
            | Self::Stale { .. }
            | Self::StaleAndUnproven { .. } => Class::Forged,
        }
    }

    /// A short fixed word for a metric.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::RawDelivery => "raw_delivery",
            Self::NotJson => "not_json",
            Self::RepeatedKey => "repeated_key",
            Self::Field { .. } => "field",
            Self::NoTopics => "no_topics",
            Self::ForeignTopic(_) => "foreign_topic",
            Self::UnknownRegion(_) => "unknown_region",
            Self::CertificateAddress { .. } => "certificate_address",
            Self::SubscribeAddress => "subscribe_address",
            Self::CertificateUnavailable { .. } => "certificate_unavailable",
            Self::CertificateName { .. } => "certificate_name",
            Self::CertificateKey => "certificate_key",
            Self::CertificateValidity { .. } => "certificate_validity",
            Self::SignatureVersion => "signature_version",
            Self::SignatureV1 => "signature_v1",
            Self::Signature => "signature",
            Self::Stale { .. } | Self::StaleAndUnproven { .. } => "stale",
            Self::FromTheFuture { .. } => "from_the_future",
        }
    }

    /// The check that failed.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::TooLarge => Stage::Size,
            Self::NotJson | Self::RepeatedKey => Stage::Json,
            Self::RawDelivery | Self::Field { .. } | Self::SignatureVersion | Self::SignatureV1 => {
                Stage::Fields
            }
            Self::NoTopics | Self::ForeignTopic(_) => Stage::Topic,
            Self::UnknownRegion(_) | Self::CertificateAddress { .. } | Self::SubscribeAddress => {
                Stage::Addresses
            }
            Self::CertificateUnavailable { .. }
            | Self::StaleAndUnproven { .. }
            | Self::CertificateName { .. }
            | Self::CertificateKey => Stage::Certificate,
            Self::CertificateValidity { .. } => Stage::Validity,
            Self::Signature => Stage::Signature,
            Self::Stale { .. } | Self::FromTheFuture { .. } => Stage::Age,
        }
    }
}

impl Stage {
    pub const ALL: [Self; 9] = [
        Self::Size,
        Self::Json,
        Self::Fields,
        Self::Topic,
        Self::Addresses,
        Self::Certificate,
        Self::Validity,
        Self::Signature,
        Self::Age,
    ];

    /// The check's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Json => "json",
            Self::Fields => "fields",
            Self::Topic => "topic",
            Self::Addresses => "addresses",
            Self::Certificate => "certificate",
            Self::Validity => "validity",
            Self::Signature => "signature",
            Self::Age => "age",
        }
    }

    /// What it means that the check was passed.
    pub const fn passed(self) -> &'static str {
        match self {
            Self::Size => "the body is not larger than an SNS message can be",
            Self::Json => "the body is a JSON object without repeated keys",
            Self::Fields => {
                "every field is present and well formed, and the signature's version allowed"
            }
            Self::Topic => "the topic is listed in feedback.sns.topics",
            Self::Addresses => {
                "the addresses in the message are those of SNS in the topic's region"
            }
            Self::Certificate => "the signing certificate bears the name of SNS and has an RSA key",
            Self::Validity => "the signing certificate is valid at this time",
            Self::Signature => "the signature fits the message",
            Self::Age => "the message is recent",
        }
    }
}
