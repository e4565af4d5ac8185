//! The columns of a contact history (W2), and the one of the client in the report of all clients.

/// What a contact history is sorted by, and what of it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    #[default]
    Date,
    Client,
    User,
    Method,
    Type,
    ContactType,
    Status,
    Channel,
}

impl Column {
    /// From left to right.
    pub const ALL: [Self; 8] = [
        Self::Date,
        Self::Client,
        Self::User,
        Self::Method,
        Self::Type,
        Self::ContactType,
        Self::Status,
        Self::Channel,
    ];

    /// In addresses and as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Client => "client",
            Self::User => "user",
            Self::Method => "method",
            Self::Type => "type",
            Self::ContactType => "contact_type",
            Self::Status => "status",
            Self::Channel => "channel",
        }
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Date => "Date",
            Self::Client => "Client",
            Self::User => "User",
            Self::Method => "Contact Method",
            Self::Type => "Type",
            Self::ContactType => "Contact Type",
            Self::Status => "Status",
            Self::Channel => "Channel",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// A line without its date would say little.
    pub const fn may_be_hidden(self) -> bool {
        !matches!(self, Self::Date)
    }
}
