//! Kept feedback: what became of each message is told, and any of it can be applied again.

use std::time::Duration;

use sendtrail::store::feedback::{Incoming, Kept, Report};
use sendtrail::store::inbox::{Message, Reading, UNPARSABLE, Wanted};
use sendtrail::store::unmatched::Sweep;

use super::facts::one_of_each;
use super::feedback::facts;
use super::make::{delivered, email, enqueued, happening, incoming, opened, send_one};
use crate::support::db::{TestDb, both};

both! {
    what_became_of_each_message_is_told,
    what_waits_is_applied_with_its_send_and_told_so,
    what_crossed_its_send_is_told_so_by_the_sweep_or_when_it_is_applied_again,
    the_list_goes_page_by_page_through_a_time,
    applying_everything_again_changes_nothing,
    what_is_understood_by_now_is_applied,
    the_last_message_of_each_source_is_told,
}

async fn the_last_message_of_each_source_is_told(db: &TestDb) {
    let last = async || db.store.last_feedback().await.unwrap();
    assert_eq!(last().await, []);
    let now = db.clock.now();
    let later = now.plus(Duration::from_mins(3));
    for (source, name, received_at) in [
        ("twilio", "a", now),
        ("sns", "b", later),
        ("sns", "c", now),
        ("sns", "d", now.minus(Duration::from_mins(1))),
    ] {
        let message = Incoming {
            source,
            received_at,
            ..without_report(name, "test")
        };
        db.store.keep_feedback(message).await.unwrap();
    }
    let expected = [("sns".to_owned(), later), ("twilio".to_owned(), now)];
    assert_eq!(last().await, expected);
}

/// The result of each message, by its id.
async fn results(db: &TestDb) -> Vec<String> {
    db.texts("SELECT message_id || ' ' || result FROM feedback_inbox ORDER BY message_id")
        .await
}

async fn listed(db: &TestDb, result: &'static str) -> Vec<String> {
    let wanted = Wanted {
        result: Some(result),
        limit: 10,
        ..Wanted::default()
    };
    let found = db.store.feedback_messages(&wanted).await.unwrap();
    assert!(found.iter().all(|message| message.body.is_empty()));
    found
        .into_iter()
        .map(|message| message.message_id)
        .collect()
}

async fn kept(db: &TestDb, incoming: &Incoming) -> Message {
    db.store.keep_feedback(incoming.clone()).await.unwrap();
    let (source, id) = (incoming.source, &incoming.message_id);
    db.store
        .feedback_message(source, id)
        .await
        .unwrap()
        .unwrap()
}

fn reading(incoming: &Incoming) -> Reading {
    Reading {
        kind: incoming.kind.clone(),
        report: incoming.report.clone(),
    }
}

fn without_report(message_id: &str, kind: &str) -> Incoming {
    Incoming {
        kind: kind.to_owned(),
        report: None,
        ..incoming(message_id, None, None, Vec::new())
    }
}

async fn what_became_of_each_message_is_told(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let told = incoming("a", Some(id), None, vec![happening(1, now, delivered())]);
    let waits = incoming("w", None, Some("p-1"), vec![happening(2, now, opened())]);
    for message in [
        told,
        waits,
        without_report("n", "test"),
        without_report("u", UNPARSABLE),
    ] {
        let message = kept(db, &message).await;
        assert_eq!(message.body, "{}");
    }
    let expected = ["a applied", "n noted", "u unparsable", "w unmatched"];
    assert_eq!(results(db).await, expected);
    for (result, ids) in [("unmatched", ["w"]), ("noted", ["n"]), (UNPARSABLE, ["u"])] {
        assert_eq!(listed(db, result).await, ids);
    }
    assert_eq!(db.store.feedback_message("ses", "a").await.unwrap(), None);
}

async fn what_waits_is_applied_with_its_send_and_told_so(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let happenings = vec![happening(1, now, delivered()), happening(2, now, opened())];
    kept(db, &incoming("w", None, Some("p-1"), happenings)).await;
    kept(
        db,
        &incoming("x", None, Some("p-2"), vec![happening(3, now, opened())]),
    )
    .await;
    send_one(&db.store, now, "p-1").await;
    assert_eq!(results(db).await, ["w applied", "x unmatched"]);
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
}

async fn what_crossed_its_send_is_told_so_by_the_sweep_or_when_it_is_applied_again(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 2]).await;
    let now = db.clock.now();
    let crossing = |key: u128, theirs: &str| {
        let happenings = vec![happening(key, now, opened())];
        incoming(&format!("m{key}"), None, Some(theirs), happenings)
    };
    let (first, second) = (crossing(1, "p-1"), crossing(2, "p-2"));
    let mut messages = Vec::new();
    for message in [&first, &second] {
        messages.push(kept(db, message).await);
    }
    // The sends are recorded by connections that do not see the waiting events.
    db.execute("CREATE TABLE hidden AS SELECT * FROM unmatched_events")
        .await;
    db.execute("DELETE FROM unmatched_events").await;
    send_one(&db.store, now, "p-1").await;
    send_one(&db.store, now, "p-2").await;
    db.execute("INSERT INTO unmatched_events SELECT * FROM hidden")
        .await;
    db.execute("DROP TABLE hidden").await;
    assert_eq!(results(db).await, ["m1 unmatched", "m2 unmatched"]);
    let again = [(messages.remove(0), reading(&first))];
    let applied = [Kept::Applied { new_events: 1 }];
    assert_eq!(db.store.reapply(&again).await.unwrap(), applied);
    assert_eq!(results(db).await, ["m1 applied", "m2 unmatched"]);
    assert_eq!(db.count("unmatched_events").await, 1);
    db.store
        .sweep_unmatched(&mut Sweep::default())
        .await
        .unwrap();
    assert_eq!(results(db).await, ["m1 applied", "m2 applied"]);
    for id in ids {
        assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
    }
}

async fn the_list_goes_page_by_page_through_a_time(db: &TestDb) {
    let start = db.clock.now();
    for i in 0..10_u64 {
        let mut message = without_report(&format!("m{i}"), "test");
        // Two at each moment.
        message.received_at = start.plus(Duration::from_secs(i / 2));
        kept(db, &message).await;
    }
    for result in [None, Some("noted")] {
        let mut wanted = Wanted {
            result,
            from: Some(start.plus(Duration::from_secs(1))),
            to: Some(start.plus(Duration::from_secs(4))),
            after: None,
            limit: 1,
        };
        let mut seen = Vec::new();
        loop {
            let page = db.store.whole_feedback_messages(&wanted).await.unwrap();
            let Some(last) = page.last() else { break };
            assert_eq!((page.len(), last.body.as_str()), (1, "{}"));
            wanted.after = Some(last.position());
            seen.push(last.message_id.clone());
        }
        assert_eq!(seen, ["m2", "m3", "m4", "m5", "m6", "m7"]);
    }
}

async fn everything(db: &TestDb) -> Vec<Vec<Vec<Option<String>>>> {
    let mut all = Vec::new();
    for (table, key) in [
        ("delivery_events", "notification_id, event_key"),
        ("delivery_facts", "notification_id"),
        ("unmatched_events", "event_key"),
        ("suppressions", "id"),
        ("feedback_inbox", "message_id"),
    ] {
        let rows = if db.is_postgres() {
            format!("SELECT to_jsonb(t)::text FROM {table} t ORDER BY {key}")
        } else if table == "delivery_events" {
            format!("SELECT recorded_at || detail FROM {table} ORDER BY {key}")
        } else if table == "delivery_facts" {
            format!("SELECT sent_at || opened_count || bounced_at FROM {table} ORDER BY {key}")
        } else {
            format!("SELECT {key} FROM {table} ORDER BY {key}")
        };
        all.push(db.rows(&rows).await);
    }
    all
}

async fn applying_everything_again_changes_nothing(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"), email("C-2")]).await;
    let now = db.clock.now();
    let all = one_of_each().into_iter().zip(0_u128..);
    let mut messages = Vec::new();
    for (what, key) in all {
        let happenings = vec![happening(key, now, what.clone())];
        messages.push(incoming(&format!("{key}"), Some(ids[0]), None, happenings));
        let happenings = vec![happening(key + 50, now, what)];
        messages.push(incoming(
            &format!("x{key}"),
            None,
            Some("nobody's"),
            happenings,
        ));
    }
    messages.push(without_report("n", "test"));
    messages.push(without_report("u", UNPARSABLE));
    let mut again = Vec::new();
    for message in &messages {
        again.push((kept(db, message).await, reading(message)));
    }
    // What staff took off the list stays off it.
    db.execute("DELETE FROM suppressions WHERE reason = 'bounce'")
        .await;
    let before = everything(db).await;
    db.pass(Duration::from_hours(1));
    for _ in 0..2 {
        let kept = db.store.reapply(&again).await.unwrap();
        let of = |wanted: Kept| kept.iter().filter(|kept| **kept == wanted).count();
        assert_eq!(of(Kept::Applied { new_events: 0 }), 14);
        assert_eq!((of(Kept::Unmatched), of(Kept::Noted)), (14, 2));
        assert_eq!(everything(db).await, before);
    }
}

async fn what_is_understood_by_now_is_applied(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let message = kept(db, &without_report("u", UNPARSABLE)).await;
    let reading = Reading {
        kind: "Open".to_owned(),
        report: Some(Report {
            notification: Some(id),
            provider_message_id: None,
            source: "ses",
            happenings: vec![happening(1, db.clock.now(), opened())],
        }),
    };
    let again = [(message, reading)];
    for new_events in [1, 0] {
        let kept = db.store.reapply(&again).await.unwrap();
        assert_eq!(kept, [Kept::Applied { new_events }]);
    }
    let found = db
        .store
        .feedback_message("sns", "u")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.kind.as_str(), found.result.as_deref()),
        ("Open", Some("applied"))
    );
    assert_eq!(listed(db, UNPARSABLE).await, [""; 0]);
    assert_eq!(facts(db, id).await.opened.unwrap().count, 1);
}
