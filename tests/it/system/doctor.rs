//! What `doctor` says of the database, for people and for scripts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::child::{Variables, run};
use crate::peers_aws::Moto;
use crate::support::db::{TestDb, both};

both! {
    the_database_is_looked_at_and_scripts_read_the_same,
    the_sender_of_every_business_is_looked_at_by_ses,
}

async fn the_database_is_looked_at_and_scripts_read_the_same(db: &TestDb) {
    let variables = Variables::of(db).sandbox();
    let for_people = run(&variables, &["doctor"]);
    let for_scripts = run(&variables, &["doctor", "--json"]);
    assert_eq!(for_people.code, for_scripts.code);
    let mut states = BTreeMap::new();
    for line in for_scripts.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        if !text("what").is_empty() {
            assert!(for_people.out.contains(&text("what")), "{line}");
            states.insert(text("what"), (text("state"), text("detail")));
        }
    }
    assert_eq!(states["database"].0, "ok", "{states:?}");
    let theirs = db.store.time_of_server().await.unwrap();
    assert_eq!(
        theirs.is_some(),
        db.is_postgres(),
        "SQLite has no time of its own"
    );
    if !db.is_postgres() {
        assert_eq!(for_people.code, Some(0), "{}", for_people.out);
        assert_eq!(states["database journal"].0, "ok");
        assert_eq!(states["database file"].0, "ok");
        return;
    }
    assert_eq!(states["database version"].0, "ok");
    let (state, detail) = &states["database durability"];
    // As the server of the tests is set.
    if db.texts("SHOW fsync").await == ["off"] {
        assert_eq!((state.as_str(), for_people.code), ("trouble", Some(1)));
        assert!(detail.contains("set fsync = on"), "{detail}");
    }
    assert_eq!(states["database archive"].0, "unseen");
    // SES tells no time in the sandbox.
    assert_eq!(states["clock"].0, "ok");
}

async fn the_sender_of_every_business_is_looked_at_by_ses(db: &TestDb) {
    let moto = Moto::start();
    db.execute(
        "INSERT INTO businesses (id, name, created_at, email_from) \
         SELECT 'shop', 'Shop', created_at, 'Shop <us@shop.example>' FROM businesses \
         UNION ALL SELECT 'quiet', 'Quiet', created_at, NULL FROM businesses",
    )
    .await;
    assert_eq!(db.store.own_senders(1).await.unwrap().len(), 1);
    let variables = Variables::of(db)
        .with("EMAIL__PROVIDERS", "ses")
        .with("SMS__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "")
        .with("EMAIL__FROM", "bookings@example.com")
        .with("SES__ENDPOINT_URL", &moto.url)
        .with("SES__REGION", "us-east-1")
        .with("SES__ACCESS_KEY_ID", "test")
        .with("SES__SECRET_ACCESS_KEY", "test");
    let ran = run(&variables, &["doctor"]);
    let said = |words: &str| ran.out.lines().any(|line| line.contains(words));
    assert!(
        said("SES identity: neither the sender's address nor example.com"),
        "{ran:?}"
    );
    assert!(
        said("SES identity of shop: neither the sender's address nor shop.example"),
        "{ran:?}"
    );
    assert!(!said("of quiet") && said("ok       clock"), "{ran:?}");
}
