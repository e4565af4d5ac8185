//! Messages from queues that could not be enqueued.

use std::time::Duration;

use sendtrail::store::buried::NewBuried;
use serde_json::json;

use super::make::BUSINESS;
use crate::support::db::{TestDb, both};

both! {
    a_buried_message_is_kept_as_it_came,
    one_that_comes_again_is_buried_once,
    they_are_listed_a_page_at_a_time_the_oldest_first,
    they_go_in_batches_when_nobody_saw_to_them_for_long,
    a_business_exists_once_it_is_made,
}

const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/in";

fn message<'a>(message_id: &'a str, body: &'a str) -> NewBuried<'a> {
    NewBuried {
        business: BUSINESS,
        source: QUEUE,
        message_id,
        reason: json!([{"pointer": "", "detail": "is not JSON"}]),
        body,
    }
}

async fn a_buried_message_is_kept_as_it_came(db: &TestDb) {
    let body = "{\"to\": 'ana'} '); DROP TABLE clients;-- 💥\r\n";
    db.store.bury(message("m-1", body)).await.unwrap();
    let found = db.store.buried(None, 10).await.unwrap().remove(0);
    assert_eq!(
        (
            found.business.as_str(),
            found.source.as_str(),
            found.message_id.as_str(),
            found.body.as_str()
        ),
        (BUSINESS, QUEUE, "m-1", body)
    );
    assert_eq!(found.received_at, db.clock.now());
    assert_eq!(found.reason, message("", "").reason);
    let same = db.store.find_buried(found.id).await.unwrap().unwrap();
    assert_eq!(same.body, body);
    assert!(db.store.drop_buried(found.id).await.unwrap());
    assert!(!db.store.drop_buried(found.id).await.unwrap());
    assert!(db.store.find_buried(found.id).await.unwrap().is_none());
}

async fn one_that_comes_again_is_buried_once(db: &TestDb) {
    for body in ["first", "again"] {
        db.store.bury(message("m-1", body)).await.unwrap();
    }
    let other = NewBuried {
        source: "another queue",
        ..message("m-1", "other")
    };
    db.store.bury(other).await.unwrap();
    let bodies = "SELECT body FROM buried_messages ORDER BY body";
    assert_eq!(db.texts(bodies).await, ["first", "other"]);
}

async fn they_are_listed_a_page_at_a_time_the_oldest_first(db: &TestDb) {
    for number in 0..5 {
        let id = number.to_string();
        db.store.bury(message(&id, &id)).await.unwrap();
        db.pass(Duration::from_millis(1));
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = db.store.buried(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page.into_iter().map(|buried| buried.body));
    }
    assert_eq!(found, ["0", "1", "2", "3", "4"]);
    assert_eq!(db.store.count_buried(10).await.unwrap(), 5);
    assert_eq!(
        db.store.count_buried(3).await.unwrap(),
        3,
        "counted up to 3"
    );
}

async fn they_go_in_batches_when_nobody_saw_to_them_for_long(db: &TestDb) {
    let keep = Duration::from_hours(24 * 30);
    for number in 0..150 {
        let id = number.to_string();
        db.store.bury(message(&id, &id)).await.unwrap();
    }
    db.pass(keep);
    db.store.bury(message("new", "new")).await.unwrap();
    let none = db.store.prune_buried(keep).await.unwrap();
    assert_eq!((none.buried, none.more), (0, false));
    db.pass(Duration::from_millis(1));
    let some = db.store.prune_buried(keep).await.unwrap();
    assert_eq!((some.buried, some.more), (100, true));
    let rest = db.store.prune_buried(keep).await.unwrap();
    assert_eq!((rest.buried, rest.more), (50, false));
    assert_eq!(db.texts("SELECT body FROM buried_messages").await, ["new"]);
}

async fn a_business_exists_once_it_is_made(db: &TestDb) {
    assert!(db.store.business_exists("default").await.unwrap());
    assert!(!db.store.business_exists("acme").await.unwrap());
    db.store.ensure_business("acme", "Acme").await.unwrap();
    assert!(db.store.business_exists("acme").await.unwrap());
}
