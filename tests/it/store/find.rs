//! Clients are found by what people know of them, within their business and sight, by an index.

use std::time::Duration;

use sendtrail::domain::role::Sight;
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::find::FOUND_MAX;
use tokio::time::Instant;

use super::make::BUSINESS;
use crate::support::db::{TestDb, both, on_postgres};

both! {
    clients_are_found_by_name_email_phone_and_ids,
    the_words_of_a_client_follow_its_card,
    a_search_shows_the_own_business_and_what_is_in_sight,
    a_long_list_says_that_there_is_more,
}

fn to(text: &str) -> Change {
    if text.is_empty() {
        Change::Empty
    } else {
        Change::To(text.to_owned())
    }
}

fn card(name: &str, email: &str, phone: &str) -> Changes {
    Changes {
        name: to(name),
        email: to(email),
        phone: to(phone),
        ..Changes::default()
    }
}

async fn add(db: &TestDb, business: &str, id: &str, card: &Changes) -> String {
    let made = db.store.add_client(business, id, card).await;
    made.unwrap().unwrap().uid.to_string()
}

async fn found_within(db: &TestDb, sight: &Sight, text: &str) -> Vec<String> {
    let found = db.store.find_clients(BUSINESS, sight, text).await.unwrap();
    let mut ids: Vec<String> = found.clients.into_iter().map(|it| it.id).collect();
    ids.sort();
    ids
}

async fn found(db: &TestDb, text: &str) -> Vec<String> {
    found_within(db, &Sight::All, text).await
}

async fn clients_are_found_by_name_email_phone_and_ids(db: &TestDb) {
    let ana = card("Ana Ruiz", "Ana.Ruiz@example.com", "+14155550123");
    let uid = add(db, BUSINESS, "C-1001", &ana).await;
    for (id, name, email, phone) in [
        (
            "C-2",
            "Élise O'Neill",
            "elise@example.org",
            "+4915112345678",
        ),
        ("C-3", "Jean-Luc Ruiz Gil", "", "+351912345678"),
        ("member/7 %_", "MARTIN, Lea (Dr.)", "", ""),
        ("C-5", "", "post@ana.example", ""),
        ("C-6", "Иван Петров", "", ""),
        ("C-7", "", "", ""),
    ] {
        add(db, BUSINESS, id, &card(name, email, phone)).await;
    }
    let cases: [(&str, &[&str]); 38] = [
        ("ana", &["C-1001"]),
        (" ANA ruiz", &["C-1001"]),
        ("ruiz ana", &["C-1001"]),
        ("ru a", &["C-1001"]),
        ("ruiz", &["C-1001", "C-3"]),
        ("uiz", &[]),
        ("ana gil", &[]),
        ("ana.ruiz@", &["C-1001"]),
        ("ana.ruiz@EXAMPLE.com", &["C-1001"]),
        ("C-1001", &["C-1001"]),
        ("c-10", &["C-1001"]),
        ("1001", &[]),
        (&uid, &["C-1001"]),
        (&uid.to_uppercase(), &["C-1001"]),
        ("+14155550123", &["C-1001"]),
        ("14155550", &["C-1001"]),
        ("+1 (415) 555-01 23", &["C-1001"]),
        ("0014155550123", &["C-1001"]),
        ("415 555", &["C-1001"]),
        ("ana 415", &["C-1001"]),
        ("elise 415", &[]),
        ("0151 12345678", &["C-2"]),
        ("+49 (0)151 1234", &["C-2"]),
        ("élise", &["C-2"]),
        ("ÉLISE o'neill", &["C-2"]),
        ("neill", &["C-2"]),
        ("jean-luc", &["C-3"]),
        ("luc ruiz", &["C-3"]),
        ("912345678", &["C-3"]),
        ("martin lea", &["member/7 %_"]),
        ("dr.", &["member/7 %_"]),
        ("member/7 %", &["member/7 %_"]),
        ("post@", &["C-5"]),
        ("петров иван", &["C-6"]),
        ("%", &[]),
        ("' OR 1=1 --", &[]),
        ("", &[]),
        ("  - ", &[]),
    ];
    for (text, ids) in cases {
        assert_eq!(found(db, text).await, ids, "{text}");
    }
    assert_eq!(found(db, &"x".repeat(10_000)).await, [""; 0]);
    assert_eq!(found(db, "a\0b").await, [""; 0]);
}

async fn the_words_of_a_client_follow_its_card(db: &TestDb) {
    add(db, BUSINESS, "C-1", &card("Ana Ruiz", "", "")).await;
    let new = card("Ana Gil", "ana@example.com", "");
    let changed = db.store.change_client(BUSINESS, "C-1", &new).await;
    changed.unwrap().unwrap();
    for (text, there) in [("ruiz", false), ("gil", true), ("ana@ex", true)] {
        assert_eq!(!found(db, text).await.is_empty(), there, "{text}");
    }
}

async fn a_search_shows_the_own_business_and_what_is_in_sight(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let ana = card("Ana", "ana@example.com", "+14155550123");
    let theirs = add(db, "other", "C-9", &ana).await;
    let at = |location: &str, staff: &str| Changes {
        location: to(location),
        staff_id: to(staff),
        ..ana.clone()
    };
    let lisbon = add(db, BUSINESS, "C-1", &at("Lisbon", "S-1")).await;
    add(db, BUSINESS, "C-2", &at("Porto", "S-2")).await;
    let locations =
        |names: &[&str]| Sight::Locations(names.iter().map(|it| (*it).into()).collect());
    for text in ["ana", "ana@example.com", "4155550123"] {
        for (sight, ids) in [
            (Sight::All, &["C-1", "C-2"][..]),
            (locations(&["Lisbon"]), &["C-1"]),
            (locations(&[]), &[]),
            (Sight::Own("S-2".to_owned()), &["C-2"]),
        ] {
            assert_eq!(
                found_within(db, &sight, text).await,
                ids,
                "{sight:?} {text}"
            );
        }
    }
    let own = Sight::Own("S-2".to_owned());
    assert_eq!(found_within(db, &own, &lisbon).await, [""; 0]);
    assert_eq!(found(db, &lisbon).await, ["C-1"]);
    assert_eq!(found(db, &theirs).await, [""; 0]);
}

async fn a_long_list_says_that_there_is_more(db: &TestDb) {
    for i in 0..=FOUND_MAX {
        let email = format!("ana{i}@example.com");
        let ana = card(&format!("Ana Ruiz {i}"), &email, "");
        add(db, BUSINESS, &format!("C-{i}"), &ana).await;
    }
    for (text, count, more) in [
        ("ana", FOUND_MAX, true),
        ("ana r", FOUND_MAX, true),
        ("ana1@", 1, false),
    ] {
        let found = db.store.find_clients(BUSINESS, &Sight::All, text).await;
        let found = found.unwrap();
        assert_eq!((found.clients.len(), found.more), (count, more), "{text}");
    }
    // More words begin with `bea` than are looked at, and all of them come before that of the name.
    add(
        db,
        BUSINESS,
        "C-bea",
        &card("Beatrix Lee", "b@example.com", ""),
    )
    .await;
    let nobody = uuid::Uuid::from_u128(1);
    db.execute(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO client_words (business_id, word, client_uid) \
         SELECT '{BUSINESS}', 'bea' || i, '{nobody}' FROM n"
    ))
    .await;
    let found = db.store.find_clients(BUSINESS, &Sight::All, "bea l").await;
    let found = found.unwrap();
    assert_eq!((found.clients.len(), found.more), (0, true));
}

/// How often PostgreSQL went through a table, and how often it took an index of it.
async fn scans(db: &TestDb, table: &str) -> (i64, i64) {
    let rows = db
        .rows(&format!(
            "SELECT CAST(seq_scan AS text), CAST(idx_scan AS text) FROM pg_stat_user_tables \
             WHERE relname = '{table}'"
        ))
        .await;
    let number = |i: usize| rows[0][i].as_ref().unwrap().parse().unwrap();
    (number(0), number(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_finds_among_many_clients_without_going_through_them() {
    on_postgres(async |db: &TestDb| {
        db.execute(
            "INSERT INTO clients (uid, business_id, client_id, name, email, phone, created_at) \
             SELECT gen_random_uuid(), 'default', 'M-' || i, \
             (ARRAY['Ana', 'Ben', 'Chiara', 'Dimitri'])[1 + i % 4] || ' Name' || i % 5000, \
             'm' || i || '@example.com', '+1415' || lpad(CAST(i AS text), 7, '0'), now() \
             FROM generate_series(1, 40000) AS i",
        )
        .await;
        db.execute("VACUUM ANALYZE clients, client_words").await;
        let tables = ["clients", "client_words"];
        let before = [scans(db, tables[0]).await, scans(db, tables[1]).await];
        let own = Sight::Own("S-1".to_owned());
        for text in [
            "a",
            "ana",
            "name77",
            "ana name77",
            "4150000123",
            "m777@example.com",
        ] {
            for sight in [&Sight::All, &own] {
                let found = db.store.find_clients(BUSINESS, sight, text).await.unwrap();
                let sees = *sight == Sight::All;
                assert_eq!(!found.clients.is_empty(), sees, "{text}");
            }
        }
        // Counts of scans are told a moment after their transaction.
        let started = Instant::now();
        loop {
            let after = [scans(db, tables[0]).await, scans(db, tables[1]).await];
            let told = (0..2).all(|i| after[i].1 >= before[i].1 + 12);
            if told {
                assert_eq!(
                    after.map(|it| it.0),
                    before.map(|it| it.0),
                    "sequential scans"
                );
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{before:?} {after:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

/// For the test of plans.
pub(super) async fn everything(db: &TestDb) {
    let uid = uuid::Uuid::from_u128(1).to_string();
    for text in ["ana", "ana ruiz", "jean-luc", "+1 415 555", &uid] {
        for sight in [
            Sight::All,
            Sight::Own("S-1".to_owned()),
            Sight::Locations(vec!["Lisbon".to_owned()]),
        ] {
            db.store.find_clients(BUSINESS, &sight, text).await.unwrap();
        }
    }
}
