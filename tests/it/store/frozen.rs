//! A content that is being sent again, and the walk that deletes it because it is old, at the same moment; and
//! what is looked for while somebody else writes.

use std::time::Duration;

use sendtrail::domain::id::NotificationId;
use sendtrail::store::Error;
use sendtrail::store::enqueue::{ContentSource, Enqueued, NewNotification, Why};
use sendtrail::store::erasures::{Order, Ordered};
use sendtrail::store::pruning::Sweep;

use super::make::{BUSINESS, email, enqueued, keyed, request};
use crate::support::db::{TestDb, both, on_postgres, on_sqlite};

both! {
    what_is_not_kept_any_more_is_not_sent_again,
    what_is_sent_again_while_it_is_about_to_go_stays,
}

const KEEP: Duration = Duration::from_hours(24 * 30);

fn again(client: &str, first: NotificationId) -> NewNotification {
    let mut new = email(client);
    new.content = ContentSource::Frozen(first.uuid());
    new.resend_of = Some(first);
    new
}

/// One that was sent long ago.
async fn old(db: &TestDb) -> NotificationId {
    let id = enqueued(&db.store, vec![keyed(email("C-1"), "old", 1)]).await[0];
    db.execute("DELETE FROM jobs").await;
    db.pass(KEEP * 2);
    id
}

/// A whole walk over the contents.
async fn contents(db: &TestDb) -> u64 {
    let (mut sweep, mut gone) = (Sweep::default(), 0);
    loop {
        let one = db.store.prune_contents(KEEP, &mut sweep).await.unwrap();
        gone += one.contents;
        if !one.more {
            return gone;
        }
    }
}

async fn refused(db: &TestDb, new: NewNotification) -> Why {
    let answer = db.store.enqueue(request(vec![new])).await.unwrap();
    let Enqueued::Refused(refusals) = answer else {
        panic!("{answer:?}")
    };
    refusals[0].why.clone()
}

async fn what_is_not_kept_any_more_is_not_sent_again(db: &TestDb) {
    let first = old(db).await;
    // Whoever asks read the entry before, and its content was there.
    assert_eq!(contents(db).await, 1);
    assert_eq!(refused(db, again("C-1", first)).await, Why::NotKept);
    assert_eq!(db.count("jobs").await, 0);
    // The client was erased meanwhile, and its id means nobody any more.
    let first = enqueued(&db.store, vec![email("C-2")]).await[0];
    let order = Order {
        business: BUSINESS,
        client_id: "C-2",
        asked_by: "test",
        reason: None,
    };
    db.store.erase_client(order).await.unwrap();
    assert_eq!(refused(db, again("C-2", first)).await, Why::NotKept);
    assert_eq!(db.count("contact_log").await, 2);
}

/// As another process writes it.
fn resend(first: NotificationId, at: NotificationId) -> String {
    format!(
        "INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, contact_type, \
         manual, address, content_id, resend_of, priority) SELECT '{at}', business_id, client_uid, date, method, \
         channel, type, contact_type, manual, address, content_id, id, priority FROM contact_log \
         WHERE id = '{first}'"
    )
}

async fn what_is_sent_again_while_it_is_about_to_go_stays(db: &TestDb) {
    let first = old(db).await;
    let mut other = db.session().await;
    // The walk has chosen what goes, and waits for its turn to delete it.
    let begin = if db.is_postgres() {
        "BEGIN; LOCK TABLE message_content IN EXCLUSIVE MODE"
    } else {
        "BEGIN IMMEDIATE"
    };
    other.execute(begin).await;
    let store = db.store.clone();
    let walk = tokio::spawn(async move {
        let mut sweep = Sweep::default();
        while store.prune_entries(KEEP, &mut sweep).await?.more {}
        Ok::<_, Error>(())
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at = NotificationId::floor(db.clock.now());
    other.execute(&resend(first, at)).await;
    other.execute("COMMIT").await;
    walk.await.unwrap().unwrap();
    assert_eq!(db.count("contact_log").await, 2);
    assert_eq!(db.count("message_content").await, 1);
    assert_eq!(contents(db).await, 0);
}

/// On SQLite nobody writes at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_sent_again_is_passed_by() {
    on_postgres(async |db: &TestDb| {
        let first = old(db).await;
        let mut other = db.session().await;
        other
            .execute("BEGIN; SELECT id FROM message_content FOR KEY SHARE")
            .await;
        assert_eq!(contents(db).await, 0);
        let mut sweep = Sweep::default();
        while db.store.prune_entries(KEEP, &mut sweep).await.unwrap().more {}
        assert_eq!(db.count("contact_log").await, 1);
        other.execute("COMMIT").await;
        // And who sends it again does not overtake who deletes it.
        other
            .execute("BEGIN; SELECT id FROM message_content FOR UPDATE")
            .await;
        let waits = db.store.enqueue(request(vec![again("C-1", first)])).await;
        assert!(matches!(waits, Err(Error::Blocked)), "{waits:?}");
        other.execute("DELETE FROM message_content; COMMIT").await;
        assert_eq!(refused(db, again("C-1", first)).await, Why::NotKept);
    })
    .await;
}

/// Nothing waits for a walk that finds nothing, nor does it wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_looks_while_another_writes() {
    on_sqlite(async |db: &TestDb| {
        old(db).await;
        let (mut sweep, mut walks) = (Sweep::default(), Sweep::default());
        // As far as to the files, and as far as to the keys.
        let contents = db.store.prune_contents(KEEP * 3, &mut sweep).await;
        let entries = db.store.prune_entries(KEEP * 3, &mut walks).await;
        assert!(contents.unwrap().more && entries.unwrap().more);
        let mut other = db.session().await;
        other.execute("BEGIN IMMEDIATE").await;
        while db
            .store
            .prune_contents(KEEP * 3, &mut sweep)
            .await
            .unwrap()
            .more
        {}
        while db
            .store
            .prune_entries(KEEP * 3, &mut walks)
            .await
            .unwrap()
            .more
        {}
        other.execute("COMMIT").await;
        assert_eq!(db.count("idempotency_keys").await, 1);
    })
    .await;
}

/// While an erasure reads what may name the client, it holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_looks_before_it_locks() {
    on_postgres(async |db: &TestDb| {
        enqueued(&db.store, vec![email("C-1")]).await;
        let order = Order {
            business: BUSINESS,
            client_id: "C-1",
            asked_by: "test",
            reason: None,
        };
        let Ordered::Begun(erasure) = db.store.erase_client(order).await.unwrap() else {
            panic!("not begun")
        };
        let step = "SELECT step FROM erasures";
        while db.texts(step).await != ["inbox"] {
            assert!(db.store.erase_on(erasure.id).await.unwrap());
        }
        let (mut reader, mut other) = (db.session().await, db.session().await);
        reader
            .execute("BEGIN; LOCK TABLE feedback_inbox IN ACCESS EXCLUSIVE MODE")
            .await;
        let store = db.store.clone();
        let batch = tokio::spawn(async move { store.erase_on(erasure.id).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        other
            .execute("BEGIN; SELECT id FROM erasures FOR UPDATE NOWAIT; COMMIT")
            .await;
        reader.execute("COMMIT").await;
        assert!(batch.await.unwrap().unwrap());
        assert_ne!(db.texts(step).await, ["inbox"]);
    })
    .await;
}

pub(super) async fn everything(db: &TestDb) {
    let first = enqueued(&db.store, vec![email("C-1")]).await[0];
    enqueued(&db.store, vec![again("C-1", first)]).await;
    db.pass(KEEP * 2);
    contents(db).await;
}
