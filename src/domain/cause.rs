//! Causes of failures: what many messages that did not arrive have in common. No address, id, number or
//! time of one message stands in a cause, so that hundreds of failures are a few causes.

use uuid::Uuid;

use super::cause_text::common;
use super::event::{Bounce, Event, Failure, What};
use super::event_key;
use super::line::bounded;
use super::method::Method;
use super::reason::Category;

/// A cause, in words that are the same for each of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub business: String,
    pub method: Method,
    /// None: no provider was asked.
    pub provider: Option<String>,
    /// It came back after a provider had taken it over.
    pub bounced: bool,
    pub category: Category,
    /// The provider's own code or subtype.
    pub code: Option<String>,
    /// What the provider says, without what belongs to one message; may be empty.
    pub text: String,
}

/// Of one message that did not arrive: what the provider said.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub bounced: bool,
    pub category: Category,
    pub code: Option<&'a str>,
    pub text: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// `None`: the event is no failure.
    pub fn of(event: &'a Event) -> Option<Self> {
        match &event.what {
            What::Rejected(failure) | What::Undelivered(failure) | What::GaveUp(failure) => {
                Some(Self::failed(failure))
            }
            What::Bounced(bounce) => Some(Self::bounced(bounce)),
            What::Accepted { .. }
            | What::Delivered { .. }
            | What::Delayed { .. }
            | What::Complained { .. }
            | What::ComplaintWithdrawn
            | What::Opened { .. }
            | What::Clicked { .. }
            | What::Unsubscribed { .. }
            | What::Resubscribed
            | What::Decided { .. } => None,
        }
    }

    pub fn bounced(bounce: &'a Bounce) -> Self {
        Self {
            bounced: true,
            category: bounce.category,
            code: bounce.subtype.as_deref().or(bounce.status.as_deref()),
            text: bounce.diagnostic.as_deref(),
        }
    }

    pub fn failed(failure: &'a Failure) -> Self {
        Self {
            bounced: false,
            category: failure.category,
            code: failure.code.as_deref(),
            text: failure.provider_text.as_deref(),
        }
    }

    /// The provider that an event is from, as far as its source says: what comes back may be told of before
    /// it is on record who took the message over.
    pub fn provider_of(event: &Event) -> Option<&str> {
        let from_provider = matches!(event.what, What::Bounced(_) | What::Undelivered(_));
        match event.source.as_str() {
            "mail" if from_provider => Some("smtp"),
            "application" | "recipient" | "staff" | "tracking" | "worker" => None,
            provider => from_provider.then_some(provider),
        }
    }

    /// The cause that it is one case of. `address` is where the message went.
    pub fn cause(
        &self,
        business: &str,
        method: Method,
        provider: Option<&str>,
        address: &str,
    ) -> Cause {
        Cause {
            business: business.to_owned(),
            method,
            provider: provider.map(str::to_owned),
            bounced: self.bounced,
            category: self.category,
            code: self.code.map(|code| bounded(code, CODE_MAX)),
            text: self
                .text
                .map_or_else(String::new, |text| common(text, address)),
        }
    }
}

impl Cause {
    /// The same for the same words, in every process and version.
    pub fn id(&self) -> Uuid {
        let key = event_key::of(&[
            "cause",
            &self.business,
            self.method.as_str(),
            self.provider.as_deref().unwrap_or(""),
            if self.bounced { "bounced" } else { "failed" },
            self.category.as_str(),
            self.code.as_deref().unwrap_or(""),
            &self.text,
        ]);
        key.0
    }

    /// Its code and text do not matter to the sentence that staff read.
    pub fn failure(&self) -> Failure {
        Failure {
            category: self.category,
            code: self.code.clone(),
            provider_text: None,
        }
    }
}

/// In characters: codes of providers are words.
const CODE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::event::{EventKey, Severity};
    use super::super::id::NotificationId;
    use super::super::time::Timestamp;
    use super::*;

    fn failure(text: &str) -> Event {
        Event {
            notification: NotificationId::floor(Timestamp::EPOCH),
            key: EventKey::of_attempt(1),
            occurred_at: Timestamp::EPOCH,
            source: "smtp".to_owned(),
            what: What::Rejected(Failure {
                category: Category::MailboxFull,
                code: Some("552".to_owned()),
                provider_text: Some(text.to_owned()),
            }),
        }
    }

    #[test]
    fn four_hundred_failures_are_three_causes() {
        let texts = [
            "552 5.2.2 <c-{n}@example.com> mailbox full, {n} messages",
            "550 5.1.1 no such user c-{n} (id A{n}B)",
            "451 4.7.1 try again after 2026-01-15T10:00:{n}Z",
        ];
        let ids: std::collections::BTreeSet<Uuid> = (10..410)
            .map(|n| {
                let text = texts[n % 3].replace("{n}", &n.to_string());
                let event = failure(&text);
                let told = Told::of(&event).unwrap();
                let address = format!("c-{n}@example.com");
                told.cause("default", Method::Email, Some("smtp"), &address)
                    .id()
            })
            .collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn causes_of_two_businesses_or_kinds_are_apart_and_stay_the_same_between_versions() {
        let event = failure("552 full");
        let told = Told::of(&event).unwrap();
        let cause = told.cause("default", Method::Email, Some("smtp"), "a@b.example");
        assert_eq!(
            cause.id().to_string(),
            "bc06404a-5114-8c34-abad-80e4c8b5ec5f"
        );
        let other = told.cause("other", Method::Email, Some("smtp"), "a@b.example");
        let none = told.cause("default", Method::Email, None, "a@b.example");
        let mut bounced = event.clone();
        bounced.what = What::Bounced(Bounce {
            severity: Severity::Transient,
            category: Category::MailboxFull,
            subtype: None,
            status: Some("552".to_owned()),
            diagnostic: Some("552 full".to_owned()),
        });
        let came_back = Told::of(&bounced).unwrap();
        let came_back = came_back.cause("default", Method::Email, Some("smtp"), "a@b.example");
        for it in [&other, &none, &came_back] {
            assert_ne!(it.id(), cause.id(), "{it:?}");
        }
        let opened = What::Opened {
            user_agent: None,
            by_machine: false,
        };
        let opened = Event {
            what: opened,
            ..event
        };
        assert!(Told::of(&opened).is_none());
    }
}
