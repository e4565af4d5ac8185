//! Accounts of staff, their sessions, the attempts to sign in, and which clients each member sees.

use std::time::Duration;

use sendtrail::domain::role::{Role, Sight};
use sendtrail::domain::throttle::{FORGOTTEN_AFTER, Limit, OF_ACCOUNT};
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::history::Filter;
use sendtrail::store::sign_ins::Subject;
use sendtrail::store::staff::{Account, By, NewAccount};
use sendtrail::store::staff_events::StaffEvent;
use sendtrail::store::staff_sessions::{AGE_MAX, IDLE_MAX, SESSIONS_MAX};

use super::make::{BUSINESS, email, enqueued};
use crate::support::db::{TestDb, both};

both! {
    an_address_and_a_member_have_one_account,
    a_session_ends_when_it_is_idle_too_old_or_signed_out,
    changes_of_an_account_end_its_sessions_and_are_recorded,
    an_account_has_so_many_sessions_and_no_more,
    failures_close_the_door_for_a_growing_while,
    many_attempts_at_once_gain_nothing,
    what_is_over_is_deleted,
    members_see_the_clients_that_their_role_shows,
}

pub(super) fn member<'a>(email: &'a str, staff_id: Option<&'a str>, role: Role) -> NewAccount<'a> {
    NewAccount {
        business: BUSINESS,
        staff_id,
        name: "Ana Ruiz",
        email,
        role,
        locations: &[],
        password: "hash",
    }
}

async fn made(db: &TestDb, new: NewAccount<'_>) -> Account {
    db.store.add_staff(new).await.unwrap().unwrap()
}

async fn is_in_force(db: &TestDb, digest: &str) -> bool {
    db.store.staff_session(digest).await.unwrap().is_some()
}

async fn an_address_and_a_member_have_one_account(db: &TestDb) {
    let account = made(db, member("Ana@Example.com", Some("S-1"), Role::Admin)).await;
    assert_eq!(
        (account.email.as_str(), account.name.as_str()),
        ("ana@example.com", "Ana Ruiz")
    );
    for again in [
        member("ANA@example.com", Some("S-2"), Role::Staff),
        member("other@example.com", Some("S-1"), Role::Staff),
    ] {
        assert!(db.store.add_staff(again).await.unwrap().is_none());
    }
    let found = db
        .store
        .staff_credentials(" ana@EXAMPLE.com")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.account, found.password.as_str()),
        (account.clone(), "hash")
    );
    assert!(
        db.store
            .staff_credentials("nobody@example.com")
            .await
            .unwrap()
            .is_none()
    );
    db.store.ensure_business("b-2", "Second").await.unwrap();
    let other = NewAccount {
        business: "b-2",
        ..member("eve@example.com", None, Role::Admin)
    };
    let other = made(db, other).await;
    let of_business = db.store.staff_of(BUSINESS).await.unwrap();
    assert_eq!(of_business, std::slice::from_ref(&account));
    assert_eq!(
        db.store.all_staff().await.unwrap(),
        [account.clone(), other]
    );
    assert!(
        !format!("{account:?}").contains("ana@"),
        "addresses are not for logs"
    );
    assert_eq!(db.count("staff_accounts").await, 2);
    assert_eq!(
        db.store.staff_events("b-2").await.unwrap().len(),
        1,
        "each of its own"
    );
}

async fn a_session_ends_when_it_is_idle_too_old_or_signed_out(db: &TestDb) {
    let account = made(db, member("ana@example.com", None, Role::Admin)).await;
    let begin = async |digest: &str, replaced: Option<&str>| {
        db.store
            .begin_staff_session(account.id, digest, replaced)
            .await
            .unwrap()
    };
    assert!(begin("a", None).await);
    assert!(begin("b", Some("a")).await);
    assert!(!is_in_force(db, "a").await, "another took its place");
    let start = db.clock.now();
    let step = IDLE_MAX.saturating_sub(Duration::from_secs(1));
    while db.clock.now().since(start) + step < AGE_MAX {
        db.pass(step);
        let session = db.store.staff_session("b").await.unwrap().unwrap();
        assert_eq!(session.account, account);
        db.store.keep_staff_session("b", &session).await.unwrap();
    }
    db.clock.set(start.plus(AGE_MAX));
    assert!(
        !is_in_force(db, "b").await,
        "too old, however much it was used"
    );
    assert!(begin("c", None).await);
    db.pass(IDLE_MAX);
    assert!(!is_in_force(db, "c").await, "idle");
    assert!(begin("d", None).await);
    db.store.end_staff_session("d", account.id).await.unwrap();
    assert!(!is_in_force(db, "d").await, "signed out");
    assert!(!begin_of_nobody(db).await);
}

async fn begin_of_nobody(db: &TestDb) -> bool {
    let nobody = uuid::Uuid::from_u128(1);
    db.store
        .begin_staff_session(nobody, "x", None)
        .await
        .unwrap()
}

async fn changes_of_an_account_end_its_sessions_and_are_recorded(db: &TestDb) {
    let (store, account) = (
        &db.store,
        made(db, member("ana@example.com", None, Role::Admin)).await,
    );
    let id = account.id;
    for digest in ["a", "b"] {
        assert!(store.begin_staff_session(id, digest, None).await.unwrap());
    }
    assert!(
        store
            .change_staff_password(id, "new", By::Member("a"))
            .await
            .unwrap()
    );
    assert_eq!(
        (is_in_force(db, "a").await, is_in_force(db, "b").await),
        (true, false)
    );
    let lisbon = ["Lisbon".to_owned()];
    assert!(
        store
            .change_staff_role(id, Role::Manager, &lisbon)
            .await
            .unwrap()
    );
    let now = store.staff_session("a").await.unwrap().unwrap().account;
    assert_eq!(now.sight(), Sight::Locations(lisbon.to_vec()));
    assert!(store.let_staff_see_all(BUSINESS, true).await.unwrap());
    let now = store.staff_session("a").await.unwrap().unwrap().account;
    assert_eq!(now.sight(), Sight::All);
    assert!(!store.let_staff_see_all("nobody", true).await.unwrap());
    assert!(store.deactivate_staff(id).await.unwrap());
    assert!(!is_in_force(db, "a").await);
    assert!(!store.begin_staff_session(id, "c", None).await.unwrap());
    assert!(store.reactivate_staff(id).await.unwrap());
    assert!(store.begin_staff_session(id, "c", None).await.unwrap());
    store.sign_staff_out(id, By::Operator).await.unwrap();
    assert!(!is_in_force(db, "c").await);
    store.sign_in_failed(id).await.unwrap();
    let nobody = uuid::Uuid::from_u128(1);
    assert!(
        !store
            .change_staff_password(nobody, "x", By::Operator)
            .await
            .unwrap()
    );
    let events = store.staff_events(BUSINESS).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .rev()
        .map(|it| (it.event, it.by_operator))
        .collect();
    assert_eq!(
        told,
        [
            (StaffEvent::Added, true),
            (StaffEvent::SignedIn, false),
            (StaffEvent::SignedIn, false),
            (StaffEvent::PasswordChanged, false),
            (StaffEvent::RoleChanged, true),
            (StaffEvent::Deactivated, true),
            (StaffEvent::Reactivated, true),
            (StaffEvent::SignedIn, false),
            (StaffEvent::SignedOutEverywhere, true),
            (StaffEvent::SignInFailed, false),
        ]
    );
}

async fn an_account_has_so_many_sessions_and_no_more(db: &TestDb) {
    let account = made(db, member("ana@example.com", None, Role::Admin)).await;
    for number in 0..=SESSIONS_MAX {
        db.pass(Duration::from_secs(1));
        let digest = number.to_string();
        assert!(
            db.store
                .begin_staff_session(account.id, &digest, None)
                .await
                .unwrap()
        );
    }
    assert!(!is_in_force(db, "0").await, "the oldest");
    assert!(is_in_force(db, "1").await && is_in_force(db, &SESSIONS_MAX.to_string()).await);
}

fn subject(digest: &str, free: i64) -> Subject {
    Subject {
        digest: digest.to_owned(),
        limit: Limit { free },
    }
}

async fn failures_close_the_door_for_a_growing_while(db: &TestDb) {
    let (account, address) = (subject("account", 1), subject("address", 4));
    let both = [account.clone(), address.clone()];
    let begin = async |subjects: &[Subject]| db.store.begin_sign_in(subjects).await.unwrap();
    assert_eq!(begin(&both).await, None);
    assert_eq!(begin(&both).await, None, "and this one closes the door");
    assert_eq!(begin(&both).await, Some(Duration::from_secs(2)));
    db.pass(Duration::from_secs(1));
    assert_eq!(
        begin(&both).await,
        Some(Duration::from_secs(1)),
        "looking does not lengthen it"
    );
    db.pass(Duration::from_secs(1));
    assert_eq!(begin(&both).await, None);
    assert_eq!(begin(&both).await, Some(Duration::from_secs(4)));
    db.pass(Duration::from_secs(4));
    assert_eq!(begin(&both).await, None);
    db.store
        .sign_in_succeeded(&account, &address)
        .await
        .unwrap();
    assert_eq!(
        begin(&both).await,
        None,
        "the account begins anew, the address is at its fourth"
    );
    let elsewhere = [subject("another account", 1), address];
    assert_eq!(begin(&elsewhere).await, None);
    assert_eq!(
        begin(&elsewhere).await,
        Some(Duration::from_secs(2)),
        "the address is counted too"
    );
    db.pass(FORGOTTEN_AFTER);
    for _ in 0..2 {
        assert_eq!(begin(&both).await, None, "forgotten");
    }
    assert!(begin(&both).await.is_some());
}

async fn many_attempts_at_once_gain_nothing(db: &TestDb) {
    let subjects = [subject("account", 3), subject("address", 100)];
    let attempts = (0..20).map(|_| db.store.begin_sign_in(&subjects));
    let found = futures_util::future::join_all(attempts).await;
    let looked_at = found
        .into_iter()
        .filter(|it| it.as_ref().unwrap().is_none())
        .count();
    assert_eq!(looked_at, 4, "three are free, the fourth closes the door");
}

async fn what_is_over_is_deleted(db: &TestDb) {
    let account = made(db, member("ana@example.com", None, Role::Admin)).await;
    db.store
        .begin_staff_session(account.id, "a", None)
        .await
        .unwrap();
    db.store
        .begin_sign_in(&[subject("account", 3)])
        .await
        .unwrap();
    let left = async || {
        (
            db.count("staff_sessions").await,
            db.count("sign_in_attempts").await,
        )
    };
    assert!(!db.store.prune_staff_sessions().await.unwrap());
    assert_eq!(left().await, (1, 1));
    db.pass(IDLE_MAX);
    assert!(!db.store.prune_staff_sessions().await.unwrap());
    assert_eq!(left().await, (0, 1));
    db.pass(FORGOTTEN_AFTER);
    assert!(!db.store.prune_staff_sessions().await.unwrap());
    assert_eq!(left().await, (0, 0));
}

async fn members_see_the_clients_that_their_role_shows(db: &TestDb) {
    for (id, location, staff_id) in [
        ("C-1", Some("Lisbon"), Some("S-1")),
        ("C-2", Some("Porto"), Some("S-2")),
        ("C-3", None, None),
    ] {
        let to = |it: Option<&str>| it.map_or(Change::Keep, |it| Change::To(it.to_owned()));
        let card = Changes {
            location: to(location),
            staff_id: to(staff_id),
            ..Changes::default()
        };
        db.store
            .add_client(BUSINESS, id, &card)
            .await
            .unwrap()
            .unwrap();
        enqueued(&db.store, vec![email(id)]).await;
    }
    let here = |names: &[&str]| Sight::Locations(names.iter().map(|it| (*it).to_owned()).collect());
    for (sight, seen) in [
        (Sight::All, &["C-1", "C-2", "C-3"][..]),
        (here(&["Lisbon"]), &["C-1"]),
        (here(&["Lisbon", "Porto"]), &["C-1", "C-2"]),
        (here(&[]), &[]),
        (Sight::Own("S-2".to_owned()), &["C-2"]),
        (Sight::Own("S-9".to_owned()), &[]),
    ] {
        let filter = Filter {
            sight: sight.clone(),
            limit: 10,
            ..Filter::default()
        };
        let page = db.store.history(BUSINESS, &filter).await.unwrap();
        let mut found: Vec<_> = page
            .entries
            .iter()
            .map(|it| it.client_id.as_str())
            .collect();
        found.sort_unstable();
        assert_eq!(found, seen, "{sight:?}");
        for id in ["C-1", "C-2", "C-3"] {
            let sees = db.store.sees_client(BUSINESS, &sight, id).await.unwrap();
            assert_eq!(sees, seen.contains(&id), "{sight:?} {id}");
        }
        assert!(!db.store.sees_client("other", &sight, "C-1").await.unwrap());
    }
}

/// Every function, so that the plans of their statements are seen.
pub(super) async fn everything(db: &TestDb) {
    let store = &db.store;
    let new = member("ana@example.com", None, Role::Admin);
    let id = store.add_staff(new).await.unwrap().unwrap().id;
    store.staff_credentials("ana@example.com").await.unwrap();
    store.staff_of(BUSINESS).await.unwrap();
    store.begin_staff_session(id, "a", Some("b")).await.unwrap();
    let session = store.staff_session("a").await.unwrap().unwrap();
    db.pass(Duration::from_mins(10));
    store.keep_staff_session("a", &session).await.unwrap();
    store.end_staff_session("a", id).await.unwrap();
    for by in [By::Operator, By::Member("a")] {
        store.change_staff_password(id, "x", by).await.unwrap();
    }
    store.change_staff_role(id, Role::Staff, &[]).await.unwrap();
    store.deactivate_staff(id).await.unwrap();
    store.reactivate_staff(id).await.unwrap();
    store.sign_staff_out(id, By::Operator).await.unwrap();
    store.staff_events(BUSINESS).await.unwrap();
    let counted = Subject {
        digest: "a".to_owned(),
        limit: OF_ACCOUNT,
    };
    store
        .begin_sign_in(std::slice::from_ref(&counted))
        .await
        .unwrap();
    store.sign_in_succeeded(&counted, &counted).await.unwrap();
    store.prune_staff_sessions().await.unwrap();
    for sight in [
        Sight::Locations(vec!["Lisbon".to_owned()]),
        Sight::Own("S-1".to_owned()),
    ] {
        store.sees_client(BUSINESS, &sight, "C-1").await.unwrap();
        let filter = Filter {
            sight,
            limit: 10,
            ..Filter::default()
        };
        store.history(BUSINESS, &filter).await.unwrap();
    }
}
