//! Who staff are to the provider of single sign-on.

use sendtrail::domain::role::Role;
use sendtrail::store::staff_events::StaffEvent;

use super::make::BUSINESS;
use super::staff::member;
use crate::support::db::{TestDb, both};

both! {
    an_account_is_one_persons_until_it_is_freed,
}

const ISSUER: &str = "https://login.example.com";

async fn an_account_is_one_persons_until_it_is_freed(db: &TestDb) {
    let store = &db.store;
    let ana = member("ana@example.com", None, Role::Admin);
    let ana = store.add_staff(ana).await.unwrap().unwrap();
    let found = async |issuer: &str, subject: &str| {
        let account = store.staff_by_identity(issuer, subject).await.unwrap();
        account.map(|account| account.id)
    };
    assert_eq!(found(ISSUER, "1").await, None);
    assert!(
        store
            .bind_staff_identity(ana.id, ISSUER, "1")
            .await
            .unwrap()
    );
    assert_eq!(found(ISSUER, "1").await, Some(ana.id));
    assert_eq!(found("https://other.example.com", "1").await, None);
    assert!(
        !store
            .bind_staff_identity(ana.id, ISSUER, "2")
            .await
            .unwrap()
    );
    assert_eq!(
        (found(ISSUER, "1").await, found(ISSUER, "2").await),
        (Some(ana.id), None)
    );
    let eve = member("eve@example.com", None, Role::Staff);
    let eve = store.add_staff(eve).await.unwrap().unwrap();
    let twice = store.bind_staff_identity(eve.id, ISSUER, "1").await;
    assert!(twice.is_err(), "a person has one account");
    assert!(store.forget_staff_identity(ana.id).await.unwrap());
    assert!(!store.forget_staff_identity(ana.id).await.unwrap());
    assert_eq!(found(ISSUER, "1").await, None);
    assert!(
        store
            .bind_staff_identity(ana.id, ISSUER, "2")
            .await
            .unwrap()
    );
    let moved = store.bind_staff_identity(ana.id, "https://other.example.com", "7");
    assert!(
        moved.await.unwrap(),
        "what another provider said counts no more"
    );
    assert_eq!(found(ISSUER, "2").await, None);
    store.deactivate_staff(ana.id).await.unwrap();
    let other = found("https://other.example.com", "7").await;
    assert_eq!(other, Some(ana.id), "deactivated or not");
    let events = store.staff_events(BUSINESS).await.unwrap();
    let of_identity = events.iter().rev().filter_map(|it| {
        let bound = it.event == StaffEvent::IdentityBound;
        let known = bound || it.event == StaffEvent::IdentityForgotten;
        known.then_some((it.event, it.by_operator))
    });
    let expected = [
        (StaffEvent::IdentityBound, false),
        (StaffEvent::IdentityForgotten, true),
        (StaffEvent::IdentityBound, false),
        (StaffEvent::IdentityBound, false),
    ];
    assert_eq!(of_identity.collect::<Vec<_>>(), expected);
}

/// Every function, so that the plans of their statements are seen.
pub(super) async fn everything(db: &TestDb) {
    let new = member("identity@example.com", None, Role::Staff);
    let account = db.store.add_staff(new).await.unwrap().unwrap();
    db.store
        .bind_staff_identity(account.id, ISSUER, "9")
        .await
        .unwrap();
    db.store.staff_by_identity(ISSUER, "9").await.unwrap();
    db.store.forget_staff_identity(account.id).await.unwrap();
}
