//! How much PostgreSQL reads for what runs all the time, counted by itself: it must not depend on
//! how much there is.

use std::collections::BTreeMap;
use std::time::Duration;

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::history::Filter;

use super::make::{
    BUSINESS, backlog, done, email, enqueued, happening, incoming, keyed, nothing_left, opened,
    sent, tried, wanted,
};
use crate::support::db::{TestDb, on_postgres};

/// Tables that grow. Those that are small here, such as `clients`, may well be read whole.
const TABLES: [&str; 7] = [
    "contact_log",
    "delivery_events",
    "delivery_facts",
    "feedback_inbox",
    "idempotency_keys",
    "jobs",
    "message_content",
];

/// Scans of whole tables and rows read so far, by table.
type Reads = BTreeMap<String, (i64, i64)>;

async fn reads(db: &TestDb) -> Reads {
    let sql = "SELECT relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) \
               FROM pg_stat_user_tables";
    let number = |text: Option<String>| text.unwrap().parse::<i64>().unwrap();
    let rows = db.rows(sql).await.into_iter().map(|row| {
        let [table, scans, rows] = row.try_into().unwrap();
        (table.unwrap(), (number(scans), number(rows)))
    });
    rows.filter(|(table, _)| TABLES.contains(&table.as_str()))
        .collect()
}

/// Does the work on a store of its own, whose connections are closed, so that they report what they
/// did.
async fn on_its_own(db: &TestDb, work: impl AsyncFnOnce(&Store)) {
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
}

/// No table may be read whole, nor more than `rows_max` rows of it.
async fn reads_at_most(db: &TestDb, rows_max: i64, work: impl AsyncFnOnce(&Store)) {
    let before = reads(db).await;
    on_its_own(db, work).await;
    let after = reads(db).await;
    for (table, (scans, rows)) in after {
        let (scans_before, rows_before) = before[&table];
        assert_eq!(scans - scans_before, 0, "{table} was read whole");
        let read = rows - rows_before;
        assert!(
            read <= rows_max,
            "{read} rows of {table} instead of {rows_max}"
        );
    }
}

/// 6,000 entries of 60 clients, all due; every third was opened.
async fn fill(db: &TestDb) -> Vec<NotificationId> {
    let mut all = Vec::new();
    for round in 0..6 {
        let batch = (0..1000).map(|i| {
            let new = email(&format!("C-{}", i % 60));
            keyed(new, &format!("{round} {i}"), 1)
        });
        let ids = enqueued(&db.store, batch.collect()).await;
        db.pass(Duration::from_millis(1));
        let calls = ids.iter().step_by(3).map(|id| {
            let event = happening(1, db.clock.now(), opened());
            db.store
                .keep_feedback(incoming(&id.to_string(), Some(*id), None, vec![event]))
        });
        for kept in futures_util::future::join_all(calls).await {
            kept.unwrap();
        }
        all.extend(ids);
    }
    db.store.close().await;
    db.execute("VACUUM ANALYZE").await;
    all
}

/// More than five times, so that PostgreSQL also tries its plan for any values.
const TIMES: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claiming_and_recording_read_no_more_than_they_take() {
    on_postgres(async |db: &TestDb| {
        fill(db).await;
        let now = db.clock.now();
        let work = async |store: &Store| claim_and_record(store, now).await;
        reads_at_most(db, 3 * 50 * TIMES, work).await;
    })
    .await;
}

async fn claim_and_record(store: &Store, now: Timestamp) {
    for _ in 0..TIMES {
        let claim = store.claim(wanted(Method::Email, 50)).await.unwrap();
        let claim = claim.unwrap();
        assert_eq!(claim.jobs.len(), 50);
        let sent_one = claim.jobs.iter().map(|job| {
            let by = job.job.id.to_string();
            done(&claim, job, tried(now, "accepted"), sent(&by))
        });
        let batch: Vec<_> = sent_one.collect();
        store.record(&batch, &nothing_left(&claim)).await.unwrap();
    }
}

/// Blocks of the queue's indexes that were read so far.
async fn blocks(db: &TestDb) -> i64 {
    let sql = "SELECT CAST(SUM(idx_blks_read + idx_blks_hit) AS bigint)::text \
               FROM pg_statio_user_indexes WHERE indexrelname IN ('jobs_ready', 'jobs_later')";
    db.texts(sql).await[0].parse().unwrap()
}

/// PostgreSQL keeps the entries of deleted rows in its indexes until it vacuums them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_does_not_go_through_all_that_was_claimed_before_it() {
    const CLAIMS: i64 = 10;
    on_postgres(async |db: &TestDb| {
        db.execute("ALTER TABLE jobs SET (autovacuum_enabled = false)")
            .await;
        backlog(db, BUSINESS, 100_000).await;
        db.store.close().await;
        let claim = async |store: &Store| {
            for _ in 0..CLAIMS {
                let claim = store.claim(wanted(Method::Email, 200)).await.unwrap();
                assert_eq!(claim.unwrap().jobs.len(), 200);
            }
        };
        let before = blocks(db).await;
        on_its_own(db, claim).await;
        let at_first = blocks(db).await - before;
        on_its_own(db, async |store: &Store| {
            while db.count("jobs").await >= 10_000 {
                let claim = store.claim(wanted(Method::Email, 5_000)).await;
                assert_eq!(claim.unwrap().unwrap().jobs.len(), 5_000);
            }
        })
        .await;
        let before = blocks(db).await;
        on_its_own(db, claim).await;
        let at_last = blocks(db).await - before;
        // A fresh worker goes through it once, and so does everyone once a second; it would be
        // 1,000 blocks for each claim.
        assert!(
            at_last < at_first + 5_000,
            "{at_last} blocks instead of {at_first}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_and_enqueue_read_no_more_than_they_are_about() {
    on_postgres(async |db: &TestDb| {
        let ids = fill(db).await;
        let now = db.clock.now();
        let work = async |store: &Store| tell_and_enqueue(store, &ids, now).await;
        reads_at_most(db, 4 * 20 * TIMES, work).await;
    })
    .await;
}

async fn tell_and_enqueue(store: &Store, ids: &[NotificationId], now: Timestamp) {
    for round in 0..TIMES {
        let calls = ids.iter().step_by(300).map(|id| {
            let event = happening(2, now, opened());
            let name = format!("{round} {id}");
            store.keep_feedback(incoming(&name, Some(*id), Some(&name), vec![event]))
        });
        for kept in futures_util::future::join_all(calls).await {
            kept.unwrap();
        }
        let batch = (0..20).map(|i| keyed(email("C-1"), &format!("again {round} {i}"), 1));
        enqueued(store, batch.collect()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_reads_no_more_than_it_shows() {
    on_postgres(async |db: &TestDb| {
        fill(db).await;
        for client in [None, Some("C-7")] {
            // Once for the page, once for its lines; the one entry more, and one that a plan may read
            // ahead.
            let work = async |store: &Store| first_pages(store, client).await;
            reads_at_most(db, 2 * 22 * TIMES, work).await;
        }
    })
    .await;
}

async fn first_pages(store: &Store, client: Option<&str>) {
    let filter = Filter {
        client_id: client.map(str::to_owned),
        limit: 20,
        ..Filter::default()
    };
    for _ in 0..TIMES {
        let page = store.history(BUSINESS, &filter).await.unwrap();
        assert_eq!((page.entries.len(), page.next.is_some()), (20, true));
    }
}
