//! Clients as people find them: the page of those found, and the head of one client's history.

use std::fmt;

use askama::Template;

use super::page::When;
use super::staff::Head;
use crate::domain::time::Timestamp;

/// What staff read of a client's card.
#[derive(Clone)]
pub struct Card {
    /// The application's id.
    pub id: String,
    /// Our own.
    pub uid: String,
    /// The id where there is no name.
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub location: Option<String>,
    pub deactivated_at: Option<Timestamp>,
    /// Since when nothing personal is kept of the client.
    pub erased_at: Option<Timestamp>,
    /// Whoever looks may have the client forgotten.
    pub erasable: bool,
}

/// The clients that a text finds.
#[derive(Clone, Debug)]
pub struct Clients {
    pub head: Head,
    pub text: String,
    pub found: Vec<Card>,
    /// There are more than are shown.
    pub more: bool,
}

impl Card {
    pub(super) fn path(&self) -> String {
        client_path(&self.id)
    }

    /// Who was forgotten is deactivated as well, and that says less.
    pub(super) fn deactivated(&self) -> Option<When> {
        let since = self.deactivated_at.filter(|_| self.erased_at.is_none());
        since.map(When::new)
    }

    pub(super) fn erased(&self) -> Option<When> {
        self.erased_at.map(When::new)
    }
}

// By hand: names and addresses are not for logs.
impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({})", self.uid)
    }
}

/// The page of a client's contact history.
pub fn client_path(id: &str) -> String {
    let mut path = "/clients/".to_owned();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push_str(&hex::encode_upper([byte]));
        }
    }
    path
}

impl Clients {
    /// The whole page.
    pub fn render(&self) -> Result<String, askama::Error> {
        ClientsTemplate { page: self }.render()
    }

    /// Those found alone.
    pub fn render_found(&self) -> Result<String, askama::Error> {
        FoundTemplate { page: self }.render()
    }

    fn said(&self) -> String {
        match (self.found.len(), self.more) {
            (0, _) if self.text.trim().is_empty() => {
                "Type the beginning of a name, an email address, a phone number, a UID or a client ID."
                    .to_owned()
            }
            (0, _) => "No client that you can see has this. Try fewer letters, another spelling, or \
                       the email address or phone number."
                .to_owned(),
            (1, false) => "One client found.".to_owned(),
            (count, false) => format!("{count} clients found."),
            (count, true) => format!("The first {count} clients; type more to narrow it down."),
        }
    }
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsTemplate<'a> {
    page: &'a Clients,
}

#[derive(Template)]
#[template(path = "found.html")]
struct FoundTemplate<'a> {
    page: &'a Clients,
}
