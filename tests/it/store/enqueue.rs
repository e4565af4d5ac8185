//! Enqueue: order, all or nothing, idempotency, cards.

use std::time::Duration;

use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Channel, Method, Priority};
use sendtrail::domain::status::Status;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::enqueue::{
    ContentSource, Enqueue, Enqueued, NewNotification, Refusal, Ticket, Why,
};
use serde_json::json;

use super::make::{BUSINESS, email, enqueued, keyed, push, request, sms, tickets};
use crate::support::db::{TestDb, both};

both! {
    a_notification_becomes_an_entry_its_content_and_a_job,
    a_batch_is_answered_in_the_order_given,
    an_empty_request_does_nothing,
    all_or_none_of_a_request_is_enqueued,
    a_new_client_gets_a_card_and_a_known_one_keeps_its_own,
    an_address_comes_from_the_card,
    the_same_key_and_body_is_a_repetition_another_body_a_conflict,
    a_key_is_known_even_after_the_last_moment_of_its_notification,
    a_key_repeated_inside_one_request_is_enqueued_once,
    gathered_requests_see_each_others_keys_and_cards,
    two_programs_share_keys_and_cards,
    two_programs_complete_a_card_only_once,
    keys_and_cards_belong_to_their_business,
    frozen_content_is_shared_by_a_resend,
    one_that_cannot_be_written_does_not_fail_its_neighbours,
    metadata_and_push_data_come_back_as_they_were,
    hostile_texts_are_kept,
    a_name_used_first_by_a_notification_is_known_afterwards,
    ids_follow_the_date_even_when_the_clock_goes_back,
}

async fn a_notification_becomes_an_entry_its_content_and_a_job(db: &TestDb) {
    let mut new = email("C-1");
    new.client.name = Some("Ana Ruiz".to_owned());
    new.staff_id = Some("S-7".to_owned());
    new.priority = Priority::High;
    new.send_at = Some(Timestamp::parse("2027-01-02T10:00:00.123Z").unwrap());
    new.expires_at = Some(Timestamp::parse("2027-01-03T10:00:00Z").unwrap());
    let id = enqueued(&db.store, vec![new.clone()]).await[0];

    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.id, id);
    assert_eq!(entry.client_id, "C-1");
    assert_eq!(entry.client_name.as_deref(), Some("Ana Ruiz"));
    assert_eq!(entry.date, db.clock.now());
    assert_eq!(entry.date, id.date());
    assert_eq!(entry.user, "S-7");
    assert_eq!(entry.staff_id.as_deref(), Some("S-7"));
    assert_eq!(entry.method, Method::Email);
    assert_eq!(entry.channel, Channel::Outbound);
    assert_eq!(entry.type_name, "Booking confirmation");
    assert_eq!(entry.contact_type, "Client Notifications");
    assert_eq!(entry.to.as_deref(), Some("c-1@example.com"));
    assert_eq!(entry.send_at, new.send_at);
    assert_eq!(entry.expires_at, new.expires_at);
    assert_eq!(entry.content_id, Some(id.uuid()));
    assert_eq!(
        (entry.resend_of, entry.description, entry.metadata),
        (None, None, None)
    );
    assert!(!entry.manual);
    assert_eq!(entry.facts, sendtrail::domain::facts::Facts::default());

    let content = db.store.content(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(ContentSource::New(content).as_new(), new.content.as_new());
    let story = db.store.story(id).await.unwrap();
    assert_eq!(story.next_due_at, new.send_at);
    assert!(story.attempts.is_empty() && story.events.is_empty());
}

trait AsNew {
    fn as_new(&self) -> Option<&Content>;
}

impl AsNew for ContentSource {
    fn as_new(&self) -> Option<&Content> {
        match self {
            Self::New(content) => Some(content),
            Self::Frozen(_) | Self::AsBefore => None,
        }
    }
}

async fn a_batch_is_answered_in_the_order_given(db: &TestDb) {
    let clients: Vec<String> = (0..1000).map(|i| format!("C-{}", i % 37)).collect();
    let batch = clients.iter().map(|client| email(client)).collect();
    let ids = enqueued(&db.store, batch).await;
    assert!(ids.is_sorted(), "ids ascend in the order given");
    let entries = db.store.entries(BUSINESS, &ids).await.unwrap();
    let found: Vec<String> = entries
        .iter()
        .map(|entry| entry.client_id.clone())
        .collect();
    assert_eq!(found, clients);
    assert!(
        entries
            .iter()
            .all(|e| e.statuses() == [Status::AwaitingSend])
    );
    assert_eq!(db.count("clients").await, 37);
    assert_eq!(db.count("jobs").await, 1000);
    assert_eq!(db.count("message_content").await, 1000);
}

async fn an_empty_request_does_nothing(db: &TestDb) {
    let answer = db.store.enqueue(request(vec![])).await.unwrap();
    assert_eq!(answer, Enqueued::Done(vec![]));
    assert_eq!(db.count("contact_log").await, 0);
}

async fn all_or_none_of_a_request_is_enqueued(db: &TestDb) {
    enqueued(&db.store, vec![keyed(email("C-1"), "taken", 1)]).await;
    let mut homeless = email("C-2");
    homeless.to = None;
    let mut bad_card = sms("C-3");
    bad_card.to = None;
    bad_card.client.phone = Some("not a number".to_owned());
    let batch = vec![
        email("C-9"),
        homeless,
        bad_card,
        keyed(email("C-4"), "taken", 2),
        keyed(email("C-5"), "free", 5),
    ];
    let answer = db.store.enqueue(request(batch)).await.unwrap();
    let Enqueued::Refused(refusals) = answer else {
        panic!("enqueued: {answer:?}");
    };
    let found: Vec<usize> = refusals.iter().map(|refusal| refusal.index).collect();
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(refusals[0].why, Why::NoAddress);
    assert!(matches!(refusals[1].why, Why::CardAddress(_)));
    assert_eq!(refusals[2].why, Why::KeyConflict);
    assert_eq!(db.count("contact_log").await, 1);
    assert_eq!(db.count("jobs").await, 1);
    assert_eq!(db.count("clients").await, 1, "no card of a refused request");
    assert_eq!(db.count("idempotency_keys").await, 1);
    let again = enqueued(&db.store, vec![keyed(email("C-5"), "free", 6)]).await;
    assert_eq!(again.len(), 1, "the key of a refused request stays free");
}

async fn a_new_client_gets_a_card_and_a_known_one_keeps_its_own(db: &TestDb) {
    let mut new = email("C-1");
    new.client.name = Some("Ana".to_owned());
    enqueued(&db.store, vec![new.clone()]).await;
    new.client.name = Some("Somebody else".to_owned());
    new.client.email = Some("ana@example.com".to_owned());
    enqueued(&db.store, vec![new.clone()]).await;
    new.client.email = Some("other@example.com".to_owned());
    new.client.phone = Some("+14155550123".to_owned());
    enqueued(&db.store, vec![new]).await;
    let cards = db
        .rows("SELECT client_id, name, email, phone FROM clients")
        .await;
    let expected = ["C-1", "Ana", "ana@example.com", "+14155550123"];
    assert_eq!(cards, [expected.map(|text| Some(text.to_owned()))]);
    assert!(db.store.client_exists(BUSINESS, "C-1").await.unwrap());
    assert!(!db.store.client_exists(BUSINESS, "C-2").await.unwrap());
    assert!(!db.store.client_exists("other", "C-1").await.unwrap());
}

async fn an_address_comes_from_the_card(db: &TestDb) {
    let mut new = email("C-1");
    new.to = None;
    new.client.email = Some("ana@example.com".to_owned());
    let mut text = sms("C-1");
    text.to = None;
    text.client.phone = Some("+1 415 555 0123".to_owned());
    let first = enqueued(&db.store, vec![new, text]).await;
    let mut bare = email("C-1");
    bare.to = None;
    let later = enqueued(&db.store, vec![bare]).await[0];
    let entries = db
        .store
        .entries(BUSINESS, &[first[0], first[1], later])
        .await;
    let to: Vec<_> = entries
        .unwrap()
        .into_iter()
        .map(|e| e.to.unwrap())
        .collect();
    assert_eq!(to, ["ana@example.com", "+14155550123", "ana@example.com"]);
    let mut no_target = push("C-1");
    no_target.to = None;
    let answer = db.store.enqueue(request(vec![no_target])).await.unwrap();
    let why = Why::NoAddress;
    assert_eq!(answer, Enqueued::Refused(vec![Refusal { index: 0, why }]));
}

async fn the_same_key_and_body_is_a_repetition_another_body_a_conflict(db: &TestDb) {
    let first = enqueued(&db.store, vec![keyed(email("C-1"), "k", 1)]).await[0];
    let again = db
        .store
        .enqueue(request(vec![keyed(email("C-1"), "k", 1)]))
        .await;
    let duplicate = Ticket {
        id: first,
        duplicate: true,
    };
    assert_eq!(tickets(again.unwrap()), [duplicate]);
    let other = db
        .store
        .enqueue(request(vec![keyed(email("C-1"), "k", 2)]))
        .await;
    let why = Why::KeyConflict;
    assert_eq!(
        other.unwrap(),
        Enqueued::Refused(vec![Refusal { index: 0, why }])
    );
    assert_eq!(db.count("contact_log").await, 1);
}

async fn a_key_is_known_even_after_the_last_moment_of_its_notification(db: &TestDb) {
    let mut new = keyed(email("C-1"), "k", 1);
    new.expires_at = Some(db.clock.now().plus(Duration::from_secs(1)));
    let first = enqueued(&db.store, vec![new.clone()]).await[0];
    db.pass(Duration::from_secs(1));
    let again = db.store.enqueue(request(vec![new.clone()])).await.unwrap();
    let (id, duplicate) = (first, true);
    assert_eq!(tickets(again), [Ticket { id, duplicate }]);
    for late in [
        keyed(new.clone(), "l", 1),
        NewNotification {
            idempotency: None,
            ..new
        },
    ] {
        let answer = db
            .store
            .enqueue(request(vec![email("C-1"), late]))
            .await
            .unwrap();
        let why = Why::Expired;
        assert_eq!(answer, Enqueued::Refused(vec![Refusal { index: 1, why }]));
    }
    assert_eq!(db.count("contact_log").await, 1);
}

async fn a_key_repeated_inside_one_request_is_enqueued_once(db: &TestDb) {
    let batch = vec![
        keyed(email("C-1"), "k", 1),
        email("C-2"),
        keyed(email("C-1"), "k", 1),
    ];
    let found = tickets(db.store.enqueue(request(batch)).await.unwrap());
    assert_eq!((found[0].duplicate, found[2].duplicate), (false, true));
    assert_eq!(found[0].id, found[2].id);
    assert_eq!(db.count("contact_log").await, 2);
    let batch = vec![keyed(email("C-1"), "j", 1), keyed(email("C-1"), "j", 2)];
    let answer = db.store.enqueue(request(batch)).await.unwrap();
    let why = Why::KeyConflict;
    assert_eq!(answer, Enqueued::Refused(vec![Refusal { index: 1, why }]));
    assert_eq!(db.count("contact_log").await, 2);
}

async fn gathered_requests_see_each_others_keys_and_cards(db: &TestDb) {
    let calls = (0..60_usize).map(|i| {
        let mut new = keyed(email("C-1"), &format!("k{}", i % 20), 1);
        new.client.name = Some(format!("Name {i}"));
        db.store.enqueue(request(vec![new]))
    });
    let answers = futures_util::future::join_all(calls).await;
    let fresh = answers.into_iter().map(|answer| tickets(answer.unwrap()));
    let fresh = fresh.filter(|tickets| !tickets[0].duplicate).count();
    assert_eq!(fresh, 20);
    assert_eq!(db.count("contact_log").await, 20);
    assert_eq!(db.count("clients").await, 1);
}

async fn two_programs_share_keys_and_cards(db: &TestDb) {
    let stores = [db.store.clone(), db.another_store().await];
    let calls = (0..80_usize).map(|i| {
        let store = stores[i % 2].clone();
        let batch = (0..5_usize).rev().map(|j| {
            let n = (i / 2 + j) % 30;
            keyed(email(&format!("C-{n}")), &format!("k{n}"), 1)
        });
        let batch: Vec<_> = if i % 4 < 2 {
            batch.collect()
        } else {
            batch.rev().collect()
        };
        tokio::spawn(async move { store.enqueue(request(batch)).await })
    });
    let mut fresh = 0;
    let mut ids = std::collections::BTreeSet::new();
    for call in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        for ticket in tickets(call.unwrap().unwrap()) {
            ids.insert(ticket.id);
            fresh += usize::from(!ticket.duplicate);
        }
    }
    assert_eq!((fresh, ids.len()), (30, 30));
    assert_eq!(db.count("contact_log").await, 30);
    assert_eq!(db.count("clients").await, 30);
    assert_eq!(db.count("jobs").await, 30);
    stores[1].close().await;
}

async fn two_programs_complete_a_card_only_once(db: &TestDb) {
    let clients: Vec<String> = (0..20).map(|i| format!("C-{i}")).collect();
    enqueued(&db.store, clients.iter().map(|c| email(c)).collect()).await;
    let stores = [db.store.clone(), db.another_store().await];
    let calls = (0..20_usize).map(|i| {
        let store = stores[i % 2].clone();
        let mut batch: Vec<_> = clients
            .iter()
            .map(|client| {
                let mut new = email(client);
                new.to = None;
                new.client.email = Some(format!("told-by-{i}@example.com"));
                new
            })
            .collect();
        if i % 3 == 0 {
            batch.reverse();
        }
        tokio::spawn(async move { store.enqueue(request(batch)).await })
    });
    for call in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        assert_eq!(tickets(call.unwrap().unwrap()).len(), 20);
    }
    let strays = "SELECT COUNT(*) FROM contact_log l JOIN clients c ON c.uid = l.client_uid \
                  WHERE l.address NOT LIKE 'c-%' AND l.address <> c.email";
    assert_eq!(
        db.texts(strays).await,
        ["0"],
        "all went to the card's one address"
    );
    stores[1].close().await;
}

async fn keys_and_cards_belong_to_their_business(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let first = enqueued(&db.store, vec![keyed(email("C-1"), "k", 1)]).await[0];
    let request = Enqueue {
        business: "other".to_owned(),
        notifications: vec![keyed(email("C-1"), "k", 2)],
    };
    let second = tickets(db.store.enqueue(request).await.unwrap())[0];
    assert!(!second.duplicate);
    assert_eq!(db.count("clients").await, 2);
    assert!(db.store.entry("other", first).await.unwrap().is_none());
    assert!(db.store.entry(BUSINESS, second.id).await.unwrap().is_none());
    assert!(db.store.content("other", first).await.unwrap().is_none());
    assert!(db.store.entry("other", second.id).await.unwrap().is_some());
    assert!(!db.store.cancel("other", first).await.unwrap());
    let both = [first, second.id];
    assert_eq!(db.store.entries(BUSINESS, &both).await.unwrap().len(), 1);
}

async fn frozen_content_is_shared_by_a_resend(db: &TestDb) {
    let first = enqueued(&db.store, vec![email("C-1")]).await[0];
    let mut resend = email("C-1");
    resend.content = ContentSource::Frozen(first.uuid());
    resend.resend_of = Some(first);
    let second = enqueued(&db.store, vec![resend]).await[0];
    let entry = db.store.entry(BUSINESS, second).await.unwrap().unwrap();
    assert_eq!(entry.content_id, Some(first.uuid()));
    assert_eq!(entry.resend_of, Some(first));
    assert_eq!(
        db.store.content(BUSINESS, second).await.unwrap(),
        db.store.content(BUSINESS, first).await.unwrap()
    );
    assert_eq!(db.count("message_content").await, 1);
}

async fn one_that_cannot_be_written_does_not_fail_its_neighbours(db: &TestDb) {
    let calls = (0..20_usize).map(|i| {
        let mut request = request(vec![email(&format!("C-{i}"))]);
        if i == 7 {
            request.business = "never heard of".to_owned();
        }
        db.store.enqueue(request)
    });
    let answers = futures_util::future::join_all(calls).await;
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.is_ok(), i != 7, "{i}: {answer:?}");
    }
    assert_eq!(db.count("contact_log").await, 19);
}

async fn metadata_and_push_data_come_back_as_they_were(db: &TestDb) {
    let json = json!({
        "booking": "8812", "empty": {}, "list": [1, 2.5, -3, null, true, {"deep": ["é", "\u{1F600}"]}],
        "big": 9_007_199_254_740_993_i64, "unsigned": u64::MAX, "quote\"d": "a\\b\n\t\u{1}", "": "",
        "number like": "007", "float": 0.1, "tiny": 1e-7,
    });
    let json = json.as_object().unwrap().clone();
    let mut new = push("C-1");
    new.metadata = Some(json.clone());
    let content = Content::Push {
        title: None,
        text: "t".to_owned(),
        data: json.clone(),
    };
    new.content = ContentSource::New(content.clone());
    let id = enqueued(&db.store, vec![new]).await[0];
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.metadata, Some(json));
    assert_eq!(db.store.content(BUSINESS, id).await.unwrap(), Some(content));
}

async fn hostile_texts_are_kept(db: &TestDb) {
    let nasty = "a\0b'; DROP TABLE jobs; -- \u{FEFF}\u{202E}\u{1F600} \\ \" $1 {}";
    let kept = nasty.replace('\0', "\u{FFFD}");
    let long = "é\"".repeat(1_000_000);
    let mut new = keyed(email("C-1"), "k\0", 1);
    new.client.id = "C\0-1".to_owned();
    new.type_name = nasty.to_owned();
    new.client.name = Some(nasty.to_owned());
    new.staff_id = Some(nasty.to_owned());
    new.metadata = json!({nasty: [nasty]}).as_object().cloned();
    let content = |text: &str| Content::Email {
        subject: text.to_owned(),
        text: Some(long.clone()),
        html: Some(text.to_owned()),
        reply_to: None,
        attachments: Vec::new(),
    };
    new.content = ContentSource::New(content(nasty));
    let id = enqueued(&db.store, vec![new.clone()]).await[0];
    let again = db.store.enqueue(request(vec![new])).await.unwrap();
    assert_eq!(
        tickets(again),
        [Ticket {
            id,
            duplicate: true
        }]
    );
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.client_id, "C\u{FFFD}-1");
    assert_eq!(entry.type_name, kept);
    assert_eq!(entry.client_name.as_ref(), Some(&kept));
    assert_eq!(entry.metadata, json!({&kept: [&kept]}).as_object().cloned());
    let stored = db.store.content(BUSINESS, id).await.unwrap();
    assert_eq!(stored, Some(content(&kept)));
    assert!(db.store.client_exists(BUSINESS, "C\0-1").await.unwrap());
}

async fn a_name_used_first_by_a_notification_is_known_afterwards(db: &TestDb) {
    let mut new = email("C-1");
    new.staff_id = Some("S-7".to_owned());
    new.contact_type = "Reminders".to_owned();
    enqueued(&db.store, vec![new.clone(), new.clone(), email("C-2")]).await;
    enqueued(&db.store, vec![new]).await;
    assert_eq!(
        db.texts("SELECT staff_id || ' ' || name FROM staff").await,
        ["S-7 S-7"]
    );
    let types = db
        .texts("SELECT name FROM contact_types WHERE business_id = 'default'")
        .await;
    assert_eq!(types.len(), 6);
    assert!(types.contains(&"Reminders".to_owned()));
}

async fn ids_follow_the_date_even_when_the_clock_goes_back(db: &TestDb) {
    db.pass(Duration::from_secs(10));
    let first = enqueued(&db.store, vec![email("C-1")]).await[0];
    let start = Timestamp::parse(crate::support::db::START).unwrap();
    db.clock.set(start);
    let second = enqueued(&db.store, vec![email("C-1")]).await[0];
    assert!(first < second);
    for id in [first, second] {
        let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
        assert_eq!(entry.date, id.date());
    }
    let story = db.store.story(second).await.unwrap();
    assert_eq!(story.next_due_at, Some(start), "due by the clock");
}
