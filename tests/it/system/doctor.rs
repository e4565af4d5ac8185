//! What `doctor` says of the database, for people and for scripts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::child::{Variables, run};
use crate::support::db::{TestDb, both};

both! {
    the_database_is_looked_at_and_scripts_read_the_same,
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
}
