//! Who a message is from, or who answers go to: an address and a name for people to read.

use std::fmt;

use super::address;

/// `Bookings <bookings@example.com>`, or the bare address. `Debug` shows no personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    address: String,
}

/// Why a text is no mailbox; the message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAMailbox {
    #[error("is not a mailbox: write it like Bookings <bookings@example.com>")]
    Form,
    #[error("needs an ASCII name before the @: many servers refuse others")]
    LocalPart,
}

/// In a list of mails there is room for thirty; RFC 5322 knows no limit.
const NAME_LENGTH_MAX: usize = 200;

impl Mailbox {
    pub fn parse(text: &str) -> Result<Self, NotAMailbox> {
        if text.chars().any(char::is_control) {
            return Err(NotAMailbox::Form);
        }
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>') {
            Some(inside) => {
                let (name, address) = inside.rsplit_once('<').ok_or(NotAMailbox::Form)?;
                (display_name(name.trim())?, address.trim())
            }
            None => (None, text),
        };
        if !address::is_email(address) {
            return Err(NotAMailbox::Form);
        }
        let local = address.rsplit_once('@').map_or("", |(local, _)| local);
        if !local.is_ascii() {
            return Err(NotAMailbox::LocalPart);
        }
        Ok(Self {
            name,
            address: address.to_owned(),
        })
    }

    /// As people read it, without quotes.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Bare words, or a quoted string (RFC 5322 3.2.4). What would need quotes and has none is refused:
/// it may be meant as a list of mailboxes.
fn display_name(text: &str) -> Result<Option<String>, NotAMailbox> {
    let mut name = String::with_capacity(text.len());
    if let Some(quoted) = text.strip_prefix('"') {
        let quoted = quoted.strip_suffix('"').ok_or(NotAMailbox::Form)?;
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            name.push(match character {
                '"' => return Err(NotAMailbox::Form),
                '\\' => characters.next().ok_or(NotAMailbox::Form)?,
                other => other,
            });
        }
    } else if text.contains(['"', '<', '>', ',', ';', ':', '@', '(', ')', '[', ']', '\\']) {
        return Err(NotAMailbox::Form);
    } else {
        name.push_str(text);
    }
    let name = name.trim();
    if name.chars().count() > NAME_LENGTH_MAX {
        return Err(NotAMailbox::Form);
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// The text that is read back as the same mailbox.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.name else {
            return f.write_str(&self.address);
        };
        if display_name(name).as_ref() == Ok(&self.name) {
            write!(f, "{name} <{}>", self.address)
        } else {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "\"{quoted}\" <{}>", self.address)
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mailbox_is_an_address_with_or_without_a_name() {
        for (text, name, address) in [
            ("box@example.com", None, "box@example.com"),
            (" <box@example.com> ", None, "box@example.com"),
            ("box@localhost", None, "box@localhost"),
            (
                "Praxis Dr. Müller <info@müller.example>",
                Some("Praxis Dr. Müller"),
                "info@müller.example",
            ),
            (
                "\"Smith, John\" <john@example.com>",
                Some("Smith, John"),
                "john@example.com",
            ),
            (
                r#""a \"b\" \\ <c>" <d@example.com>"#,
                Some(r#"a "b" \ <c>"#),
                "d@example.com",
            ),
            ("\"\" <d@example.com>", None, "d@example.com"),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!((mailbox.name(), mailbox.address()), (name, address));
            assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
        }
        for text in [
            "",
            "nobody",
            "<>",
            "Ana <>",
            "Ana <ana@example.com",
            "ana@example.com>",
            "a@example.com, b@example.com",
            "a@example.com, B <b@example.com>",
            "a@[127.0.0.1]",
            "Smith, John <john@example.com>",
            "\"Ana <ana@example.com>",
            "\"Ana\" x\" <ana@example.com>",
            "Ana\r\nBcc: b@example.com <ana@example.com>",
            "ana@example.com\r\nBcc: b@example.com",
            "Ana <ana@exa mple.com>",
        ] {
            assert_eq!(Mailbox::parse(text), Err(NotAMailbox::Form), "{text:?}");
        }
        assert_eq!(
            Mailbox::parse("müller@example.com"),
            Err(NotAMailbox::LocalPart)
        );
        let long = format!("{} <a@example.com>", "n".repeat(201));
        assert_eq!(Mailbox::parse(&long), Err(NotAMailbox::Form));
    }

    #[test]
    fn a_mailbox_is_not_in_its_debug_form() {
        let mailbox = Mailbox::parse("Ana <ana@example.com>").unwrap();
        assert_eq!(format!("{mailbox:?}"), "Mailbox");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(name in "[^\\p{Cc}]{0,60}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let mailbox = Mailbox::parse(&format!("\"{quoted}\" <a@example.com>")).unwrap();
            prop_assert_eq!(mailbox.name().unwrap_or(""), name.trim());
            prop_assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
        }
    }
}
