//! Events whose message is not known: found again by the send that they are about and, where the two
//! crossed, by sweeps, which never look at more than a share of them at once.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::feedback::Kept;
use sendtrail::store::unmatched::Sweep;
use tokio::time::Instant;
use uuid::Uuid;

use super::feedback::facts;
use super::make::{email, enqueued, happening, incoming, opened, send_one};
use crate::support::db::{TestDb, both};

both! {
    a_send_takes_what_names_it_by_either_id,
    a_providers_word_of_a_send_takes_what_waited_for_it,
    the_sweep_finds_what_two_connections_missed,
    a_flood_is_looked_at_a_share_at_a_time,
    what_was_there_long_ago_is_looked_at_once,
    a_sweep_reads_no_more_than_what_is_new,
    counting_stops_at_its_limit,
}

const WINDOW: Duration = Duration::from_mins(5);
/// Looked at in one sweep.
const SHARE: usize = 5_000;

async fn swept(store: &Store, sweep: &mut Sweep) -> usize {
    store.sweep_unmatched(sweep).await.unwrap()
}

async fn waiting(db: &TestDb) -> i64 {
    db.store.count_unmatched(1_000_000).await.unwrap()
}

/// A time as the database has it.
fn literal(db: &TestDb, at: Timestamp) -> String {
    if db.is_postgres() {
        format!("timestamptz '{at}'")
    } else {
        at.as_millis().to_string()
    }
}

/// That many events of messages that another program sent.
async fn foreign(db: &TestDb, count: usize, at: Timestamp) {
    let (key, at) = (Uuid::new_v4().to_string(), literal(db, at));
    let tail = &key[8..];
    let key = if db.is_postgres() {
        format!("(lpad(to_hex(i), 8, '0') || '{tail}')::uuid")
    } else {
        format!("printf('%08x', i) || '{tail}'")
    };
    db.execute(&format!(
        "INSERT INTO unmatched_events (event_key, provider_message_id, kind, occurred_at, \
         recorded_at, source, detail) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 \
         FROM n WHERE i < {count}) SELECT {key}, 'foreign-' || i, 'opened', {at}, {at}, 'ses', \
         '{{}}' FROM n"
    ))
    .await;
}

/// An open that waits although its message was sent, as after two commits that crossed.
async fn crossed(db: &TestDb, key: u128, at: Timestamp) -> NotificationId {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let provider_message_id = format!("p-{key}");
    let event = happening(key, at, opened());
    let message = incoming(
        &provider_message_id,
        None,
        Some(&provider_message_id),
        vec![event],
    );
    let kept = db.store.keep_feedback(message).await.unwrap();
    assert_eq!(kept, Kept::Unmatched);
    // The send is recorded by a connection that does not see the waiting event.
    db.execute("CREATE TABLE hidden AS SELECT * FROM unmatched_events WHERE source = 'ses'")
        .await;
    db.execute("DELETE FROM unmatched_events").await;
    send_one(&db.store, db.clock.now(), &provider_message_id).await;
    db.execute("INSERT INTO unmatched_events SELECT * FROM hidden")
        .await;
    db.execute("DROP TABLE hidden").await;
    let recorded = format!(
        "UPDATE unmatched_events SET recorded_at = {} WHERE provider_message_id = \
         '{provider_message_id}'",
        literal(db, at)
    );
    db.execute(&recorded).await;
    id
}

async fn a_send_takes_what_names_it_by_either_id(db: &TestDb) {
    let now = db.clock.now();
    let first = enqueued(&db.store, vec![email("C-1")]).await[0];
    let unknown = [7, 8].map(|n| NotificationId::new(Uuid::from_u128(n)));
    for (i, (own, theirs)) in [
        (Some(unknown[0]), None),
        (Some(unknown[0]), Some("p-1")),
        (Some(unknown[1]), Some("p-1")),
        (Some(unknown[1]), Some("of another")),
    ]
    .into_iter()
    .enumerate()
    {
        let event = happening(u128::try_from(i).unwrap(), now, opened());
        let message = incoming(&format!("m{i}"), own, theirs, vec![event]);
        let kept = db.store.keep_feedback(message).await.unwrap();
        assert_eq!(kept, Kept::Unmatched, "{i}");
    }
    // Its row was not there when they came, and they are older than what sweeps look at.
    db.execute(&format!(
        "UPDATE unmatched_events SET notification_id = '{first}' WHERE notification_id = '{}'",
        unknown[0]
    ))
    .await;
    db.pass(WINDOW * 2);
    send_one(&db.store, db.clock.now(), "p-1").await;
    assert_eq!(facts(db, first).await.opened.unwrap().count, 3);
    assert_eq!(waiting(db).await, 1);
}

/// As when the answer to a send was lost: that the provider has it, and by which id, only its feedback
/// says.
async fn a_providers_word_of_a_send_takes_what_waited_for_it(db: &TestDb) {
    let now = db.clock.now();
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let open = incoming("m-1", None, Some("p-1"), vec![happening(1, now, opened())]);
    let kept = db.store.keep_feedback(open).await.unwrap();
    assert_eq!(kept, Kept::Unmatched);
    let accepted = What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: Some("p-1".to_owned()),
        opens_tracked: true,
    };
    let send = incoming(
        "m-2",
        Some(id),
        Some("p-1"),
        vec![happening(2, now, accepted)],
    );
    let kept = db.store.keep_feedback(send).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 1 });
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
    assert_eq!(waiting(db).await, 0);
}

async fn the_sweep_finds_what_two_connections_missed(db: &TestDb) {
    let now = db.clock.now();
    let first = crossed(db, 1, now).await;
    let second = crossed(db, 2, now).await;
    foreign(db, 3, now).await;
    let other = db.another_store().await;
    let (mut ours, mut theirs) = (Sweep::default(), Sweep::default());
    let sweeps =
        futures_util::future::join(swept(&db.store, &mut ours), swept(&other, &mut theirs));
    let (a, b) = Box::pin(sweeps).await;
    assert_eq!(a + b, 2);
    for id in [first, second] {
        assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
    }
    assert_eq!(waiting(db).await, 3);
    // Again and again, as long as two commits can cross.
    let third = crossed(db, 3, db.pass(WINDOW / 2)).await;
    assert_eq!(swept(&db.store, &mut ours).await, 1);
    assert_eq!(facts(db, third).await.opened.unwrap().count, 1);
    assert_eq!(swept(&db.store, &mut ours).await, 0);
    other.close().await;
}

async fn a_flood_is_looked_at_a_share_at_a_time(db: &TestDb) {
    let now = db.clock.now();
    let id = crossed(db, 1, now.plus(Duration::from_secs(1))).await;
    foreign(db, 2 * SHARE, now).await;
    let mut sweep = Sweep::default();
    assert_eq!(swept(&db.store, &mut sweep).await, 0);
    assert_eq!(swept(&db.store, &mut sweep).await, 0);
    assert_eq!(facts(db, id).await.opened, None);
    assert_eq!(swept(&db.store, &mut sweep).await, 1);
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
    assert_eq!(waiting(db).await, i64::try_from(2 * SHARE).unwrap());
}

async fn what_was_there_long_ago_is_looked_at_once(db: &TestDb) {
    let long_ago = db.clock.now();
    let before_the_start = crossed(db, 1, long_ago).await;
    db.pass(WINDOW * 2);
    // A program that starts looks at what was left while none ran.
    let mut sweep = Sweep::default();
    assert_eq!(swept(&db.store, &mut sweep).await, 1);
    assert_eq!(facts(db, before_the_start).await.opened.unwrap().count, 1);
    crossed(db, 2, long_ago).await;
    assert_eq!(swept(&db.store, &mut sweep).await, 0);
    // However long it slept, it goes on where it left off.
    let asleep = crossed(db, 3, db.pass(WINDOW / 2)).await;
    db.pass(WINDOW * 3);
    assert_eq!(swept(&db.store, &mut sweep).await, 1);
    assert_eq!(facts(db, asleep).await.opened.unwrap().count, 1);
    assert_eq!(waiting(db).await, 1);
}

/// What PostgreSQL counted of the table: rows read one after the other, rows found by an index.
async fn rows_read(db: &TestDb) -> (i64, i64) {
    let counted = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables \
                   WHERE relname = 'unmatched_events'";
    let row = db.rows(counted).await.remove(0);
    let number = |text: &Option<String>| text.as_deref().unwrap_or("0").parse().unwrap();
    (number(&row[0]), number(&row[1]))
}

async fn a_sweep_reads_no_more_than_what_is_new(db: &TestDb) {
    const OLD: usize = 100_000;
    const NEW: usize = 10;
    const SWEEPS: usize = 20;
    foreign(db, OLD, db.clock.now()).await;
    db.pass(WINDOW * 2);
    let mut sweep = Sweep::default();
    for _ in 0..=OLD / SHARE {
        swept(&db.store, &mut sweep).await;
    }
    foreign(db, NEW, db.clock.now()).await;
    if !db.is_postgres() {
        // SQLite's plan, which the test of all plans looks at, says the same.
        assert_eq!(swept(&db.store, &mut sweep).await, 0);
        return;
    }
    // A connection hands over its counts when it is closed.
    db.store.close().await;
    db.execute("ANALYZE unmatched_events").await;
    let before = rows_read_at_least(db, i64::try_from(OLD).unwrap()).await;
    let other = db.another_store().await;
    for _ in 0..SWEEPS {
        assert_eq!(swept(&other, &mut sweep).await, 0);
    }
    other.close().await;
    let expected = before.1 + i64::try_from(NEW * SWEEPS).unwrap();
    let after = rows_read_at_least(db, expected).await;
    assert_eq!(
        after,
        (before.0, expected),
        "one after the other, by the index"
    );
}

/// Once the closed connections have handed over what they counted.
async fn rows_read_at_least(db: &TestDb, by_index: i64) -> (i64, i64) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let read = rows_read(db).await;
        if read.1 >= by_index || Instant::now() > until {
            return read;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn counting_stops_at_its_limit(db: &TestDb) {
    assert_eq!(db.store.count_unmatched(2).await.unwrap(), 0);
    let now = db.clock.now();
    let many = (0..5).map(|i| happening(i, now, opened())).collect();
    let message = incoming("m", None, Some("p"), many);
    db.store.keep_feedback(message).await.unwrap();
    assert_eq!(db.store.count_unmatched(2).await.unwrap(), 2);
    assert_eq!(db.store.count_unmatched(9).await.unwrap(), 5);
}
