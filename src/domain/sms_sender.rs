//! What recipients see as the sender of an SMS: a number, or a name where the country allows one.

use super::address::Address;
use super::method::Method;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmsSender {
    /// E.164.
    Number(String),
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a phone number like +14155550123, or a name of 1 to 11 letters, digits and hyphens \
     with one letter at least"
)]
pub struct NotAnSmsSender;

impl SmsSender {
    pub fn parse(text: &str) -> Result<Self, NotAnSmsSender> {
        let text = text.trim();
        if text.starts_with('+') {
            let number = Address::parse(Method::Sms, text).map_err(|_no_number| NotAnSmsSender)?;
            return Ok(Self::Number(number.as_str().to_owned()));
        }
        if is_name(text) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(NotAnSmsSender)
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(text) | Self::Name(text) => text,
        }
    }
}

/// GSM 03.38 leaves eleven characters for a name; the providers want a letter among them.
pub fn is_name(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_a_number_or_a_short_name() {
        let number = SmsSender::Number("+14155550123".to_owned());
        assert_eq!(SmsSender::parse("+1 (415) 555-0123"), Ok(number));
        let name = SmsSender::Name("My-Shop-24".to_owned());
        assert_eq!(SmsSender::parse(" My-Shop-24 "), Ok(name));
        for text in ["", "+1", "12345", "MyShopIsLong", "My Shop", "Café", "a\nb"] {
            assert_eq!(SmsSender::parse(text), Err(NotAnSmsSender), "{text:?}");
        }
    }
}
