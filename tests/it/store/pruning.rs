//! Contents and entries go when they are older than they are kept; what is still to be sent, was sent again
//! later or belongs to a client on hold stays.

use std::time::Duration;

use bytes::Bytes;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Attachment, Content};
use sendtrail::store::clients::Changes;
use sendtrail::store::enqueue::{ContentSource, NewNotification};
use sendtrail::store::erasures::Order;
use sendtrail::store::pruning::{Gone, Pruned, Sweep};

use super::make::{BUSINESS, claimed, email, enqueued, keyed, nothing_left, send_one};
use crate::support::db::{TestDb, both};

both! {
    contents_go_with_their_files_and_what_is_needed_stays,
    entries_go_with_all_that_belongs_to_them,
    a_walk_goes_on_where_it_was_and_begins_anew_a_day_later,
}

const DAY: Duration = Duration::from_hours(24);
const KEEP: Duration = Duration::from_hours(24 * 30);

fn with_file(client: &str, digest: &str) -> NewNotification {
    let mut new = email(client);
    if let ContentSource::New(Content::Email { attachments, .. }) = &mut new.content {
        attachments.push(Attachment {
            name: "a.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content_id: None,
            size: 1,
            sha256: digest.to_owned(),
        });
    }
    new.files = vec![Bytes::from_static(b"x")];
    new
}

fn again(client: &str, first: NotificationId) -> NewNotification {
    let mut new = email(client);
    new.content = ContentSource::Frozen(first.uuid());
    new.resend_of = Some(first);
    new
}

async fn send_all(db: &TestDb, count: usize) {
    for number in 0..count {
        send_one(
            &db.store,
            db.clock.now(),
            &format!("p-{number}-{}", db.clock.now()),
        )
        .await;
    }
}

async fn contents(db: &TestDb, sweep: &mut Sweep) -> Pruned {
    let mut sum = Pruned::default();
    loop {
        let one = db.store.prune_contents(KEEP, sweep).await.unwrap();
        sum.contents += one.contents;
        sum.files += one.files;
        if !one.more {
            return sum;
        }
    }
}

async fn has_content(db: &TestDb, id: NotificationId) -> bool {
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let found = db.store.content(BUSINESS, id).await.unwrap().is_some();
    assert_eq!(
        entry.content_id.is_some(),
        found,
        "what cannot be shown cannot be sent again"
    );
    found
}

async fn hold(db: &TestDb, client: &str) {
    let held = Changes {
        hold: Some(true),
        ..Changes::default()
    };
    db.store
        .change_client(BUSINESS, client, &held)
        .await
        .unwrap();
}

async fn contents_go_with_their_files_and_what_is_needed_stays(db: &TestDb) {
    let store = &db.store;
    let sent = enqueued(
        store,
        vec![
            with_file("C-1", "old"),
            with_file("C-2", "shared"),
            email("C-3"),
            email("C-4"),
        ],
    )
    .await;
    send_all(db, 4).await;
    hold(db, "C-3").await;
    // One waits for its time, which is far ahead; one is in a worker's hands.
    let mut later = email("C-5");
    later.send_at = Some(db.clock.now().plus(KEEP * 3));
    let later = enqueued(store, vec![later]).await[0];
    let flying = enqueued(store, vec![email("C-6")]).await[0];
    let claim = claimed(store).await;
    assert_eq!(claim.jobs.len(), 1);
    db.pass(KEEP / 2);
    let resent = enqueued(store, vec![again("C-4", sent[3])]).await[0];
    let new = enqueued(store, vec![with_file("C-7", "shared")]).await[0];
    send_all(db, 2).await;
    let mut sweep = Sweep::default();
    db.pass(KEEP / 2);
    assert_eq!(contents(db, &mut sweep).await, Pruned::default());
    db.pass(DAY);
    let pruned = contents(db, &mut sweep).await;
    assert_eq!((pruned.contents, pruned.files), (2, 1));
    for (id, is_kept) in [
        (sent[0], false),
        (sent[1], false),
        (sent[2], true),
        (sent[3], true),
        (resent, true),
        (later, true),
        (flying, true),
        (new, true),
    ] {
        assert_eq!(has_content(db, id).await, is_kept, "{id}");
    }
    assert_eq!(db.texts("SELECT sha256 FROM attachments").await, ["shared"]);
    let gone = Gone::Old {
        at: db.clock.now(),
        days: 30,
    };
    assert_eq!(
        store.content_gone(BUSINESS, sent[0]).await.unwrap(),
        Some(gone)
    );
    assert_eq!(store.content_gone("other", sent[0]).await.unwrap(), None);
    // The lines themselves stay.
    assert_eq!(db.count("contact_log").await, 8);
    let order = Order {
        business: BUSINESS,
        client_id: "C-1",
        asked_by: "test",
        reason: None,
    };
    store.erase_client(order).await.unwrap();
    let gone = Gone::Erased { at: db.clock.now() };
    assert_eq!(
        store.content_gone(BUSINESS, sent[0]).await.unwrap(),
        Some(gone)
    );
    store.record(&[], &nothing_left(&claim)).await.unwrap();
    a_period_later(db, &mut sweep, [sent[2], later]).await;
}

async fn a_period_later(db: &TestDb, sweep: &mut Sweep, left: [NotificationId; 2]) {
    db.pass(KEEP);
    contents(db, sweep).await;
    let kept = db.texts("SELECT id FROM message_content ORDER BY id").await;
    assert_eq!(kept, left.map(|id| id.to_string()));
    assert_eq!(db.count("attachments").await, 0);
}

async fn entries_go_with_all_that_belongs_to_them(db: &TestDb) {
    let store = &db.store;
    let old = enqueued(
        store,
        vec![keyed(email("C-1"), "old", 1), email("C-2"), email("C-3")],
    )
    .await;
    send_all(db, 3).await;
    hold(db, "C-3").await;
    db.pass(KEEP / 2);
    let new = enqueued(store, vec![keyed(again("C-2", old[1]), "new", 2)]).await;
    send_all(db, 1).await;
    db.pass(KEEP / 2 + DAY);
    let (mut sweep, mut entries) = (Sweep::default(), 0);
    loop {
        let one = store.prune_entries(KEEP, &mut sweep).await.unwrap();
        entries += one.entries;
        if !one.more {
            break;
        }
    }
    assert_eq!(entries, 1);
    let left = db.texts("SELECT id FROM contact_log ORDER BY id").await;
    assert_eq!(left, [old[1], old[2], new[0]].map(|id| id.to_string()));
    for table in ["delivery_attempts", "delivery_events", "delivery_facts"] {
        assert_eq!(db.count(table).await, 3, "{table}");
    }
    assert_eq!(db.count("message_content").await, 2);
    assert_eq!(db.texts("SELECT key FROM idempotency_keys").await, ["new"]);
}

async fn a_walk_goes_on_where_it_was_and_begins_anew_a_day_later(db: &TestDb) {
    for _ in 0..3 {
        let many = (0..150).map(|_| email("C-1")).collect();
        enqueued(&db.store, many).await;
    }
    db.execute("DELETE FROM jobs").await;
    db.pass(KEEP + DAY);
    let mut sweep = Sweep::default();
    for contents in [200, 200, 50, 0] {
        let one = db.store.prune_contents(KEEP, &mut sweep).await.unwrap();
        assert_eq!((one.contents, one.more), (contents, true));
    }
    assert_eq!(contents(db, &mut sweep).await, Pruned::default());
    // Another process finds nothing to do, and agrees until when.
    assert_eq!(contents(db, &mut Sweep::default()).await, Pruned::default());
    assert_eq!(db.count("content_deletions").await, 1);
    enqueued(&db.store, vec![email("C-1")]).await;
    db.execute("DELETE FROM jobs").await;
    db.pass(KEEP + DAY);
    assert_eq!(contents(db, &mut sweep).await.contents, 1);
    assert_eq!(db.count("content_deletions").await, 2);
}

pub(super) async fn everything(db: &TestDb) {
    enqueued(&db.store, vec![keyed(with_file("C-1", "f"), "pruned", 1)]).await;
    db.pass(KEEP * 2);
    let mut sweep = Sweep::default();
    contents(db, &mut sweep).await;
    let id = NotificationId::floor(db.clock.now());
    db.store.content_gone(BUSINESS, id).await.unwrap();
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    db.store.content_gone(BUSINESS, id).await.unwrap();
    let uid = db.store.client(BUSINESS, "C-1").await.unwrap().unwrap().uid;
    db.store
        .tasks_of_client(uid, uuid::Uuid::nil(), 10)
        .await
        .unwrap();
    let mut sweep = Sweep::default();
    while db.store.prune_entries(KEEP, &mut sweep).await.unwrap().more {}
}
