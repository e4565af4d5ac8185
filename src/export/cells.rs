//! An entry as a row of texts.

use crate::domain::time::Timestamp;
use crate::store::history::Entry;

/// What a file shows of an entry: the columns of the page (W2), and what a page shows beside them.
#[derive(Clone, Debug)]
pub struct Row {
    pub date: Timestamp,
    pub client: String,
    pub client_id: String,
    pub user: String,
    pub method: &'static str,
    pub type_name: String,
    pub description: String,
    pub contact_type: String,
    /// Every status that holds, the earlier first.
    pub status: String,
    pub reason: String,
    pub channel: &'static str,
    pub address: String,
    pub tags: String,
    pub id: String,
}

pub(super) const HEADINGS: [&str; 14] = [
    "Date",
    "Client",
    "Client ID",
    "User",
    "Contact Method",
    "Type",
    "Description",
    "Contact Type",
    "Status",
    "Reason",
    "Channel",
    "Address",
    "Tags",
    "Entry",
];

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        let statuses = entry.statuses();
        let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        let reason = entry.trouble();
        Self {
            date: entry.date,
            client: entry.client_name.clone().unwrap_or_default(),
            client_id: entry.client_id.clone(),
            user: entry.user.clone(),
            method: entry.method.label(),
            type_name: entry.type_name.clone(),
            description: entry.description.clone().unwrap_or_default(),
            contact_type: entry.contact_type.clone(),
            status: statuses.join(", "),
            reason: reason.map_or_else(String::new, |it| it.sentence.to_owned()),
            channel: entry.channel.as_str(),
            address: entry.to.clone().unwrap_or_default(),
            tags: entry.tags.join(", "),
            id: entry.id.to_string(),
        }
    }
}

impl Row {
    /// The texts after the date, in the order of the headings.
    pub(super) fn texts(&self) -> [&str; 13] {
        [
            &self.client,
            &self.client_id,
            &self.user,
            self.method,
            &self.type_name,
            &self.description,
            &self.contact_type,
            &self.status,
            &self.reason,
            self.channel,
            &self.address,
            &self.tags,
            &self.id,
        ]
    }

    #[cfg(test)]
    pub(super) fn sample(client: &str, description: &str) -> Self {
        Self {
            date: Timestamp::parse("2026-11-26T09:30:15.250Z").unwrap(),
            client: client.to_owned(),
            client_id: "C-1".to_owned(),
            user: "Automated".to_owned(),
            method: "Email",
            type_name: "Booking confirmation".to_owned(),
            description: description.to_owned(),
            contact_type: "Client Notifications".to_owned(),
            status: "Opened, Bounced".to_owned(),
            reason: "The mailbox is full.".to_owned(),
            channel: "Outbound",
            address: "anna@example.com".to_owned(),
            tags: "booking, yoga".to_owned(),
            id: "019abcde-0000-7000-8000-000000000000".to_owned(),
        }
    }
}
