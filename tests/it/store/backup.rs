//! A copy of the database while it is in use, and how the database is set.

use std::os::unix::fs::PermissionsExt as _;

use sendtrail::store::backup::NoBackup;
use sendtrail::store::condition::Condition;

use super::make::{email, enqueued};
use crate::support::db::{TestDb, both};

both! {
    a_copy_holds_what_was_committed_before,
    the_settings_that_decide_what_is_kept_are_told,
}

async fn a_copy_holds_what_was_committed_before(db: &TestDb) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.sqlite");
    let ids = enqueued(&db.store, vec![email("C-1")]).await;
    let copied = db.store.backup(&file).await;
    if db.is_postgres() {
        assert!(matches!(copied, Err(NoBackup::Postgres)), "{copied:?}");
        return;
    }
    copied.unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it is for nobody else");
    enqueued(&db.store, vec![email("C-2")]).await;
    let there = db.store.backup(&file).await;
    assert!(matches!(there, Err(NoBackup::Exists(_))), "{there:?}");
    let nowhere = db.store.backup(&folder.path().join("none/copy")).await;
    assert!(nowhere.is_err());
    let url = format!("sqlite:{}", file.display());
    let copy = sendtrail::store::Store::open(&url, 1, db.clock.clone());
    let copy = copy.await.unwrap();
    copy.ready().await.unwrap();
    assert_eq!(copy.entries("default", &ids).await.unwrap().len(), 1);
    assert!(!copy.client_exists("default", "C-2").await.unwrap());
    copy.close().await;
}

async fn the_settings_that_decide_what_is_kept_are_told(db: &TestDb) {
    match db.store.condition().await.unwrap() {
        Condition::Sqlite { journal_mode, path } => {
            assert_eq!(journal_mode, "wal");
            assert_eq!(Some(path.as_str()), db.url.strip_prefix("sqlite:"));
        }
        Condition::Postgres(settings) => {
            assert!(settings.version >= 140_000, "{settings:?}");
            let shown = db.texts("SHOW fsync").await;
            assert_eq!(settings.fsync, shown == ["on"]);
            assert!(settings.autovacuum, "{settings:?}");
        }
    }
}
