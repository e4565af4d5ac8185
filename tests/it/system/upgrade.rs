//! The old version and the new one side by side, for the time of one deploy.

use serde_json::json;

use super::child::{Child, Variables, run};
use super::client::Client;
use crate::support::db::{TestDb, both};

both!(
    the_schema_is_brought_up_to_date_once_and_a_newer_one_is_refused,
    an_old_worker_starts_again_on_a_newer_schema_and_sends,
);

/// As a program that knows one more migration leaves it.
const FUTURE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
     execution_time) VALUES (999, 'of the future', true, '', 0)";

async fn the_schema_is_brought_up_to_date_once_and_a_newer_one_is_refused(db: &TestDb) {
    let variables = Variables::of(db);
    for _ in 0..2 {
        let ran = run(&variables, &["migrate"]);
        assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.out.contains("up to date"), "{ran:?}");
    }
    db.execute(FUTURE).await;
    db.execute("UPDATE schema_floor SET oldest = 999").await;
    for command in [&["migrate"][..], &["serve"], &["keys", "list"]] {
        let ran = run(&variables, command);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for words in ["999", "newer", "use the newer program"] {
            assert!(ran.errors.contains(words), "{words}: {ran:?}");
        }
    }
}

async fn an_old_worker_starts_again_on_a_newer_schema_and_sends(db: &TestDb) {
    let variables = Variables::of(db).sandbox();
    db.execute(FUTURE).await;
    let mut child = Child::serve(&variables, "api,worker");
    let client = Client::with_new_key(child.address(), &db.store).await;
    assert!(
        child
            .log()
            .contains("the schema is newer than this program"),
        "{}",
        child.log()
    );
    let sent = json!({
        "client": {"id": "C-1", "name": "Ana Ruiz"}, "method": "email", "type": "Booking confirmation",
        "to": "delivered@simulator.test", "content": {"subject": "See you", "text": "See you."},
    });
    let ids = client.enqueue(&[sent]).await;
    client
        .until(&ids[0], |entry| entry["status"] != "Awaiting Send")
        .await;
    child.stop();
    let migrated = run(&variables, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    assert!(
        migrated.out.contains("newer than this program"),
        "{migrated:?}"
    );
}
