//! How SQLite finds the rows of every statement of the store: by an index, never by going through a
//! table that grows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendtrail::domain::event::Decision;
use sendtrail::domain::method::Method;
use sendtrail::domain::status::Status;
use sendtrail::store::history::{Filter, Order};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::make::{
    BUSINESS, LEASE, claimed, delivered, done, email, enqueued, happening, incoming, keyed,
    nothing_left, push, rescue, send_one, sent, tried, wanted,
};
use crate::support::db::{TestDb, on_sqlite};

/// Keeps the text of every statement that the store runs on this thread.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Statements {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "text" {
            self.0.lock().unwrap().insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Runs every function of the store that touches tables that grow.
async fn everything(db: &TestDb) {
    let (store, now) = (&db.store, db.clock.now());
    let mut new = keyed(email("C-1"), "k", 1);
    new.staff_id = Some("S-1".to_owned());
    let ids = enqueued(
        store,
        vec![new.clone(), email("C-2"), email("C-2"), push("C-3")],
    )
    .await;
    new.client.name = Some("Ana".to_owned());
    enqueued(store, vec![new]).await;
    let early = incoming(
        "m1",
        None,
        Some("p-2"),
        vec![happening(1, now, delivered())],
    );
    store.keep_feedback(early).await.unwrap();
    let claim = claimed(store).await;
    let released = done(
        &claim,
        &claim.jobs[0],
        None,
        sendtrail::store::record::Then::Settled,
    );
    let mut left = nothing_left(&claim);
    left[0].rewrite = true;
    left[0].jobs = claim.jobs[1..].iter().map(|claimed| claimed.job).collect();
    store.record(&[released], &left).await.unwrap();
    store.beat(&[claim.id]).await.unwrap();
    db.pass(LEASE * 2);
    assert!(rescue(store, Duration::ZERO).await > 0);
    send_one(store, now, "p-1").await;
    let claim = claimed(store).await;
    let accepted = done(&claim, &claim.jobs[0], tried(now, "accepted"), sent("p-2"));
    store
        .record(&[accepted], &nothing_left(&claim))
        .await
        .unwrap();
    let both = incoming(
        "m2",
        Some(ids[0]),
        Some("p-1"),
        vec![happening(2, now, delivered())],
    );
    store.keep_feedback(both).await.unwrap();
    store.cancel(BUSINESS, ids[3]).await.unwrap();
    store.settle_held(None).await.unwrap();
    store.settle_held(Some(ids[0])).await.unwrap();
    store.held(BUSINESS, Some(ids[0]), 10).await.unwrap();
    let unknown = enqueued(store, vec![email("C-1")]).await[0];
    let claim = claimed(store).await;
    let then = sendtrail::store::record::Then::Hold;
    let held = done(&claim, &claim.jobs[0], tried(now, "unknown"), then);
    store.record(&[held], &nothing_left(&claim)).await.unwrap();
    for _ in 0..2 {
        let decided = store.decide(BUSINESS, unknown, Decision::Resend, None);
        decided.await.unwrap();
    }
    store.sweep_unmatched().await.unwrap();
    store.count_unmatched(10).await.unwrap();
    store.claim(wanted(Method::Sms, 1)).await.unwrap();
    store.entries(BUSINESS, &ids).await.unwrap();
    store.story(ids[0]).await.unwrap();
    store.content(BUSINESS, ids[0]).await.unwrap();
    store.client_exists(BUSINESS, "C-1").await.unwrap();
    store.find_key("digest").await.unwrap();
    pages(db).await;
}

async fn pages(db: &TestDb) {
    for client_id in [None, Some("C-1".to_owned())] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut filter = Filter {
                client_id: client_id.clone(),
                order,
                limit: 10,
                ..Filter::default()
            };
            db.store.history(BUSINESS, &filter).await.unwrap();
            filter.from = Some(db.clock.now());
            filter.to = Some(db.clock.now());
            filter.statuses = vec![Status::Bounced];
            filter.search = Some("ana".to_owned());
            filter.after = Some(sendtrail::domain::id::NotificationId::floor(db.clock.now()));
            db.store.history(BUSINESS, &filter).await.unwrap();
        }
    }
}

/// Table functions, tables whose rows are few, and names of what a statement has at hand.
const SMALL: [&str; 13] = [
    "json_each",
    "CONSTANT ROW",
    "VALUES CLAUSE",
    "subquery-",
    "SCAN b",
    "claims",
    "businesses",
    "unmatched_events",
    "waiting",
    "dead",
    "due",
    "mine",
    "turns",
];

fn goes_through_a_table(step: &str, statement: &str) -> bool {
    let scans = step.contains("SCAN") && !SMALL.iter().any(|name| step.contains(name));
    // A page begins at one end of the business's entries and stops when it is full.
    let of_business = step.ends_with("contact_log_by_business (business_id=?)")
        && !statement.contains(" ORDER BY h.id");
    scans || of_business || step.contains("AUTOMATIC")
}

#[tokio::test]
async fn sqlite_seeks_every_row_in_tables_that_grow() {
    on_sqlite(async |db: &TestDb| {
        let statements = Statements::default();
        let subscriber = tracing_subscriber::registry().with(statements.clone());
        let listening = tracing::subscriber::set_default(subscriber);
        // Another test, of another thread, may just be deciding that nobody listens.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while statements.0.lock().unwrap().is_empty() {
            assert!(std::time::Instant::now() < until, "no statement is heard");
            tracing::callsite::rebuild_interest_cache();
            db.store.ready().await.unwrap();
        }
        everything(db).await;
        drop(listening);
        let statements = statements.0.lock().unwrap().clone();
        assert!(
            statements.len() > 40,
            "only {} statements",
            statements.len()
        );
        let mut scans = Vec::new();
        for statement in statements {
            let plan = db.rows(&format!("EXPLAIN QUERY PLAN {statement}")).await;
            let steps = plan
                .into_iter()
                .filter_map(|row| row.into_iter().nth(3).flatten());
            let bad = steps.filter(|step| goes_through_a_table(step, &statement));
            scans.extend(bad.map(|step| format!("{step}: {statement}")));
        }
        assert!(scans.is_empty(), "{}", scans.join("\n"));
    })
    .await;
}
