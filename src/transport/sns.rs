//! SMS and push messages by Amazon SNS: `Publish` to a phone number or to a device's endpoint.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer, Fault, accepted, refused};
use super::aws::{self, Access, Departure};
use super::push::{Payloads, not_a_device};
use super::settings::{Problem, check_rates};
use crate::domain::address::Address;
use crate::domain::form::Form;
use crate::domain::message::{Content, Outgoing};
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::domain::sms_sender::{self, SmsSender};

/// The section `[sns]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnsSettings {
    /// Instead of the region's own address.
    pub endpoint_url: Option<String>,
    /// None: from the standard AWS chain.
    pub region: Option<String>,
    /// With its secret; none: the standard AWS chain.
    pub access_key_id: Option<SecretString>,
    pub secret_access_key: Option<SecretString>,
    /// What recipients see as the sender, in countries that allow it.
    pub sms_sender_id: Option<String>,
    pub sms_type: SmsType,
    /// Segments of SMS a second, at most and to begin with; none: as many as SNS takes.
    pub sms_max_per_second: Option<f64>,
    pub sms_initial_per_second: Option<f64>,
    /// Push messages a second, at most and to begin with; none: as many as SNS takes.
    pub push_max_per_second: Option<f64>,
    pub push_initial_per_second: Option<f64>,
    pub connect_timeout_ms: u64,
    /// For one whole request, in milliseconds.
    pub timeout_ms: u64,
}

/// How SNS routes text messages: for reliability or for cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SmsType {
    #[default]
    Transactional,
    Promotional,
}

impl TryFrom<String> for SmsType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.trim() {
            "transactional" => Ok(Self::Transactional),
            "promotional" => Ok(Self::Promotional),
            other => Err(format!(
                "{other:?} must be one of: transactional, promotional"
            )),
        }
    }
}

impl Default for SnsSettings {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            sms_sender_id: None,
            sms_type: SmsType::default(),
            sms_max_per_second: None,
            sms_initial_per_second: None,
            push_max_per_second: None,
            push_initial_per_second: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
        }
    }
}

impl SnsSettings {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.access().validate(&mut problems);
        let name = self.sms_sender_id.as_deref();
        if name.is_some_and(|name| !sms_sender::is_name(name)) {
            problems.push(Problem::new(
                "sms_sender_id",
                "must have 1 to 11 letters, digits and hyphens, one letter at least",
            ));
        }
        check_rates(
            &mut problems,
            ("sms_max_per_second", self.sms_max_per_second),
            ("sms_initial_per_second", self.sms_initial_per_second),
        );
        check_rates(
            &mut problems,
            ("push_max_per_second", self.push_max_per_second),
            ("push_initial_per_second", self.push_initial_per_second),
        );
        problems
    }

    fn access(&self) -> Access<'_> {
        Access {
            endpoint_url: self.endpoint_url.as_deref(),
            region: self.region.as_deref(),
            key_id: self.access_key_id.as_ref(),
            key_secret: self.secret_access_key.as_ref(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
        }
    }

    /// One client for SMS and push, to be shared: it keeps its connections open.
    pub async fn client(&self) -> Client {
        Client::new(&self.access().config().await)
    }
}

/// Sends text messages by SNS.
#[derive(Clone, Debug)]
pub struct SnsSms {
    client: Client,
    sender_id: Option<MessageAttributeValue>,
    sms_type: MessageAttributeValue,
}

impl SnsSms {
    pub fn new(settings: &SnsSettings, client: Client) -> Self {
        Self {
            client,
            sender_id: settings.sms_sender_id.as_deref().map(text_attribute),
            sms_type: text_attribute(match settings.sms_type {
                SmsType::Transactional => "Transactional",
                SmsType::Promotional => "Promotional",
            }),
        }
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let Content::Sms { text } = &message.content else {
            return Outcome::Rejected(refused("WrongMethod", "only SMS can be sent this way"));
        };
        let mut call = self
            .client
            .publish()
            .phone_number(message.to.as_str())
            .message(text)
            .message_attributes("AWS.SNS.SMS.SMSType", self.sms_type.clone());
        let own = message.sender.as_deref();
        call = match own.and_then(|sender| SmsSender::parse(sender).ok()) {
            Some(SmsSender::Number(number)) => {
                call.message_attributes("AWS.MM.SMS.OriginationNumber", text_attribute(&number))
            }
            Some(SmsSender::Name(name)) => {
                call.message_attributes("AWS.SNS.SMS.SenderID", text_attribute(&name))
            }
            None => match &self.sender_id {
                Some(name) => call.message_attributes("AWS.SNS.SMS.SenderID", name.clone()),
                None => call,
            },
        };
        let departure = Departure::default();
        let call = call.customize().interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(answer) => accepted(answer.message_id),
            Err(error) => answer::outcome(Fault::of(&error, &departure), |answer| {
                of_own_sender(message, answer).unwrap_or_else(|| classify(answer))
            }),
        }
    }

    /// Asks for the account's SMS attributes; sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let call = self
            .client
            .get_sms_attributes()
            .attributes("DefaultSMSType");
        let departure = Departure::default();
        let call = call.customize().interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(_) => Ok(()),
            Err(error) => aws::verdict(Fault::of(&error, &departure)),
        }
    }
}

fn text_attribute(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .expect("the data type is set")
}

/// Sends push messages by SNS to the endpoints of its platform applications.
#[derive(Clone, Debug)]
pub struct SnsPush {
    client: Client,
}

impl SnsPush {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        // Which service is behind the endpoint only SNS knows, and it would tell us of a payload too
        // large only long after it has accepted the message.
        let payloads = Payloads::of(message).and_then(|payloads| {
            payloads.fits_fcm()?;
            payloads.fits_apns()?;
            Ok(payloads)
        });
        let payloads = match payloads {
            Ok(payloads) => payloads,
            Err(failure) => return Outcome::Rejected(failure),
        };
        if !is_device(&message.to) {
            return Outcome::Rejected(not_a_device());
        }
        let body = push_body(payloads);
        let call = self
            .client
            .publish()
            .target_arn(message.to.as_str())
            .message_structure("json")
            .message(body);
        let departure = Departure::default();
        let call = call.customize().interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(answer) => accepted(answer.message_id),
            Err(error) => answer::outcome(Fault::of(&error, &departure), classify),
        }
    }

    /// Asks for the first platform applications; sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let departure = Departure::default();
        let call = self
            .client
            .list_platform_applications()
            .customize()
            .interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(_) => Ok(()),
            Err(error) => aws::verdict(Fault::of(&error, &departure)),
        }
    }
}

/// `arn:PARTITION:sns:REGION:ACCOUNT:endpoint/PLATFORM/APPLICATION/ID`, or no ARN at all, which SNS
/// itself refuses. `Publish` takes topics too; our own credentials may well reach the one that
/// reports to us, and what is published there passes for the provider's word.
fn is_device(target: &Address) -> bool {
    if target.form() != Form::Arn {
        return true;
    }
    let parts: Vec<&str> = target.as_str().split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "sns", _, _, resource] if resource.starts_with("endpoint/"))
}

/// The message of `MessageStructure=json`: one payload for each platform, each JSON inside a JSON
/// string (SNS developer guide, "Sending platform-specific payloads").
fn push_body(payloads: Payloads) -> String {
    let Payloads { text, fcm, apns } = payloads;
    let fcm = json!({ "fcmV1Message": { "message": fcm } }).to_string();
    let body = json!({ "default": text, "GCM": fcm, "APNS": apns.clone(), "APNS_SANDBOX": apns });
    body.to_string()
}

/// A number or name that is not the account's, or not for this country, when it is a business's own.
fn of_own_sender(message: &Outgoing, answer: &Answer) -> Option<Outcome> {
    let text = answer.text.to_ascii_lowercase();
    let about_the_sender = ["origination", "senderid", "sender id"]
        .iter()
        .any(|words| text.contains(words));
    (message.sender.is_some() && answer.status == 400 && about_the_sender)
        .then(|| Outcome::Rejected(answer.failure(Category::Credentials)))
}

/// The errors of `Publish` (SNS API reference).
fn classify(answer: &Answer) -> Outcome {
    let rejected = |category| Outcome::Rejected(answer.failure(category));
    match answer.code.as_deref() {
        Some("InvalidParameter") if answer.text.contains("Invalid parameter: Message") => {
            rejected(Category::ContentRejected)
        }
        Some("InvalidParameter" | "EndpointDisabled" | "NotFound") => {
            rejected(Category::InvalidAddress)
        }
        Some("ParameterValueInvalid" | "ValidationException" | "ValidationError") => {
            rejected(Category::ContentRejected)
        }
        Some(
            "PlatformApplicationDisabled"
            | "KMSAccessDenied"
            | "KMSDisabled"
            | "KMSInvalidState"
            | "KMSNotFound"
            | "KMSOptInRequired",
        ) => Outcome::Broken {
            why: answer.trouble(),
        },
        _ => aws::common(answer),
    }
}
