//! Tags of entries, and what people change of them: on record, and never over somebody else's change.

use sendtrail::domain::event::EventKey;
use sendtrail::domain::method::Method;
use sendtrail::domain::role::Role;
use sendtrail::store::changes::{Edit, Edited};
use sendtrail::store::inbound::{Sharing, Text};
use sendtrail::store::tags::Tagged;

use super::make::{BUSINESS, address, email, enqueued, incoming, of, sms};
use super::staff::member;
use crate::support::db::{TestDb, both};

both! {
    tags_are_kept_with_the_entry_and_the_clients_name_is_none,
    entries_that_nobody_looked_at_are_found_and_tagged_once,
    a_change_keeps_what_stood_there_and_who_changed_it,
    of_two_changes_at_once_the_second_is_told,
    resends_are_found_from_the_first,
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn tags_are_kept_with_the_entry_and_the_clients_name_is_none(db: &TestDb) {
    let mut new = email("C-1");
    new.client.name = Some("Ana Ruiz".to_owned());
    enqueued(&db.store, vec![new]).await;
    let mut again = email("C-1");
    again.tags = Some(words(&[
        "invoice",
        "ruiz",
        "yoga class",
        "a",
        "b",
        "c",
        "d",
    ]));
    let id = enqueued(&db.store, vec![again]).await[0];
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.tags, words(&["invoice", "yoga class", "a", "b", "c"]));
}

async fn entries_that_nobody_looked_at_are_found_and_tagged_once(db: &TestDb) {
    let store = &db.store;
    let mut looked_at = email("C-1");
    looked_at.tags = Some(Vec::new());
    enqueued(store, vec![looked_at]).await;
    let by_sql = enqueued(store, vec![sms("C-1")]).await[0];
    let mut message = incoming("t1", None, None, Vec::new());
    message.report = None;
    let text = Text {
        source: "twilio",
        provider_message_id: "SM1".to_owned(),
        key: EventKey(uuid::Uuid::from_u128(7)),
        from: address(Method::Sms, "+14155550123"),
        to: "+15005550001".to_owned(),
        sharing: Sharing::Shared,
        text: "When is the yoga class?".to_owned(),
        wish: None,
    };
    store.keep_text(message, &text).await.unwrap();
    let found = store.untagged(10).await.unwrap();
    let texts: Vec<_> = found.iter().map(|it| it.text.as_deref()).collect();
    assert_eq!(
        texts,
        [Some("See you on Monday"), Some("When is the yoga class?")]
    );
    assert_eq!(store.untagged(1).await.unwrap().len(), 1);
    let edit = Edit::Tags {
        before: Vec::new(),
        after: words(&["by hand"]),
    };
    let edited = store.edit_entry(BUSINESS, by_sql, "S-1", &edit).await;
    assert_eq!(edited.unwrap(), Edited::Done);
    let tagged: Vec<Tagged> = found
        .iter()
        .map(|it| Tagged {
            id: it.id,
            tags: words(&["monday"]),
        })
        .collect();
    store.keep_tags(&tagged).await.unwrap();
    store.keep_tags(&[]).await.unwrap();
    assert!(store.untagged(10).await.unwrap().is_empty());
    let ids = [found[0].id, found[1].id];
    let entries = store.entries(BUSINESS, &ids).await.unwrap();
    assert_eq!(entries[0].tags, words(&["by hand"]), "a person was faster");
    assert_eq!(entries[1].tags, words(&["monday"]));
}

async fn a_change_keeps_what_stood_there_and_who_changed_it(db: &TestDb) {
    let store = &db.store;
    store
        .add_staff(member("ana@example.com", Some("S-1"), Role::Staff))
        .await
        .unwrap()
        .unwrap();
    let id = enqueued(store, vec![email("C-1")]).await[0];
    let named = |before: Option<&str>, after: Option<&str>| Edit::Description {
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let edits = [
        named(None, Some("First <b>visit</b>")),
        named(Some("First <b>visit</b>"), None),
        Edit::Tags {
            before: Vec::new(),
            after: words(&["vip"]),
        },
        Edit::Override {
            why: "She asked for it".to_owned(),
        },
    ];
    for edit in &edits {
        let edited = store.edit_entry(BUSINESS, id, "S-1", edit).await.unwrap();
        assert_eq!(edited, Edited::Done, "{edit:?}");
        db.pass(std::time::Duration::from_secs(1));
    }
    let changes = store.entry_changes(BUSINESS, id).await.unwrap();
    let kept: Vec<&Edit> = changes.iter().map(|change| &change.edit).collect();
    assert_eq!(kept, edits.iter().collect::<Vec<_>>());
    assert!(changes.iter().all(|change| change.user == "Ana Ruiz"));
    assert!(changes.is_sorted_by_key(|change| change.at));
    let entry = store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!((entry.description, entry.tags), (None, words(&["vip"])));
    db.store.ensure_business("b-2", "Second").await.unwrap();
    let foreign = store.edit_entry("b-2", id, "S-1", &edits[0]).await;
    assert_eq!(foreign.unwrap(), Edited::Nothing);
    assert!(store.entry_changes("b-2", id).await.unwrap().is_empty());
}

async fn of_two_changes_at_once_the_second_is_told(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let other = db.another_store().await;
    let edit = |text: &str| Edit::Description {
        before: None,
        after: Some(text.to_owned()),
    };
    let (one, two) = (edit("one"), edit("two"));
    let (first, second) = tokio::join!(
        db.store.edit_entry(BUSINESS, id, "S-1", &one),
        other.edit_entry(BUSINESS, id, "S-2", &two),
    );
    let mut answers = [first.unwrap(), second.unwrap()];
    answers.sort_by_key(|answer| *answer != Edited::Done);
    assert_eq!(answers, [Edited::Done, Edited::Meanwhile]);
    assert_eq!(db.count("entry_changes").await, 1);
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let edit = edit(&entry.description.unwrap());
    let again = db.store.edit_entry(BUSINESS, id, "S-1", &edit).await;
    assert_eq!(again.unwrap(), Edited::Same, "a form sent twice");
    other.close().await;
}

async fn resends_are_found_from_the_first(db: &TestDb) {
    let store = &db.store;
    let first = enqueued(store, vec![email("C-1")]).await[0];
    let mut again = email("C-1");
    again.resend_of = Some(first);
    let ids = enqueued(store, vec![again.clone(), again]).await;
    let found = store.resends(BUSINESS, first).await.unwrap();
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), ids);
    assert!(store.resends(BUSINESS, ids[0]).await.unwrap().is_empty());
    store.ensure_business("b-2", "Second").await.unwrap();
    of(store, "b-2", vec![email("C-1")]).await;
    assert!(store.resends("b-2", first).await.unwrap().is_empty());
}

/// Every function here, for the plans.
pub(super) async fn everything(db: &TestDb) {
    let store = &db.store;
    let id = enqueued(store, vec![email("C-1")]).await[0];
    let found = store.untagged(10).await.unwrap();
    let tagged: Vec<Tagged> = found
        .into_iter()
        .map(|it| Tagged {
            id: it.id,
            tags: Vec::new(),
        })
        .collect();
    store.keep_tags(&tagged).await.unwrap();
    for edit in [
        Edit::Tags {
            before: Vec::new(),
            after: words(&["vip"]),
        },
        Edit::Description {
            before: None,
            after: Some("x".to_owned()),
        },
    ] {
        store.edit_entry(BUSINESS, id, "S-1", &edit).await.unwrap();
    }
    store.entry_changes(BUSINESS, id).await.unwrap();
    store.resends(BUSINESS, id).await.unwrap();
}
