//! What an operator should look at: feedback that does not come, and why it may not.

use super::time::Timestamp;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A provider has taken messages over and told nothing of any of them.
    FeedbackSilent,
    /// The topic has no subscription to our webhook.
    SubscriptionMissing,
    /// The topic's subscription to our webhook has not been confirmed.
    SubscriptionPending,
    /// The certificate that signs the topic's messages cannot be had.
    CertificateUnavailable,
}

impl Kind {
    pub const ALL: [Self; 4] = [
        Self::FeedbackSilent,
        Self::SubscriptionMissing,
        Self::SubscriptionPending,
        Self::CertificateUnavailable,
    ];

    /// The word of the table, of the API and of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FeedbackSilent => "feedback_silent",
            Self::SubscriptionMissing => "subscription_missing",
            Self::SubscriptionPending => "subscription_pending",
            Self::CertificateUnavailable => "certificate_unavailable",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What it means, in one sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::FeedbackSilent => {
                "The provider took messages over and has told nothing of any of them since, not even \
                 that one arrived."
            }
            Self::SubscriptionMissing => {
                "The topic has no subscription to this program's webhook, so none of its feedback \
                 arrives."
            }
            Self::SubscriptionPending => {
                "The topic's subscription to this program's webhook waits to be confirmed, so none of \
                 its feedback arrives."
            }
            Self::CertificateUnavailable => {
                "The certificate that proves the topic's messages cannot be fetched, so they are \
                 refused for now; SNS repeats them for an hour."
            }
        }
    }

    /// What an operator can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::FeedbackSilent => {
                "Look whether the provider is told to report (for SES: the event destination of the \
                 configuration set) and whether what it reports gets here: `sendtrail doctor`."
            }
            Self::SubscriptionMissing => {
                "Subscribe https://YOUR-HOST/webhooks/sns to the topic, protocol https, without raw \
                 message delivery."
            }
            Self::SubscriptionPending => {
                "Let the topic send the confirmation once more (subscribe the same address again), and \
                 look into the log why it was not confirmed."
            }
            Self::CertificateUnavailable => {
                "Allow outgoing HTTPS to sns.REGION.amazonaws.com of the topic's region."
            }
        }
    }
}

/// Trouble that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub kind: Kind,
    /// What it is about: a topic's ARN, a provider's name.
    pub subject: String,
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_has_a_word_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse(""), None);
    }
}
