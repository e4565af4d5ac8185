//! Where a message goes: parsed once at the edge, valid ever after, never printed in a log.

use std::fmt;

use super::event_key;
use super::form::Form;
use super::method::Method;

/// A valid recipient of one method. `Debug` shows no personal data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    method: Method,
    text: String,
}

/// Why a text is no address; the message says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    #[error("is not an email address: write it like ana@example.com")]
    Email,
    #[error("is not a phone number: write it in the international form, like +14155550123")]
    Phone,
    #[error("is not a push target: 1 to 4096 visible ASCII characters without spaces")]
    Push,
    #[error("messages of this method are not sent")]
    Method,
}

/// RFC 5321 4.5.3.1.3: a path of 256 octets less its angle brackets.
const EMAIL_LENGTH_MAX: usize = 254;
/// RFC 5321 4.5.3.1.1.
const LOCAL_PART_LENGTH_MAX: usize = 64;
/// RFC 1035 2.3.4: one part of a domain.
const LABEL_LENGTH_MAX: usize = 63;
/// Characters of a push target that are compared, its last ones: no token known comes near, and
/// PostgreSQL refuses an index entry of more than 2,704 bytes.
const COMPARED_LENGTH_MAX: usize = 1_000;
/// FCM tokens are the longest targets known (a few hundred characters); ARNs reach 2048.
const PUSH_TARGET_LENGTH_MAX: usize = 4096;

/// The same of a compared form.
pub fn forgotten(method: Method, compared: &str) -> String {
    let key = event_key::of(&["forgotten address", method.as_str(), compared]);
    format!("{FORGOTTEN}{}", key.0.simple())
}

/// Before the digest of an address; no email address and no phone number begins so.
pub const FORGOTTEN: &str = "erased:";

impl Address {
    pub fn parse(method: Method, text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        let valid = match method {
            Method::Email => email(text).ok_or(NotAnAddress::Email)?,
            Method::Sms => phone(text).ok_or(NotAnAddress::Phone)?,
            Method::Push => push_target(text).ok_or(NotAnAddress::Push)?,
            Method::InPerson | Method::Mail | Method::Phone => return Err(NotAnAddress::Method),
        };
        Ok(Self {
            method,
            text: valid,
        })
    }

    pub const fn method(&self) -> Method {
        self.method
    }

    /// What its form tells of the providers that serve it.
    pub fn form(&self) -> Form {
        match self.method {
            Method::Push => Form::of_push_target(&self.text),
            Method::Email | Method::Sms | Method::InPerson | Method::Mail | Method::Phone => {
                Form::Plain
            }
        }
    }

    /// The form in which addresses are compared: two with one form are one recipient. Domains know no
    /// case (RFC 1035 2.3.3); the part before the @ could (RFC 5321 2.4), but no provider gives
    /// `Ana@` and `ana@` to different people, and to write to one who asked to be left alone is the
    /// worse mistake. Labels (`ana+news@`) and dots are left as they are: only some providers ignore
    /// them.
    pub fn compared(&self) -> String {
        match self.method {
            Method::Email => self.text.to_lowercase(),
            Method::Push => {
                let cut = self.text.len().saturating_sub(COMPARED_LENGTH_MAX);
                // All of it is ASCII.
                self.text.split_at(cut).1.to_owned()
            }
            Method::Sms | Method::InPerson | Method::Mail | Method::Phone => self.text.clone(),
        }
    }

    /// In place of the compared form where a person was forgotten who must still be left alone: who knows
    /// the address finds it, and nobody reads it from it.
    pub fn forgotten(&self) -> String {
        forgotten(self.method, &self.compared())
    }

    /// The address itself: for the provider, the database and the people allowed to read it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.method)
    }
}

/// `local@domain.tld`, no display name, no quoted local part, no IP literal (RFC 5321 4.1.2 less
/// what mail providers refuse); letters beyond ASCII are allowed (RFC 6531). The same rule stands
/// in SQL: `sendtrail_address` in the migrations of PostgreSQL.
fn email(text: &str) -> Option<String> {
    let (_, domain) = text.rsplit_once('@')?;
    (domain.contains('.') && is_email(text)).then(|| text.to_owned())
}

/// The same of an address of ours, which may be at a host of the local network.
pub(super) fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        text.len() <= EMAIL_LENGTH_MAX
            && local.len() <= LOCAL_PART_LENGTH_MAX
            && local.split('.').all(is_atom)
            && domain.split('.').all(is_label)
    })
}

/// RFC 5322 3.2.3, with what RFC 6531 3.3 adds.
fn is_atom(text: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_letter(c);
    !text.is_empty() && text.chars().all(allowed)
}

/// RFC 1034 3.5; beyond ASCII the part of a name that IDNA turns into it.
fn is_label(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || is_letter(c);
    (1..=LABEL_LENGTH_MAX).contains(&text.len())
        && text.chars().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The blocks beyond ASCII that hold letters: no punctuation, no symbols, no invisible characters
/// such as those that come along with text copied from a page. Few enough to be the same in SQL.
fn is_letter(c: char) -> bool {
    let is_invisible = matches!(c, '\u{61c}' | '\u{1680}' | '\u{180e}');
    let is_in_block = matches!(c,
        '\u{c0}'..='\u{1fff}' | '\u{2c00}'..='\u{2dff}' | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10000}'..='\u{1cfff}' | '\u{20000}'..='\u{3ffff}');
    is_in_block && !is_invisible
}

/// E.164: a plus sign and 7 to 15 digits, the first not zero. Spaces, dots, hyphens and brackets
/// are taken out.
fn phone(text: &str) -> Option<String> {
    let bare: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')'))
        .collect();
    let digits = bare.strip_prefix('+')?;
    let valid = (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    valid.then_some(bare)
}

fn push_target(text: &str) -> Option<String> {
    let valid = (1..=PUSH_TARGET_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic());
    valid.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD_EMAILS: &[&str] = &[
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana@localhost",
        "a b@example.com",
        "ana@example.com\r\nBcc: x@example.com",
        "Ana <ana@example.com>",
        "a@b@example.com",
        "a@[127.0.0.1]",
        "a,b@example.com",
        "ana@-example.com",
        "ana@example..com",
        "ana@exa!mple.com",
        "ana@example-.com",
        "ana@example.com.",
        "a..b@example.com",
        "ana@exam\u{200b}ple.com",
        "ana@example\u{2014}x.com",
        "\u{1f4a5}@example.com",
    ];

    #[test]
    fn addresses_are_checked_by_method() {
        for good in [
            "ana@example.com",
            "ana+tag@sub.example.co.uk",
            "josé@exämple.com",
        ] {
            assert!(Address::parse(Method::Email, good).is_ok(), "{good}");
        }
        for bad in BAD_EMAILS {
            assert_eq!(
                Address::parse(Method::Email, bad),
                Err(NotAnAddress::Email),
                "{bad:?}"
            );
        }
        assert_eq!(
            Address::parse(Method::Sms, "+1 (415) 555-0123")
                .unwrap()
                .as_str(),
            "+14155550123"
        );
        for bad in [
            "",
            "4155550123",
            "+0155550123",
            "+1415555",
            "+1415555012345678",
            "+1415555x123",
        ] {
            if bad == "+1415555" {
                assert!(
                    Address::parse(Method::Sms, bad).is_ok(),
                    "seven digits is the least"
                );
                continue;
            }
            assert_eq!(
                Address::parse(Method::Sms, bad),
                Err(NotAnAddress::Phone),
                "{bad:?}"
            );
        }
        assert!(
            Address::parse(
                Method::Push,
                "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/x"
            )
            .is_ok()
        );
        assert_eq!(
            Address::parse(Method::Push, "two words"),
            Err(NotAnAddress::Push)
        );
        assert_eq!(
            Address::parse(Method::Mail, "1 Main St"),
            Err(NotAnAddress::Method)
        );
    }

    #[test]
    fn spellings_of_one_recipient_compare_equal_and_others_do_not() {
        let compared = |method, text| Address::parse(method, text).unwrap().compared();
        let ana = compared(Method::Email, "Ana.Ruiz@Example.COM");
        assert_eq!(ana, "ana.ruiz@example.com");
        assert_eq!(
            compared(Method::Email, "JOSÉ@Exämple.com"),
            "josé@exämple.com"
        );
        assert_ne!(compared(Method::Email, "ana.ruiz+news@example.com"), ana);
        assert_ne!(compared(Method::Email, "anaruiz@example.com"), ana);
        assert_eq!(
            compared(Method::Sms, "+1 (415) 555-0123"),
            compared(Method::Sms, "+14155550123")
        );
        assert_ne!(
            compared(Method::Push, "Token"),
            compared(Method::Push, "token")
        );
        let long = compared(Method::Push, &format!("{}end", "x".repeat(4_000)));
        assert!(long.len() == COMPARED_LENGTH_MAX && long.ends_with("end"));
    }

    #[test]
    fn an_address_is_not_in_its_debug_form() {
        let address = Address::parse(Method::Email, "ana@example.com").unwrap();
        assert!(!format!("{address:?}").contains("ana"));
    }
}
