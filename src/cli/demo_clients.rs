//! Sample clients of the demo, at places and with staff such that every sample member sees some.

use rand::Rng;
use rand::seq::IndexedRandom as _;

use crate::store::clients::{Change, Changes};
use crate::store::{Error, Store};

/// Id, name, location, and the sample member whose client it is.
const CLIENTS: [(&str, &str, &str, &str); 9] = [
    ("C-1001", "Ana Ruiz", "Lisbon", "S-4"),
    ("C-1002", "Bjørn Håkonsen", "Porto", "S-5"),
    ("C-1003", "Chiara Conti", "Lisbon", "S-5"),
    ("C-1004", "Dimitri Papadakis", "Porto", "S-4"),
    ("C-1005", "Ewa Nowak", "Lisbon", "S-4"),
    ("C-1006", "Farid Haddad", "Faro", "S-5"),
    ("C-1007", "Grace O’Neill", "Porto", "S-4"),
    ("C-1008", "Hiroko 田中", "Lisbon", "S-5"),
    ("C-1009", "Ivana Kos", "Lisbon", "S-4"),
];
/// Nothing is sent to this one.
const DEACTIVATED: &str = "C-1009";

pub(super) async fn make(store: &Store) -> Result<(), Error> {
    for (number, (id, name, location, staff_id)) in (1..).zip(CLIENTS) {
        let to = |text: &str| Change::To(text.to_owned());
        let card = Changes {
            name: to(name),
            email: Change::To(format!("client{number}@demo.example")),
            phone: Change::To(format!("+1415555010{number}")),
            location: to(location),
            staff_id: to(staff_id),
            deactivated: Some(id == DEACTIVATED),
            ..Changes::default()
        };
        store.add_client("default", id, &card).await?;
    }
    Ok(())
}

/// The id of one of them.
pub(super) fn any(rng: &mut impl Rng) -> &'static str {
    CLIENTS.choose(rng).map_or("", |client| client.0)
}
