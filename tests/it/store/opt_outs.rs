//! Opt-outs by the link in a message, and the key that signs it.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::suppression::Reason;
use sendtrail::store::opt_outs::Subscription;
use sendtrail::store::suppressions::{Filter, Suppression};
use uuid::Uuid;

use super::make::{BUSINESS, address, email, enqueued, sms, suppressed};
use crate::support::db::{TestDb, both};

both! {
    an_opt_out_is_recorded_once_on_the_list_and_on_its_message,
    it_can_be_taken_back_and_made_again,
    of_many_at_once_one_makes_the_entry_and_all_are_recorded,
    there_is_none_for_what_is_no_email_of_ours,
    every_process_signs_with_the_same_key,
}

async fn list(db: &TestDb, lifted: bool) -> Vec<Suppression> {
    let filter = Filter {
        lifted,
        limit: 200,
        ..Filter::default()
    };
    let page = db.store.suppressions(BUSINESS, &filter).await.unwrap();
    page.suppressions
}

/// The kinds of the events that the recipient caused.
async fn said(db: &TestDb, id: NotificationId) -> Vec<&'static str> {
    let story = db.store.story(id).await.unwrap();
    let events = story.events.iter();
    events
        .filter(|event| event.source == "recipient")
        .map(|event| event.what.kind())
        .collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "as the answers that it is compared with"
)]
fn subscription(unsubscribed: bool) -> Option<Subscription> {
    Some(Subscription {
        business: BUSINESS.to_owned(),
        business_name: "Default".to_owned(),
        unsubscribed,
    })
}

async fn an_opt_out_is_recorded_once_on_the_list_and_on_its_message(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"), email("C-1"), email("C-2")]).await;
    let state = async |id| db.store.subscription(id).await.unwrap();
    assert_eq!(state(ids[0]).await, subscription(false));
    assert_eq!(db.count("delivery_events").await, 0, "looking does nothing");
    for _ in 0..3 {
        let found = db.store.opt_out(ids[0]).await.unwrap();
        assert_eq!(found, subscription(true));
        db.pass(Duration::from_secs(1));
    }
    let entries = list(db, false).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].address, "c-1@example.com");
    assert_eq!(entries[0].reason, Reason::Unsubscribe);
    assert_eq!(entries[0].source, "recipient");
    assert_eq!(entries[0].notification, Some(ids[0]));
    assert_eq!(said(db, ids[0]).await, ["unsubscribed"]);
    let entry = db.store.entry(BUSINESS, ids[0]).await.unwrap().unwrap();
    assert!(entry.facts.unsubscribed_at.is_some());
    // The same recipient by another message.
    assert_eq!(state(ids[1]).await, subscription(true));
    db.store.opt_out(ids[1]).await.unwrap();
    assert_eq!(said(db, ids[1]).await, ["unsubscribed"]);
    assert_eq!(list(db, false).await, entries);
    assert_eq!(
        state(ids[2]).await,
        subscription(false),
        "another recipient"
    );
}

async fn it_can_be_taken_back_and_made_again(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    assert_eq!(
        db.store.opt_in(id).await.unwrap(),
        subscription(false),
        "there is nothing to take back"
    );
    assert!(said(db, id).await.is_empty());
    // What has nothing to do with mailings stays.
    let to = address(Method::Email, "c-1@example.com");
    let new = suppressed(&to, Reason::Complaint);
    db.store.suppress(new).await.unwrap();
    for round in 1..=3 {
        db.pass(Duration::from_secs(1));
        db.store.opt_out(id).await.unwrap();
        assert_eq!(list(db, false).await.len(), 2);
        db.pass(Duration::from_secs(1));
        for _ in 0..2 {
            let found = db.store.opt_in(id).await.unwrap();
            assert_eq!(found, subscription(false));
        }
        assert_eq!(list(db, true).await.len(), round, "kept as history");
        let told = ["unsubscribed", "resubscribed"].repeat(round);
        assert_eq!(said(db, id).await, told);
    }
    let left = list(db, false).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reason, Reason::Complaint);
    let lifted = list(db, true).await[0].lifted.clone().unwrap();
    assert_eq!(lifted.source, "recipient");
    let story = db.store.story(id).await.unwrap();
    let last = story.events.last().unwrap();
    assert_eq!(last.what, What::Resubscribed);
}

async fn of_many_at_once_one_makes_the_entry_and_all_are_recorded(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 12]).await;
    let other = db.another_store().await;
    let calls = ids.iter().flat_map(|id| {
        let stores = [db.store.clone(), other.clone()];
        stores.map(|store| {
            let id = *id;
            tokio::spawn(async move { store.opt_out(id).await })
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap(), subscription(true));
    }
    assert_eq!(list(db, false).await.len(), 1);
    for id in ids {
        assert_eq!(said(db, id).await, ["unsubscribed"]);
    }
    other.close().await;
}

async fn there_is_none_for_what_is_no_email_of_ours(db: &TestDb) {
    let text_message = enqueued(&db.store, vec![sms("C-1")]).await[0];
    for id in [text_message, NotificationId::new(Uuid::from_u128(7))] {
        assert_eq!(db.store.subscription(id).await.unwrap(), None);
        assert_eq!(db.store.opt_out(id).await.unwrap(), None);
        assert_eq!(db.store.opt_in(id).await.unwrap(), None);
    }
    assert_eq!(db.count("suppressions").await, 0);
    assert_eq!(db.count("delivery_events").await, 0);
}

async fn every_process_signs_with_the_same_key(db: &TestDb) {
    let other = db.another_store().await;
    let calls = (0..10).map(|i| {
        let store = if i % 2 == 0 { &db.store } else { &other };
        async move { store.secret("a", &format!("value {i}")).await.unwrap() }
    });
    let values = futures_util::future::join_all(calls).await;
    assert!(values.iter().all(|value| *value == values[0]));
    assert_eq!(other.secret("a", "late").await.unwrap(), values[0]);
    assert_eq!(other.secret("b", "late").await.unwrap(), "late");
    other.close().await;
}
