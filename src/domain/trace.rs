//! The trace of a notification (OpenTelemetry, W3C Trace Context): its id is the notification's own, so
//! whoever knows the one finds the other, and every process adds to it without being told of it. No step
//! carries an address or a content.

use super::event::{Event, What};
use super::id::NotificationId;
use super::method::Method;
use super::time::Timestamp;

/// One span of the trace of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub notification: NotificationId,
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub what: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The root: it was taken over.
    Enqueued { method: Method },
    /// A provider was asked to take it.
    Attempted {
        number: u32,
        provider: &'static str,
        /// A word of [`super::outcome::Outcome`].
        outcome: &'static str,
    },
    /// Something that happened to it became known.
    Told {
        /// A word of [`What::kind`].
        kind: &'static str,
        source: String,
        occurred_at: Timestamp,
        span: u64,
    },
}

impl Step {
    /// What a new event tells; none where an attempt tells it already.
    pub fn of_event(event: &Event, now: Timestamp) -> Option<Self> {
        if let What::Accepted { .. } = event.what {
            return None;
        }
        Some(Self {
            notification: event.notification,
            began_at: now,
            ended_at: now,
            what: Stage::Told {
                kind: event.what.kind(),
                source: event.source.clone(),
                occurred_at: event.occurred_at,
                span: event.key.0.as_u64_pair().1,
            },
        })
    }

    /// The span's id: the same whoever tells of the step, and however often.
    pub fn span(&self) -> u64 {
        let root = root(self.notification);
        match &self.what {
            Stage::Enqueued { .. } => root,
            Stage::Attempted { number, .. } => root.wrapping_add(u64::from(*number)),
            Stage::Told { span, .. } => *span,
        }
    }

    /// The span that it belongs under; none for the root.
    pub fn parent(&self) -> Option<u64> {
        match &self.what {
            Stage::Enqueued { .. } => None,
            Stage::Attempted { .. } | Stage::Told { .. } => Some(root(self.notification)),
        }
    }
}

/// The root span of a notification's trace.
pub fn root(notification: NotificationId) -> u64 {
    notification.uuid().as_u64_pair().1
}

/// The share of notifications that are traced. It is decided by the notification's id, so that every
/// process decides alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of the random bits of an id, those below it.
    below: u64,
}

/// The random bits of a trace id that decide, the last ones (W3C Trace Context, Level 2).
const RANDOM_BITS: u32 = 56;

impl Sampling {
    /// From nothing (0) to all (1).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share from 0 to 1 of 2^56 fits, and its last digits do not matter"
    )]
    pub fn share(share: f64) -> Self {
        let all = 1_u64 << RANDOM_BITS;
        let below = (share.clamp(0.0, 1.0) * all as f64) as u64;
        Self { below }
    }

    pub fn takes(self, notification: NotificationId) -> bool {
        let random = root(notification) & ((1 << RANDOM_BITS) - 1);
        random < self.below
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(random: u128) -> NotificationId {
        NotificationId::new(Uuid::from_u128(
            (0x0190_a000 << 96) | (7 << 76) | (2 << 62) | random,
        ))
    }

    #[test]
    fn of_many_notifications_the_share_is_traced_and_always_the_same_ones() {
        let ids: Vec<_> = (0..1_000_u128)
            .map(|i| id(i * ((1 << 56) / 1_000)))
            .collect();
        for (share, wanted) in [(0.0, 0), (0.1, 100), (0.5, 500), (1.0, 1_000), (7.0, 1_000)] {
            let sampling = Sampling::share(share);
            let taken = ids.iter().filter(|id| sampling.takes(**id)).count();
            assert!(taken.abs_diff(wanted) <= 1, "{taken} of {wanted}");
            assert_eq!(sampling, Sampling::share(share));
        }
    }

    #[test]
    fn the_spans_of_a_notification_have_ids_of_their_own_under_its_root() {
        let at = Timestamp::EPOCH;
        let step = |what| Step {
            notification: id(5),
            began_at: at,
            ended_at: at,
            what,
        };
        let attempt = |number| Stage::Attempted {
            number,
            provider: "ses",
            outcome: "accepted",
        };
        let enqueued = step(Stage::Enqueued {
            method: Method::Email,
        });
        let (first, second) = (step(attempt(1)), step(attempt(2)));
        assert_eq!(enqueued.parent(), None);
        assert_eq!(first.parent(), Some(enqueued.span()));
        let ids = [enqueued.span(), first.span(), second.span()];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_ne!(ids[0], 0, "no span has the id nought");
    }
}
