//! What an SES account needs beside keys that work, so that messages go and their feedback comes: looked
//! at by `doctor`, each with how to mend it. Reads only.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_sesv2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sesv2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::primitives::{DateTime, DateTimeFormat};
use aws_sdk_sesv2::types::{EventDestination, EventType, SnsDestination};

use super::SesSettings;
use super::aws::ACCESS_CODES;
use crate::domain::time::Timestamp;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub what: String,
    pub found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Well,
    /// What is wrong, and how to mend it.
    Trouble(String),
    /// It may not be looked at: what would allow it.
    Unseen(String),
}

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub settings: &'a SesSettings,
    /// The address that messages are from.
    pub sender: &'a str,
    /// Businesses that write from an address of their own, with it.
    pub senders: &'a [(String, String)],
    /// ARNs of the topics that may report to us.
    pub topics: &'a [String],
    /// Feedback is read from queues, the only way by which events of `EventBridge` come.
    pub queues: bool,
    pub now: fn() -> Timestamp,
}

/// AWS refuses signatures that are five minutes off (AWS Signature Version 4); this leaves time to mend it.
pub const SKEW_MAX: Duration = Duration::from_mins(1);

/// What our statuses are made of. SES reports each only if its event destination names it.
const EVENTS: [EventType; 6] = [
    EventType::Delivery,
    EventType::Bounce,
    EventType::Complaint,
    EventType::Reject,
    EventType::RenderingFailure,
    EventType::DeliveryDelay,
];

/// Looks at everything; each call is answered or not on its own.
pub async fn look(wanted: Wanted<'_>) -> Vec<Look> {
    let client = wanted.settings.client().await;
    let (mut looks, answers) = account(&client, wanted.now).await;
    if !answers {
        // The rest would wait for the same nothing.
        return looks;
    }
    looks.extend(identities(&client, &wanted).await);
    if let Some(set) = &wanted.settings.configuration_set {
        looks.push(events(&client, set, &wanted).await);
    } else {
        let remedy = "no configuration set is named, so SES reports nothing of what becomes of the \
                      messages: make one as docs/aws.md shows, and set ses.configuration_set";
        looks.push(Look::new(
            "SES configuration set",
            Found::Trouble(remedy.to_owned()),
        ));
    }
    looks
}

impl Look {
    fn new(what: impl Into<String>, found: Found) -> Self {
        let what = what.into();
        Self { what, found }
    }
}

/// May it send, to whom, and is our clock right? And whether SES answers at all.
async fn account(client: &Client, now: fn() -> Timestamp) -> (Vec<Look>, bool) {
    let date = Date::default();
    let call = client.get_account().customize().interceptor(date.clone());
    let answer = call.send().await;
    let answers = answer
        .as_ref()
        .map_or_else(|failed| failed.raw_response().is_some(), |_| true);
    let (sending, access) = match answer {
        Ok(account) => (
            trouble_if(
                !account.sending_enabled(),
                "sending is switched off for this account: see the account dashboard of SES for why, and \
                 ask AWS to switch it on",
            ),
            trouble_if(
                !account.production_access_enabled(),
                "the account is in the SES sandbox: it sends to verified addresses alone. Ask for \
                 production access (docs/aws.md)",
            ),
        ),
        Err(failed) => {
            let found = unseen(&failed, "ses:GetAccount");
            (found.clone(), found)
        }
    };
    let clock = match date.skew(now()) {
        Some(skew) if skew > SKEW_MAX => Found::Trouble(format!(
            "it is {} seconds off the clock of AWS, which refuses requests that are 300 off: run an NTP \
             client (chrony, systemd-timesyncd)",
            skew.as_secs()
        )),
        Some(_) => Found::Well,
        None => Found::Unseen("SES told no time".to_owned()),
    };
    let looks = vec![
        Look::new("SES sending", sending),
        Look::new("SES production access", access),
        Look::new("clock", clock),
    ];
    (looks, answers)
}

/// Of each sender; an address that several write from is asked for once.
async fn identities(client: &Client, wanted: &Wanted<'_>) -> Vec<Look> {
    let (mut looks, mut known) = (Vec::new(), HashMap::new());
    let own = wanted.senders.iter();
    let own = own.map(|(business, sender)| (format!("SES identity of {business}"), &**sender));
    for (what, sender) in [("SES identity".to_owned(), wanted.sender)]
        .into_iter()
        .chain(own)
    {
        let found = match known.get(sender) {
            Some(found) => Found::clone(found),
            None => identity(client, sender).await,
        };
        known.insert(sender, found.clone());
        looks.push(Look::new(what, found));
    }
    looks
}

/// The address itself, or else its domain, is verified.
async fn identity(client: &Client, sender: &str) -> Found {
    let domain = sender.rsplit_once('@').map_or(sender, |(_, domain)| domain);
    let mut last = Found::Well;
    for identity in [sender, domain] {
        let call = client.get_email_identity().email_identity(identity);
        last = match call.send().await {
            Ok(found) if found.verified_for_sending_status() => {
                return Found::Well;
            }
            Ok(_) => Found::Trouble(format!(
                "{identity} is not verified yet: publish the DNS records that SES shows for it, or follow \
                 the link in its mail"
            )),
            Err(failed) if is_absent(&failed) => last,
            Err(failed) => unseen(&failed, "ses:GetEmailIdentity"),
        };
    }
    if last == Found::Well {
        last = Found::Trouble(format!(
            "neither the sender's address nor {domain} is an identity of SES in this region: aws sesv2 \
             create-email-identity --email-identity {domain}"
        ));
    }
    last
}

/// The configuration set reports what we use to a topic that we believe.
async fn events(client: &Client, set: &str, wanted: &Wanted<'_>) -> Look {
    let what = format!("SES configuration set {set}");
    let call = client
        .get_configuration_set_event_destinations()
        .configuration_set_name(set);
    let found = match call.send().await {
        Ok(answer) => judge(answer.event_destinations(), set, wanted),
        Err(failed) if is_absent(&failed) => Found::Trouble(format!(
            "there is none of this name in this region, and SES refuses messages that name it: aws sesv2 \
             create-configuration-set --configuration-set-name {set}"
        )),
        Err(failed) => unseen(&failed, "ses:GetConfigurationSetEventDestinations"),
    };
    Look::new(what, found)
}

fn judge(destinations: &[EventDestination], set: &str, wanted: &Wanted<'_>) -> Found {
    // By a queue of EventBridge no topic is needed.
    let by_bridge = |destination: &EventDestination| {
        destination.enabled() && destination.event_bridge_destination().is_some()
    };
    let reports = |destination: &&EventDestination| {
        let topic = destination.sns_destination().map(SnsDestination::topic_arn);
        let believed = topic.is_some_and(|topic| wanted.topics.iter().any(|known| known == topic));
        (destination.enabled() && believed) || (wanted.queues && by_bridge(destination))
    };
    let reporting: Vec<&EventDestination> = destinations.iter().filter(reports).collect();
    if reporting.is_empty() && destinations.iter().any(by_bridge) {
        return Found::Trouble(
            "it reports to EventBridge, and nothing of that can arrive, because no queue is read: have a \
             rule of EventBridge put the events of source aws.ses into an SQS queue, and set \
             feedback.sqs.queues to its address (docs/aws.md)"
                .to_owned(),
        );
    }
    if reporting.is_empty() {
        let foreign = destinations
            .iter()
            .filter(|destination| destination.enabled())
            .find_map(|destination| destination.sns_destination());
        return Found::Trouble(match foreign {
            Some(sns) => format!(
                "it reports to {}, which may not report to us: add that to feedback.sns.topics",
                sns.topic_arn()
            ),
            None => format!(
                "no event destination of it is switched on: aws sesv2 \
                 create-configuration-set-event-destination --configuration-set-name {set} (docs/aws.md)"
            ),
        });
    }
    let reported = |event: &EventType| {
        reporting
            .iter()
            .any(|destination| destination.matching_event_types().contains(event))
    };
    let opens = wanted.settings.track_opens.then_some(EventType::Open);
    let missing: Vec<String> = EVENTS
        .into_iter()
        .chain(opens)
        .filter(|event| !reported(event))
        .map(|event| event.as_str().to_owned())
        .collect();
    if missing.is_empty() {
        return Found::Well;
    }
    Found::Trouble(format!(
        "it does not report {}, so these are never known: add them to the event types of its destination \
         (aws sesv2 update-configuration-set-event-destination)",
        missing.join(", ")
    ))
}

fn trouble_if(is_trouble: bool, words: &str) -> Found {
    if is_trouble {
        Found::Trouble(words.to_owned())
    } else {
        Found::Well
    }
}

/// A key that may only send is a good key, and cannot tell.
fn unseen<E: ProvideErrorMetadata, R>(failed: &SdkError<E, R>, action: &str) -> Found {
    match failed.as_service_error().and_then(|error| error.code()) {
        Some(code) if ACCESS_CODES.contains(&code) => Found::Unseen(format!(
            "the key may not look: allow {action} (docs/aws.md)"
        )),
        Some(code) => Found::Unseen(format!("SES answered {code} to {action}")),
        None => Found::Unseen("SES did not answer".to_owned()),
    }
}

fn is_absent<E: ProvideErrorMetadata, R>(failed: &SdkError<E, R>) -> bool {
    let code = failed.as_service_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("NotFound") || code == "ConfigurationSetDoesNotExist")
}

/// The time at which an answer was made, as its server has it.
#[derive(Clone, Default)]
struct Date(Arc<Mutex<Option<DateTime>>>);

impl Date {
    fn skew(&self, now: Timestamp) -> Option<Duration> {
        let date = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = date?.to_millis().ok()?;
        Some(Duration::from_millis(theirs.abs_diff(now.as_millis())))
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Date")
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let header = context.response().headers().get("date");
        let date = header.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::types::EventBridgeDestination;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:events";

    fn destination(enabled: bool, events: &[EventType]) -> EventDestination {
        let sns = SnsDestination::builder().topic_arn(TOPIC).build();
        let destination = EventDestination::builder()
            .name("sns")
            .enabled(enabled)
            .set_matching_event_types(Some(events.to_vec()))
            .sns_destination(sns.expect("all of it is given"));
        destination.build().expect("all of it is given")
    }

    fn by_event_bridge() -> EventDestination {
        let bus = "arn:aws:events:eu-west-1:123456789012:event-bus/default";
        let bus = EventBridgeDestination::builder().event_bus_arn(bus).build();
        let destination = EventDestination::builder()
            .name("bus")
            .enabled(true)
            .set_matching_event_types(Some(EVENTS.to_vec()))
            .event_bridge_destination(bus.expect("all of it is given"));
        destination.build().expect("all of it is given")
    }

    #[test]
    fn what_event_bridge_reports_arrives_only_where_a_queue_is_read() {
        let settings = SesSettings {
            track_opens: false,
            ..SesSettings::default()
        };
        let topics = [TOPIC.to_owned()];
        let judged = |destinations: &[EventDestination], queues| {
            let wanted = Wanted {
                settings: &settings,
                sender: "a@example.com",
                senders: &[],
                topics: &topics,
                queues,
                now: || Timestamp::EPOCH,
            };
            judge(destinations, "sendtrail", &wanted)
        };
        assert_eq!(judged(&[by_event_bridge()], true), Found::Well);
        let Found::Trouble(said) = judged(&[by_event_bridge()], false) else {
            panic!("nothing can arrive");
        };
        assert!(said.contains("set feedback.sqs.queues"), "{said}");
        // A topic that is believed does without.
        let both = [by_event_bridge(), destination(true, &EVENTS)];
        assert_eq!(judged(&both, false), Found::Well);
        let both = [by_event_bridge(), destination(true, &EVENTS[1..])];
        assert!(matches!(judged(&both, false), Found::Trouble(said) if said.contains("DELIVERY")));
    }

    fn judged(destinations: &[EventDestination], topics: &[String], track_opens: bool) -> Found {
        let settings = SesSettings {
            track_opens,
            ..SesSettings::default()
        };
        let wanted = Wanted {
            settings: &settings,
            sender: "a@example.com",
            senders: &[],
            topics,
            queues: false,
            now: || Timestamp::EPOCH,
        };
        judge(destinations, "sendtrail", &wanted)
    }

    #[test]
    fn a_configuration_set_must_report_what_is_used_to_a_topic_that_is_believed() {
        let topics = [TOPIC.to_owned()];
        let all = destination(true, &EVENTS);
        assert_eq!(
            judged(std::slice::from_ref(&all), &topics, false),
            Found::Well
        );
        for (destinations, topics, opens, words) in [
            (vec![all.clone()], &topics[..], true, "OPEN"),
            (vec![all], &[], false, "feedback.sns.topics"),
            (
                vec![destination(true, &EVENTS[1..])],
                &topics,
                false,
                "not report DELIVERY,",
            ),
            (
                vec![destination(false, &EVENTS)],
                &topics,
                false,
                "switched on",
            ),
            (Vec::new(), &topics, false, "switched on"),
        ] {
            let Found::Trouble(said) = judged(&destinations, topics, opens) else {
                panic!("{words}")
            };
            assert!(said.contains(words), "{words} in {said}");
        }
    }
}
