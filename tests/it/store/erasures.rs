//! A client who is forgotten: nothing that was its own is left in any table or in the file, while its lines
//! and their statuses stay; and what comes in later brings nothing back.

use std::time::Duration;

use sendtrail::domain::address::Address;
use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::suppression::{Bar, Reason};
use sendtrail::store::clients::Changes;
use sendtrail::store::enqueue::{Enqueued, NewNotification, Why};
use sendtrail::store::erasures::{Erasure, Order, Ordered};
use sendtrail::store::retention::Retention;
use sendtrail::store::suppressions::Filter;
use sendtrail::store::verify::Span;
use uuid::Uuid;

use super::lived::{CLIENT, MARK, OTHER, OWN, PHONE, bounce, letter, live, record, told};
use super::make::{BUSINESS, claimed, email, enqueued, push, request, send_one};
use crate::support::db::{TestDb, both};

both! {
    nothing_of_a_forgotten_client_is_left_and_nothing_comes_back,
    an_erasure_goes_on_where_another_process_left_it,
    a_client_on_hold_is_not_forgotten,
    who_complains_or_opts_out_after_that_is_left_alone,
}

fn order(client_id: &str) -> Order<'_> {
    Order {
        business: BUSINESS,
        client_id,
        asked_by: "API key privacy",
        reason: Some("asked by letter"),
    }
}

async fn begun(db: &TestDb, client_id: &str) -> Erasure {
    let ordered = db.store.erase_client(order(client_id)).await.unwrap();
    let Ordered::Begun(erasure) = ordered else {
        panic!("{ordered:?}")
    };
    erasure
}

/// Both rounds.
async fn finish(db: &TestDb) {
    for _ in 0..2 {
        for id in db.store.open_erasures(10).await.unwrap() {
            while db.store.erase_on(id).await.unwrap() {}
        }
        db.pass(Duration::from_mins(6));
    }
}

/// Where the mark stands: table and row.
async fn marks(db: &TestDb) -> Vec<String> {
    let tables = if db.is_postgres() {
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%sqlx%' UNION ALL SELECT 'contact_history'"
    } else {
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%sqlx%'"
    };
    let (hex_mark, mut found) = (hex::encode(MARK), Vec::new());
    for table in db.texts(tables).await {
        let bytes = ["attachments", "export_chunks"].contains(&table.as_str());
        let rows = match (bytes, db.is_postgres()) {
            (false, _) => db.rows(&format!("SELECT * FROM {table}")).await,
            (true, true) => {
                db.rows(&format!("SELECT encode(bytes, 'hex') FROM {table}"))
                    .await
            }
            (true, false) => {
                db.rows(&format!("SELECT lower(hex(bytes)) FROM {table}"))
                    .await
            }
        };
        for value in rows.into_iter().flatten().flatten() {
            let value = value.to_lowercase();
            let phone = PHONE.trim_start_matches('+');
            if value.contains(MARK) || value.contains(phone) || bytes && value.contains(&hex_mark) {
                found.push(format!("{table}: {value}"));
            }
        }
    }
    found
}

async fn statuses(db: &TestDb) -> Vec<Vec<Option<String>>> {
    db.rows(
        "SELECT status, contact_method, type, \"user\", channel, COUNT(*) FROM contact_history \
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
    )
    .await
}

async fn nothing_of_a_forgotten_client_is_left_and_nothing_comes_back(db: &TestDb) {
    let (sent, flying) = live(db).await;
    assert!(marks(db).await.len() > 60, "{:#?}", marks(db).await);
    let uid = db
        .store
        .client(BUSINESS, CLIENT)
        .await
        .unwrap()
        .unwrap()
        .uid;
    let before = statuses(db).await;
    let erasure = begun(db, CLIENT).await;
    assert_eq!((erasure.client, erasure.state()), (uid, "running"));
    // It was on its way, and nobody knew how it would end.
    record(db, &flying, 0).await;
    finish(db).await;
    let marks = marks(db).await;
    assert!(marks.is_empty(), "{}", marks.join("\n"));
    let done = db
        .store
        .erasure(BUSINESS, erasure.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((done.state(), done.entries), ("finished", 8));
    assert_eq!(
        db.store.erasures(BUSINESS, 10).await.unwrap(),
        std::slice::from_ref(&done)
    );
    assert!(
        db.store
            .erasure("other", erasure.id)
            .await
            .unwrap()
            .is_none()
    );
    counted(&before, &statuses(db).await);
    others(db, &sent).await;
    after(db, &sent, done).await;
    in_the_file(db).await;
}

/// What waited is cancelled, and what was on its way failed; every other status is what it was.
fn counted(before: &[Vec<Option<String>>], after: &[Vec<Option<String>>]) {
    let count = |rows: &[Vec<Option<String>>], status: Option<&str>| {
        let of = rows.iter().filter(|row| row[0].as_deref() == status);
        of.map(|row| row[5].as_deref().unwrap().parse::<i64>().unwrap())
            .sum::<i64>()
    };
    assert_eq!(count(before, Some("Awaiting Send")), 4);
    assert_eq!(count(after, Some("Awaiting Send")), 0);
    assert_eq!(
        count(after, Some("Failed")),
        count(before, Some("Failed")) + 4
    );
    let still = |rows: &[Vec<Option<String>>]| -> Vec<Vec<Option<String>>> {
        let moved = [Some("Awaiting Send"), Some("Failed")];
        rows.iter()
            .filter(|row| !moved.contains(&row[0].as_deref()))
            .cloned()
            .collect()
    };
    assert_eq!(still(before), still(after));
    assert!(still(after).len() >= 3, "{after:?}");
}

async fn others(db: &TestDb, sent: &[NotificationId]) {
    assert_eq!(
        db.texts("SELECT sha256 FROM attachments").await,
        ["5b".repeat(32)]
    );
    assert_eq!(
        db.texts("SELECT message_id FROM buried_messages").await,
        ["m-2"]
    );
    let raw = "SELECT message_id FROM feedback_inbox WHERE body <> ''";
    assert_eq!(db.texts(raw).await, ["f"]);
    assert_eq!(db.count("message_content").await, 1);
    let all = Span {
        after: NotificationId::new(Uuid::nil()),
        below: NotificationId::new(Uuid::max()),
    };
    let verified = db.store.verify(all, 1_000).await.unwrap();
    assert_eq!(
        (verified.count > 5, verified.differences),
        (true, Vec::new())
    );
    let line = db
        .store
        .entries(BUSINESS, &sent[..1])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(line.client_name.as_deref(), Some("Erased client"));
    assert_eq!((line.to, line.tags.len()), (None, 0));
}

async fn after(db: &TestDb, sent: &[NotificationId], done: Erasure) {
    let store = &db.store;
    // What providers say later, and say again.
    for (id, what) in [("g", bounce(OWN)), ("a", bounce(OWN))] {
        store.keep_feedback(told(id, sent[1], what)).await.unwrap();
    }
    assert!(marks(db).await.is_empty(), "{:?}", marks(db).await);
    // What is asked for again; what staff do at a page that is still open.
    let old = format!("erased-{}", done.client);
    assert_eq!(
        store.erase_client(order(&old)).await.unwrap(),
        Ordered::Before(done)
    );
    assert_eq!(
        store.erase_client(order(CLIENT)).await.unwrap(),
        Ordered::NoClient
    );
    let answer = store.enqueue(request(vec![email(&old)])).await.unwrap();
    let Enqueued::Refused(refusals) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(refusals[0].why, Why::Erased);
    // The same id is a new client, who is left alone where it asked for that.
    let new = enqueued(store, vec![letter(OWN), letter(OTHER)]).await;
    let claim = claimed(store).await;
    let bars: Vec<_> = claim.jobs.iter().map(|job| (job.job.id, job.bar)).collect();
    assert_eq!(
        bars,
        [
            (new[0], Some(Bar::Suppressed(Reason::Complaint))),
            (new[1], Some(Bar::Suppressed(Reason::Staff))),
        ]
    );
    let filter = Filter {
        addresses: vec![OTHER.to_owned()],
        limit: 10,
        ..Filter::default()
    };
    let found = store.suppressions(BUSINESS, &filter).await.unwrap();
    assert_eq!(found.suppressions.len(), 1);
    assert!(found.suppressions[0].address.starts_with("erased:"));
    begun(db, CLIENT).await;
    record(db, &claim, 9).await;
    finish(db).await;
    assert!(marks(db).await.is_empty(), "{:?}", marks(db).await);
    assert_eq!(db.count("suppressions").await, 2);
}

/// SQLite's file itself, once its log is copied into it.
async fn in_the_file(db: &TestDb) {
    let Some(path) = db.url.strip_prefix("sqlite:") else {
        return;
    };
    db.rows("PRAGMA wal_checkpoint(TRUNCATE)").await;
    for file in [path.to_owned(), format!("{path}-wal")] {
        let bytes = std::fs::read(&file)
            .unwrap_or_default()
            .to_ascii_lowercase();
        for mark in [
            "zqtext",
            "zqmail",
            "zqruiz",
            "zqbytes",
            "zqexport",
            "zqdescription",
        ] {
            let at = bytes
                .windows(mark.len())
                .position(|part| part == mark.as_bytes());
            assert_eq!(at, None, "{mark} in {file}");
        }
    }
}

async fn an_erasure_goes_on_where_another_process_left_it(db: &TestDb) {
    let mut many: Vec<NewNotification> = (0..120).map(|_| email("C-1")).collect();
    many.push(email("C-2"));
    enqueued(&db.store, many).await;
    let erasure = begun(db, "C-1").await;
    let other = db.another_store().await;
    assert!(other.erase_on(erasure.id).await.unwrap());
    other.close().await;
    let left = || db.texts("SELECT COUNT(*) FROM contact_log WHERE address IS NOT NULL");
    assert_eq!(left().await, ["71"]);
    let (a, b) = tokio::join!(db.store.erase_on(erasure.id), db.store.erase_on(erasure.id));
    assert!(a.unwrap() | b.unwrap());
    finish(db).await;
    assert_eq!(left().await, ["1"]);
    let done = db
        .store
        .erasure(BUSINESS, erasure.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((done.entries, done.state()), (120, "finished"));
    assert!(!db.store.erase_on(erasure.id).await.unwrap());
    assert_eq!(db.count("jobs").await, 1);
}

async fn a_client_on_hold_is_not_forgotten(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    let hold = |it| Changes {
        hold: Some(it),
        ..Changes::default()
    };
    let on_hold = db.store.change_client(BUSINESS, "C-1", &hold(true)).await;
    assert!(on_hold.unwrap().unwrap().hold);
    assert_eq!(
        db.store.erase_client(order("C-1")).await.unwrap(),
        Ordered::OnHold
    );
    assert!(db.store.open_erasures(10).await.unwrap().is_empty());
    db.store
        .change_client(BUSINESS, "C-1", &hold(false))
        .await
        .unwrap();
    begun(db, "C-1").await;
}

fn to(client: &str, to: &str) -> NewNotification {
    NewNotification {
        to: Some(Address::parse(Method::Email, to).unwrap()),
        ..email(client)
    }
}

/// What stands against bulk mail to these, whom the application takes up again.
async fn barred(db: &TestDb, all: &[String]) -> Vec<Option<Bar>> {
    let bulk = all.iter().map(|it| NewNotification {
        priority: Priority::Bulk,
        ..to("C-9", it)
    });
    enqueued(&db.store, bulk.collect()).await;
    let claim = claimed(&db.store).await;
    claim.jobs.iter().map(|job| job.bar).collect()
}

/// Feedback on what was sent before, and the link in it.
async fn who_complains_or_opts_out_after_that_is_left_alone(db: &TestDb) {
    const DAY: Duration = Duration::from_hours(24);
    let all = ["complains", "optsout", "bounces", "late"].map(|who| format!("{who}@example.com"));
    let mut scheduled = to("C-1", "scheduled@example.com");
    scheduled.send_at = Some(db.clock.now().plus(DAY * 80));
    let late = enqueued(&db.store, vec![to("C-1", &all[3]), scheduled]).await;
    send_one(&db.store, db.clock.now(), "late").await;
    db.pass(DAY * 80);
    let sent = all[..3].iter().map(|it| to("C-1", it)).collect();
    let sent = enqueued(&db.store, sent).await;
    for id in ["a", "b", "c", "scheduled"] {
        send_one(&db.store, db.clock.now(), id).await;
    }
    // Of what never goes, and of what nobody complains of, nothing is kept.
    let never = vec![to("C-1", "never@example.com"), push("C-1")];
    enqueued(&db.store, never).await;
    begun(db, "C-1").await;
    finish(db).await;
    assert_eq!(db.count("forgotten_recipients").await, 5);
    db.pass(DAY * 11);
    while db.store.prune_feedback(Retention::default()).await.unwrap() {}
    assert_eq!(
        db.count("forgotten_recipients").await,
        4,
        "of what went in the last 90 days"
    );
    let complained = || What::Complained {
        feedback_type: None,
    };
    for (id, of, what) in [
        ("c", sent[0], complained()),
        ("b", sent[2], bounce("bounces@example.com")),
        ("l", late[0], complained()),
    ] {
        db.store.keep_feedback(told(id, of, what)).await.unwrap();
    }
    let opted = db.store.opt_out(sent[1]).await.unwrap().unwrap();
    assert!(opted.unsubscribed);
    assert!(
        db.store
            .subscription(sent[1])
            .await
            .unwrap()
            .unwrap()
            .unsubscribed
    );
    assert!(db.store.opt_out(late[0]).await.unwrap().is_none());
    let kept = db.texts("SELECT address FROM suppressions").await;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|it| it.starts_with("erased:")), "{kept:?}");
    assert_eq!(
        barred(db, &all).await,
        [
            Some(Bar::Suppressed(Reason::Complaint)),
            Some(Bar::Suppressed(Reason::Unsubscribe)),
            None,
            None,
        ]
    );
    assert!(
        !db.store
            .opt_in(sent[1])
            .await
            .unwrap()
            .unwrap()
            .unsubscribed
    );
    assert_eq!(db.count("suppressions").await, 1);
}

pub(super) async fn everything(db: &TestDb) {
    let (_, claim) = live(db).await;
    begun(db, CLIENT).await;
    finish(db).await;
    record(db, &claim, 0).await;
    db.store.erasures(BUSINESS, 10).await.unwrap();
    db.store.erasure(BUSINESS, Uuid::nil()).await.unwrap();
}
