//! The schema: made once, by many at once, the same on both databases, native and commented.

use std::collections::BTreeMap;
use std::time::Duration;

use sendtrail::store::Error;
use sqlx::Connection as _;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::PgConnection;

use crate::support::db::{TestDb, on_postgres, on_sqlite, postgres, sqlite};

/// Table and column to type and whether it must have a value.
type Columns = BTreeMap<(String, String), (String, bool)>;

async fn begin_anew(db: &TestDb) {
    assert!(matches!(db.store.ready().await, Err(Error::Schema(_))));
    let other = db.another_store().await;
    let stores = [&db.store, &other, &db.store, &other];
    let runs = stores.map(sendtrail::store::Store::migrate);
    for run in futures_util::future::join_all(runs).await {
        run.unwrap();
    }
    db.store.migrate().await.unwrap();
    db.store.ready().await.unwrap();
    other.ready().await.unwrap();
    assert_eq!(db.count("businesses").await, 1);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_programs_bring_sqlite_up_to_date_at_once() {
    sqlite(false, begin_anew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_programs_bring_postgres_up_to_date_at_once() {
    postgres(false, begin_anew).await;
}

const FUTURE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
     execution_time) VALUES (999, 'of the future', true, '', 0)";

async fn refuse_newer(db: &TestDb) {
    db.execute(FUTURE).await;
    for floor in [
        // Above what this program knows.
        "UPDATE schema_floor SET oldest = 999",
        // Nobody knows.
        "DELETE FROM schema_floor",
    ] {
        db.execute(floor).await;
        for result in [db.store.ready().await, db.store.migrate().await] {
            let Err(Error::Schema(text)) = result else {
                panic!("{result:?}");
            };
            assert!(text.contains("999"), "{text}");
            assert!(text.contains("use the newer program"), "{text}");
        }
    }
    // Who runs already goes on for the time of a deploy.
    db.store.still_ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_above_the_floor_is_refused_on_sqlite() {
    on_sqlite(refuse_newer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_above_the_floor_is_refused_on_postgres() {
    on_postgres(refuse_newer).await;
}

/// The floor that the newest migration left stands for what it left as it was.
async fn work_with_newer(db: &TestDb) {
    assert!(!db.store.is_of_a_newer_program().await.unwrap());
    db.execute(FUTURE).await;
    assert!(db.store.is_of_a_newer_program().await.unwrap());
    db.store.migrate().await.unwrap();
    db.store.ready().await.unwrap();
    let steps = db.count("_sqlx_migrations").await;
    // Not one of its own steps is done on a schema that another program brought on.
    db.execute("DELETE FROM _sqlx_migrations WHERE version = 21")
        .await;
    db.store.migrate().await.unwrap();
    assert_eq!(db.count("_sqlx_migrations").await, steps - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_with_a_fitting_floor_is_left_as_it_is_on_sqlite() {
    on_sqlite(work_with_newer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_with_a_fitting_floor_is_left_as_it_is_on_postgres() {
    on_postgres(work_with_newer).await;
}

async fn columns(db: &TestDb) -> Columns {
    let sql = if db.is_postgres() {
        "SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO' \
         FROM information_schema.columns c WHERE c.table_schema = 'public'"
    } else {
        "SELECT m.name, p.name, p.type, CASE WHEN p.\"notnull\" OR p.pk THEN 't' ELSE 'f' END \
         FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type IN ('table', 'view')"
    };
    let rows = db.rows(sql).await.into_iter().map(|row| {
        let [table, column, kind, required] = row.try_into().unwrap();
        let place = (table.unwrap(), column.unwrap());
        (place, (kind.unwrap(), required.unwrap() == "t"))
    });
    rows.filter(|((table, _), _)| !table.contains("sqlx") && !table.contains("sqlite"))
        .collect()
}

async fn indexes(db: &TestDb) -> Vec<String> {
    let sql = if db.is_postgres() {
        "SELECT i.indexname FROM pg_indexes i WHERE i.schemaname = 'public' AND NOT EXISTS \
         (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname) ORDER BY 1"
    } else {
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1"
    };
    db.texts(sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_have_the_same_tables_and_columns() {
    let (mut ours, mut theirs) = ((Columns::new(), Vec::new()), (Columns::new(), Vec::new()));
    on_sqlite(async |db: &TestDb| ours = (columns(db).await, indexes(db).await)).await;
    on_postgres(async |db: &TestDb| theirs = (columns(db).await, indexes(db).await)).await;
    let places = |columns: &Columns| columns.keys().cloned().collect::<Vec<_>>();
    assert_eq!(places(&ours.0), places(&theirs.0));
    assert_eq!(ours.1, theirs.1, "indexes");
    for (place, (sqlite, required)) in &ours.0 {
        let (postgres, required_there) = &theirs.0[place];
        if place.0 == "contact_history" {
            continue; // a view's columns have no declared type on SQLite
        }
        assert_eq!(required, required_there, "{place:?}");
        let expected = match postgres.as_str() {
            "text" | "uuid" | "jsonb" => "TEXT",
            "bytea" => "BLOB",
            "bigint" | "boolean" | "timestamp with time zone" => "INTEGER",
            other => panic!("{place:?} is {other}"),
        };
        assert_eq!(sqlite, expected, "{place:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_has_native_types_and_comments() {
    on_postgres(async |db: &TestDb| {
        for ((table, column), (kind, _)) in columns(db).await {
            let expected = match column.as_str() {
                "date" => "timestamp with time zone",
                "metadata" | "data" | "detail" | "jobs" => "jsonb",
                "attachments" if table == "message_content" => "jsonb",
                "version" | "template_version" => "uuid",
                "manual" | "opens_tracked" | "ready" => "boolean",
                name if name.ends_with("_at") => "timestamp with time zone",
                name if name.ends_with("_key") || name.ends_with("uid") => "uuid",
                "notification_id" | "content_id" | "resend_of" => "uuid",
                "id" if table != "businesses" => "uuid",
                _ => continue,
            };
            assert_eq!(kind, expected, "{table}.{column}");
        }
        let bare = db
            .texts(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relkind IN ('r', 'v') AND relname NOT LIKE '%sqlx%' \
                 AND obj_description(oid, 'pg_class') IS NULL",
            )
            .await;
        assert!(bare.is_empty(), "without a comment: {bare:?}");
    })
    .await;
}

/// A step that needs a held table gives up soon, so that nobody waits behind it for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_does_not_wait_behind_a_long_transaction() {
    postgres(false, async |db: &TestDb| {
        db.store.migrate().await.unwrap();
        // A step that changes a table is to be done once more.
        db.execute(
            "DELETE FROM _sqlx_migrations WHERE version = 18; DROP TABLE erasures, content_deletions; \
             DROP INDEX follow_up_tasks_by_client; ALTER TABLE clients DROP COLUMN erased_at, DROP COLUMN hold",
        )
        .await;
        let mut reader = db.session().await;
        reader.execute("BEGIN; SELECT uid FROM clients").await;
        let migrated = tokio::time::timeout(Duration::from_secs(30), db.store.migrate()).await;
        let Ok(Err(Error::Schema(text))) = migrated else {
            panic!("{migrated:?}")
        };
        assert!(text.contains("run `sendtrail migrate` again"), "{text}");
        reader.execute("COMMIT").await;
        db.store.migrate().await.unwrap();
        db.store.ready().await.unwrap();
    })
    .await;
}

/// Another program that migrates may take longer than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_migrates_is_waited_for() {
    postgres(false, async |db: &TestDb| {
        let mut other = PgConnection::connect(&db.url).await.unwrap();
        other.lock().await.unwrap();
        let store = db.another_store().await;
        let mut waiting = Box::pin(store.migrate());
        let longer = Duration::from_secs(4);
        let early = tokio::time::timeout(longer, &mut waiting).await;
        assert!(early.is_err(), "{early:?}");
        other.unlock().await.unwrap();
        waiting.await.unwrap();
        db.store.ready().await.unwrap();
        other.close().await.unwrap();
    })
    .await;
}
