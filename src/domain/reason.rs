//! Plain reasons: a category, one sentence for staff that is true for it, and a remedy.

use serde::{Deserialize, Serialize};

/// Why a message failed or bounced, in the words of `status.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    InvalidAddress,
    DeviceGone,
    MailboxFull,
    AddressSuppressed,
    ContentRejected,
    PolicyOrReputation,
    ProviderUnavailable,
    ThrottledTooLong,
    Credentials,
    NoProvider,
    Expired,
    Cancelled,
    Unsubscribed,
    ClientDeactivated,
    PutOff,
    OutcomeUnknown,
    Unknown,
}

impl Category {
    pub const ALL: [Self; 17] = [
        Self::InvalidAddress,
        Self::DeviceGone,
        Self::MailboxFull,
        Self::AddressSuppressed,
        Self::ContentRejected,
        Self::PolicyOrReputation,
        Self::ProviderUnavailable,
        Self::ThrottledTooLong,
        Self::Credentials,
        Self::NoProvider,
        Self::Expired,
        Self::Cancelled,
        Self::Unsubscribed,
        Self::ClientDeactivated,
        Self::PutOff,
        Self::OutcomeUnknown,
        Self::Unknown,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAddress => "invalid_address",
            Self::DeviceGone => "device_gone",
            Self::MailboxFull => "mailbox_full",
            Self::AddressSuppressed => "address_suppressed",
            Self::ContentRejected => "content_rejected",
            Self::PolicyOrReputation => "policy_or_reputation",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ThrottledTooLong => "throttled_too_long",
            Self::Credentials => "credentials",
            Self::NoProvider => "no_provider",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unsubscribed => "unsubscribed",
            Self::ClientDeactivated => "client_deactivated",
            Self::PutOff => "put_off",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unknown => "unknown",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }

    /// One sentence for staff, true for every case of the category.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidAddress => "The address does not exist or cannot receive messages.",
            Self::DeviceGone => {
                "The app is no longer installed on this device, or the device has given it a new \
                 address for messages."
            }
            Self::MailboxFull => "The recipient's mailbox is full.",
            Self::AddressSuppressed => {
                "The address is on a suppression list, so the message was not sent to it; \
                 the address itself may be fine."
            }
            Self::ContentRejected => {
                "The message was refused because of its content, size or attachments."
            }
            Self::PolicyOrReputation => {
                "The receiving side refused the message by its rules or because of the sender's \
                 reputation."
            }
            Self::ProviderUnavailable => {
                "The delivery service or the receiving server could not be reached."
            }
            Self::ThrottledTooLong => {
                "The delivery service limited the sending rate for so long that sending was given \
                 up."
            }
            Self::Credentials => "The delivery service did not accept our account or set-up.",
            Self::NoProvider => {
                "No provider is configured for this kind of push target, so the message was not sent."
            }
            Self::Expired => "The message was not sent before its last moment.",
            Self::Cancelled => {
                "The message was cancelled while it waited, and was not sent after that."
            }
            Self::Unsubscribed => "The recipient has unsubscribed from these messages.",
            Self::ClientDeactivated => "The client is deactivated.",
            Self::PutOff => {
                "The message could not be taken for this recipient each time we tried, until we \
                 stopped trying: a full mailbox, or a mail server, phone or device that was busy."
            }
            Self::OutcomeUnknown => {
                "The message may or may not have been sent: the delivery service's answer was lost, \
                 and nothing has shown whether it arrived."
            }
            Self::Unknown => "The message did not arrive, and no cause was given.",
        }
    }

    /// What staff can do, where something can be done.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::InvalidAddress => {
                Some("Check the address with the client, correct it and resend.")
            }
            Self::MailboxFull | Self::PutOff => {
                Some("Resend later, or contact the client in another way.")
            }
            Self::DeviceGone => Some(
                "Contact the client in another way; when the client opens the app again, it reports \
                 the new address.",
            ),
            Self::AddressSuppressed => {
                Some("Ask the client whether the address works; then have it taken off the list.")
            }
            Self::ContentRejected => Some("Change or shorten the message and send it again."),
            Self::PolicyOrReputation => {
                Some("Contact the client in another way and tell your administrator.")
            }
            Self::ProviderUnavailable => Some("Resend later."),
            Self::OutcomeUnknown => {
                Some("Ask the client whether it arrived, and resend it if it did not.")
            }
            Self::ThrottledTooLong => Some("Resend later, and tell your administrator."),
            Self::Credentials => {
                Some("Tell your administrator: the provider's set-up needs mending.")
            }
            Self::NoProvider => Some(
                "Tell your administrator: add one to push.providers (sns for endpoints of Amazon SNS, \
                 apns for device tokens of Apple, fcm for all others).",
            ),
            Self::Expired => Some("Resend if it still matters."),
            Self::Unsubscribed => Some("Contact the client in another way."),
            Self::ClientDeactivated => Some("Activate the client first."),
            Self::Cancelled | Self::Unknown => None,
        }
    }
}
