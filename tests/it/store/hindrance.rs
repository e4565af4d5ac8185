//! Why a notification that is due is not sent: a brake, a pause, no provider.

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::hindrance::Hindrance;
use sendtrail::store::providers::{Health, Order};

use super::brakes::hold;
use super::make::{BUSINESS, email, enqueued, sms};
use crate::support::db::{TestDb, both};

both! {
    bulk_email_waits_behind_a_brake_and_says_so,
    what_is_paused_says_by_whom_and_why,
    where_no_provider_is_well_it_is_said,
}

async fn hindrance(db: &TestDb, id: NotificationId) -> Option<Hindrance> {
    db.store.story(id).await.unwrap().hindrance
}

async fn bulk_email_waits_behind_a_brake_and_says_so(db: &TestDb) {
    let mut bulk = email("C-1");
    bulk.priority = Priority::Bulk;
    let ids = enqueued(&db.store, vec![bulk, email("C-1")]).await;
    assert_eq!(hindrance(db, ids[0]).await, None);
    hold(db, BUSINESS).await;
    let Some(Hindrance::Braked { why }) = hindrance(db, ids[0]).await else {
        panic!("not said")
    };
    assert!(why.starts_with("40 of 200 emails"), "{why}");
    assert_eq!(hindrance(db, ids[1]).await, None, "only bulk is held");
}

async fn what_is_paused_says_by_whom_and_why(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"), sms("C-1")]).await;
    let order = Order {
        method: Method::Email,
        provider: None,
        by: "ops",
    };
    let paused = db.store.pause_provider(order, "moving house").await;
    paused.unwrap();
    let expected = Hindrance::Paused {
        by: "ops".to_owned(),
        at: db.clock.now(),
        reason: "moving house".to_owned(),
    };
    assert_eq!(hindrance(db, ids[0]).await, Some(expected));
    assert_eq!(hindrance(db, ids[1]).await, None, "another method");
    assert!(db.store.resume_provider(order).await.unwrap());
    assert_eq!(hindrance(db, ids[0]).await, None);
}

/// SES, which rests.
pub(super) fn rests(db: &TestDb) -> Health {
    Health {
        worker: "w-1".to_owned(),
        method: Method::Email,
        provider: "ses".to_owned(),
        place: 1,
        active: false,
        state: "open".to_owned(),
        rests_until: None,
        rests_because: None,
        broken: false,
        taken_per_minute: 0,
        allowed_per_minute: None,
        learnt_per_minute: None,
        error: None,
        seen_at: db.clock.now(),
    }
}

async fn where_no_provider_is_well_it_is_said(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1")]).await;
    let mut health = rests(db);
    db.store.keep_health(&[health.clone()]).await.unwrap();
    assert_eq!(hindrance(db, ids[0]).await, Some(Hindrance::NoProvider));
    let order = Order {
        method: Method::Email,
        provider: Some("ses"),
        by: "ops",
    };
    db.store.pause_provider(order, "a bill").await.unwrap();
    let found = hindrance(db, ids[0]).await;
    assert!(matches!(found, Some(Hindrance::Paused { .. })), "{found:?}");
    // Another provider has the traffic: it waits for its turn alone.
    health.provider = "smtp".to_owned();
    health.active = true;
    db.store.keep_health(&[health]).await.unwrap();
    assert_eq!(hindrance(db, ids[0]).await, None);
}
