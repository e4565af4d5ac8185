//! Links by which a recipient ends bulk messages: signed, so that nobody can end those of others.

use super::id::NotificationId;
use super::seal::Seal;

/// How the recipient of one message ends messages like it (RFC 2369, RFC 8058).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// An address that takes the one-click POST and shows a page.
    pub link: String,
    /// A mailbox that somebody reads, with a subject that names the message.
    pub mailto: Option<String>,
}

/// The path of the links, without the token.
pub const PATH: &str = "/u/";

const PURPOSE: &[u8] = b"sendtrail unsubscribe 1\0";

/// Makes and reads the tokens of the links: the notification's id and a signature over it, nothing
/// personal. They have no end: an old message lies in a mailbox for years, and whoever finds it there
/// may still want no more of its kind.
#[derive(Clone, Debug)]
pub struct Tokens {
    seal: Seal,
}

impl Tokens {
    pub fn new(secret: &str) -> Self {
        Self {
            seal: Seal::new(secret),
        }
    }

    pub fn of(&self, id: NotificationId) -> String {
        self.seal.seal_id(PURPOSE, id)
    }

    /// The notification that a token of ours names; `None` for every other text.
    pub fn read(&self, token: &str) -> Option<NotificationId> {
        self.seal.open_id(PURPOSE, token)
    }
}

/// Makes what a message carries.
#[derive(Clone, Debug)]
pub struct Links {
    pub tokens: Tokens,
    /// Where the program is reached from outside, without a slash at its end.
    pub base: String,
    pub mailto: Option<String>,
}

impl Links {
    pub fn of(&self, id: NotificationId) -> Unsubscribe {
        let token = self.tokens.of(id);
        let mailto = self.mailto.as_ref();
        Unsubscribe {
            mailto: mailto.map(|box_| format!("mailto:{box_}?subject=unsubscribe%20{token}")),
            link: format!("{}{PATH}{token}", self.base),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use uuid::Uuid;

    use super::*;

    fn id() -> NotificationId {
        NotificationId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0042))
    }

    #[test]
    fn a_token_leads_back_to_its_notification_and_says_nothing_else() {
        let tokens = Tokens::new("a secret of some length");
        let token = tokens.of(id());
        assert_eq!(token.len(), 64);
        assert_eq!(tokens.read(&token), Some(id()));
        let again = Tokens::new("a secret of some length");
        assert_eq!(again.read(&token), Some(id()), "in every process");
    }

    #[test]
    fn no_other_text_is_a_token() {
        let tokens = Tokens::new("a secret of some length");
        let token = tokens.of(id());
        assert_eq!(Tokens::new("another secret").read(&token), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tokens.read(&changed), None, "{changed}");
        }
        for bad in ["", "x", "AAAA", "../../etc", &token[..63], &token[1..]] {
            assert_eq!(tokens.read(bad), None, "{bad}");
        }
        assert_eq!(tokens.read(&format!("{token}A")), None);
        assert_eq!(tokens.read(&format!("{token}=")), None);
        assert_eq!(tokens.read(&"A".repeat(100_000)), None);
        let bare = BASE64_URL_SAFE_NO_PAD.encode(id().uuid().as_bytes());
        assert_eq!(tokens.read(&bare), None, "without a signature");
    }

    /// Links lie in mailboxes for years.
    #[test]
    fn tokens_stay_the_same_between_versions() {
        let token = Tokens::new("a secret of some length").of(id());
        assert_eq!(
            token,
            "AZcAAAAAcACAAAAAAAAAQh4jTjkQu9xGL_z6mHyi3tP5ZO75XSpMsjWp2KLLLWHw"
        );
    }

    #[test]
    fn a_mailbox_is_named_only_where_there_is_one() {
        let mut links = Links {
            tokens: Tokens::new("a secret of some length"),
            base: "https://notify.example.com".to_owned(),
            mailto: None,
        };
        let token = links.tokens.of(id());
        let link = format!("https://notify.example.com/u/{token}");
        let mailto = None;
        assert_eq!(links.of(id()), Unsubscribe { link, mailto });
        links.mailto = Some("leave@example.com".to_owned());
        let mailto = format!("mailto:leave@example.com?subject=unsubscribe%20{token}");
        assert_eq!(links.of(id()).mailto, Some(mailto));
    }
}
