//! What a person leaves in texts that name no client: addresses, names, files. Looked for when the person
//! is to be forgotten.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Email addresses in small letters, phone numbers, push targets.
    pub addresses: BTreeSet<String>,
    /// The name, and the application's id of the client; in small letters.
    pub words: BTreeSet<String>,
    /// SHA-256 of attached files.
    pub files: BTreeSet<String>,
}

/// Ids in a text, each of which may be one of ours or of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub ours: BTreeSet<Uuid>,
    pub theirs: BTreeSet<String>,
}

/// A shorter run of letters and digits is no provider's id of a message: Twilio's have 34, those of SES
/// and SNS more.
const ID_LENGTH_MIN: usize = 32;
/// And no longer one either.
const ID_LENGTH_MAX: usize = 100;
/// Of an id of ours as it is written.
const UUID_LENGTH: usize = 36;

impl Footprint {
    /// An address as it stands on a card or at an entry.
    pub fn add_address(&mut self, address: &str) {
        let address = address.trim().to_lowercase();
        if !address.is_empty() {
            self.addresses.insert(address);
        }
    }

    pub fn add_word(&mut self, word: &str) {
        let word = word.trim().to_lowercase();
        if !word.is_empty() {
            self.words.insert(word);
        }
    }

    /// Whether one of the addresses stands in a text, plain, in a form or in JSON.
    pub fn address_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.addresses
            .iter()
            .any(|address| written(address).any(|form| stands_in(&form, &text)))
    }

    /// Whether one of the addresses or names does.
    pub fn any_in(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.words.iter().any(|word| stands_in(word, &lower)) || self.address_in(text)
    }
}

/// The ways in which an address is written: as it is, in a form (`%40`), in JSON (`\u0040`).
fn written(address: &str) -> impl Iterator<Item = String> {
    let plain = address.to_owned();
    let forms = [("%40", "%2b"), ("\\u0040", "\\u002b")];
    let coded = forms.map(|(at, plus)| address.replace('@', at).replace('+', plus));
    // A phone number is also written without its plus.
    let bare = address.strip_prefix('+').map(str::to_owned);
    [plain].into_iter().chain(coded).chain(bare)
}

/// As a whole: `ana@example.com` is not in `joana@example.com`.
fn stands_in(what: &str, text: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(what).any(|(at, found)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text
            .get(at + found.len()..)
            .and_then(|tail| tail.chars().next());
        !is_part(before) && !is_part(after)
    })
}

/// Every id that stands in a text.
pub fn ids_in(text: &str) -> Ids {
    let mut ids = Ids::default();
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    for run in runs.filter(|run| run.len() >= ID_LENGTH_MIN) {
        if run.len() <= ID_LENGTH_MAX {
            ids.theirs.insert(run.to_owned());
        }
        // Ours may stand in the middle of a run: behind a `u003d`, between hyphens.
        for at in 0..=run.len().saturating_sub(UUID_LENGTH) {
            let part = run.get(at..at + UUID_LENGTH);
            if let Some(part) = part.filter(|part| part.as_bytes().get(8) == Some(&b'-')) {
                ids.ours.extend(Uuid::try_parse(part));
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> Footprint {
        let mut traces = Footprint::default();
        traces.add_address("Ana@Example.com");
        traces.add_address("+15005550007");
        traces.add_word("Ana Ruiz");
        traces
    }

    #[test]
    fn an_address_is_found_however_it_is_written() {
        for text in [
            "To: ANA@example.com.",
            "{\"to\":[\"ana@example.com\"]}",
            "To=ana%40example.com&x=1",
            "From=%2B15005550007&Body=x",
            "call 15005550007",
            "\\u002b15005550007",
        ] {
            assert!(traces().address_in(text), "{text}");
        }
    }

    #[test]
    fn an_address_of_somebody_else_is_not_found() {
        for text in [
            "joana@example.com",
            "ana@example.community",
            "+150055500071",
            "Ana Ruiz",
            "",
        ] {
            assert!(!traces().address_in(text), "{text}");
        }
        assert!(traces().any_in("search=\"ana ruiz\""));
        assert!(!traces().any_in("Diana Ruiz"));
    }

    #[test]
    fn ids_are_found_in_any_text() {
        let id = "01941f29-7c00-7000-8000-000000000001";
        let ses = format!("0100018f-{id}-000000");
        let found = ids_in(&format!(
            "{{\"a\":\"{id}\",\"b\":\"{ses}\",\"c\":\"SM0123456789abcdef0123456789abcdef\"}}"
        ));
        assert!(found.ours.contains(&Uuid::try_parse(id).unwrap()));
        for theirs in [id, &ses, "SM0123456789abcdef0123456789abcdef"] {
            assert!(found.theirs.contains(theirs), "{theirs}");
        }
        assert_eq!(ids_in("nothing of the kind"), Ids::default());
    }
}
