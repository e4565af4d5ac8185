//! Feedback: kept once, applied once, in any order, and never lost.

use std::time::Duration;

use sendtrail::domain::event::{Bounce, Severity, What};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::domain::status::Status;
use sendtrail::store::feedback::Kept;
use sendtrail::store::unmatched::Sweep;
use uuid::Uuid;

use super::make::{BUSINESS, delivered, email, enqueued, happening, incoming, opened, send_one};
use crate::support::db::{TestDb, both};

both! {
    a_message_is_kept_as_it_came,
    a_repeated_message_is_kept_and_counted_once,
    one_happening_in_two_messages_counts_once,
    our_own_id_decides_and_the_providers_helps_out,
    feedback_before_the_send_waits_for_it,
    an_unknown_notification_is_kept,
    what_says_nothing_of_a_notification_is_noted,
    hostile_feedback_is_kept,
    every_kind_of_event_comes_back_as_it_was,
    a_message_that_cannot_be_written_does_not_fail_its_neighbours,
}

pub(super) async fn facts(db: &TestDb, id: NotificationId) -> Facts {
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let story = db.store.story(id).await.unwrap();
    assert_eq!(entry.facts, Facts::fold(&story.events));
    entry.facts
}

async fn a_message_is_kept_as_it_came(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let mut message = incoming(
        "m",
        Some(id),
        None,
        vec![happening(1, db.clock.now(), delivered())],
    );
    message.body = r#"{"Type": "Notification"}"#.into();
    let kept = db.store.keep_feedback(message.clone()).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 1 });
    let rows = db
        .rows("SELECT source, message_id, topic, kind, body FROM feedback_inbox")
        .await;
    let expected = ["sns", "m", &message.topic, "test", &message.body];
    assert_eq!(rows, [expected.map(|text| Some(text.to_owned()))]);
}

async fn a_repeated_message_is_kept_and_counted_once(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let message = incoming(
        "m",
        Some(id),
        None,
        vec![happening(1, db.clock.now(), opened())],
    );
    let other = db.another_store().await;
    let calls = (0..20).map(|i| {
        let store = if i % 2 == 0 { &db.store } else { &other };
        store.keep_feedback(message.clone())
    });
    let kept = futures_util::future::join_all(calls).await;
    let kept: Vec<Kept> = kept.into_iter().map(Result::unwrap).collect();
    let applied = kept
        .iter()
        .filter(|kept| **kept == Kept::Applied { new_events: 1 });
    assert_eq!(applied.count(), 1);
    assert_eq!(
        kept.iter().filter(|kept| **kept == Kept::Duplicate).count(),
        19
    );
    assert_eq!(db.count("feedback_inbox").await, 1);
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
    other.close().await;
}

async fn one_happening_in_two_messages_counts_once(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let (open, later) = (happening(1, now, opened()), happening(2, now, opened()));
    let first = incoming("m1", Some(id), None, vec![open.clone(), open.clone()]);
    let kept = db.store.keep_feedback(first).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 1 });
    let second = incoming("m2", Some(id), None, vec![open, later]);
    let kept = db.store.keep_feedback(second).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 1 });
    assert_eq!(facts(db, id).await.opened.unwrap().count, 2);
    assert_eq!(db.count("feedback_inbox").await, 2);
}

async fn our_own_id_decides_and_the_providers_helps_out(db: &TestDb) {
    let [first, second] = enqueued(&db.store, vec![email("C-1"); 2])
        .await
        .try_into()
        .unwrap();
    let now = db.clock.now();
    send_one(&db.store, now, "p-1").await;
    send_one(&db.store, now, "p-2").await;
    let foreign = NotificationId::new(Uuid::from_u128(1));
    for (i, (own, theirs, expected)) in [
        (Some(first), Some("p-2"), first),
        (None, Some("p-2"), second),
        (Some(foreign), Some("p-2"), second),
        (Some(second), None, second),
        (Some(second), Some("nobody's"), second),
    ]
    .into_iter()
    .enumerate()
    {
        let key = u128::try_from(i).unwrap();
        let message = incoming(
            &format!("m{i}"),
            own,
            theirs,
            vec![happening(key, now, opened())],
        );
        let before = opens(db, expected).await;
        let kept = db.store.keep_feedback(message).await.unwrap();
        assert_eq!(kept, Kept::Applied { new_events: 1 }, "{i}");
        assert_eq!(opens(db, expected).await, before + 1, "{i}");
    }
}

async fn opens(db: &TestDb, id: NotificationId) -> i64 {
    facts(db, id).await.opened.map_or(0, |opened| opened.count)
}

async fn feedback_before_the_send_waits_for_it(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    for (i, what) in [delivered(), opened()].into_iter().enumerate() {
        let key = u128::try_from(i).unwrap();
        let message = incoming(
            &format!("m{i}"),
            None,
            Some("p"),
            vec![happening(key, now, what)],
        );
        assert_eq!(
            db.store.keep_feedback(message).await.unwrap(),
            Kept::Unmatched
        );
    }
    assert_eq!(db.store.count_unmatched(10).await.unwrap(), 2);
    assert_eq!(facts(db, id).await, Facts::default());
    send_one(&db.store, now, "another").await;
    assert_eq!(db.store.count_unmatched(10).await.unwrap(), 2);
    enqueued(&db.store, vec![email("C-2")]).await;
    send_one(&db.store, now, "p").await;
    assert_eq!(db.store.count_unmatched(10).await.unwrap(), 0);
    let unopened = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(unopened.statuses(), [Status::Sent]);
    // What is kept once is a repetition ever after, also when it had been waiting.
    let again = incoming("m0", None, Some("p"), vec![happening(0, now, delivered())]);
    assert_eq!(
        db.store.keep_feedback(again).await.unwrap(),
        Kept::Duplicate
    );
    let in_other_words = incoming("m9", None, Some("p"), vec![happening(1, now, opened())]);
    let kept = db.store.keep_feedback(in_other_words).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 0 });
}

async fn an_unknown_notification_is_kept(db: &TestDb) {
    let unknown = NotificationId::new(Uuid::from_u128(7));
    let now = db.clock.now();
    let message = incoming("m", Some(unknown), None, vec![happening(1, now, opened())]);
    assert_eq!(
        db.store.keep_feedback(message).await.unwrap(),
        Kept::Unmatched
    );
    let rows = db
        .texts("SELECT notification_id FROM unmatched_events")
        .await;
    assert_eq!(rows, [unknown.to_string()]);
    assert_eq!(db.count("delivery_events").await, 0);
    assert_eq!(
        db.store
            .sweep_unmatched(&mut Sweep::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(db.store.count_unmatched(10).await.unwrap(), 1);
}

async fn what_says_nothing_of_a_notification_is_noted(db: &TestDb) {
    let mut message = incoming("m", None, None, vec![]);
    message.report = None;
    assert_eq!(
        db.store.keep_feedback(message.clone()).await.unwrap(),
        Kept::Noted
    );
    assert_eq!(
        db.store.keep_feedback(message).await.unwrap(),
        Kept::Duplicate
    );
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let silent = incoming("m2", Some(id), None, vec![]);
    let kept = db.store.keep_feedback(silent).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 0 });
}

async fn hostile_feedback_is_kept(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let bounce = What::Bounced(Bounce {
        severity: Severity::Permanent,
        category: Category::Unknown,
        subtype: Some("\0".to_owned()),
        status: Some("5\0.1.1".to_owned()),
        diagnostic: Some("\0\u{1}'\"\\\u{1F600}".repeat(50_000)),
    });
    let mut message = incoming(
        "m\0",
        Some(id),
        None,
        vec![happening(1, db.clock.now(), bounce)],
    );
    message.body = "\0{\"a\": \"\\u0000\"}".repeat(10_000).into();
    message.kind = "\0".to_owned();
    let kept = db.store.keep_feedback(message.clone()).await.unwrap();
    assert_eq!(kept, Kept::Applied { new_events: 1 });
    assert_eq!(
        db.store.keep_feedback(message.clone()).await.unwrap(),
        Kept::Duplicate
    );
    let bounced = facts(db, id).await.bounced.unwrap().bounce;
    assert_eq!(bounced.status.as_deref(), Some("5\u{FFFD}.1.1"));
    let body = db.texts("SELECT body FROM feedback_inbox").await;
    assert_eq!(body, [message.body.replace('\0', "\u{FFFD}")]);
}

async fn every_kind_of_event_comes_back_as_it_was(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let whats = super::facts::one_of_each();
    let start = db.clock.now();
    let happenings = whats.iter().enumerate().map(|(i, what)| {
        let at = start.plus(Duration::from_secs(u64::try_from(i).unwrap()));
        happening(u128::try_from(i).unwrap(), at, what.clone())
    });
    let message = incoming("m", Some(id), None, happenings.collect());
    db.store.keep_feedback(message).await.unwrap();
    let story = db.store.story(id).await.unwrap();
    let found: Vec<What> = story.events.into_iter().map(|event| event.what).collect();
    assert_eq!(found, whats);
    facts(db, id).await;
}

async fn a_message_that_cannot_be_written_does_not_fail_its_neighbours(db: &TestDb) {
    if db.is_postgres() {
        let limit = "ALTER TABLE feedback_inbox ADD CHECK (message_id <> 'poison')";
        db.execute(limit).await;
    } else {
        let limit = "CREATE TRIGGER poison BEFORE INSERT ON feedback_inbox WHEN new.message_id = \
                     'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END";
        db.execute(limit).await;
    }
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let calls = (0..20_u128).map(|i| {
        let name = if i == 11 {
            "poison".to_owned()
        } else {
            format!("m{i}")
        };
        let event = happening(i, db.clock.now(), opened());
        db.store
            .keep_feedback(incoming(&name, Some(id), None, vec![event]))
    });
    let kept = futures_util::future::join_all(calls).await;
    for (i, kept) in kept.into_iter().enumerate() {
        assert_eq!(kept.is_ok(), i != 11, "{i}: {kept:?}");
    }
    assert_eq!(facts(db, id).await.opened.unwrap().count, 19);
}
