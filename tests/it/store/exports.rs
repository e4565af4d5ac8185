//! Files that staff asked for: made by one, taken over from the dead, fetched by their owner alone.

use std::time::Duration;

use bytes::Bytes;
use sendtrail::domain::role::Role;
use sendtrail::store::exports::{NewExport, OPEN_MAX};
use serde_json::json;
use uuid::Uuid;

use super::make::BUSINESS;
use crate::support::db::{TestDb, both};

both!(
    a_file_is_made_by_one_and_fetched_by_its_owner,
    a_file_whose_maker_died_is_begun_anew_and_the_dead_write_nothing,
    nobody_waits_for_more_than_a_few_files_and_old_ones_go,
);

async fn account(db: &TestDb) -> Uuid {
    let new = super::staff::member("ana@example.com", None, Role::Admin);
    db.store.add_staff(new).await.unwrap().unwrap().id
}

async fn ask(db: &TestDb, account: Uuid) -> Option<Uuid> {
    let new = NewExport {
        business: BUSINESS,
        account,
        format: "xlsx",
        filter: &json!("status=Bounced"),
    };
    db.store.add_export(new).await.unwrap()
}

async fn a_file_is_made_by_one_and_fetched_by_its_owner(db: &TestDb) {
    let owner = account(db).await;
    assert_eq!(
        db.store.staff_account(owner).await.unwrap().unwrap().id,
        owner
    );
    let id = ask(db, owner).await.unwrap();
    let mut mine = db.store.claim_export().await.unwrap().unwrap();
    assert_eq!(
        (mine.id, mine.filter.clone()),
        (id, json!("status=Bounced"))
    );
    assert!(db.store.claim_export().await.unwrap().is_none());
    mine.written = 3;
    for (number, text) in [(0, "abc"), (1, "de")] {
        let piece = Some((number, Bytes::from_static(text.as_bytes())));
        assert!(db.store.go_on_with_export(&mut mine, piece).await.unwrap());
    }
    let shown = db.store.export(BUSINESS, owner, id).await.unwrap().unwrap();
    assert_eq!(
        (shown.written, shown.bytes, shown.ready_at),
        (3, None, None)
    );
    assert!(db.store.finish_export(&mine, Ok(5)).await.unwrap());
    let shown = db.store.exports(BUSINESS, owner).await.unwrap();
    assert_eq!((shown.len(), shown[0].bytes), (1, Some(5)));
    assert_eq!(shown[0].filter, json!("status=Bounced"));
    assert_eq!(db.store.export_piece(id, 1).await.unwrap().unwrap(), b"de");
    assert!(db.store.export_piece(id, 2).await.unwrap().is_none());
    for (business, who) in [("other", owner), (BUSINESS, Uuid::from_u128(1))] {
        assert!(db.store.export(business, who, id).await.unwrap().is_none());
        assert!(db.store.exports(business, who).await.unwrap().is_empty());
    }
}

async fn a_file_whose_maker_died_is_begun_anew_and_the_dead_write_nothing(db: &TestDb) {
    let owner = account(db).await;
    let id = ask(db, owner).await.unwrap();
    let mut first = db.store.claim_export().await.unwrap().unwrap();
    let piece = |text: &'static str| Some((0, Bytes::from_static(text.as_bytes())));
    db.store
        .go_on_with_export(&mut first, piece("old"))
        .await
        .unwrap();
    db.pass(Duration::from_mins(1));
    let mut second = db.store.claim_export().await.unwrap().unwrap();
    assert_eq!((second.id, second.written), (id, 0));
    assert!(
        !db.store
            .go_on_with_export(&mut first, piece("bad"))
            .await
            .unwrap()
    );
    assert!(
        !db.store
            .finish_export(&first, Err("too late"))
            .await
            .unwrap()
    );
    assert!(
        db.store
            .go_on_with_export(&mut second, piece("new"))
            .await
            .unwrap()
    );
    assert!(db.store.finish_export(&second, Ok(3)).await.unwrap());
    assert_eq!(db.store.export_piece(id, 0).await.unwrap().unwrap(), b"new");
}

async fn nobody_waits_for_more_than_a_few_files_and_old_ones_go(db: &TestDb) {
    let owner = account(db).await;
    for _ in 0..OPEN_MAX {
        assert!(ask(db, owner).await.is_some());
    }
    assert_eq!(ask(db, owner).await, None);
    assert!(!db.store.drop_old_exports().await.unwrap());
    let mut one = db.store.claim_export().await.unwrap().unwrap();
    let piece = Some((0, Bytes::from_static(b"x")));
    db.store.go_on_with_export(&mut one, piece).await.unwrap();
    db.pass(Duration::from_hours(25));
    while db.store.drop_old_exports().await.unwrap() {}
    assert_eq!(db.count("exports").await, 0);
    assert_eq!(db.count("export_chunks").await, 0);
    db.store.deactivate_staff(owner).await.unwrap();
    assert!(db.store.staff_account(owner).await.unwrap().is_none());
}

pub(super) async fn everything(db: &TestDb) {
    let owner = Uuid::from_u128(9);
    let id = ask(db, owner).await.unwrap();
    db.store.exports(BUSINESS, owner).await.unwrap();
    db.store.export(BUSINESS, owner, id).await.unwrap();
    let mut mine = db.store.claim_export().await.unwrap().unwrap();
    let piece = Some((0, Bytes::from_static(b"x")));
    db.store.go_on_with_export(&mut mine, piece).await.unwrap();
    db.store.finish_export(&mine, Ok(1)).await.unwrap();
    db.store.export_piece(id, 0).await.unwrap();
    db.store.staff_account(owner).await.unwrap();
    db.pass(Duration::from_hours(25));
    db.store.drop_old_exports().await.unwrap();
}
