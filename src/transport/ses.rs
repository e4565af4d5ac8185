//! Email by Amazon SES, API version 2: `SendEmail` with a raw message, one recipient per call.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, MessageTag, RawMessage};
use secrecy::SecretString;
use serde::Deserialize;

use super::answer::{self, Answer, Fault, accepted};
use super::aws::{self, Access, Departure};
use super::mime::{self, EmailSettings, Recipient, Sender};
use super::settings::{Problem, check_rates};
use super::{NoQuota, Quota};
use crate::clock::Clock;
use crate::domain::message::{Content, Outgoing};
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;

/// The section `[ses]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SesSettings {
    /// Instead of the region's own address.
    pub endpoint_url: Option<String>,
    /// None: from the standard AWS chain.
    pub region: Option<String>,
    /// With its secret; none: the standard AWS chain.
    pub access_key_id: Option<SecretString>,
    pub secret_access_key: Option<SecretString>,
    /// The configuration set whose event destination reports to us.
    pub configuration_set: Option<String>,
    /// The configuration set reports opens.
    pub track_opens: bool,
    /// Messages a second at most; none: the account's quota.
    pub max_per_second: Option<f64>,
    /// Messages a second to begin with; none: the account's quota.
    pub initial_per_second: Option<f64>,
    pub connect_timeout_ms: u64,
    /// For one whole request, in milliseconds. SES answers a plain message in well under a second.
    pub timeout_ms: u64,
}

impl Default for SesSettings {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            configuration_set: None,
            track_opens: false,
            max_per_second: None,
            initial_per_second: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
        }
    }
}

impl SesSettings {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.access().validate(&mut problems);
        check_configuration_set(&mut problems, self.configuration_set.as_deref());
        check_rates(
            &mut problems,
            ("max_per_second", self.max_per_second),
            ("initial_per_second", self.initial_per_second),
        );
        if self.track_opens && self.configuration_set.is_none() {
            problems.push(Problem::new(
                "track_opens",
                "needs a configuration_set: SES reports opens only through one",
            ));
        }
        problems
    }

    pub(super) async fn client(&self) -> Client {
        Client::new(&self.access().config().await)
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
}

/// At most 64 letters, digits, `_` and `-` (SES, `CreateConfigurationSet`). With another name SES
/// sends and silently reports nothing.
pub(super) fn check_configuration_set(problems: &mut Vec<Problem>, name: Option<&str>) {
    let fits = |name: &str| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if name.is_some_and(|name| !fits(name)) {
        problems.push(Problem::new(
            "configuration_set",
            "is no such name: 1 to 64 letters, digits, _ and -",
        ));
    }
}

/// Sends email by the SES API. Cheap to share; keeps its connections open.
#[derive(Clone, Debug)]
pub struct Ses {
    client: Client,
    sender: Sender,
    configuration_set: Option<String>,
    track_opens: bool,
    clock: Clock,
}

impl Ses {
    pub async fn new(
        settings: &SesSettings,
        email: &EmailSettings,
        clock: Clock,
    ) -> Result<Self, Problem> {
        let sender = Sender::parse(&email.from)?;
        Ok(Self {
            client: settings.client().await,
            sender,
            configuration_set: settings.configuration_set.clone(),
            track_opens: settings.track_opens,
            clock,
        })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let mail = Recipient::new(message).and_then(|recipient| {
            if recipient.needs_utf8() {
                return Err(mime::utf8_address_refused());
            }
            let date = self.clock.now();
            let sender = self.sender.of_message(message)?;
            let raw = mime::build(&sender, &recipient, message, date, &[])?;
            Ok((sender, recipient, raw))
        });
        let (sender, recipient, raw) = match mail {
            Ok(mail) => mail,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let raw = RawMessage::builder()
            .data(Blob::new(raw))
            .build()
            .expect("the data is set");
        let tag = MessageTag::builder()
            .name("notification_id")
            .value(message.id.to_string())
            .build()
            .expect("name and value are set");
        let call = self
            .client
            .send_email()
            .from_email_address(&sender.address)
            .destination(
                Destination::builder()
                    .to_addresses(recipient.address)
                    .build(),
            )
            .content(EmailContent::builder().raw(raw).build())
            .email_tags(tag)
            .set_configuration_set_name(self.configuration_set.clone());
        let departure = Departure::default();
        let call = call.customize().interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(answer) => accepted(answer.message_id),
            Err(error) => answer::outcome(Fault::of(&error, &departure), |answer| {
                of_own_sender(message, answer).unwrap_or_else(|| classify(answer))
            }),
        }
    }

    pub(super) fn opens_tracked(&self, content: &Content) -> bool {
        self.track_opens && matches!(content, Content::Email { html: Some(_), .. })
    }

    /// Asks for the account's state (`GetAccount`); sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let departure = Departure::default();
        let call = self
            .client
            .get_account()
            .customize()
            .interceptor(departure.clone());
        match Box::pin(call.send()).await {
            Ok(account) if account.sending_enabled => Ok(()),
            Ok(_) => Err(Trouble::new(
                Some("SendingPaused"),
                "sending is paused for this SES account: see its reputation page",
            )),
            Err(error) => aws::verdict(Fault::of(&error, &departure)),
        }
    }
}

impl Ses {
    /// What `GetAccount` says of the account's send quota.
    pub(super) async fn quota(&self) -> Result<Quota, NoQuota> {
        let departure = Departure::default();
        let call = self
            .client
            .get_account()
            .customize()
            .interceptor(departure.clone());
        let account = Box::pin(call.send())
            .await
            .map_err(|error| aws::no_quota(Fault::of(&error, &departure)))?;
        let quota = account.send_quota.filter(|quota| quota.max_send_rate > 0.0);
        let quota = quota.ok_or_else(|| {
            NoQuota::Trouble(Trouble::new(None, "the answer holds no send quota"))
        })?;
        Ok(Quota {
            per_second: quota.max_send_rate,
            // -1: unlimited (SES API reference, SendQuota).
            per_day: Some(quota.max24_hour_send).filter(|most| *most >= 0.0),
            sent_today: quota.sent_last24_hours,
        })
    }
}

/// The daily quota is counted over the last 24 hours, so a little of it comes back all the time:
/// ask again once an hour.
pub(super) const DAILY_QUOTA_PAUSE: Duration = Duration::from_hours(1);

/// SES refuses a sender that nobody has verified. When it is one business's own, the others can go
/// on.
fn of_own_sender(message: &Outgoing, answer: &Answer) -> Option<Outcome> {
    let about_the_sender = match answer.code.as_deref() {
        Some("MessageRejected") => answer.text.to_ascii_lowercase().contains("not verified"),
        Some("MailFromDomainNotVerifiedException") => true,
        _ => false,
    };
    (message.sender.is_some() && about_the_sender)
        .then(|| Outcome::Rejected(answer.failure(Category::Credentials)))
}

/// The errors of `SendEmail` (SES API reference, version 2).
fn classify(answer: &Answer) -> Outcome {
    let text = answer.text.to_ascii_lowercase();
    match answer.code.as_deref() {
        Some("LimitExceededException") => Outcome::Throttled {
            after: Some(DAILY_QUOTA_PAUSE),
            why: answer.trouble(),
        },
        Some("ThrottlingException" | "Throttling") if text.contains("daily") => {
            Outcome::Throttled {
                after: Some(DAILY_QUOTA_PAUSE),
                why: answer.trouble(),
            }
        }
        // A sender that nobody has verified is refused message by message, under the same name as
        // bad content; in the SES sandbox a recipient is.
        Some("MessageRejected") if text.contains("not verified") => Outcome::Broken {
            why: answer.trouble(),
        },
        Some("MessageRejected") => Outcome::Rejected(answer.failure(Category::ContentRejected)),
        Some("BadRequestException") => {
            let about_the_address = ["address", "domain", "recipient"]
                .iter()
                .any(|word| text.contains(word));
            Outcome::Rejected(answer.failure(if about_the_address {
                Category::InvalidAddress
            } else {
                Category::ContentRejected
            }))
        }
        Some(
            "SendingPausedException"
            | "AccountSuspendedException"
            | "MailFromDomainNotVerifiedException"
            | "NotFoundException",
        ) => Outcome::Broken {
            why: answer.trouble(),
        },
        _ => aws::common(answer),
    }
}
