//! The facts are compared with the ledger, and written anew from it.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::domain::facts::Facts;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::verify::{Difference, Span};
use uuid::Uuid;

use super::facts::one_of_each;
use super::feedback::facts;
use super::make::{delivered, email, enqueued, happening, incoming, opened};
use crate::support::db::{TestDb, both};

both! {
    facts_that_were_not_meddled_with_agree_in_batches_of_any_size,
    whatever_was_meddled_with_is_named_and_repaired,
    a_range_is_of_the_notifications_dates,
    what_cannot_be_read_is_named_and_not_invented,
    nothing_differs_while_others_write,
    more_events_than_are_read_at_once_are_folded,
}

fn all() -> Span {
    Span {
        after: NotificationId::new(Uuid::nil()),
        below: NotificationId::new(Uuid::max()),
    }
}

async fn walk(store: &Store, mut span: Span, limit: usize) -> (usize, Vec<Difference>) {
    let (mut count, mut differences) = (0, Vec::new());
    loop {
        let found = store.verify(span, limit).await.unwrap();
        assert!(found.count <= limit);
        count += found.count;
        differences.extend(found.differences);
        match found.last {
            Some(last) => span.after = last,
            None => return (count, differences),
        }
    }
}

/// Each has one event of every kind.
async fn told(db: &TestDb, count: usize) -> Vec<NotificationId> {
    let ids = enqueued(&db.store, vec![email("C-1"); count]).await;
    for id in &ids {
        let happenings = one_of_each().into_iter().zip(0_u64..).map(|(what, i)| {
            let at = db.clock.now().plus(Duration::from_secs(i));
            happening(u128::from(i), at, what)
        });
        let message = incoming(&id.to_string(), Some(*id), None, happenings.collect());
        db.store.keep_feedback(message).await.unwrap();
    }
    ids
}

async fn facts_that_were_not_meddled_with_agree_in_batches_of_any_size(db: &TestDb) {
    assert_eq!(walk(&db.store, all(), 10).await, (0, Vec::new()));
    told(db, 7).await;
    for limit in [1, 3, 7, 100] {
        assert_eq!(walk(&db.store, all(), limit).await, (7, Vec::new()));
    }
}

async fn whatever_was_meddled_with_is_named_and_repaired(db: &TestDb) {
    let ids = told(db, 6).await;
    let right = facts(db, ids[0]).await;
    let no = if db.is_postgres() { "false" } else { "0" };
    for (id, change) in ids.iter().zip([
        "sent_at = NULL".to_owned(),
        "opened_count = opened_count + 1".to_owned(),
        "bounced_category = 'unknown'".to_owned(),
        format!("opens_tracked = {no}"),
    ]) {
        let of = format!("UPDATE delivery_facts SET {change} WHERE notification_id = '{id}'");
        db.execute(&of).await;
    }
    let gone = |table: &str, id| format!("DELETE FROM {table} WHERE notification_id = '{id}'");
    db.execute(&gone("delivery_facts", ids[4])).await;
    db.execute(&gone("delivery_events", ids[5])).await;
    for limit in [1, 4, 100] {
        let (count, differences) = walk(&db.store, all(), limit).await;
        assert_eq!(count, 6);
        let named: Vec<NotificationId> = differences.iter().map(|d| d.notification).collect();
        assert_eq!(named, ids);
        let first: Vec<&str> = differences.iter().map(|d| d.differs_in[0]).collect();
        let expected = ["sent_at", "opened_first_at", "bounced_at", "sent_at"];
        assert_eq!(first[..4], expected);
        assert_eq!(differences[4].differs_in.len(), 9);
    }
    assert_eq!(db.store.repair(&ids).await.unwrap(), []);
    assert_eq!(walk(&db.store, all(), 4).await, (6, Vec::new()));
    for id in &ids[..5] {
        assert_eq!(facts(db, *id).await, right);
    }
    assert_eq!(facts(db, ids[5]).await, Facts::default());
}

async fn a_range_is_of_the_notifications_dates(db: &TestDb) {
    let first = told(db, 1).await[0];
    let noon = db.pass(Duration::from_hours(3));
    let second = told(db, 1).await[0];
    db.execute("UPDATE delivery_facts SET delivered_at = NULL")
        .await;
    let soon = noon.plus(Duration::from_secs(1));
    for (after, below, expected) in [
        (Timestamp::EPOCH, noon, vec![first]),
        (noon, soon, vec![second]),
        (soon, noon.plus(Duration::from_hours(1)), vec![]),
    ] {
        let span = Span {
            after: NotificationId::floor(after),
            below: NotificationId::floor(below),
        };
        let (count, differences) = walk(&db.store, span, 10).await;
        let named: Vec<NotificationId> = differences.iter().map(|d| d.notification).collect();
        assert_eq!((count, &named), (expected.len(), &expected));
    }
}

async fn what_cannot_be_read_is_named_and_not_invented(db: &TestDb) {
    let ids = told(db, 2).await;
    let event = "UPDATE delivery_events SET kind = 'of the future' WHERE kind = 'opened' AND \
                 notification_id = ";
    db.execute(&format!("{event} '{}'", ids[0])).await;
    let row =
        "UPDATE delivery_facts SET failed_category = 'of the future' WHERE notification_id = ";
    db.execute(&format!("{row} '{}'", ids[1])).await;
    let (_, differences) = walk(&db.store, all(), 10).await;
    assert!(differences[0].differs_in[0].contains("an event"));
    assert!(differences[1].differs_in[0].contains("a facts row"));
    assert_eq!(db.store.repair(&ids).await.unwrap(), [ids[0]]);
    let (_, differences) = walk(&db.store, all(), 10).await;
    assert_eq!(differences.len(), 1);
}

/// One moment is compared, though many are being written; and a repair loses nothing of theirs.
async fn nothing_differs_while_others_write(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 5]).await;
    let other = db.another_store().await;
    let write = async {
        for i in 0..60_u128 {
            let told = ids.iter().map(|id| {
                let at = db.clock.now();
                let happenings = vec![
                    happening(i, at, opened()),
                    happening(i + 100, at, delivered()),
                ];
                other.keep_feedback(incoming(&format!("{id} {i}"), Some(*id), None, happenings))
            });
            futures_util::future::try_join_all(told).await.unwrap();
        }
    };
    let check = async {
        let mut found = BTreeSet::new();
        for _ in 0..60 {
            let (_, differences) = walk(&db.store, all(), 2).await;
            found.extend(differences.into_iter().map(|d| d.notification));
            assert_eq!(db.store.repair(&ids[..3]).await.unwrap(), []);
        }
        found
    };
    let ((), found) = tokio::join!(write, check);
    assert_eq!(found, BTreeSet::new());
    assert_eq!(walk(&db.store, all(), 10).await, (5, Vec::new()));
    for id in ids {
        assert_eq!(facts(db, id).await.opened.unwrap().count, 60);
    }
    other.close().await;
}

async fn more_events_than_are_read_at_once_are_folded(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 2]).await;
    for id in &ids {
        let happenings = (0..5_001).map(|key| happening(key, db.clock.now(), opened()));
        let message = incoming(&id.to_string(), Some(*id), None, happenings.collect());
        db.store.keep_feedback(message).await.unwrap();
    }
    assert_eq!(walk(&db.store, all(), 10).await, (2, Vec::new()));
    db.execute("UPDATE delivery_facts SET opened_count = 1")
        .await;
    assert_eq!(walk(&db.store, all(), 10).await.1.len(), 2);
    assert_eq!(db.store.repair(&ids).await.unwrap(), []);
    let counts = "SELECT CAST(opened_count AS text) FROM delivery_facts";
    assert_eq!(db.texts(counts).await, ["5001", "5001"]);
    assert_eq!(walk(&db.store, all(), 10).await, (2, Vec::new()));
}
