//! The timeline of one notification: its events and the attempts that came to nothing, by time.

use serde::Serialize;
use utoipa::ToSchema;

use super::entries::Reason;
use crate::domain::delay::Delay;
use crate::domain::event::{Event, What};
use crate::domain::time::Timestamp;
use crate::store::history::{Entry, Story};
use crate::store::story::{self, Trouble};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Moment {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[serde(flatten)]
    happened: Happened,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Happened {
    Queued,
    /// An attempt that came to nothing.
    Attempt {
        /// `try_later`, `throttled`, `broken` or `unknown`.
        outcome: String,
        provider: String,
        code: Option<String>,
        text: Option<String>,
        #[schema(value_type = Option<String>, format = DateTime)]
        next_at: Option<Timestamp>,
        /// Why it is tried again then, or waits: the end of a sentence.
        because: Option<&'static str>,
    },
    /// A person decided on an attempt of unknown outcome.
    Decided {
        /// `resend`, `give_up` or `sent`.
        action: &'static str,
        staff_id: Option<String>,
    },
    Sent {
        provider: String,
        provider_message_id: Option<String>,
    },
    Delayed {
        delay_type: Option<String>,
        provider_text: Option<String>,
    },
    Delivered {
        /// Who says so: a provider, `mail` (a mail server's report) or `application`.
        source: String,
        provider_text: Option<String>,
    },
    Bounced {
        kind: &'static str,
        subtype: Option<String>,
        /// Enhanced status code (RFC 3463).
        status: Option<String>,
        reason: Reason,
    },
    Failed {
        /// Who says so: a provider, `worker` or `application`.
        source: String,
        code: Option<String>,
        reason: Reason,
    },
    Opened {
        /// As of `delivered`.
        source: String,
        /// The user agent is a known prefetcher or image proxy.
        by_machine: bool,
        user_agent: Option<String>,
    },
    Clicked {
        /// As of `delivered`.
        source: String,
        link: Option<String>,
        user_agent: Option<String>,
    },
    Complained {
        feedback_type: Option<String>,
    },
    ComplaintWithdrawn,
    Unsubscribed {
        how: Option<String>,
    },
    Resubscribed,
}

pub(super) fn timeline(entry: &Entry, story: &Story) -> Vec<Moment> {
    let moments = story.moments(entry).into_iter().map(|moment| Moment {
        at: moment.at,
        happened: match moment.happened {
            story::Happened::Queued => Happened::Queued,
            story::Happened::Attempt(attempt) => Happened::Attempt {
                outcome: attempt.outcome.clone(),
                provider: attempt.provider.clone(),
                code: attempt.code.clone(),
                text: attempt.text.clone(),
                next_at: attempt.next_at,
                because: attempt.delay().map(Delay::because),
            },
            story::Happened::Event(event) => happened(event),
        },
    });
    moments.collect()
}

fn happened(event: &Event) -> Happened {
    match event.what.clone() {
        What::Accepted {
            provider,
            provider_message_id,
            opens_tracked: _,
        } => Happened::Sent {
            provider,
            provider_message_id,
        },
        What::Rejected(failure) | What::Undelivered(failure) | What::GaveUp(failure) => {
            Happened::Failed {
                source: event.source.clone(),
                reason: Reason::from(Trouble::from(&failure)),
                code: failure.code,
            }
        }
        What::Decided { decision, staff_id } => Happened::Decided {
            action: decision.as_str(),
            staff_id,
        },
        What::Delivered { response } => Happened::Delivered {
            source: event.source.clone(),
            provider_text: response,
        },
        What::Delayed {
            delay_type,
            diagnostic,
        } => Happened::Delayed {
            delay_type,
            provider_text: diagnostic,
        },
        What::Bounced(bounce) => Happened::Bounced {
            kind: bounce.severity.as_str(),
            reason: Reason::from(Trouble::from(&bounce)),
            subtype: bounce.subtype,
            status: bounce.status,
        },
        What::Complained { feedback_type } => Happened::Complained { feedback_type },
        What::ComplaintWithdrawn => Happened::ComplaintWithdrawn,
        What::Opened {
            user_agent,
            by_machine,
        } => Happened::Opened {
            source: event.source.clone(),
            by_machine,
            user_agent,
        },
        What::Clicked { link, user_agent } => Happened::Clicked {
            source: event.source.clone(),
            link,
            user_agent,
        },
        What::Unsubscribed { how } => Happened::Unsubscribed { how },
        What::Resubscribed => Happened::Resubscribed,
    }
}
