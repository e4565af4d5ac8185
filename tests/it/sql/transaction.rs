//! Enqueuing inside the application's own transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::caller::{Caller, Refused, id};
use crate::store::make::send_one;
use crate::support::api::{TestApi, email, sms};
use crate::support::db::{TestDb, on_postgres};

/// Far longer than a notice takes, and far shorter than a test may.
const PATIENCE: Duration = Duration::from_mins(1);
/// For something that must not happen.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_transaction_wakes_a_worker_and_a_rolled_back_one_sends_nothing() {
    on_postgres(async |db| {
        let mut wakes = db.store.listen().await.unwrap().unwrap();
        let mut caller = Caller::connect(db).await;
        caller.run("CREATE TABLE orders (id bigint)").await;

        caller.run("BEGIN; INSERT INTO orders VALUES (1)").await;
        caller.enqueue(&email(json!({}))).await.unwrap();
        let early = tokio::time::timeout(A_WHILE, wakes.next()).await;
        assert!(early.is_err(), "woken before the commit");
        assert_eq!(db.count("jobs").await, 0, "seen before the commit");
        caller.run("ROLLBACK").await;
        assert_eq!(db.count("orders").await, 0);
        for table in [
            "jobs",
            "contact_log",
            "message_content",
            "clients",
            "idempotency_keys",
        ] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }

        caller.run("BEGIN; INSERT INTO orders VALUES (2)").await;
        caller.enqueue(&email(json!({}))).await.unwrap();
        let committed = Instant::now();
        caller.run("COMMIT").await;
        tokio::time::timeout(PATIENCE, wakes.next())
            .await
            .unwrap()
            .unwrap();
        println!("woken {:?} after the commit", committed.elapsed());
        assert_eq!(db.count("jobs").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_can_be_undone_by_a_savepoint_alone() {
    on_postgres(async |db| {
        let mut caller = Caller::connect(db).await;
        caller.run("BEGIN").await;
        let first = caller.enqueue(&email(json!({}))).await.unwrap();
        caller.run("SAVEPOINT s").await;
        let refused = caller.enqueue(&email(json!({"to": "ana@", "colour": 1}))).await.unwrap_err();
        assert_eq!(
            refused.message,
            "sendtrail_enqueue: /colour is not known here; the names known here are: client, method, \
             to, type, contact_type, content, template, staff_id, send_at, expires_at, priority, \
             idempotency_key, metadata (and 1 more)"
        );
        caller.run("ROLLBACK TO s").await;
        let batch = json!({"notifications": [sms(json!({})), email(json!({}))]});
        let second = caller.enqueue(&batch).await.unwrap();
        caller.run("COMMIT").await;
        let ids = db.texts("SELECT CAST(id AS text) FROM contact_log ORDER BY id").await;
        let receipts = second["notifications"].as_array().unwrap();
        assert_eq!(ids, [id(&first), id(&receipts[0]), id(&receipts[1])], "in order");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_second_with_a_key_waits_for_the_first() {
    on_postgres(async |db| {
        let body = email(json!({"idempotency_key": "k"}));
        for (end, same) in [("ROLLBACK", false), ("COMMIT", true)] {
            let (mut first, second) = (Caller::connect(db).await, Caller::connect(db).await);
            first.run("BEGIN").await;
            let one = first.enqueue(&body).await.unwrap();
            let waiting = tokio::spawn(undone(second, body.clone()));
            until_one_waits(db).await;
            first.run(end).await;
            let two = waiting.await.unwrap().unwrap();
            assert_eq!(id(&one) == id(&two), same, "{end}");
            assert_eq!(two["duplicate"], same);
        }
        assert_eq!(db.count("contact_log").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stays_open_holds_up_only_who_names_the_same_client() {
    on_postgres(async |db| {
        let api = Arc::new(TestApi::on(db).await);
        let named = |client: &str| email(json!({"client": {"id": client, "name": "Ana"}}));
        let mut caller = Caller::connect(db).await;
        caller.run("BEGIN").await;
        caller.enqueue(&named("C-new")).await.unwrap();
        let started = Instant::now();
        let calls: Vec<_> = (0..12)
            .map(|n| {
                // The others wait for nobody: each names a client of its own.
                let (api, is_same) = (Arc::clone(&api), n % 6 == 0);
                let client = if is_same {
                    "C-new".to_owned()
                } else {
                    format!("C-{n}")
                };
                let body = named(&client);
                tokio::spawn(async move { (is_same, api.post("/v1/notifications", &body).await) })
            })
            .collect();
        for call in calls {
            let (is_same, answer) = call.await.unwrap();
            let expected = if is_same { 503 } else { 202 };
            assert_eq!(answer.status.as_u16(), expected, "{}", answer.json());
        }
        assert!(started.elapsed() < PATIENCE);
        caller.run("COMMIT").await;
        let answer = api.post("/v1/notifications", &named("C-new")).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.json());
    })
    .await;
}

/// Until one transaction waits for another one.
async fn until_one_waits(db: &TestDb) {
    let waiting = "SELECT CAST(pid AS text) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let started = Instant::now();
    while db.texts(waiting).await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "none waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn undone(mut caller: Caller, body: Json) -> Result<Json, Refused> {
    caller.run("BEGIN").await;
    let answer = caller.enqueue(&body).await;
    caller.run("ROLLBACK").await;
    answer
}

/// Some by HTTP, some by SQL; of two bodies under one key, which conflict.
async fn call(api: Arc<TestApi>, url: String, round: usize, caller: usize) -> Option<Json> {
    let name = if caller.is_multiple_of(2) {
        "Ana"
    } else {
        "Eve"
    };
    let client = json!({"id": format!("R-{round}"), "name": name, "phone": "+14155550123"});
    let body = email(
        json!({"client": client, "idempotency_key": format!("r-{round}"),
        "contact_type": format!("T-{round}"), "staff_id": format!("S-{round}")}),
    );
    if caller % 4 < 2 {
        let answer = api.post("/v1/notifications", &body).await;
        answer.status.is_success().then(|| answer.json())
    } else {
        Caller::at(&url).await.enqueue(&body).await.ok()
    }
}

/// Their new card and key are one each, whoever was first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_both_ways_at_once_share_a_card_and_a_key() {
    on_postgres(async |db| {
        let api = Arc::new(TestApi::on(db).await);
        for round in 0..10 {
            let calls: Vec<_> = (0..12)
                .map(|caller| tokio::spawn(call(Arc::clone(&api), db.url.clone(), round, caller)))
                .collect();
            let mut answers: Vec<Json> = Vec::new();
            for call in calls {
                answers.extend(call.await.unwrap());
            }
            let ids: BTreeSet<&str> = answers.iter().map(id).collect();
            let new = answers.iter().filter(|it| it["duplicate"] == false).count();
            assert_eq!((ids.len(), new, answers.len()), (1, 1, 6), "{answers:?}");
        }
        assert_eq!(db.count("clients").await, 10);
        assert_eq!(db.count("jobs").await, 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blanks_of_a_card_are_filled_once_by_whoever_comes_first() {
    on_postgres(async |db| {
        let told = |phone: &str| json!({"id": "C", "phone": phone});
        let (mut first, mut second) = (Caller::connect(db).await, Caller::connect(db).await);
        first.enqueue(&email(json!({"client": "C"}))).await.unwrap();
        first.run("BEGIN").await;
        first
            .enqueue(&email(json!({"client": told("+14155550101")})))
            .await
            .unwrap();
        let waiting = tokio::spawn(async move {
            second
                .enqueue(&sms(json!({"client": told("+14155550102"), "to": null})))
                .await
        });
        until_one_waits(db).await;
        first.run("COMMIT").await;
        waiting.await.unwrap().unwrap();
        assert_eq!(
            db.texts("SELECT phone FROM clients").await,
            ["+14155550101"]
        );
        let to = db
            .texts("SELECT address FROM contact_log WHERE method = 'sms'")
            .await;
        assert_eq!(
            to,
            ["+14155550101"],
            "the card's, as it was when it was written"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_is_told_the_present_status() {
    on_postgres(async |db| {
        let mut caller = Caller::connect(db).await;
        let body = email(json!({"idempotency_key": "k"}));
        let first = caller.enqueue(&body).await.unwrap();
        db.clock.set(
            sendtrail::clock::Clock::system()
                .now()
                .plus(Duration::from_secs(1)),
        );
        send_one(&db.store, db.clock.now(), "ses-1").await;
        let again = caller.enqueue(&body).await.unwrap();
        assert_eq!(
            again,
            json!({"id": id(&first), "status": "Sent", "statuses": ["Sent"], "duplicate": true})
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_belong_to_the_business_that_was_named() {
    on_postgres(async |db| {
        db.store.ensure_business("acme", "Acme").await.unwrap();
        let mut caller = Caller::connect(db).await;
        let body = email(json!({"idempotency_key": "k"}));
        let ours = caller.enqueue(&body).await.unwrap();
        let theirs = caller.enqueue_for("acme", &body).await.unwrap();
        assert_ne!(id(&ours), id(&theirs), "keys belong to a business");
        let found = db
            .texts("SELECT business_id FROM contact_log ORDER BY id")
            .await;
        assert_eq!(found, ["default", "acme"]);
        let refused = caller.enqueue_for("nobody", &body).await.unwrap_err();
        assert_eq!(refused.code, "ST404");
        let refused = caller
            .enqueue_for("acme", &email(json!({"client": "C", "to": null})))
            .await;
        assert_eq!(
            refused.unwrap_err().errors.len(),
            1,
            "the card is not theirs"
        );
    })
    .await;
}

/// As PostgreSQL has it: the second of two such transactions is told to repeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_isolation_ends_in_a_serialization_failure() {
    on_postgres(async |db| {
        let body = email(json!({"idempotency_key": "k"}));
        let (mut first, mut second) = (Caller::connect(db).await, Caller::connect(db).await);
        second
            .run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM jobs")
            .await;
        first.enqueue(&body).await.unwrap();
        assert_eq!(second.enqueue(&body).await.unwrap_err().code, "40001");
        second.run("ROLLBACK").await;
        assert_eq!(second.enqueue(&body).await.unwrap()["duplicate"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_thousand_keeps_its_order() {
    on_postgres(async |db| {
        let mut caller = Caller::connect(db).await;
        let batch: Vec<Json> = (0..1_000)
            .map(|i| sms(json!({"client": format!("C-{}", i % 37), "type": i.to_string()})))
            .collect();
        let started = Instant::now();
        let answer = caller
            .enqueue(&json!({"notifications": batch}))
            .await
            .unwrap();
        println!("1,000 by SQL in {:?}", started.elapsed());
        let ids: Vec<&str> = answer["notifications"]
            .as_array()
            .unwrap()
            .iter()
            .map(id)
            .collect();
        assert!(ids.is_sorted());
        let types = db.texts("SELECT type FROM contact_log ORDER BY id").await;
        assert!(
            types
                .iter()
                .enumerate()
                .all(|(i, name)| *name == i.to_string())
        );
        assert_eq!(db.count("clients").await, 37);
    })
    .await;
}
