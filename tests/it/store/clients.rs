//! Client cards: made, read, changed; a deactivated client is sent nothing.

use std::time::Duration;

use sendtrail::domain::method::Method;
use sendtrail::domain::suppression::Bar;
use sendtrail::store::clients::{Change, Changes};

use super::make::{BUSINESS, claimed, email, enqueued, push, sms, wanted};
use crate::support::db::{TestDb, both};

both! {
    a_card_is_made_once_and_read_back,
    a_change_touches_what_it_names_and_nothing_else,
    a_deactivated_client_is_sent_nothing_until_it_is_active_again,
}

fn card() -> Changes {
    Changes {
        name: Change::To("Ana Ruiz".to_owned()),
        email: Change::To("ana@example.com".to_owned()),
        location: Change::To("Lisbon".to_owned()),
        staff_id: Change::To("S-1".to_owned()),
        ..Changes::default()
    }
}

fn asleep() -> Changes {
    Changes {
        deactivated: Some(true),
        ..card()
    }
}

async fn a_card_is_made_once_and_read_back(db: &TestDb) {
    let made = db.store.add_client(BUSINESS, "C-1", &card()).await;
    let made = made.unwrap().unwrap();
    assert_eq!(made.name.as_deref(), Some("Ana Ruiz"));
    assert_eq!((made.phone.as_deref(), made.deactivated_at), (None, None));
    assert_eq!(made.location.as_deref(), Some("Lisbon"));
    assert_eq!(made.staff_id.as_deref(), Some("S-1"));
    let read = db.store.client(BUSINESS, "C-1").await.unwrap();
    assert_eq!(read, Some(made));
    let again = db.store.add_client(BUSINESS, "C-1", &asleep()).await;
    assert_eq!(again.unwrap(), None, "there is one");
    assert_eq!(db.store.client("other", "C-1").await.unwrap(), None);
    assert_eq!(db.store.client(BUSINESS, "C-2").await.unwrap(), None);
    let asleep = db.store.add_client(BUSINESS, "C-2", &asleep()).await;
    let asleep = asleep.unwrap().unwrap();
    assert_eq!(asleep.deactivated_at, Some(db.clock.now()));
    // An enqueue finds it and fills what is blank.
    let mut new = email("C-1");
    new.client.phone = Some("+14155550123".to_owned());
    enqueued(&db.store, vec![new]).await;
    let read = db.store.client(BUSINESS, "C-1").await.unwrap().unwrap();
    assert_eq!(read.phone.as_deref(), Some("+14155550123"));
}

async fn a_change_touches_what_it_names_and_nothing_else(db: &TestDb) {
    let made = db.store.add_client(BUSINESS, "C-1", &card()).await;
    let made = made.unwrap().unwrap();
    let change = async |changes: Changes| {
        let changed = db.store.change_client(BUSINESS, "C-1", &changes).await;
        changed.unwrap().unwrap()
    };
    assert_eq!(change(Changes::default()).await, made);
    let changed = change(Changes {
        name: Change::To("Ana Ruiz Gil".to_owned()),
        email: Change::Empty,
        staff_id: Change::To("S-2".to_owned()),
        ..Changes::default()
    })
    .await;
    assert_eq!(changed.location, made.location);
    assert_eq!(changed.staff_id.as_deref(), Some("S-2"));
    assert_eq!(changed.name.as_deref(), Some("Ana Ruiz Gil"));
    assert_eq!((changed.email, changed.phone), (None, None));
    let since = db.pass(Duration::from_mins(1));
    let deactivated = |it| Changes {
        deactivated: Some(it),
        ..Changes::default()
    };
    assert_eq!(change(deactivated(true)).await.deactivated_at, Some(since));
    db.pass(Duration::from_mins(1));
    let again = change(deactivated(true)).await;
    assert_eq!(again.deactivated_at, Some(since), "since the first time");
    assert_eq!(change(deactivated(false)).await.deactivated_at, None);
    let nothing = Changes::default();
    for (business, id) in [("other", "C-1"), (BUSINESS, "C-9")] {
        let nobody = db.store.change_client(business, id, &nothing).await;
        assert_eq!(nobody.unwrap(), None);
    }
}

async fn a_deactivated_client_is_sent_nothing_until_it_is_active_again(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"), sms("C-1"), push("C-1")]).await;
    enqueued(&db.store, vec![email("C-2")]).await;
    let deactivated = Changes {
        deactivated: Some(true),
        ..Changes::default()
    };
    let changed = db.store.change_client(BUSINESS, "C-1", &deactivated).await;
    changed.unwrap().unwrap();
    let claim = claimed(&db.store).await;
    let bars: Vec<_> = claim.jobs.iter().map(|claimed| claimed.bar).collect();
    assert_eq!(bars, [Some(Bar::ClientDeactivated), None]);
    for method in [Method::Sms, Method::Push] {
        let claim = db.store.claim(wanted(method, 10)).await.unwrap().unwrap();
        assert_eq!(claim.jobs[0].bar, Some(Bar::ClientDeactivated));
    }
    let active = Changes {
        deactivated: Some(false),
        ..Changes::default()
    };
    let changed = db.store.change_client(BUSINESS, "C-1", &active).await;
    changed.unwrap().unwrap();
    enqueued(&db.store, vec![email("C-1")]).await;
    assert_eq!(claimed(&db.store).await.jobs[0].bar, None);
}
