//! An entry of the contact history as JSON.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use super::timeline::{Moment, timeline};
use crate::domain::time::Timestamp;
use crate::store::history::{EVENTS_MAX, Entry, Story};
use crate::store::story::{Trouble, Wait, Waiting};

/// One contact. What only a single entry shows is absent from lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub(super) struct EntryJson {
    id: String,
    client_id: String,
    client_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    date: Timestamp,
    /// The staff member's name, `Automated`, or `No Staff` for an entry made by hand.
    user: String,
    staff_id: Option<String>,
    /// `email`, `sms`, `push`, `in_person`, `mail` or `phone`.
    #[schema(example = "email")]
    method: &'static str,
    /// The name of the notification.
    #[serde(rename = "type")]
    type_name: String,
    contact_type: String,
    /// The headline of `statuses`; null for entries made by hand.
    #[schema(example = "Bounced")]
    status: Option<&'static str>,
    /// Every status that holds, the earlier first.
    statuses: Vec<&'static str>,
    /// Why it bounced or failed; of a single entry that awaits its send, also what it waits for.
    reason: Option<Reason>,
    /// `Inbound` or `Outbound`.
    #[schema(example = "Outbound")]
    channel: &'static str,
    to: Option<String>,
    description: Option<String>,
    /// Up to five short words of the content, or those that staff chose.
    tags: Vec<String>,
    resend_of: Option<String>,
    /// The template that the content was made from, at the version that was current.
    template: Option<TemplateJson>,
    resendable: bool,
    provider: Option<String>,
    provider_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<i64>,
    /// While it waits: when it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// It may or may not have been sent, and `POST …/decide` may say what is to become of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undecided: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    send_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    facts: FactsJson,
    /// What happened, by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<Moment>>,
    /// There is more than the timeline shows; `facts` count everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timeline_shortened: bool,
    #[schema(value_type = Object)]
    metadata: Map<String, Json>,
}

impl EntryJson {
    /// As a line of a list.
    pub(super) fn brief(entry: Entry) -> Self {
        let (statuses, shown) = (entry.statuses(), FactsJson::new(&entry));
        let sent = entry.facts.sent.as_ref();
        let reason = entry.trouble().map(Reason::from);
        Self {
            id: entry.id.to_string(),
            client_id: entry.client_id,
            client_name: entry.client_name,
            date: entry.date,
            user: entry.user,
            staff_id: entry.staff_id,
            method: entry.method.as_str(),
            type_name: entry.type_name,
            contact_type: entry.contact_type,
            status: statuses.first().map(|status| status.as_str()),
            reason,
            statuses: statuses.iter().map(|status| status.as_str()).collect(),
            channel: entry.channel.as_str(),
            to: entry.to,
            description: entry.description,
            tags: entry.tags,
            resend_of: entry.resend_of.map(|id| id.to_string()),
            template: entry.template.map(|template| TemplateJson {
                name: template.name,
                version: template.version.to_string(),
            }),
            resendable: !entry.manual && entry.method.is_resendable() && entry.content_id.is_some(),
            provider: sent.map(|sent| sent.provider.clone()),
            provider_message_id: sent.and_then(|sent| sent.provider_message_id.clone()),
            attempts: None,
            next_attempt_at: None,
            undecided: false,
            send_at: entry.send_at,
            expires_at: entry.expires_at,
            facts: shown,
            timeline: None,
            timeline_shortened: false,
            metadata: entry.metadata.unwrap_or_default(),
        }
    }

    /// As one of those that wait for a decision.
    pub(super) fn held(entry: Entry, held_at: Option<Timestamp>) -> Self {
        Self {
            reason: held_at.map(|at| Reason {
                category: Wait::Held.as_str(),
                text: format!(
                    "It may have been sent: the answer was lost at {}, and nothing has shown since \
                     whether it arrived. It waits for a decision.",
                    at.plainly()
                )
                .into(),
                remedy: Wait::Held.remedy(),
                provider_text: None,
            }),
            undecided: true,
            ..Self::brief(entry)
        }
    }

    pub(super) fn with_story(entry: Entry, story: &Story) -> Self {
        let last = story.attempts.iter().map(|attempt| attempt.number).max();
        let shown = i64::try_from(story.events.len()).unwrap_or(i64::MAX);
        let waiting = story
            .waiting(&entry)
            .map(|waiting| Reason::of_waiting(&waiting));
        let undecided = story.is_undecided(&entry);
        let timeline = timeline(&entry, story);
        let brief = Self::brief(entry);
        Self {
            reason: brief.reason.or(waiting),
            undecided,
            attempts: Some(last.unwrap_or(0)),
            next_attempt_at: story.next_due_at,
            timeline: Some(timeline),
            timeline_shortened: shown >= EVENTS_MAX,
            ..brief
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateOfEntry)]
struct TemplateJson {
    name: String,
    version: String,
}

/// Why a message bounced or failed, or what it waits for: in plain words, and in the provider's.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Reason {
    /// While it awaits its send: `scheduled`, `queued`, `sending`, `retrying` or `held`; `braked`, `paused` or
    /// `no_provider` where others of its kind wait as well.
    #[schema(example = "mailbox_full")]
    category: &'static str,
    /// For staff.
    text: Cow<'static, str>,
    /// What can be done, where something can be done.
    remedy: Option<&'static str>,
    /// For operators.
    provider_text: Option<String>,
}

impl From<Trouble<'_>> for Reason {
    fn from(trouble: Trouble<'_>) -> Self {
        Self {
            category: trouble.category.as_str(),
            text: trouble.sentence.into(),
            remedy: trouble.remedy,
            provider_text: trouble.provider_text.map(str::to_owned),
        }
    }
}

impl Reason {
    fn of_waiting(waiting: &Waiting<'_>) -> Self {
        Self {
            category: waiting.category(),
            text: waiting.sentence().into(),
            remedy: waiting.remedy(),
            provider_text: waiting.provider_text().map(str::to_owned),
        }
    }
}

/// What is known; a fact that is not known is absent.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Facts)]
struct FactsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed: Option<DelayedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bounced: Option<BouncedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complained: Option<ComplainedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<OpenedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clicked: Option<ClickedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<FailedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribed: Option<At>,
}

#[derive(Debug, Serialize, ToSchema)]
struct At {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// The latest delay.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delayed)]
struct DelayedJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    delay_type: Option<String>,
}

/// The most severe bounce.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bounced)]
struct BouncedJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `permanent`, `transient` or `undetermined`.
    #[schema(example = "transient")]
    kind: &'static str,
    /// The provider's finer name.
    subtype: Option<String>,
    /// Enhanced status code (RFC 3463).
    status: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Complained)]
struct ComplainedJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    feedback_type: Option<String>,
}

/// Opens that were seen; a click implies one (count 0).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Opened)]
struct OpenedJson {
    #[schema(value_type = String, format = DateTime)]
    first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
    count: i64,
    /// Every open so far looks machine-made.
    likely_automatic: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clicked)]
struct ClickedJson {
    #[schema(value_type = String, format = DateTime)]
    first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
    count: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failed)]
struct FailedJson {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    code: Option<String>,
    category: &'static str,
}

impl FactsJson {
    fn new(entry: &Entry) -> Self {
        let facts = &entry.facts;
        let at = |at| At { at };
        let opened = facts.opened_or_implied().map(|opened| OpenedJson {
            first_at: opened.first_at,
            last_at: opened.last_at,
            count: opened.count,
            likely_automatic: entry.opens_likely_automatic(),
        });
        let bounced = facts.bounced.as_ref().map(|bounced| BouncedJson {
            at: bounced.at,
            kind: bounced.bounce.severity.as_str(),
            subtype: bounced.bounce.subtype.clone(),
            status: bounced.bounce.status.clone(),
        });
        Self {
            sent: facts.sent.as_ref().map(|sent| at(sent.at)),
            delivered: facts.delivered_at.map(at),
            delayed: facts.delayed.as_ref().map(|delayed| DelayedJson {
                at: delayed.at,
                delay_type: delayed.delay_type.clone(),
            }),
            bounced,
            complained: facts.complained.as_ref().map(|complained| ComplainedJson {
                at: complained.at,
                feedback_type: complained.feedback_type.clone(),
            }),
            opened,
            clicked: facts.clicked.as_ref().map(|clicked| ClickedJson {
                first_at: clicked.first_at,
                last_at: clicked.last_at,
                count: clicked.count,
            }),
            failed: facts.failed.as_ref().map(|failed| FailedJson {
                at: failed.at,
                code: failed.failure.code.clone(),
                category: failed.failure.category.as_str(),
            }),
            unsubscribed: facts.unsubscribed_at.map(at),
        }
    }
}
