//! Receipts that never came: who is asked for which, when, and for how long.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::store::receipts::Awaited;
use sendtrail::store::retention::Retention;

use super::make::{delivered, enqueued, happening, incoming, sms};
use crate::support::db::{TestDb, both};

both! {
    a_message_is_asked_for_later_and_later_and_not_for_ever,
    whose_end_is_known_is_not_asked_for,
    no_two_are_given_the_same_message,
    what_nobody_asks_for_is_forgotten,
}

const AFTER: Duration = Duration::from_mins(15);

fn accepted(provider: &str, id: &str) -> What {
    What::Accepted {
        provider: provider.to_owned(),
        provider_message_id: Some(id.to_owned()),
        opens_tracked: false,
    }
}

/// A message that the provider took now.
async fn taken(db: &TestDb, provider: &str, sid: &str) -> NotificationId {
    let id = enqueued(&db.store, vec![sms("C-1")]).await[0];
    tell(db, id, accepted(provider, sid)).await;
    id
}

async fn tell(db: &TestDb, id: NotificationId, what: What) {
    let now = db.clock.now();
    let name = db.clock.new_uuid(now).to_string();
    let event = happening(db.clock.new_uuid(now).as_u128(), now, what);
    let message = incoming(&name, Some(id), None, vec![event]);
    db.store.keep_feedback(message).await.unwrap();
}

async fn claimed(db: &TestDb) -> Vec<String> {
    let found = db.store.claim_receipts(AFTER, 10).await.unwrap();
    found.into_iter().map(|it| it.provider_message_id).collect()
}

async fn a_message_is_asked_for_later_and_later_and_not_for_ever(db: &TestDb) {
    let id = taken(db, "twilio", "SM1").await;
    taken(db, "sns", "not one that can be asked for").await;
    // The provider's own report of the same is one message more, and the same.
    tell(db, id, accepted("twilio", "SM1")).await;
    let mut asked_at = Vec::new();
    for minute in 1..=(26 * 60) {
        db.pass(Duration::from_mins(1));
        let found = db.store.claim_receipts(AFTER, 10).await.unwrap();
        if !found.is_empty() {
            let expected = Awaited {
                notification: id,
                provider_message_id: "SM1".to_owned(),
            };
            assert_eq!(found, [expected]);
            asked_at.push(minute);
        }
    }
    assert_eq!(asked_at, [15, 30, 60, 120, 240, 480, 960]);
    db.pass(Duration::from_hours(24));
    assert!(claimed(db).await.is_empty());
    assert_eq!(db.count("awaited_receipts").await, 0);
}

async fn whose_end_is_known_is_not_asked_for(db: &TestDb) {
    let id = taken(db, "twilio", "SM1").await;
    taken(db, "twilio", "SM2").await;
    tell(db, id, delivered()).await;
    db.pass(AFTER);
    assert_eq!(claimed(db).await, ["SM2"]);
    assert_eq!(db.count("awaited_receipts").await, 1);
}

async fn no_two_are_given_the_same_message(db: &TestDb) {
    for number in 0..40 {
        taken(db, "twilio", &format!("SM{number:02}")).await;
    }
    db.pass(AFTER);
    let other = db.another_store().await;
    // Rows that one claim looks at are not waited for by the others, so that some may find nothing.
    let claims = (0..8).map(|number| {
        let store = if number % 2 == 0 { &db.store } else { &other };
        store.claim_receipts(AFTER, 10)
    });
    let claims = futures_util::future::join_all(claims).await;
    let mut all: Vec<String> = claims
        .into_iter()
        .flat_map(Result::unwrap)
        .map(|awaited| awaited.provider_message_id)
        .collect();
    for _ in 0..4 {
        all.extend(claimed(db).await);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (40, 40));
    other.close().await;
}

async fn what_nobody_asks_for_is_forgotten(db: &TestDb) {
    taken(db, "twilio", "SM1").await;
    let keep = Retention::default();
    db.pass(Duration::from_hours(47));
    db.store.prune_feedback(keep).await.unwrap();
    assert_eq!(db.count("awaited_receipts").await, 1);
    db.pass(Duration::from_hours(2));
    db.store.prune_feedback(keep).await.unwrap();
    assert_eq!(db.count("awaited_receipts").await, 0);
}
