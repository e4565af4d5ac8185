//! Notifications, messages and outcomes for the tests of the store.

use std::time::Duration;

use sendtrail::domain::address::Address;
use sendtrail::domain::event::{EventKey, What};
use sendtrail::domain::form::Form;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::suppression::Reason;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::claims::Lost;
use sendtrail::store::enqueue::{
    ClientRef, ContentSource, Enqueue, Enqueued, Idempotency, NewNotification, Ticket,
};
use sendtrail::store::feedback::{Happening, Incoming, Report};
use sendtrail::store::jobs::{Claim, Claimed, Wanted};
use sendtrail::store::record::{Done, Left, Then, Tried};
use sendtrail::store::suppressions::NewSuppression;
use uuid::Uuid;

use crate::support::db::TestDb;

pub(crate) const BUSINESS: &str = "default";
pub(crate) const LEASE: Duration = Duration::from_mins(1);
pub(crate) const WORKER: &str = "worker-1";

/// An email to `CLIENT@example.com`.
pub(crate) fn email(client: &str) -> NewNotification {
    NewNotification {
        client: ClientRef {
            id: client.to_owned(),
            ..ClientRef::default()
        },
        method: Method::Email,
        to: Address::parse(
            Method::Email,
            &format!("{}@example.com", client.to_lowercase()),
        )
        .ok(),
        type_name: "Booking confirmation".to_owned(),
        contact_type: "Client Notifications".to_owned(),
        content: ContentSource::New(Content::Email {
            subject: "See you on Monday".to_owned(),
            text: Some(format!("Dear {client}")),
            html: None,
            reply_to: None,
            attachments: Vec::new(),
        }),
        files: Vec::new(),
        template: None,
        staff_id: None,
        send_at: None,
        expires_at: None,
        priority: Priority::Normal,
        idempotency: None,
        metadata: None,
        resend_of: None,
        tags: None,
    }
}

pub(crate) fn sms(client: &str) -> NewNotification {
    NewNotification {
        method: Method::Sms,
        to: Address::parse(Method::Sms, "+14155550123").ok(),
        content: ContentSource::New(Content::Sms {
            text: "See you on Monday".to_owned(),
        }),
        ..email(client)
    }
}

pub(crate) fn push(client: &str) -> NewNotification {
    NewNotification {
        method: Method::Push,
        to: Address::parse(Method::Push, "token-1").ok(),
        content: ContentSource::New(Content::Push {
            title: Some("Monday".to_owned()),
            text: "See you".to_owned(),
            data: serde_json::Map::new(),
        }),
        ..email(client)
    }
}

pub(crate) fn keyed(mut new: NewNotification, key: &str, body: u128) -> NewNotification {
    new.idempotency = Some(Idempotency {
        key: key.to_owned(),
        body_digest: Uuid::from_u128(body),
    });
    new
}

pub(crate) fn request(notifications: Vec<NewNotification>) -> Enqueue {
    Enqueue {
        business: BUSINESS.to_owned(),
        notifications,
    }
}

pub(crate) fn tickets(answer: Enqueued) -> Vec<Ticket> {
    match answer {
        Enqueued::Done(tickets) => tickets,
        Enqueued::Refused(refusals) => panic!("refused: {refusals:?}"),
    }
}

/// Enqueues and returns the ids.
pub(crate) async fn enqueued(
    store: &Store,
    notifications: Vec<NewNotification>,
) -> Vec<NotificationId> {
    let answer = store.enqueue(request(notifications)).await.unwrap();
    tickets(answer)
        .into_iter()
        .map(|ticket| ticket.id)
        .collect()
}

/// Enqueues for a business that is there.
pub(crate) async fn of(
    store: &Store,
    business: &str,
    notifications: Vec<NewNotification>,
) -> Vec<NotificationId> {
    let request = Enqueue {
        business: business.to_owned(),
        notifications,
    };
    let answer = store.enqueue(request).await.unwrap();
    tickets(answer)
        .into_iter()
        .map(|ticket| ticket.id)
        .collect()
}

/// Copies of a waiting job, as a database can make them quickly.
pub(crate) async fn backlog(db: &TestDb, business: &str, count: usize) {
    of(&db.store, business, vec![email("C-1")]).await;
    let (series, id) = if db.is_postgres() {
        (
            format!("generate_series(1, {count}) AS s(n)"),
            "CAST('00000000-0000-7000-9000-' || lpad(to_hex(s.n), 12, '0') AS uuid)",
        )
    } else {
        (
            format!(
                "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) \
                 SELECT n FROM s) AS s"
            ),
            "'00000000-0000-7000-9000-' || printf('%012x', s.n)",
        )
    };
    db.execute(&format!(
        "INSERT INTO jobs (id, business_id, method, lane, due_at, ready, attempts, failures, bytes) \
         SELECT {id}, j.business_id, j.method, j.lane, j.due_at, j.ready, 0, 0, 0 \
         FROM (SELECT * FROM jobs WHERE business_id = '{business}' LIMIT 1) AS j, {series}"
    ))
    .await;
}

pub(crate) const fn wanted(method: Method, limit: usize) -> Wanted<'static> {
    Wanted {
        worker: WORKER,
        provider: "ses",
        method,
        forms: Form::all_of(method),
        limit,
        bytes_max: u64::MAX,
        lease: LEASE,
    }
}

/// Claims up to ten due emails; there must be one.
pub(crate) async fn claimed(store: &Store) -> Claim {
    let claim = store.claim(wanted(Method::Email, 10)).await.unwrap();
    claim.expect("a due job")
}

/// Everything is tried again after the grace.
pub(crate) const fn lost(grace: Duration) -> Lost<'static> {
    Lost { grace, held: &[] }
}

/// Takes up every claim that stands, as after none of them gave a sign of life. Returns how many jobs
/// came back.
pub(crate) async fn rescue(store: &Store, grace: Duration) -> usize {
    let dead = store.pulses().await.unwrap();
    store.rescue(&dead, lost(grace)).await.unwrap().jobs
}

/// An attempt at this moment that counts, of the given outcome.
#[expect(clippy::unnecessary_wraps, reason = "as the field that it is for")]
pub(crate) fn tried(at: Timestamp, outcome: &'static str) -> Option<Tried> {
    Some(Tried {
        provider: "ses",
        started_at: at,
        finished_at: at.plus(Duration::from_millis(40)),
        outcome,
        counts: true,
        cause: None,
        code: None,
        text: None,
    })
}

pub(crate) fn done(claim: &Claim, job: &Claimed, tried: Option<Tried>, then: Then) -> Done {
    Done {
        claim: claim.id,
        job: job.job,
        tried,
        then,
    }
}

pub(crate) fn sent(provider_message_id: &str) -> Then {
    Then::Sent {
        provider_message_id: Some(provider_message_id.to_owned()),
        opens_tracked: true,
    }
}

/// Nothing is left of the claim.
pub(crate) fn nothing_left(claim: &Claim) -> Vec<Left> {
    vec![Left {
        claim: claim.id,
        jobs: Vec::new(),
        rewrite: false,
    }]
}

/// Claims one email and records that it was sent under this provider's id.
pub(crate) async fn send_one(store: &Store, at: Timestamp, provider_message_id: &str) {
    let claim = store.claim(wanted(Method::Email, 1)).await.unwrap();
    let claim = claim.expect("a due job");
    let outcome = sent(provider_message_id);
    let done = done(&claim, &claim.jobs[0], tried(at, "accepted"), outcome);
    store.record(&[done], &nothing_left(&claim)).await.unwrap();
}

pub(crate) fn happening(key: u128, occurred_at: Timestamp, what: What) -> Happening {
    Happening {
        key: EventKey(Uuid::from_u128(key)),
        occurred_at,
        what,
    }
}

/// A message that names a notification of ours, a provider's message, or both.
pub(crate) fn incoming(
    message_id: &str,
    notification: Option<NotificationId>,
    provider_message_id: Option<&str>,
    happenings: Vec<Happening>,
) -> Incoming {
    Incoming {
        source: "sns",
        message_id: message_id.to_owned(),
        topic: "arn:aws:sns:eu-west-1:123456789012:feedback".to_owned(),
        received_at: Timestamp::parse(crate::support::db::START).unwrap(),
        kind: "test".to_owned(),
        body: "{}".into(),
        report: Some(Report {
            notification,
            provider_message_id: provider_message_id.map(str::to_owned),
            source: "ses",
            happenings,
        }),
    }
}

/// An address, however it is written.
pub(crate) fn address(method: Method, text: &str) -> Address {
    Address::parse(method, text).unwrap()
}

/// An entry made by hand, for everything and without an end.
pub(crate) const fn suppressed(to: &Address, reason: Reason) -> NewSuppression<'_> {
    NewSuppression {
        business: BUSINESS,
        address: to,
        contact_type: None,
        reason,
        source: "staff",
        staff_id: Some("S-7"),
        note: Some("asked by phone"),
        expires_at: None,
    }
}

pub(crate) const fn delivered() -> What {
    What::Delivered { response: None }
}

pub(crate) const fn opened() -> What {
    What::Opened {
        user_agent: None,
        by_machine: false,
    }
}
