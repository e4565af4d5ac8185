//! What operators are told of by the program itself, where nothing else watches it: that there is trouble,
//! and that it is over.

use std::time::Duration;

use super::alarm::Kind;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// One that the program raises while it lasts.
    Alarm(Kind),
    /// Urgent messages wait.
    UrgentQueueOld,
    QueueOld,
    /// Messages of a method are due, and none goes.
    NothingSent,
    /// A provider refuses our credentials or our set-up.
    CredentialsBroken,
    /// A worker lets a provider rest.
    ProviderRests,
    /// An operator paused a provider or a method.
    ProviderPaused,
    /// Messages may have gone and wait for a decision.
    Held,
    /// Messages of a queue could not be enqueued.
    Buried,
    /// An endpoint of an application is switched off.
    WebhookDisabled,
    /// More of a business's email comes back than is healthy.
    BrakeWarned,
    /// Bulk email of a business is held, until somebody lifts the brake.
    BrakeHeld,
}

impl Matter {
    const OWN: [Self; 11] = [
        Self::UrgentQueueOld,
        Self::QueueOld,
        Self::NothingSent,
        Self::CredentialsBroken,
        Self::ProviderRests,
        Self::ProviderPaused,
        Self::Held,
        Self::Buried,
        Self::WebhookDisabled,
        Self::BrakeWarned,
        Self::BrakeHeld,
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().map(Self::Alarm).chain(Self::OWN)
    }

    /// The word of the table and of the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alarm(kind) => kind.as_str(),
            Self::UrgentQueueOld => "urgent_queue_old",
            Self::QueueOld => "queue_old",
            Self::NothingSent => "nothing_sent",
            Self::CredentialsBroken => "credentials_broken",
            Self::ProviderRests => "provider_rests",
            Self::ProviderPaused => "provider_paused",
            Self::Held => "held",
            Self::Buried => "buried",
            Self::WebhookDisabled => "webhook_disabled",
            Self::BrakeWarned => "brake_warned",
            Self::BrakeHeld => "brake_held",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|matter| matter.as_str() == text)
    }

    /// How long it lasts before anybody is told: what is over soon is no news. As `for:` of the alarms
    /// for Prometheus.
    pub const fn patience(self) -> Duration {
        match self {
            // Seen every ten minutes, or after a quarter of an hour of silence.
            Self::Alarm(_)
            | Self::CredentialsBroken
            | Self::Buried
            | Self::WebhookDisabled
            | Self::BrakeWarned
            | Self::BrakeHeld => Duration::ZERO,
            // Where everything was down, or was paused, the first message goes within seconds.
            Self::UrgentQueueOld | Self::NothingSent => Duration::from_mins(2),
            Self::QueueOld => Duration::from_mins(5),
            Self::ProviderRests => Duration::from_mins(10),
            Self::Held => Duration::from_hours(1),
            Self::ProviderPaused => Duration::from_hours(4),
        }
    }

    /// What it means, in one sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Alarm(kind) => kind.sentence(),
            Self::UrgentQueueOld => "Urgent messages have been due for more than a minute.",
            Self::QueueOld => "Messages have been due for more than a quarter of an hour.",
            Self::NothingSent => {
                "Messages have been due for ten minutes, and no provider took any over in that time: \
                 no worker lives, or no provider may be called."
            }
            Self::CredentialsBroken => {
                "The provider refuses our credentials, or what is set up there for us, so that it \
                 rests and is tried now and again."
            }
            Self::ProviderRests => {
                "The provider's calls fail, so that it rests and is tried now and again."
            }
            Self::ProviderPaused => "It was paused hours ago, and nothing is sent by it.",
            Self::Held => "Messages may or may not have been sent, and wait for a decision.",
            Self::Buried => "Messages of a queue are wrong, and were put aside.",
            Self::WebhookDisabled => {
                "The application's endpoint took nothing for too long and is switched off."
            }
            Self::BrakeWarned => {
                "More of the business's email of the last day bounced for good, or was complained \
                 about, than is healthy. Nothing is held yet."
            }
            Self::BrakeHeld => {
                "So much of the business's email of the last day bounced for good, or was complained \
                 about, that its bulk email is held."
            }
        }
    }

    /// What an operator can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Alarm(kind) => kind.remedy(),
            Self::UrgentQueueOld | Self::QueueOld | Self::ProviderRests => {
                "`sendtrail providers list` shows what rests, what is paused, and how fast each may be \
                 called."
            }
            Self::NothingSent => {
                "`sendtrail providers list` shows which workers live and which providers rest; no line \
                 for the method: start a worker."
            }
            Self::CredentialsBroken => {
                "`sendtrail doctor` asks each provider whether it accepts us. Put the new key into the \
                 settings and start the workers anew."
            }
            Self::ProviderPaused => "`sendtrail providers resume`, if the reason is gone.",
            Self::Held => "`GET /v1/notifications?state=held` lists them.",
            Self::Buried => "`sendtrail intake buried list` says what is wrong with each.",
            Self::WebhookDisabled => {
                "Mend the application, then `sendtrail webhooks enable` and `replay`."
            }
            Self::BrakeWarned => {
                "`sendtrail brakes list` shows how many of how many; have the list of addresses \
                 looked through before more comes back."
            }
            Self::BrakeHeld => {
                "`sendtrail brakes list` shows how many of how many; have the list cleaned, then \
                 `sendtrail brakes lift`."
            }
        }
    }
}

/// A matter and what it is about: a topic's ARN, a provider's name, a queue, a business. No personal data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Concern {
    pub matter: Matter,
    pub subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matter_has_a_word_of_its_own() {
        for matter in Matter::all() {
            assert_eq!(Matter::parse(matter.as_str()), Some(matter));
        }
        assert_eq!(Matter::parse(""), None);
    }
}
