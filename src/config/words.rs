//! Settings that are words of a closed list: a wrong one is answered with the right ones.

use serde::{Deserialize, Deserializer, de};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Environment {
    Development,
    Production,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailProvider {
    Ses,
    Smtp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmsProvider {
    Sns,
    Twilio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushProvider {
    Sns,
    Fcm,
    Apns,
}

impl EmailProvider {
    /// As [`crate::transport::Transport::name`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ses => "ses",
            Self::Smtp => "smtp",
        }
    }
}

impl SmsProvider {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sns => "sns",
            Self::Twilio => "twilio",
        }
    }
}

impl PushProvider {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sns => "sns",
            Self::Fcm => "fcm",
            Self::Apns => "apns",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    Text,
    Json,
}

impl TryFrom<String> for Environment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let words = [
            ("development", Self::Development),
            ("production", Self::Production),
        ];
        choose(&text, &words)
    }
}

impl TryFrom<String> for EmailProvider {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        choose(&text, &[("ses", Self::Ses), ("smtp", Self::Smtp)])
    }
}

impl TryFrom<String> for SmsProvider {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim() == "end_user_messaging" {
            return Err(format!("{text:?} is not available yet: use sns or twilio"));
        }
        choose(&text, &[("sns", Self::Sns), ("twilio", Self::Twilio)])
    }
}

impl TryFrom<String> for PushProvider {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let words = [("sns", Self::Sns), ("fcm", Self::Fcm), ("apns", Self::Apns)];
        choose(&text, &words)
    }
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        choose(&text, &[("text", Self::Text), ("json", Self::Json)])
    }
}

fn choose<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text.trim());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("{text:?} must be one of: {}", words.join(", "))
    })
}

/// A list of words. An empty variable (`SENDTRAIL__SMS__PROVIDERS=`) is an empty list, not one blank
/// word.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = String>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let words = texts.into_iter().filter(|text| !text.trim().is_empty());
    words
        .map(|text| T::try_from(text).map_err(de::Error::custom))
        .collect()
}
