//! How much PostgreSQL reads for the two statements that run all the time, counted by itself: the
//! claim and the client's first page must not depend on how much there is.

use std::time::Duration;

use sendtrail::domain::method::Method;
use sendtrail::store::Store;
use sendtrail::store::history::Filter;

use super::make::{BUSINESS, email, enqueued, happening, incoming, opened, wanted};
use crate::support::db::{TestDb, on_postgres};

/// Scans and rows read of a table so far.
#[derive(Debug)]
struct Reads {
    whole_scans: i64,
    rows: i64,
}

async fn reads(db: &TestDb, table: &str) -> Reads {
    let sql = format!(
        "SELECT seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables \
         WHERE relname = '{table}'"
    );
    let row = &db.rows(&sql).await[0];
    let number = |i: usize| row[i].as_ref().unwrap().parse().unwrap();
    Reads {
        whole_scans: number(0),
        rows: number(1),
    }
}

/// What `work` reads of a table. Its connections are closed, so that they report what they did.
async fn measure(db: &TestDb, table: &str, work: impl AsyncFnOnce(&Store)) -> Reads {
    let before = reads(db, table).await;
    let store = db.another_store().await;
    work(&store).await;
    store.close().await;
    let sessions = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'sendtrail' \
                    AND datname = current_database()";
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while db.texts(sessions).await != ["0"] {
        assert!(tokio::time::Instant::now() < end, "connections stay open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = reads(db, table).await;
    Reads {
        whole_scans: after.whole_scans - before.whole_scans,
        rows: after.rows - before.rows,
    }
}

/// 6,000 entries of 60 clients, all due; every third was opened.
async fn fill(db: &TestDb) {
    for _ in 0..6 {
        let batch = (0..1000).map(|i| email(&format!("C-{}", i % 60))).collect();
        let ids = enqueued(&db.store, batch).await;
        db.pass(Duration::from_millis(1));
        let calls = ids.iter().step_by(3).map(|id| {
            let event = happening(1, db.clock.now(), opened());
            db.store
                .keep_feedback(incoming(&id.to_string(), Some(*id), None, vec![event]))
        });
        for kept in futures_util::future::join_all(calls).await {
            kept.unwrap();
        }
    }
    db.store.close().await;
    db.execute("VACUUM ANALYZE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_reads_no_more_than_it_takes() {
    on_postgres(async |db: &TestDb| {
        fill(db).await;
        let claims = async |store: &Store| {
            // More than five, so that the plan for any values is tried too.
            for _ in 0..8 {
                let claim = store.claim(wanted(Method::Email, 50)).await.unwrap();
                assert_eq!(claim.unwrap().jobs.len(), 50);
            }
        };
        let jobs = measure(db, "jobs", claims).await;
        assert_eq!(jobs.whole_scans, 0, "{jobs:?}");
        assert!(jobs.rows <= 3 * 400, "{jobs:?}");
        for table in ["contact_log", "message_content", "delivery_facts"] {
            let read = measure(db, table, claims).await;
            assert_eq!(read.whole_scans, 0, "{table} {read:?}");
            assert!(read.rows <= 400, "{table} {read:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_reads_no_more_than_it_shows() {
    on_postgres(async |db: &TestDb| {
        fill(db).await;
        let of_client = Filter {
            client_id: Some("C-7".to_owned()),
            limit: 20,
            ..Filter::default()
        };
        let of_business = Filter {
            client_id: None,
            ..of_client.clone()
        };
        for filter in [of_client, of_business] {
            for table in ["contact_log", "delivery_facts", "clients"] {
                let pages = async |store: &Store| {
                    for _ in 0..8 {
                        let page = store.history(BUSINESS, &filter).await.unwrap();
                        assert_eq!((page.entries.len(), page.more), (20, true));
                    }
                };
                let read = measure(db, table, pages).await;
                // Once for the page, once for its lines, and the one entry more. The cards are few
                // enough to be read whole.
                let enough = if table == "clients" {
                    8 * 2 * 60
                } else {
                    8 * (2 * 21)
                };
                assert!(read.rows <= enough, "{table} {read:?} {filter:?}");
                assert!(
                    table == "clients" || read.whole_scans == 0,
                    "{table} {read:?}"
                );
            }
        }
    })
    .await;
}
