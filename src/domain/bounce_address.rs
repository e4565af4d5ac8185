//! Where bounces of a message go: an address of its own for each, so that what comes back says which
//! message it is about (variable envelope return path, VERP), signed, so that nobody can let the messages
//! of others bounce.

use data_encoding::BASE32_DNSSEC;

use super::id::NotificationId;
use super::mailbox::Mailbox;
use super::seal::Seal;

const PURPOSE: &[u8] = b"sendtrail bounce 1\0";
/// In bytes. 80 bits cannot be guessed by mail, and the address stays short.
const TAG_LENGTH: usize = 10;
/// 26 bytes in base32.
const TOKEN_LENGTH: usize = 42;
/// RFC 5321 4.5.3.1.1.
const LOCAL_PART_LENGTH_MAX: usize = 64;
/// What remains of it for the part before the delimiter.
pub const OWN_PART_LENGTH_MAX: usize = LOCAL_PART_LENGTH_MAX - TOKEN_LENGTH - 1;
/// What mail servers call the delimiter of the recipient's extension (Postfix: `recipient_delimiter`).
const DELIMITER: char = '+';

/// Makes and reads the tokens in such addresses: the notification's id and a signature over it.
#[derive(Clone, Debug)]
pub struct BounceTokens {
    seal: Seal,
}

impl BounceTokens {
    pub fn new(secret: &str) -> Self {
        Self {
            seal: Seal::new(secret),
        }
    }

    /// In small letters and digits. Servers on the way may change the case of a local part.
    fn of(&self, id: NotificationId) -> String {
        let id = id.uuid();
        let sealed = self.seal.sealed(PURPOSE, id.as_bytes(), TAG_LENGTH);
        BASE32_DNSSEC.encode(&sealed)
    }

    /// The notification for whose bounces we made this address; `None` for every other text.
    pub fn read(&self, address: &str) -> Option<NotificationId> {
        let (local, _domain) = address.rsplit_once('@')?;
        let (_own, token) = local.rsplit_once(DELIMITER)?;
        let bytes = BASE32_DNSSEC.decode(token.as_bytes()).ok()?;
        NotificationId::from_bytes(&self.seal.opened(PURPOSE, bytes, TAG_LENGTH)?)
    }
}

/// The address that the others are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BounceAddress {
    own: String,
    domain: String,
}

/// Why a text is no such address; the message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABounceAddress {
    #[error("is not a bare address in ASCII: write it like bounces@example.com")]
    Form,
    #[error("has a + before the @, which is where the token of each message begins")]
    Delimiter,
    #[error(
        "has more than {OWN_PART_LENGTH_MAX} characters before the @: there must be room for a token"
    )]
    Length,
}

impl BounceAddress {
    pub fn parse(text: &str) -> Result<Self, NotABounceAddress> {
        let mailbox = Mailbox::parse(text).map_err(|_form| NotABounceAddress::Form)?;
        let address = mailbox.address();
        let (own, domain) = address.rsplit_once('@').ok_or(NotABounceAddress::Form)?;
        if address != text || !address.is_ascii() {
            return Err(NotABounceAddress::Form);
        }
        if own.contains(DELIMITER) {
            return Err(NotABounceAddress::Delimiter);
        }
        if own.len() > OWN_PART_LENGTH_MAX {
            return Err(NotABounceAddress::Length);
        }
        Ok(Self {
            own: own.to_owned(),
            domain: domain.to_owned(),
        })
    }

    /// Where the bounces of one message go.
    pub fn of(&self, tokens: &BounceTokens, id: NotificationId) -> String {
        let (own, token) = (&self.own, tokens.of(id));
        format!("{own}{DELIMITER}{token}@{}", self.domain)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id() -> NotificationId {
        NotificationId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0042))
    }

    fn tokens() -> BounceTokens {
        BounceTokens::new("a secret of some length")
    }

    #[test]
    fn an_address_leads_back_to_its_notification_in_whatever_case_it_returns() {
        let address = BounceAddress::parse("bounces@example.com").unwrap();
        let made = address.of(&tokens(), id());
        assert_eq!(tokens().read(&made), Some(id()));
        assert_eq!(tokens().read(&made.to_uppercase()), Some(id()));
        assert_eq!(BounceTokens::new("another").read(&made), None);
    }

    #[test]
    fn the_longest_address_fits_into_a_local_part() {
        let own = "b".repeat(OWN_PART_LENGTH_MAX);
        let address = BounceAddress::parse(&format!("{own}@example.com")).unwrap();
        let made = address.of(&tokens(), id());
        let (local, _) = made.split_once('@').unwrap();
        assert_eq!(local.len(), LOCAL_PART_LENGTH_MAX);
    }

    #[test]
    fn what_was_changed_cut_or_made_up_leads_nowhere() {
        let address = BounceAddress::parse("bounces@example.com").unwrap();
        let made = address.of(&tokens(), id());
        let (local, domain) = made.split_once('@').unwrap();
        for at in "bounces+".len()..local.len() {
            let mut changed = local.as_bytes().to_vec();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = format!("{}@{domain}", String::from_utf8(changed).unwrap());
            if changed != made {
                assert_eq!(tokens().read(&changed), None, "{changed}");
            }
        }
        let unsigned = BASE32_DNSSEC.encode(id().uuid().as_bytes());
        for made_up in [
            String::new(),
            "bounces@example.com".to_owned(),
            "bounces+@example.com".to_owned(),
            format!("bounces+{unsigned}@example.com"),
            format!("{local}a@{domain}"),
            local.to_owned(),
            format!("bounces+{}@example.com", "a".repeat(100_000)),
        ] {
            assert_eq!(tokens().read(&made_up), None, "{made_up}");
        }
    }

    /// Bounces come for days.
    #[test]
    fn addresses_stay_the_same_between_versions() {
        let address = BounceAddress::parse("bounces@example.com").unwrap();
        assert_eq!(
            address.of(&tokens(), id()),
            "bounces+06bg000001o01000000000008bfuo2h39gsqptia2k@example.com"
        );
    }

    #[test]
    fn what_cannot_be_such_an_address_is_refused_with_the_reason() {
        for (text, why) in [
            ("", NotABounceAddress::Form),
            ("bounces", NotABounceAddress::Form),
            ("Bounces <bounces@example.com>", NotABounceAddress::Form),
            (" bounces@example.com", NotABounceAddress::Form),
            ("bounces@b\u{fc}cher.example", NotABounceAddress::Form),
            ("bounces+x@example.com", NotABounceAddress::Delimiter),
            (
                "a-mailbox-for-all-bounces@example.com",
                NotABounceAddress::Length,
            ),
        ] {
            assert_eq!(BounceAddress::parse(text), Err(why), "{text}");
        }
    }
}
