//! A push message as the services of the devices take it: the same whichever provider carries it.

use serde_json::{Map, Value, json};

use super::answer::refused;
use crate::domain::event::Failure;
use crate::domain::message::{Content, Outgoing};
use crate::domain::reason::Category;

/// FCM and APNs both refuse payloads above 4,096 bytes; SNS would tell us only long after it has
/// accepted the message.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;

/// The key of our own id among the data that the app gets: with it the app can report what it did
/// with the message.
const ID_KEY: &str = "notification_id";

/// The payloads of one message.
pub(super) struct Payloads {
    /// What is shown, without its title.
    pub(super) text: String,
    /// `notification` and `data` of a message of FCM's HTTP API, version 1.
    pub(super) fcm: Map<String, Value>,
    /// The whole body for APNs.
    pub(super) apns: String,
}

impl Payloads {
    /// Refused when it is no push message, or too large for one of the services.
    pub(super) fn of(message: &Outgoing) -> Result<Self, Failure> {
        let Content::Push { title, text, data } = &message.content else {
            return Err(refused("WrongMethod", "only push can be sent this way"));
        };
        let shown = match title {
            Some(title) => json!({ "title": title, "body": text }),
            None => json!({ "body": text }),
        };
        let id = json!(message.id.to_string());
        // FCM takes only strings as data.
        let mut strings: Map<String, Value> = data
            .iter()
            .map(|(key, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), Value::String(text))
            })
            .collect();
        strings.insert(ID_KEY.to_owned(), id.clone());
        let fcm = Map::from_iter([
            ("notification".to_owned(), shown.clone()),
            ("data".to_owned(), Value::Object(strings)),
        ]);
        let mut apns = data.clone();
        // Last, so that data cannot take the place of what is shown.
        apns.insert(ID_KEY.to_owned(), id);
        apns.insert("aps".to_owned(), json!({ "alert": shown }));
        let apns = Value::Object(apns).to_string();
        let longest = Value::Object(fcm.clone()).to_string().len().max(apns.len());
        if longest > PAYLOAD_BYTES_MAX {
            let text = format!("the push message has {longest} bytes, above {PAYLOAD_BYTES_MAX}");
            return Err(refused("PayloadTooLarge", &text));
        }
        let text = text.clone();
        Ok(Self { text, fcm, apns })
    }
}

/// The service that a target belongs to. Their forms do not overlap, so that one list of providers
/// serves devices of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// `arn:…`: an endpoint of a platform application of SNS.
    Sns,
    /// Hexadecimal digits: a device token of APNs. Its length may change, says Apple; no known one
    /// is shorter.
    Apns,
    /// Anything else: a registration token of FCM.
    Fcm,
}

const APNS_TOKEN_LENGTH_MIN: usize = 64;

impl Service {
    pub(super) fn of(target: &str) -> Self {
        if is_arn(target) {
            return Self::Sns;
        }
        let is_hex = target.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex && target.len() >= APNS_TOKEN_LENGTH_MIN {
            Self::Apns
        } else {
            Self::Fcm
        }
    }
}

pub(super) fn is_arn(target: &str) -> bool {
    let start = target.get(..4);
    start.is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
}

/// The target is nothing that this provider could reach.
pub(super) fn not_a_device() -> Failure {
    Failure {
        category: Category::InvalidAddress,
        code: Some("NotADevice".to_owned()),
        provider_text: None,
    }
}

/// The app is gone from the device, says the push service: the only answer after which a target is
/// not to be tried again. One code for all services, so that what follows from it need not know
/// them.
pub(super) fn device_gone(text: String) -> Failure {
    Failure {
        category: Category::DeviceGone,
        code: Some("unregistered".to_owned()),
        provider_text: Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_tells_which_service_it_belongs_to() {
        for (target, service) in [
            (
                "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/1",
                Service::Sns,
            ),
            ("ARN:aws:sns", Service::Sns),
            (&"ab".repeat(32), Service::Apns),
            (&"AB".repeat(80), Service::Apns),
            (&"ab".repeat(31), Service::Fcm),
            ("dGVzdA:APA91bHPRgkFLJ0xyz_-", Service::Fcm),
            ("é", Service::Fcm),
        ] {
            assert_eq!(Service::of(target), service, "{target}");
        }
    }
}
