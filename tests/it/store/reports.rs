//! Events that applications report.

use futures_util::future::join_all;
use sendtrail::domain::event::{Event, EventKey, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::store::reports::Reported;
use uuid::Uuid;

use super::make::{BUSINESS, email, enqueued};
use crate::support::db::{TestDb, both};

both!(
    a_report_is_kept_once_however_many_bring_it,
    of_another_business_nothing_is_kept,
);

fn click(db: &TestDb, id: NotificationId, link: &str) -> Event {
    Event {
        notification: id,
        key: EventKey(Uuid::from_u128(7)),
        occurred_at: db.clock.now(),
        source: "application".to_owned(),
        what: What::Clicked {
            link: Some(link.to_owned()),
            user_agent: None,
        },
    }
}

async fn a_report_is_kept_once_however_many_bring_it(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let first = click(db, id, "https://example.com/");
    let reports = (0..8).map(|_| db.store.report(BUSINESS, &first));
    let told = join_all(reports).await;
    let told: Vec<Reported> = told.into_iter().map(|it| it.unwrap().unwrap()).collect();
    let new = told.iter().filter(|it| **it == Reported::New).count();
    assert_eq!(new, 1);
    let before = told.iter().filter(|it| **it != Reported::New);
    for reported in before {
        assert_eq!(*reported, Reported::Before(first.clone()));
    }
    // Whatever else is told under its key.
    let other = click(db, id, "https://example.com/other");
    let told = db.store.report(BUSINESS, &other).await.unwrap();
    assert_eq!(told, Some(Reported::Before(first)));
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.facts.clicked.unwrap().count, 1);
}

async fn of_another_business_nothing_is_kept(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let nobody = NotificationId::new(Uuid::from_u128(1));
    for (business, id) in [("other", id), (BUSINESS, nobody)] {
        let told = db.store.report(business, &click(db, id, "x")).await;
        assert_eq!(told.unwrap(), None, "{business}");
    }
    assert_eq!(db.count("delivery_events").await, 0);
}
