//! The suppression list: what it stops at the moment of sending, how entries come and go.

use std::time::Duration;

use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::suppression::{Bar, MARKETING, Reason};
use sendtrail::store::enqueue::{Enqueue, NewNotification};
use sendtrail::store::record::Then;
use sendtrail::store::suppressions::{Filter, Lift, NewSuppression, Suppression};

use super::make::{
    BUSINESS, address, claimed, done, email, enqueued, nothing_left, push, sms, suppressed,
    tickets, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    what_was_enqueued_before_is_stopped_when_it_is_sent,
    each_reason_stops_what_it_is_about_and_nothing_else,
    of_several_reasons_the_weightiest_is_told,
    a_stopped_message_is_failed_without_an_attempt,
    an_entry_that_stands_stays_as_it_is,
    an_entry_with_an_end_stops_nothing_after_it_and_makes_room,
    what_is_taken_off_is_kept_as_history,
    only_what_is_named_is_taken_off,
    what_was_taken_off_a_providers_own_list_is_on_record,
    the_list_is_read_page_by_page_and_by_address,
    what_stood_on_the_list_before_is_there_after_the_migration,
}

/// Makes a message to a client.
type Make = fn(&str) -> NewNotification;

/// Claims the one message that is due, releases it, and gives what stood in its way.
async fn bar(db: &TestDb, method: Method) -> Option<Bar> {
    let claim = db.store.claim(wanted(method, 10)).await.unwrap().unwrap();
    assert_eq!(claim.jobs.len(), 1);
    let settled = done(&claim, &claim.jobs[0], None, Then::Settled);
    let left = nothing_left(&claim);
    db.store.record(&[settled], &left).await.unwrap();
    claim.jobs[0].bar
}

async fn bar_of(db: &TestDb, business: &str, new: NewNotification) -> Option<Reason> {
    let method = new.method;
    let request = Enqueue {
        business: business.to_owned(),
        notifications: vec![new],
    };
    tickets(db.store.enqueue(request).await.unwrap());
    match bar(db, method).await {
        Some(Bar::Suppressed(reason)) => Some(reason),
        Some(Bar::ClientDeactivated) => panic!("no client is deactivated"),
        None => None,
    }
}

async fn suppress(db: &TestDb, new: NewSuppression<'_>) -> Suppression {
    let (entry, is_new) = db.store.suppress(new).await.unwrap();
    assert!(is_new);
    entry
}

async fn what_was_enqueued_before_is_stopped_when_it_is_sent(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"), email("C-2")]).await;
    let to = address(Method::Email, "C-1@EXAMPLE.com");
    suppress(db, suppressed(&to, Reason::Complaint)).await;
    let claim = claimed(&db.store).await;
    let bars: Vec<_> = claim.jobs.iter().map(|claimed| claimed.bar).collect();
    assert_eq!(bars, [Some(Bar::Suppressed(Reason::Complaint)), None]);
}

async fn each_reason_stops_what_it_is_about_and_nothing_else(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let marketing = |new: NewNotification| NewNotification {
        contact_type: MARKETING.to_owned(),
        ..new
    };
    let bulk = |new: NewNotification| NewNotification {
        priority: Priority::Bulk,
        ..new
    };
    let methods: [(&str, Make); 3] = [
        ("c-1@example.com", email),
        ("+14155550123", sms),
        ("token-1", push),
    ];
    for (text, make) in methods {
        let method = make("C-1").method;
        let to = address(method, text);
        for reason in Reason::ALL.into_iter().filter(|reason| reason.fits(method)) {
            suppress(db, suppressed(&to, reason)).await;
            let is_opt_out = reason == Reason::Unsubscribe;
            let operational = bar_of(db, BUSINESS, make("C-1")).await;
            assert_eq!(operational, (!is_opt_out).then_some(reason), "{reason:?}");
            for new in [marketing(make("C-1")), bulk(make("C-1"))] {
                assert_eq!(bar_of(db, BUSINESS, new).await, Some(reason), "{reason:?}");
            }
            let elsewhere = bar_of(db, "other", bulk(make("C-1"))).await;
            assert_eq!(elsewhere, None, "another business");
            lift(db, text, method, None, Some(reason)).await;
            assert_eq!(bar_of(db, BUSINESS, bulk(make("C-1"))).await, None);
        }
        let of_type = NewSuppression {
            contact_type: Some(MARKETING),
            ..suppressed(&to, Reason::Unsubscribe)
        };
        suppress(db, of_type).await;
        let stopped = bar_of(db, BUSINESS, marketing(make("C-1"))).await;
        assert_eq!(stopped, Some(Reason::Unsubscribe));
        assert_eq!(bar_of(db, BUSINESS, make("C-1")).await, None);
        let other_bulk = bar_of(db, BUSINESS, bulk(make("C-1"))).await;
        assert_eq!(other_bulk, None, "of another contact type");
        lift(db, text, method, Some(MARKETING), None).await;
    }
    // The same text, but another method.
    let to = address(Method::Push, "+14155550123");
    suppress(db, suppressed(&to, Reason::Staff)).await;
    assert_eq!(bar_of(db, BUSINESS, sms("C-1")).await, None);
}

async fn lift(
    db: &TestDb,
    to: &str,
    method: Method,
    contact_type: Option<&str>,
    reason: Option<Reason>,
) -> Vec<Suppression> {
    let lift = Lift {
        business: BUSINESS,
        address: &address(method, to),
        contact_type,
        reason,
        source: "staff",
        staff_id: Some("S-8"),
        note: Some("settled"),
    };
    db.store.lift(lift).await.unwrap()
}

async fn of_several_reasons_the_weightiest_is_told(db: &TestDb) {
    let to = address(Method::Email, "c-1@example.com");
    let marketing = NewNotification {
        contact_type: MARKETING.to_owned(),
        ..email("C-1")
    };
    let mut told = Vec::new();
    for reason in [
        Reason::Unsubscribe,
        Reason::Staff,
        Reason::Complaint,
        Reason::Bounce,
    ] {
        suppress(db, suppressed(&to, reason)).await;
        told.push(bar_of(db, BUSINESS, marketing.clone()).await.unwrap());
    }
    let expected = [
        Reason::Unsubscribe,
        Reason::Staff,
        Reason::Complaint,
        Reason::Bounce,
    ];
    assert_eq!(told, expected);
}

async fn a_stopped_message_is_failed_without_an_attempt(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let to = address(Method::Email, "c-1@example.com");
    suppress(db, suppressed(&to, Reason::Bounce)).await;
    let claim = claimed(&db.store).await;
    let gave_up = Then::GaveUp(claim.jobs[0].bar.unwrap().failure());
    let done = done(&claim, &claim.jobs[0], None, gave_up);
    db.store
        .record(&[done], &nothing_left(&claim))
        .await
        .unwrap();
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let trouble = entry.trouble().unwrap();
    assert_eq!(trouble.category.as_str(), "address_suppressed");
    assert_eq!(trouble.sentence, Reason::Bounce.sentence());
    assert_eq!(trouble.remedy, Some(Reason::Bounce.remedy()));
    assert_eq!(db.count("delivery_attempts").await, 0);
    assert_eq!(db.count("jobs").await + db.count("claims").await, 0);
    // Our own giving up is no reason of its own.
    assert_eq!(db.count("suppressions").await, 1);
}

async fn an_entry_that_stands_stays_as_it_is(db: &TestDb) {
    let to = address(Method::Email, "Ana@Example.com");
    let first = suppress(db, suppressed(&to, Reason::Staff)).await;
    assert_eq!(first.address, "ana@example.com");
    assert_eq!(first.staff_id.as_deref(), Some("S-7"));
    db.pass(Duration::from_secs(1));
    let again = NewSuppression {
        note: Some("another note"),
        staff_id: None,
        ..suppressed(&to, Reason::Staff)
    };
    let (entry, is_new) = db.store.suppress(again).await.unwrap();
    assert_eq!((entry, is_new), (first, false));
    let other = db.another_store().await;
    let calls = (0..20).map(|i| {
        let store = if i % 2 == 0 { &other } else { &db.store };
        store.suppress(suppressed(&to, Reason::Complaint))
    });
    let answers = futures_util::future::join_all(calls).await;
    let new = answers.iter().filter(|answer| answer.as_ref().unwrap().1);
    assert_eq!(new.count(), 1, "once, however many say so at once");
    other.close().await;
}

async fn an_entry_with_an_end_stops_nothing_after_it_and_makes_room(db: &TestDb) {
    let to = address(Method::Email, "c-1@example.com");
    let until = db.clock.now().plus(Duration::from_mins(10));
    let passing = NewSuppression {
        expires_at: Some(until),
        ..suppressed(&to, Reason::Staff)
    };
    let first = suppress(db, passing).await;
    assert_eq!(
        bar_of(db, BUSINESS, email("C-1")).await,
        Some(Reason::Staff)
    );
    db.pass(Duration::from_mins(10));
    assert_eq!(bar_of(db, BUSINESS, email("C-1")).await, None);
    assert!(list(db, &Filter::default()).await.is_empty());
    let lifted = lift(db, "c-1@example.com", Method::Email, None, None).await;
    assert!(lifted.is_empty(), "there is nothing to take off");
    let second = suppress(db, suppressed(&to, Reason::Staff)).await;
    assert_ne!(second.id, first.id);
    let history = list(db, &history()).await;
    assert_eq!(history.len(), 1);
    let lifted = history[0].lifted.clone().unwrap();
    assert_eq!(lifted.source, "expiry");
    assert_eq!(history[0].expires_at, Some(until));
}

fn history() -> Filter {
    Filter {
        lifted: true,
        ..Filter::default()
    }
}

async fn list(db: &TestDb, filter: &Filter) -> Vec<Suppression> {
    let filter = Filter {
        limit: 200,
        ..filter.clone()
    };
    let page = db.store.suppressions(BUSINESS, &filter).await.unwrap();
    assert!(!page.more);
    page.suppressions
}

async fn what_is_taken_off_is_kept_as_history(db: &TestDb) {
    let to = address(Method::Sms, "+14155550123");
    let entry = suppress(db, suppressed(&to, Reason::Stop)).await;
    let at = db.pass(Duration::from_mins(5));
    let lifted = lift(db, "+1 415 555 0123", Method::Sms, None, None).await;
    assert_eq!(lifted.len(), 1);
    assert!(list(db, &Filter::default()).await.is_empty());
    let kept = list(db, &history()).await;
    assert_eq!(kept, lifted);
    let who = kept[0].lifted.clone().unwrap();
    assert_eq!((who.at, who.source.as_str()), (at, "staff"));
    assert_eq!(who.staff_id.as_deref(), Some("S-8"));
    assert_eq!(who.note.as_deref(), Some("settled"));
    let as_it_stood = Suppression {
        lifted: None,
        ..kept[0].clone()
    };
    assert_eq!(as_it_stood, entry);
    // And once more: two entries of the history with one name.
    suppress(db, suppressed(&to, Reason::Stop)).await;
    lift(db, "+14155550123", Method::Sms, None, None).await;
    assert_eq!(list(db, &history()).await.len(), 2);
}

async fn what_was_taken_off_a_providers_own_list_is_on_record(db: &TestDb) {
    let to = address(Method::Email, "Ana@example.com");
    let since = db.clock.now();
    let lift = Lift {
        business: BUSINESS,
        address: &to,
        contact_type: None,
        reason: Some(Reason::Complaint),
        source: "staff",
        staff_id: Some("S-7"),
        note: Some("she asked for it"),
    };
    let lifted_at = db.pass(Duration::from_hours(1));
    db.store
        .lifted_at_provider("ses", since, lift)
        .await
        .unwrap();
    let filter = Filter {
        lifted: true,
        limit: 10,
        ..Filter::default()
    };
    let page = db.store.suppressions(BUSINESS, &filter).await.unwrap();
    let [entry] = page.suppressions.as_slice() else {
        panic!("{page:?}")
    };
    assert_eq!(
        (entry.source.as_str(), entry.reason),
        ("ses", Reason::Complaint)
    );
    assert_eq!(
        (entry.address.as_str(), entry.created_at),
        ("ana@example.com", since)
    );
    let lifted = entry.lifted.as_ref().unwrap();
    assert_eq!(
        (lifted.at, lifted.staff_id.as_deref()),
        (lifted_at, Some("S-7"))
    );
}

async fn only_what_is_named_is_taken_off(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let to = address(Method::Email, "ana@example.com");
    for reason in [Reason::Bounce, Reason::Unsubscribe] {
        suppress(db, suppressed(&to, reason)).await;
    }
    let of_type = NewSuppression {
        contact_type: Some("Reminders"),
        ..suppressed(&to, Reason::Unsubscribe)
    };
    suppress(db, of_type).await;
    let elsewhere = NewSuppression {
        business: "other",
        ..suppressed(&to, Reason::Bounce)
    };
    suppress(db, elsewhere).await;
    let lift = async |contact_type, reason| {
        let lifted = lift(db, "ANA@example.com", Method::Email, contact_type, reason).await;
        lifted.len()
    };
    assert_eq!(lift(Some("News"), None).await, 0);
    assert_eq!(lift(None, Some(Reason::Complaint)).await, 0);
    assert_eq!(lift(None, Some(Reason::Bounce)).await, 1);
    assert_eq!(lift(Some("Reminders"), None).await, 1);
    assert_eq!(lift(None, None).await, 1, "the opt-out");
    let others = db.store.suppressions("other", &Filter::default()).await;
    assert_eq!(others.unwrap().suppressions.len(), 1);
}

async fn the_list_is_read_page_by_page_and_by_address(db: &TestDb) {
    for i in 0..25 {
        let (method, text) = if i % 2 == 0 {
            (Method::Email, format!("client-{i}@example.com"))
        } else {
            (Method::Sms, format!("+141555501{i:02}"))
        };
        suppress(db, suppressed(&address(method, &text), Reason::Staff)).await;
        db.pass(Duration::from_secs(1));
    }
    for (filter, expected) in [
        (Filter::default(), 25),
        (
            Filter {
                method: Some(Method::Sms),
                ..Filter::default()
            },
            12,
        ),
    ] {
        let (mut seen, mut filter) = (Vec::new(), Filter { limit: 7, ..filter });
        loop {
            let page = db.store.suppressions(BUSINESS, &filter).await.unwrap();
            assert!(page.suppressions.len() <= 7);
            seen.extend(page.suppressions);
            if !page.more {
                break;
            }
            filter.after = seen.last().map(|entry| entry.id);
        }
        assert_eq!(seen.len(), expected);
        assert!(seen.is_sorted_by(|a, b| a.id > b.id), "newest first");
    }
    let by_address = |method, text: &str| Filter {
        method,
        addresses: vec![text.to_owned()],
        ..Filter::default()
    };
    let found = list(db, &by_address(None, "client-4@example.com")).await;
    assert_eq!(found.len(), 1);
    let found = list(db, &by_address(Some(Method::Sms), "client-4@example.com")).await;
    assert!(found.is_empty());
    let others = db.store.suppressions("other", &Filter::default()).await;
    assert!(others.unwrap().suppressions.is_empty());
}

/// Nothing of ours wrote to the table before; an operator may have.
async fn what_stood_on_the_list_before_is_there_after_the_migration(db: &TestDb) {
    let now = if db.is_postgres() { "now()" } else { "0" };
    db.execute("DELETE FROM _sqlx_migrations WHERE version = 4")
        .await;
    db.execute("DROP TABLE suppressions; DROP TABLE lifted_suppressions; DROP TABLE secrets")
        .await;
    let (id, time, end) = if db.is_postgres() {
        ("uuid", "timestamptz", "")
    } else {
        ("TEXT", "INTEGER", " STRICT")
    };
    db.execute(&format!(
        "CREATE TABLE suppressions (business_id text NOT NULL REFERENCES businesses (id), \
         method text NOT NULL, address text NOT NULL, reason text NOT NULL, source text NOT NULL, \
         notification_id {id}, created_at {time} NOT NULL, \
         PRIMARY KEY (business_id, method, address)){end}; \
         INSERT INTO suppressions VALUES \
         ('default', 'email', 'Ana@Example.com', 'bounce', 'import', NULL, {now}), \
         ('default', 'email', 'ana@example.com', 'bounce', 'import', NULL, {now}), \
         ('default', 'sms', '+14155550123', 'asked us', 'import', NULL, {now}), \
         ('default', 'pigeon', 'x', 'y', 'import', NULL, {now})"
    ))
    .await;
    db.store.migrate().await.unwrap();
    let mut kept: Vec<_> = list(db, &Filter::default())
        .await
        .into_iter()
        .map(|entry| (entry.method, entry.address, entry.reason, entry.note))
        .collect();
    kept.sort();
    let note = |text: &str| Some(text.to_owned());
    let expected = [
        (
            Method::Email,
            "ana@example.com".to_owned(),
            Reason::Bounce,
            note("bounce"),
        ),
        (
            Method::Sms,
            "+14155550123".to_owned(),
            Reason::Staff,
            note("asked us"),
        ),
    ];
    assert_eq!(kept, expected);
    assert_eq!(bar_of(db, BUSINESS, sms("C-1")).await, Some(Reason::Staff));
}
