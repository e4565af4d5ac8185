//! When the database goes away, is held up, or is closed.

use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::domain::method::Method;
use sendtrail::store::{Error, Store};

use super::make::{
    BUSINESS, email, enqueued, happening, incoming, opened, request, tickets, wanted,
};
use crate::support::db::{TestDb, both, on_postgres, on_sqlite};
use crate::support::proxy::Proxy;

both! {
    a_closed_store_says_so,
    workers_are_woken_where_there_are_other_programs,
    a_caller_that_goes_away_changes_nothing,
}

async fn a_closed_store_says_so(db: &TestDb) {
    let store = db.another_store().await;
    enqueued(&store, vec![email("C-1")]).await;
    store.close().await;
    assert!(
        store
            .enqueue(request(vec![email("C-1")]))
            .await
            .unwrap_err()
            .is_unavailable()
    );
    assert!(store.ready().await.unwrap_err().is_unavailable());
    assert!(
        store
            .claim(wanted(Method::Email, 1))
            .await
            .unwrap_err()
            .is_unavailable()
    );
    assert_eq!(db.count("contact_log").await, 1);
}

async fn workers_are_woken_where_there_are_other_programs(db: &TestDb) {
    let Some(mut wakes) = db.store.listen().await.unwrap() else {
        assert!(!db.is_postgres(), "SQLite has one program alone");
        return;
    };
    let other = db.another_store().await;
    enqueued(&other, vec![email("C-1")]).await;
    tokio::time::timeout(Duration::from_secs(10), wakes.next())
        .await
        .unwrap()
        .unwrap();
    other.close().await;
}

async fn a_caller_that_goes_away_changes_nothing(db: &TestDb) {
    for i in 0..20_u64 {
        let call = db.store.enqueue(request(vec![email("C-1"), email("C-2")]));
        let _gone = tokio::time::timeout(Duration::from_micros(i * 100), call).await;
    }
    enqueued(&db.store, vec![email("C-3")]).await;
    // In one look, because some of them may still be on their way.
    let sql = "SELECT COUNT(*) % 2, COUNT(*) = (SELECT COUNT(*) FROM jobs) FROM contact_log";
    let found = db.rows(sql).await.remove(0);
    assert_eq!(
        found[0].as_deref(),
        Some("1"),
        "all or nothing of each request"
    );
    assert!(
        ["t", "1"].map(Some).contains(&found[1].as_deref()),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_reported_and_made_again() {
    on_postgres(async |db: &TestDb| {
        enqueued(&db.store, vec![email("C-1")]).await;
        let end_sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE application_name = 'sendtrail' AND datname = current_database()";
        // In the middle of a statement: it waits for a lock that the test holds.
        let mut holder = db.session().await;
        let lock = "BEGIN; LOCK TABLE contact_log, feedback_inbox IN ACCESS EXCLUSIVE MODE";
        holder.execute(lock).await;
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        let message = incoming(
            "m",
            None,
            Some("p"),
            vec![happening(1, db.clock.now(), opened())],
        );
        let enqueue = db.store.enqueue(request(vec![email("C-2")]));
        let feedback = db.store.keep_feedback(message.clone());
        let end = async {
            let until = tokio::time::Instant::now() + Duration::from_secs(10);
            while db.texts(waiting).await != ["2"] {
                assert!(tokio::time::Instant::now() < until, "nobody waits");
            }
            db.texts(end_sessions).await
        };
        let (enqueued_too, kept, _) = futures_util::future::join3(enqueue, feedback, end).await;
        holder.execute("ROLLBACK").await;
        for error in [enqueued_too.unwrap_err(), kept.unwrap_err()] {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        }
        assert_eq!(db.count("contact_log").await, 1);
        // Between statements: nobody notices.
        enqueued(&db.store, vec![email("C-2")]).await;
        db.store.keep_feedback(message).await.unwrap();
        db.texts(end_sessions).await;
        enqueued(&db.store, vec![email("C-3")]).await;
        assert_eq!(db.count("contact_log").await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_goes_dead_is_left_for_a_new_one() {
    on_postgres(async |db: &TestDb| {
        let proxy = Proxy::to(db.server()).await;
        let url = db.url_by(proxy.address());
        // Two connections, because the driver waits for ever for one that goes dead in the very
        // moment in which it goes back to the pool.
        let store = Store::open(&url, 2, db.clock.clone()).await.unwrap();
        enqueued(&store, vec![email("C-1")]).await;
        let begun = tokio::time::Instant::now();
        proxy.cut();
        while let Err(error) = store.enqueue(request(vec![email("C-2")])).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            assert!(begun.elapsed() < Duration::from_secs(30), "still waiting");
        }
        assert_eq!(db.count("contact_log").await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_goes_dead_in_the_middle_is_left_for_a_new_one() {
    on_postgres(async |db: &TestDb| {
        let proxy = Proxy::to(db.server()).await;
        let url = db.url_by(proxy.address());
        // One connection, which must not be waited for when it is dead.
        let store = Store::open(&url, 1, db.clock.clone()).await.unwrap();
        enqueued(&store, vec![email("C-1")]).await;
        let mut holder = db.session().await;
        let lock = "BEGIN; LOCK TABLE contact_log IN ACCESS EXCLUSIVE MODE";
        holder.execute(lock).await;
        let cut = async {
            wait_for_a_lock(db).await;
            proxy.cut();
            holder.execute("ROLLBACK").await;
        };
        let begun = tokio::time::Instant::now();
        let enqueue = store.enqueue(request(vec![email("C-2")]));
        let (result, ()) = futures_util::future::join(enqueue, cut).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        while let Err(error) = store.enqueue(request(vec![email("C-3")])).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            assert!(begun.elapsed() < Duration::from_secs(40), "still waiting");
        }
    })
    .await;
}

/// Until some statement of this database waits for a lock.
async fn wait_for_a_lock(db: &TestDb) {
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while db.texts(waiting).await == ["0"] {
        assert!(tokio::time::Instant::now() < until, "nobody waits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_that_holds_sqlite_makes_it_unavailable_not_broken() {
    on_sqlite(async |db: &TestDb| {
        let other = db.another_store().await;
        let mut holder = db.session().await;
        holder.execute("BEGIN IMMEDIATE").await;
        let error = other
            .enqueue(request(vec![email("C-1")]))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        let read = db.store.entries(BUSINESS, &[]).await;
        assert!(read.unwrap().is_empty(), "readers go on");
        holder.execute("ROLLBACK").await;
        let answer = other.enqueue(request(vec![email("C-1")])).await.unwrap();
        assert_eq!(tickets(answer).len(), 1);
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_unavailable() {
    let clock = Clock::system();
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let store = Store::open(url, 2, clock.clone()).await.unwrap();
    let error = store.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(store.migrate().await.unwrap_err().is_unavailable());
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite:{}",
        folder.path().join("no/such/folder/db").display()
    );
    let error = Store::open(&url, 2, clock).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_do_not_quote_rows() {
    on_postgres(async |db: &TestDb| {
        let limit = "ALTER TABLE contact_log ADD CHECK (address NOT LIKE 'secret%')";
        db.execute(limit).await;
        let error = db
            .store
            .enqueue(request(vec![email("secret-person")]))
            .await
            .unwrap_err();
        let told = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(told.contains("23514"), "{told}");
        assert!(!told.contains("secret-person"), "{told}");
    })
    .await;
}
