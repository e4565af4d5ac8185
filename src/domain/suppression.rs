//! Who must not be written to: why, what each reason stops, and which happenings teach us of one.

use std::time::Duration;

use super::event::{Bounce, Failure, Severity, What};
use super::method::{Method, Priority};
use super::reason::Category;

/// The contact type of marketing (W5): its messages are bulk whatever lane they wait in.
pub const MARKETING: &str = "Automated Marketing";

/// Sent to many, and not because of something that the recipient did: what an unsubscription ends,
/// and what carries a link to it. All other messages are operational.
pub fn is_bulk(priority: Priority, contact_type: &str) -> bool {
    priority == Priority::Bulk || contact_type == MARKETING
}

/// Why an address is suppressed. In order of weight: where several hold, the first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A message came back for good.
    Bounce,
    /// The device's registration has ended.
    Unregistered,
    /// The recipient called a message spam.
    Complaint,
    /// Message after message came back for the moment.
    SoftBounce,
    /// The recipient answered STOP.
    Stop,
    /// Entered by hand.
    Staff,
    /// The recipient does not want bulk messages, or those of one contact type.
    Unsubscribe,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::Bounce,
        Self::Unregistered,
        Self::Complaint,
        Self::SoftBounce,
        Self::Stop,
        Self::Staff,
        Self::Unsubscribe,
    ];

    /// The word of the table and of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Unregistered => "unregistered",
            Self::Complaint => "complaint",
            Self::SoftBounce => "soft_bounce",
            Self::Stop => "stop",
            Self::Staff => "staff",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }

    /// Addresses of this method can be suppressed for it.
    pub const fn fits(self, method: Method) -> bool {
        match self {
            Self::Bounce | Self::Complaint | Self::SoftBounce => {
                matches!(method, Method::Email)
            }
            Self::Unregistered => matches!(method, Method::Push),
            Self::Stop => matches!(method, Method::Sms),
            Self::Staff | Self::Unsubscribe => {
                matches!(method, Method::Email | Method::Sms | Method::Push)
            }
        }
    }

    /// It can be limited to one contact type. The others hold for everything, because they say
    /// something of the address, or forbid to write to it.
    pub const fn may_have_contact_type(self) -> bool {
        matches!(self, Self::Staff | Self::Unsubscribe)
    }

    const fn category(self) -> Category {
        match self {
            Self::Bounce | Self::Complaint | Self::SoftBounce | Self::Staff => {
                Category::AddressSuppressed
            }
            Self::Unregistered => Category::DeviceGone,
            Self::Stop | Self::Unsubscribe => Category::Unsubscribed,
        }
    }

    /// The code of the failure; no provider has such codes.
    const fn code(self) -> &'static str {
        match self {
            Self::Bounce => "suppressed_bounce",
            Self::Unregistered => "suppressed_unregistered",
            Self::Complaint => "suppressed_complaint",
            Self::SoftBounce => "suppressed_soft_bounce",
            Self::Stop => "suppressed_stop",
            Self::Staff => "suppressed_staff",
            Self::Unsubscribe => "suppressed_unsubscribe",
        }
    }

    /// One sentence for staff.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Bounce => {
                "An earlier message to this address came back for good, so nothing more is sent \
                 to it."
            }
            Self::Unregistered => {
                "The app on this device is no longer registered, so nothing more is sent to it."
            }
            Self::Complaint => {
                "The recipient marked an earlier message as spam, so nothing more is sent to this \
                 address."
            }
            Self::SoftBounce => {
                "The last messages to this address all came back, so nothing more is sent to it for \
                 a month."
            }
            Self::Stop => {
                "The recipient has opted out of text messages (STOP), so none is sent to this \
                 number."
            }
            Self::Staff => {
                "The address was put on the suppression list by hand, so the message was not sent."
            }
            Self::Unsubscribe => "The recipient has unsubscribed from these messages.",
        }
    }

    /// What staff can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Bounce => {
                "Ask the client for the right address. If this one is right, have it taken off \
                 the suppression list and resend."
            }
            Self::Unregistered => {
                "Contact the client in another way; the app registers anew when it is opened."
            }
            Self::Complaint => {
                "Contact the client in another way. Have the address taken off the suppression \
                 list only if the client asks for it."
            }
            Self::SoftBounce => {
                "Ask the client whether the mailbox is still in use or full. If it works again, have \
                 it taken off the suppression list and resend."
            }
            Self::Stop => {
                "Contact the client in another way. When the client has opted in again, have the \
                 number taken off the suppression list."
            }
            Self::Staff => {
                "Look up on the suppression list why it was entered. If that is settled, have it \
                 taken off and resend."
            }
            Self::Unsubscribe => "Contact the client in another way.",
        }
    }

    /// Whether somebody of the business may decide to write to the address nevertheless. After STOP
    /// carriers block the texts themselves, until the recipient opts in again; a registration that has
    /// ended reaches nobody.
    pub const fn can_be_overridden(self) -> bool {
        match self {
            Self::Bounce | Self::Complaint | Self::SoftBounce | Self::Staff | Self::Unsubscribe => {
                true
            }
            Self::Stop | Self::Unregistered => false,
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }
}

/// Why a message is not to be handed to any provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    ClientDeactivated,
    Suppressed(Reason),
}

impl Bar {
    pub fn failure(self) -> Failure {
        let (category, code) = match self {
            Self::ClientDeactivated => (Category::ClientDeactivated, "client_deactivated"),
            Self::Suppressed(reason) => (reason.category(), reason.code()),
        };
        Failure {
            category,
            code: Some(code.to_owned()),
            provider_text: None,
        }
    }
}

impl Failure {
    /// One sentence for staff: the suppression's own where one stopped the message.
    pub fn sentence(&self) -> &'static str {
        self.suppressed()
            .map_or(self.category.sentence(), Reason::sentence)
    }

    /// What staff can do, where something can be done.
    pub fn remedy(&self) -> Option<&'static str> {
        self.suppressed()
            .map_or(self.category.remedy(), |reason| Some(reason.remedy()))
    }

    fn suppressed(&self) -> Option<Reason> {
        self.code.as_deref().and_then(Reason::of_code)
    }
}

/// So many messages in a row, none of which arrived, each bounced for the moment only: SES reports such a
/// bounce after it has tried for half a day, so that five are no passing trouble.
pub const SOFT_BOUNCES: usize = 5;
/// They are counted within this time: what bounced earlier says nothing of now.
pub const SOFT_BOUNCE_WINDOW: Duration = Duration::from_hours(30 * 24);
/// After which the address gets a new chance: a full mailbox is emptied in the end.
pub const SOFT_BOUNCE_REST: Duration = Duration::from_hours(30 * 24);

/// What a happening teaches about its recipient's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    Suppress(Reason),
    /// It came back for the moment: suppress if it was one too many.
    CountSoftBounce,
    /// The complaint about this very message was taken back.
    ForgetComplaint,
}

impl Lesson {
    /// Somebody wants to be left alone, or not any more. Whoever is forgotten is left alone nevertheless; that
    /// an address does not work is forgotten.
    pub const fn is_a_wish(self) -> bool {
        matches!(
            self,
            Self::ForgetComplaint
                | Self::Suppress(
                    Reason::Complaint | Reason::Stop | Reason::Staff | Reason::Unsubscribe
                )
        )
    }
}

/// What a provider's word about a message of this method teaches. Our own giving up teaches nothing.
pub fn lesson(method: Method, what: &What) -> Option<Lesson> {
    let reason = match (method, what) {
        (Method::Email, What::ComplaintWithdrawn) => return Some(Lesson::ForgetComplaint),
        (Method::Email, What::Bounced(bounce)) if is_soft(bounce.severity, bounce.category) => {
            return Some(Lesson::CountSoftBounce);
        }
        (Method::Email, What::Bounced(bounce)) => of_bounce(bounce)?,
        (Method::Email, What::Complained { .. }) => Reason::Complaint,
        (Method::Email, What::Unsubscribed { .. }) => Reason::Unsubscribe,
        (Method::Sms, What::Unsubscribed { .. }) => Reason::Stop,
        (Method::Sms, What::Rejected(failure) | What::Undelivered(failure))
            if failure.category == Category::Unsubscribed =>
        {
            Reason::Stop
        }
        (Method::Push, What::Rejected(failure) | What::Undelivered(failure))
            if is_gone(failure) =>
        {
            Reason::Unregistered
        }
        _ => return None,
    };
    Some(Lesson::Suppress(reason))
}

/// For the moment, and not the fault of the message or of its sender.
pub fn is_soft(severity: Severity, category: Category) -> bool {
    const OF_OTHERS: [Category; 3] = [
        Category::ContentRejected,
        Category::PolicyOrReputation,
        Category::Unsubscribed,
    ];
    severity != Severity::Permanent && !OF_OTHERS.contains(&category)
}

/// Only what is for good and not the fault of the message, its sender or the moment.
fn of_bounce(bounce: &Bounce) -> Option<Reason> {
    const OF_THE_ADDRESS: [Category; 3] = [
        Category::InvalidAddress,
        Category::AddressSuppressed,
        Category::Unknown,
    ];
    if bounce.severity != Severity::Permanent {
        None
    } else if bounce.category == Category::Unsubscribed {
        Some(Reason::Unsubscribe)
    } else {
        OF_THE_ADDRESS
            .contains(&bounce.category)
            .then_some(Reason::Bounce)
    }
}

/// The code of a push message whose device the app is gone from: one for all push services, and for
/// no other answer of theirs. An invalid argument may be a mistake of ours; SNS keeps account of its
/// own endpoints and may enable one again under the same name, so what it says is not among them.
pub const UNREGISTERED: &str = "unregistered";

fn is_gone(failure: &Failure) -> bool {
    failure.category == Category::DeviceGone && failure.code.as_deref() == Some(UNREGISTERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(category: Category, code: &str) -> Failure {
        Failure {
            category,
            code: Some(code.to_owned()),
            provider_text: None,
        }
    }

    fn bounce(severity: Severity, category: Category) -> What {
        What::Bounced(Bounce {
            severity,
            category,
            subtype: None,
            status: None,
            diagnostic: None,
        })
    }

    fn taught(method: Method, what: &What) -> Option<Reason> {
        match lesson(method, what)? {
            Lesson::Suppress(reason) => Some(reason),
            Lesson::CountSoftBounce | Lesson::ForgetComplaint => None,
        }
    }

    #[test]
    fn a_bounce_suppresses_only_when_it_is_for_good_and_the_address_is_at_fault() {
        let of = |severity, category| taught(Method::Email, &bounce(severity, category));
        for category in Category::ALL {
            assert_eq!(of(Severity::Transient, category), None, "{category:?}");
            assert_eq!(of(Severity::Undetermined, category), None, "{category:?}");
        }
        let permanent = |category| of(Severity::Permanent, category);
        assert_eq!(permanent(Category::InvalidAddress), Some(Reason::Bounce));
        assert_eq!(permanent(Category::AddressSuppressed), Some(Reason::Bounce));
        assert_eq!(permanent(Category::Unknown), Some(Reason::Bounce));
        assert_eq!(permanent(Category::Unsubscribed), Some(Reason::Unsubscribe));
        for category in [
            Category::MailboxFull,
            Category::ContentRejected,
            Category::PolicyOrReputation,
            Category::ProviderUnavailable,
        ] {
            assert_eq!(permanent(category), None, "{category:?}");
        }
    }

    #[test]
    fn a_bounce_for_the_moment_counts_unless_the_message_or_its_sender_is_at_fault() {
        let of = |severity, category| lesson(Method::Email, &bounce(severity, category));
        let counts = Some(Lesson::CountSoftBounce);
        for severity in [Severity::Transient, Severity::Undetermined] {
            assert_eq!(of(severity, Category::MailboxFull), counts);
            assert_eq!(of(severity, Category::Unknown), counts);
            assert_eq!(of(severity, Category::ContentRejected), None);
            assert_eq!(of(severity, Category::PolicyOrReputation), None);
        }
        assert_ne!(of(Severity::Permanent, Category::InvalidAddress), counts);
    }

    #[test]
    fn an_opt_out_is_stop_for_text_messages_and_ends_bulk_email() {
        let unsubscribed = What::Unsubscribed { how: None };
        assert_eq!(taught(Method::Sms, &unsubscribed), Some(Reason::Stop));
        assert_eq!(
            taught(Method::Email, &unsubscribed),
            Some(Reason::Unsubscribe)
        );
        let twilio = What::Rejected(failure(Category::Unsubscribed, "21610"));
        assert_eq!(taught(Method::Sms, &twilio), Some(Reason::Stop));
        let ours = What::GaveUp(failure(Category::Unsubscribed, "suppressed_stop"));
        assert_eq!(lesson(Method::Sms, &ours), None);
    }

    #[test]
    fn a_push_token_is_given_up_only_when_the_push_service_says_that_it_is_gone() {
        let rejected = |category, code| What::Rejected(failure(category, code));
        let gone = rejected(Category::DeviceGone, UNREGISTERED);
        assert_eq!(taught(Method::Push, &gone), Some(Reason::Unregistered));
        assert_eq!(lesson(Method::Email, &gone), None);
        for (category, code) in [
            (Category::InvalidAddress, "INVALID_ARGUMENT"),
            (Category::InvalidAddress, "BadDeviceToken"),
            (Category::InvalidAddress, "EndpointDisabled"),
            // The delivery log of SNS, about an endpoint of its own.
            (Category::DeviceGone, "8"),
        ] {
            let other = rejected(category, code);
            assert_eq!(lesson(Method::Push, &other), None, "{code}");
        }
    }

    #[test]
    fn every_reason_fails_a_message_with_a_sentence_and_a_remedy_of_its_own() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            let failure = Bar::Suppressed(reason).failure();
            assert_eq!(failure.sentence(), reason.sentence());
            assert_eq!(failure.remedy(), Some(reason.remedy()));
            let ended = matches!(reason, Reason::Stop | Reason::Unregistered);
            assert_eq!(reason.can_be_overridden(), !ended);
            // What is suppressed is not said to be non-existent.
            assert!(!failure.sentence().contains("does not exist"));
        }
        let deactivated = Bar::ClientDeactivated.failure();
        assert_eq!(deactivated.category, Category::ClientDeactivated);
        assert_eq!(
            deactivated.sentence(),
            Category::ClientDeactivated.sentence()
        );
        let provider = failure(Category::MailboxFull, "552");
        assert_eq!(provider.sentence(), Category::MailboxFull.sentence());
        assert_eq!(provider.remedy(), Category::MailboxFull.remedy());
    }

    #[test]
    fn marketing_and_the_bulk_lane_are_bulk_and_nothing_else_is() {
        assert!(is_bulk(Priority::Bulk, "Client Notifications"));
        assert!(is_bulk(Priority::High, MARKETING));
        assert!(!is_bulk(Priority::Normal, "Client Notifications"));
    }
}
