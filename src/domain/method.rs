//! Contact methods, directions and priorities: small closed vocabularies.

use std::fmt;

use super::suppression::MARKETING;

/// How a client was contacted. The first three are sent by us; the others are entered by staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Email,
    Sms,
    Push,
    InPerson,
    Mail,
    Phone,
}

impl Method {
    pub const ALL: [Self; 6] = [
        Self::Email,
        Self::Sms,
        Self::Push,
        Self::InPerson,
        Self::Mail,
        Self::Phone,
    ];
    /// The methods that we send by ourselves.
    pub const SENT_BY_US: [Self; 3] = [Self::Email, Self::Sms, Self::Push];

    /// The word in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::InPerson => "in_person",
            Self::Mail => "mail",
            Self::Phone => "phone",
        }
    }

    /// The word that staff read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Email => "Email",
            Self::Sms => "SMS",
            Self::Push => "Push",
            Self::InPerson => "In Person",
            Self::Mail => "Mail",
            Self::Phone => "Phone",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == text)
    }

    pub fn is_sent_by_us(self) -> bool {
        Self::SENT_BY_US.contains(&self)
    }

    /// Only email and SMS can be sent again (W11).
    pub const fn is_resendable(self) -> bool {
        matches!(self, Self::Email | Self::Sms)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The direction of a contact (W9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Inbound,
    Outbound,
}

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "Inbound",
            Self::Outbound => "Outbound",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound]
            .into_iter()
            .find(|c| c.as_str() == text)
    }
}

/// How urgent a notification is; a lower one is served only when no higher one waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Bulk,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Bulk];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// Served in ascending order.
    pub const fn rank(self) -> u8 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }

    /// Where no priority is asked for: marketing must not hold up what people wait for.
    pub fn usual_for(contact_type: &str) -> Self {
        if contact_type == MARKETING {
            Self::Bulk
        } else {
            Self::Normal
        }
    }
}
