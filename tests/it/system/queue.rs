//! Work put into a database, and what the program made of it, seen in the tables.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::enqueue::{ClientRef, ContentSource, Enqueue, Enqueued, NewNotification};
use tokio::time::Instant;

use crate::support::db::TestDb;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Notifications in one call to the store.
const BATCH: usize = 1_000;

/// Enqueues that many emails that are due now by the system's clock. Returns their ids.
pub(super) async fn fill(db: &TestDb, count: usize) -> BTreeSet<String> {
    db.clock.set(Clock::system().now());
    enqueue(db, count).await
}

/// The same by the test's clock.
pub(super) async fn enqueue(db: &TestDb, count: usize) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for from in (0..count).step_by(BATCH) {
        let request = Enqueue {
            business: "default".to_owned(),
            notifications: (from..count.min(from + BATCH)).map(email).collect(),
        };
        let Enqueued::Done(tickets) = db.store.enqueue(request).await.unwrap() else {
            panic!("refused")
        };
        ids.extend(tickets.iter().map(|ticket| ticket.id.to_string()));
    }
    ids
}

fn email(number: usize) -> NewNotification {
    let to = format!("client-{number}@example.com");
    NewNotification {
        client: ClientRef {
            id: format!("C-{}", number % 100),
            ..ClientRef::default()
        },
        method: Method::Email,
        to: Some(Address::parse(Method::Email, &to).unwrap()),
        type_name: "Booking confirmation".to_owned(),
        contact_type: "Client Notifications".to_owned(),
        content: ContentSource::New(Content::Email {
            subject: format!("Booking {number}"),
            text: Some("See you on Monday.".to_owned()),
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

/// Waits until no job waits and none is in a worker's hands.
pub(super) async fn all_done(db: &TestDb, at_most: Duration) {
    // At one moment: a job goes from one table to the other.
    const LEFT: &str = "SELECT CAST((SELECT COUNT(*) FROM jobs) + (SELECT COUNT(*) FROM claims) \
                        AS TEXT)";
    let started = Instant::now();
    loop {
        let left = db.texts(LEFT).await;
        if left == ["0"] {
            return;
        }
        let in_time = started.elapsed() < at_most;
        assert!(in_time, "{left:?} jobs and claims are left");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Ids of the notifications that are recorded as sent.
pub(super) async fn sent(db: &TestDb) -> BTreeSet<String> {
    set(
        db,
        "SELECT notification_id FROM delivery_facts WHERE sent_at IS NOT NULL",
    )
    .await
}

/// Ids of the notifications with an attempt whose outcome is not known.
pub(super) async fn unknown(db: &TestDb) -> BTreeSet<String> {
    set(
        db,
        "SELECT notification_id FROM delivery_attempts WHERE outcome = 'unknown'",
    )
    .await
}

/// Each status in the contact history with its number of entries, as `Sent 10`.
pub(super) async fn statuses(db: &TestDb) -> Vec<String> {
    const STATUSES: &str = "SELECT status || ' ' || CAST(COUNT(*) AS TEXT) FROM contact_history \
                            GROUP BY status ORDER BY status";
    db.texts(STATUSES).await
}

async fn set(db: &TestDb, ids: &str) -> BTreeSet<String> {
    let statement = format!("SELECT CAST(x.notification_id AS TEXT) FROM ({ids}) AS x");
    db.texts(&statement).await.into_iter().collect()
}
