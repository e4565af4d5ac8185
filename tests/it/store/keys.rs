//! API keys and businesses.

use std::time::Duration;

use sendtrail::store::keys::NewApiKey;
use uuid::Uuid;

use super::make::BUSINESS;
use crate::support::db::{TestDb, both};

both! {
    a_key_is_made_found_listed_and_revoked,
    a_digest_belongs_to_one_key,
    a_key_needs_its_business,
    a_business_is_made_once_with_its_contact_types,
}

fn key(digest: &str) -> NewApiKey<'_> {
    NewApiKey {
        business: BUSINESS,
        name: "booking system",
        digest,
        scopes: "enqueue,read",
        expires_at: None,
    }
}

async fn a_key_is_made_found_listed_and_revoked(db: &TestDb) {
    assert!(db.store.find_key("aa").await.unwrap().is_none());
    assert!(db.store.keys().await.unwrap().is_empty());
    let made_at = db.clock.now();
    let expires_at = Some(made_at.plus(Duration::from_hours(1)));
    let first = db.store.add_key(key("aa")).await.unwrap();
    let new = NewApiKey {
        expires_at,
        ..key("bb")
    };
    let second = db.store.add_key(new).await.unwrap();
    let found = db.store.find_key("bb").await.unwrap().unwrap();
    assert_eq!((found.id, found.business.as_str()), (second, BUSINESS));
    assert_eq!(
        (found.name.as_str(), found.scopes.as_str()),
        ("booking system", "enqueue,read")
    );
    assert_eq!((found.created_at, found.expires_at), (made_at, expires_at));
    assert_eq!(found.revoked_at, None);
    let listed: Vec<Uuid> = db
        .store
        .keys()
        .await
        .unwrap()
        .iter()
        .map(|key| key.id)
        .collect();
    assert_eq!(listed, [first, second]);
    let revoked_at = db.pass(Duration::from_secs(1));
    assert!(db.store.revoke_key(first).await.unwrap());
    assert!(!db.store.revoke_key(first).await.unwrap(), "once");
    assert!(!db.store.revoke_key(Uuid::from_u128(1)).await.unwrap());
    let found = db.store.find_key("aa").await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(revoked_at));
}

async fn a_digest_belongs_to_one_key(db: &TestDb) {
    db.store.add_key(key("aa")).await.unwrap();
    let error = db.store.add_key(key("aa")).await.unwrap_err();
    assert!(!error.is_unavailable(), "{error}");
    assert_eq!(db.store.keys().await.unwrap().len(), 1);
}

async fn a_key_needs_its_business(db: &TestDb) {
    let stray = NewApiKey {
        business: "nobody",
        ..key("aa")
    };
    assert!(db.store.add_key(stray).await.is_err());
}

async fn a_business_is_made_once_with_its_contact_types(db: &TestDb) {
    db.store.ensure_business("b-2", "Second").await.unwrap();
    db.store.ensure_business("b-2", "Renamed").await.unwrap();
    db.store.ensure_business(BUSINESS, "Renamed").await.unwrap();
    let names = db.texts("SELECT name FROM businesses ORDER BY id").await;
    assert_eq!(names, ["Second", "Default"]);
    let types = |business: &str| {
        format!("SELECT name FROM contact_types WHERE business_id = '{business}' ORDER BY name")
    };
    let of_new = db.texts(&types("b-2")).await;
    assert_eq!(of_new.len(), 5);
    assert_eq!(of_new, db.texts(&types(BUSINESS)).await);
    let key = NewApiKey {
        business: "b-2",
        ..key("cc")
    };
    db.store.add_key(key).await.unwrap();
}
