//! A push message as the services of the devices take it: the same whichever provider carries it.

use serde_json::{Map, Value, json};

use super::answer::refused;
use crate::domain::event::Failure;
use crate::domain::message::{Content, Outgoing};
use crate::domain::reason::Category;
use crate::domain::suppression::UNREGISTERED;

/// FCM and APNs both refuse payloads above 4,096 bytes.
const PAYLOAD_BYTES_MAX: usize = 4096;

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
    /// Refused when it is no push message.
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
        let text = text.clone();
        Ok(Self { text, fcm, apns })
    }
}

impl Payloads {
    /// Refused when FCM would refuse it. FCM counts names and values; their form in JSON is a little
    /// longer.
    pub(super) fn fits_fcm(&self) -> Result<(), Failure> {
        fits(Value::Object(self.fcm.clone()).to_string().len())
    }

    /// Refused when APNs would refuse it.
    pub(super) fn fits_apns(&self) -> Result<(), Failure> {
        fits(self.apns.len())
    }
}

fn fits(bytes: usize) -> Result<(), Failure> {
    if bytes <= PAYLOAD_BYTES_MAX {
        return Ok(());
    }
    let text = format!("the push message has {bytes} bytes, above {PAYLOAD_BYTES_MAX}");
    Err(refused("PayloadTooLarge", &text))
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
        code: Some(UNREGISTERED.to_owned()),
        provider_text: Some(text),
    }
}
