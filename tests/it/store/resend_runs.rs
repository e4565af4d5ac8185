//! Runs that send many again: begun once, moved on by one at a time, stopped; and what stands in the way
//! of what they send.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::suppression::Reason;
use sendtrail::store::bars::Asked;
use sendtrail::store::enqueue::NewNotification;
use sendtrail::store::resend_runs::{Batch, NewRun, Run, key_of};
use sendtrail::store::suppressions::NewSuppression;
use serde_json::json;
use uuid::Uuid;

use super::make::{BUSINESS, address, email, enqueued, keyed, suppressed};
use crate::support::db::{TestDb, both};

both! {
    a_run_is_begun_once_and_belongs_to_its_business,
    of_two_at_one_batch_one_moves_the_run_on,
    a_run_that_is_stopped_stays_open_until_its_batch_is_done,
    all_that_stands_in_the_way_of_a_message_is_found,
    what_was_sent_again_is_known_and_a_run_does_not_count_its_own,
}

const ID: Uuid = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001);

fn new(id: Uuid) -> NewRun<'static> {
    NewRun {
        id,
        business: BUSINESS,
        account: Uuid::from_u128(7),
        staff_id: "S-1",
        filter: json!({"query": "status=Failed", "sight": "all"}),
        total: 3,
        causes: &[],
        by: "Ana",
    }
}

async fn run(db: &TestDb) -> Run {
    db.store.resend_run(BUSINESS, ID).await.unwrap().unwrap()
}

const fn batch(reached: NotificationId, ends: bool) -> Batch {
    Batch {
        reached,
        sent: 2,
        left_out: 1,
        ends,
    }
}

fn entry(number: u128) -> NotificationId {
    NotificationId::new(Uuid::from_u128(number))
}

async fn a_run_is_begun_once_and_belongs_to_its_business(db: &TestDb) {
    let store = &db.store;
    for _ in 0..2 {
        store.begin_resend_run(new(ID)).await.unwrap();
        db.pass(Duration::from_secs(1));
    }
    let found = run(db).await;
    assert_eq!((found.total, found.sent, found.left_out), (3, 0, 0));
    assert_eq!(
        (found.staff_id.as_str(), found.user.as_str()),
        ("S-1", "S-1")
    );
    assert_eq!(found.filter, new(ID).filter);
    assert_eq!(
        found.reached,
        NotificationId::floor(found.created_at),
        "what comes afterwards is none of its business"
    );
    assert_eq!(db.count("resend_runs").await, 1);
    assert!(store.resend_run("b-2", ID).await.unwrap().is_none());
    assert!(store.resend_runs("b-2", 10).await.unwrap().is_empty());
    assert!(!store.stop_resend_run("b-2", ID, "S-2").await.unwrap());
    let later = Uuid::from_u128(ID.as_u128() + 1);
    store.begin_resend_run(new(later)).await.unwrap();
    let latest = store.resend_runs(BUSINESS, 1).await.unwrap();
    assert_eq!(latest[0].id, later);
    assert_eq!(store.open_resend_runs(10).await.unwrap().len(), 2);
}

async fn of_two_at_one_batch_one_moves_the_run_on(db: &TestDb) {
    let store = &db.store;
    store.begin_resend_run(new(ID)).await.unwrap();
    let seen = run(db).await;
    assert!(
        store
            .move_resend_run(&seen, batch(entry(9), false))
            .await
            .unwrap()
    );
    assert!(
        !store
            .move_resend_run(&seen, batch(entry(9), false))
            .await
            .unwrap()
    );
    let seen = run(db).await;
    assert_eq!((seen.sent, seen.left_out), (2, 1));
    assert!(
        store
            .move_resend_run(&seen, batch(entry(8), true))
            .await
            .unwrap()
    );
    let seen = run(db).await;
    assert_eq!((seen.sent, seen.left_out), (4, 2));
    assert!(seen.finished_at.is_some());
    assert!(
        !store
            .move_resend_run(&seen, batch(entry(7), true))
            .await
            .unwrap()
    );
    assert!(store.open_resend_runs(10).await.unwrap().is_empty());
    assert!(!store.stop_resend_run(BUSINESS, ID, "S-2").await.unwrap());
}

async fn a_run_that_is_stopped_stays_open_until_its_batch_is_done(db: &TestDb) {
    let store = &db.store;
    store.begin_resend_run(new(ID)).await.unwrap();
    let seen = run(db).await;
    assert!(store.stop_resend_run(BUSINESS, ID, "S-2").await.unwrap());
    assert!(!store.stop_resend_run(BUSINESS, ID, "S-3").await.unwrap());
    assert!(
        store.open_resend_runs(10).await.unwrap()[0]
            .stopped_at
            .is_some()
    );
    assert!(
        store
            .move_resend_run(&seen, batch(entry(9), true))
            .await
            .unwrap()
    );
    let seen = run(db).await;
    assert_eq!(seen.sent, 2, "what was sent is counted");
    assert!(seen.stopped_at.is_some() && seen.finished_at.is_some());
    assert_eq!(seen.stopped_by.as_deref(), Some("S-2"), "the first");
}

async fn all_that_stands_in_the_way_of_a_message_is_found(db: &TestDb) {
    let store = &db.store;
    let to = address(Method::Email, "Ana@example.com");
    let of = |reason, contact_type| NewSuppression {
        contact_type,
        ..suppressed(&to, reason)
    };
    for new in [
        of(Reason::Unsubscribe, None),
        of(Reason::Staff, Some("Newsletter")),
        of(Reason::Bounce, None),
    ] {
        store.suppress(new).await.unwrap();
    }
    let other = address(Method::Email, "bob@example.com");
    let asked = |number, to, contact_type, is_bulk| Asked {
        id: entry(number),
        business: BUSINESS,
        to,
        contact_type,
        is_bulk,
    };
    let foreign = Asked {
        business: "b-2",
        ..asked(5, &to, "Receipts", true)
    };
    let found = store
        .standing(&[
            asked(1, &to, "Receipts", false),
            asked(2, &to, "Receipts", true),
            asked(3, &to, "Newsletter", false),
            asked(4, &other, "Receipts", true),
            foreign,
        ])
        .await
        .unwrap();
    let reasons = |number| -> Vec<Reason> {
        let found = found.get(&entry(number)).into_iter().flatten();
        found.map(|entry| entry.reason).collect()
    };
    assert_eq!(reasons(1), [Reason::Bounce]);
    assert_eq!(reasons(2), [Reason::Bounce, Reason::Unsubscribe]);
    assert_eq!(reasons(3), [Reason::Bounce, Reason::Staff]);
    assert!(reasons(4).is_empty() && reasons(5).is_empty());
    assert!(store.standing(&[]).await.unwrap().is_empty());
}

/// Every function here, for the plans.
async fn what_was_sent_again_is_known_and_a_run_does_not_count_its_own(db: &TestDb) {
    let store = &db.store;
    let ids = enqueued(store, vec![email("C-1"), email("C-2"), email("C-3")]).await;
    let by_hand = NewNotification {
        resend_of: Some(ids[0]),
        ..email("C-1")
    };
    let by_run = NewNotification {
        resend_of: Some(ids[1]),
        ..email("C-2")
    };
    let by_run = keyed(by_run, &key_of(ID, &ids[1].to_string()), 1);
    enqueued(store, vec![by_hand, by_run]).await;
    let known = async |business, run| store.sent_again(business, &ids, run).await.unwrap();
    let both = BTreeSet::from([ids[0], ids[1]]);
    assert_eq!(known(BUSINESS, None).await, both);
    assert_eq!(known(BUSINESS, Some(Uuid::from_u128(3))).await, both);
    assert_eq!(known(BUSINESS, Some(ID)).await, BTreeSet::from([ids[0]]));
    assert!(known("other", None).await.is_empty());
}

pub(super) async fn everything(db: &TestDb) {
    let store = &db.store;
    store.begin_resend_run(new(ID)).await.unwrap();
    let seen = run(db).await;
    store.resend_runs(BUSINESS, 10).await.unwrap();
    for run in [None, Some(ID)] {
        store.sent_again(BUSINESS, &[entry(1)], run).await.unwrap();
    }
    store.open_resend_runs(10).await.unwrap();
    store.stop_resend_run(BUSINESS, ID, "S-2").await.unwrap();
    store
        .move_resend_run(&seen, batch(entry(9), true))
        .await
        .unwrap();
    let to = address(Method::Email, "ana@example.com");
    let asked = Asked {
        id: entry(1),
        business: BUSINESS,
        to: &to,
        contact_type: "Receipts",
        is_bulk: true,
    };
    store.standing(&[asked]).await.unwrap();
}
