//! Causes of failures that were not seen for as long as they are kept go, a bounded number at a time, and so
//! do the counts that are older.

use std::time::Duration;

use sendtrail::domain::event::{Failure, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::store::failures::Asked;
use sendtrail::store::old_causes::Walk;

use super::make::{BUSINESS, email, enqueued, happening, incoming};
use crate::support::db::{TestDb, both};

both! {
    causes_go_when_they_were_not_seen_for_long_and_counts_when_they_are_old,
    many_old_counts_and_messages_go_in_batches,
    a_cause_that_is_seen_at_that_moment_stays,
}

const DAY: Duration = Duration::from_hours(24);
const KEEP: Duration = Duration::from_hours(24 * 30);

async fn fails(db: &TestDb, key: u128, id: NotificationId, category: Category) {
    let what = What::GaveUp(Failure {
        category,
        code: None,
        provider_text: None,
    });
    let told = happening(key, db.clock.now(), what);
    let message = incoming(&format!("m{key}"), Some(id), None, vec![told]);
    db.store.keep_feedback(message).await.unwrap();
}

/// A whole walk: how many causes went, and in how many batches it did.
async fn walk(db: &TestDb, walk: &mut Walk) -> (u64, u32) {
    let (mut gone, mut batches) = (0, 0);
    loop {
        let pruned = db.store.prune_causes(KEEP, walk).await.unwrap();
        gone += pruned.causes;
        if !pruned.more {
            return (gone, batches);
        }
        batches += 1;
    }
}

async fn ages(db: &TestDb) -> Vec<String> {
    db.texts("SELECT category FROM failure_causes ORDER BY category")
        .await
}

async fn causes_go_when_they_were_not_seen_for_long_and_counts_when_they_are_old(db: &TestDb) {
    let kinds = [
        Category::MailboxFull,
        Category::ProviderUnavailable,
        Category::InvalidAddress,
    ];
    let ids = enqueued(&db.store, (0..4).map(|_| email("C-1")).collect()).await;
    for (key, (id, kind)) in (0_u128..).zip(ids.iter().zip(kinds)) {
        fails(db, key, *id, kind).await;
    }
    let asked = Asked::all(db.clock.now(), db.clock.now().plus(DAY));
    let found = db.store.failures(BUSINESS, &asked).await.unwrap().groups;
    assert_eq!(found.len(), 3);
    let of = |kind| {
        found
            .iter()
            .find(|it| it.cause.category == kind)
            .unwrap()
            .id
    };
    let mut sweep = Walk::default();
    assert_eq!(walk(db, &mut sweep).await, (0, 1));
    db.pass(DAY * 20);
    // One is seen again, of one somebody has something to say, and one is as it was.
    fails(db, 9, ids[3], kinds[0]).await;
    db.store
        .dismiss_causes(BUSINESS, &[of(kinds[1])], "Ana", "a note")
        .await
        .unwrap();
    db.pass(DAY * 20);
    assert_eq!(db.count("cause_counts").await, 4);
    assert_eq!(walk(db, &mut sweep).await, (1, 1));
    assert_eq!(ages(db).await, [kinds[0].as_str(), kinds[1].as_str()]);
    assert_eq!(db.count("cause_counts").await, 1);
    assert_eq!(db.count("cause_entries").await, 3);
    assert_eq!(db.count("cause_actions").await, 1);
    // The next walk is a day later, and the last thing that was done is too long ago by then.
    db.pass(DAY * 11);
    assert_eq!(walk(db, &mut sweep).await, (2, 1));
    for table in [
        "failure_causes",
        "cause_counts",
        "cause_entries",
        "cause_actions",
    ] {
        assert_eq!(db.count(table).await, 0, "{table}");
    }
    // It comes back as a new one.
    let new = enqueued(&db.store, vec![email("C-1")]).await;
    fails(db, 10, new[0], kinds[1]).await;
    assert_eq!(ages(db).await, [kinds[1].as_str()]);
}

async fn many_old_counts_and_messages_go_in_batches(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    fails(db, 1, id, Category::MailboxFull).await;
    let key = if db.is_postgres() {
        "(lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000')::uuid"
    } else {
        "printf('%08x', i) || '-0000-4000-8000-000000000000'"
    };
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)";
    db.execute(&format!(
        "INSERT INTO cause_counts (business_id, hour, cause_id, failed, resolved, first_at, last_at) \
         {numbers} SELECT business_id, hour - i, cause_id, failed, resolved, first_at, last_at \
         FROM cause_counts, n"
    ))
    .await;
    db.execute(&format!(
        "INSERT INTO cause_entries (cause_id, notification_id, at) {numbers} \
         SELECT cause_id, {key}, at FROM cause_entries, n"
    ))
    .await;
    db.pass(DAY * 31);
    // Two batches of counts, the second of which begins with the messages, whose rest takes one more.
    assert_eq!(walk(db, &mut Walk::default()).await, (1, 3));
    for table in ["failure_causes", "cause_counts", "cause_entries"] {
        assert_eq!(db.count(table).await, 0, "{table}");
    }
}

/// A failure that is being recorded while its cause is looked at.
async fn a_cause_that_is_seen_at_that_moment_stays(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    fails(db, 1, id, Category::MailboxFull).await;
    db.pass(DAY * 31);
    if !db.is_postgres() {
        // There nobody writes at the same moment.
        assert_eq!(walk(db, &mut Walk::default()).await, (1, 1));
        return;
    }
    let mut other = db.session().await;
    other
        .execute("BEGIN; SELECT id FROM failure_causes FOR UPDATE")
        .await;
    assert_eq!(walk(db, &mut Walk::default()).await, (0, 1));
    other.execute("COMMIT").await;
    assert_eq!(walk(db, &mut Walk::default()).await, (1, 1));
}

pub(super) async fn everything(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    fails(db, u128::MAX, id, Category::MailboxFull).await;
    db.pass(DAY * 31);
    walk(db, &mut Walk::default()).await;
    db.store.prune_buried(KEEP).await.unwrap();
}
