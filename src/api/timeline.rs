//! The timeline of one notification: its events and the attempts that came to nothing, by time.

use serde::Serialize;
use utoipa::ToSchema;

use super::entries::Reason;
use crate::domain::event::{Event, What};
use crate::domain::time::Timestamp;
use crate::store::history::{Attempt, Entry, Story};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Moment {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[serde(flatten)]
    happened: Happened,
}

/// In the order of what usually follows what, which decides between moments of one instant.
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
        /// The user agent is a known prefetcher or image proxy.
        by_machine: bool,
        user_agent: Option<String>,
    },
    Clicked {
        link: Option<String>,
    },
    Complained {
        feedback_type: Option<String>,
    },
    ComplaintWithdrawn,
    Unsubscribed {
        how: Option<String>,
    },
}

impl Happened {
    const fn rank(&self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Attempt { .. } => 1,
            Self::Sent { .. } => 2,
            Self::Delayed { .. } => 3,
            Self::Delivered { .. } => 4,
            Self::Bounced { .. } | Self::Failed { .. } => 5,
            Self::Opened { .. } => 6,
            Self::Clicked { .. } => 7,
            Self::Complained { .. } | Self::ComplaintWithdrawn | Self::Unsubscribed { .. } => 8,
        }
    }
}

/// Empty for entries made by hand: nothing was queued or sent.
pub(super) fn timeline(entry: &Entry, story: &Story) -> Vec<Moment> {
    if entry.manual {
        return Vec::new();
    }
    let queued = Moment {
        at: entry.date,
        happened: Happened::Queued,
    };
    let mut moments = vec![queued];
    moments.extend(story.attempts.iter().filter_map(fruitless));
    let mut is_sent = false;
    for event in &story.events {
        // Our own record of the acceptance and the provider's report of it are one moment.
        let repeated =
            matches!(event.what, What::Accepted { .. }) && std::mem::replace(&mut is_sent, true);
        if !repeated {
            moments.push(Moment {
                at: event.occurred_at,
                happened: happened(event),
            });
        }
    }
    moments.sort_by_key(|moment| (moment.at, moment.happened.rank()));
    moments
}

/// Accepted and rejected attempts have events of their own.
fn fruitless(attempt: &Attempt) -> Option<Moment> {
    if matches!(attempt.outcome.as_str(), "accepted" | "rejected") {
        return None;
    }
    Some(Moment {
        at: attempt.finished_at,
        happened: Happened::Attempt {
            outcome: attempt.outcome.clone(),
            provider: attempt.provider.clone(),
            code: attempt.code.clone(),
            text: attempt.text.clone(),
            next_at: attempt.next_at,
        },
    })
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
                reason: Reason::of_failure(&failure),
                code: failure.code,
            }
        }
        What::Delivered { response } => Happened::Delivered {
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
            reason: Reason::of_bounce(&bounce),
            subtype: bounce.subtype,
            status: bounce.status,
        },
        What::Complained { feedback_type } => Happened::Complained { feedback_type },
        What::ComplaintWithdrawn => Happened::ComplaintWithdrawn,
        What::Opened {
            user_agent,
            by_machine,
        } => Happened::Opened {
            by_machine,
            user_agent,
        },
        What::Clicked { link } => Happened::Clicked { link },
        What::Unsubscribed { how } => Happened::Unsubscribed { how },
    }
}
