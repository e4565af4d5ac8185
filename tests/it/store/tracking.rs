//! Our own tracking: what businesses ask for, and what visits to the links of messages leave behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sendtrail::domain::event::{Event, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::time::Timestamp;
use sendtrail::domain::tracking::{Agent, OptIn, SOURCE, Target, clicked, opened};
use sendtrail::store::businesses::Change;
use sendtrail::store::enqueue::NewNotification;
use sendtrail::store::record::Then;
use sendtrail::store::tracking::Visited::{self, Early, Full, Recorded, Repeated, Unwanted};
use sendtrail::store::tracking::{Tracked, VISITS_MAX, VISITS_WITH_MACHINES_MAX};
use sendtrail::store::verify::Span;
use sendtrail::web::tracking::Queue;

use super::make::{self, BUSINESS, claimed, done, email, enqueued, nothing_left, send_one, tried};
use crate::support::db::{TestDb, both};

both! {
    a_business_asks_by_contact_type_and_may_change_its_mind,
    a_claimed_message_says_what_is_asked_of_it,
    visits_are_recorded_where_they_are_asked_for,
    what_comes_before_a_message_may_have_gone_ends_no_attempts,
    what_is_early_is_told_once_more,
    the_same_is_recorded_once_whoever_tells_it,
    whoever_follows_a_link_without_end_fills_nothing,
    opens_at_once_and_by_machines_are_likely_automatic,
}

const TYPE: &str = "Client Notifications";

const fn asked(opens: bool, clicks: bool) -> OptIn {
    OptIn { opens, clicks }
}

fn of_type(contact_type: &str, opt_in: OptIn) -> Tracked {
    Tracked {
        contact_type: contact_type.to_owned(),
        opt_in,
    }
}

async fn ask(db: &TestDb, tracking: Vec<Tracked>) {
    let change = Change {
        tracking,
        ..Change::default()
    };
    assert!(db.store.change_business(BUSINESS, &change).await.unwrap());
}

fn person() -> Agent {
    Agent {
        user_agent: Some("Mail/1.0".to_owned()),
        prefetches: false,
    }
}

fn machine() -> Agent {
    Agent {
        user_agent: Some("GoogleImageProxy".to_owned()),
        prefetches: false,
    }
}

fn link(path: &str) -> Target {
    Target::parse(&format!("https://example.com/{path}")).unwrap()
}

async fn keep(db: &TestDb, visits: &[Event]) -> Vec<Visited> {
    db.store.keep_visits(visits).await.unwrap()
}

/// Sends them; a moment later they may have been read.
async fn sent(db: &TestDb, new: Vec<NewNotification>) -> (Vec<NotificationId>, Timestamp) {
    let ids = enqueued(&db.store, new).await;
    for id in &ids {
        send_one(&db.store, db.clock.now(), &id.to_string()).await;
    }
    (ids, db.pass(Duration::from_secs(1)))
}

async fn events(db: &TestDb, id: NotificationId) -> Vec<Event> {
    let story = db.store.story(id).await.unwrap();
    let ours = story.events.into_iter();
    ours.filter(|event| event.source == SOURCE).collect()
}

async fn a_business_asks_by_contact_type_and_may_change_its_mind(db: &TestDb) {
    let business = async || db.store.business(BUSINESS).await.unwrap().unwrap();
    assert!(business().await.tracking.is_empty());
    assert!(!db.store.is_tracking_wanted().await.unwrap());
    let (both, opens) = (asked(true, true), asked(true, false));
    ask(db, vec![of_type("New type", both), of_type(TYPE, opens)]).await;
    let expected = [of_type(TYPE, opens), of_type("New type", both)];
    assert_eq!(business().await.tracking, expected);
    assert!(db.store.is_tracking_wanted().await.unwrap());
    // What is not named stays; of two that name one type the last holds.
    let none = OptIn::default();
    ask(db, vec![of_type(TYPE, both), of_type(TYPE, none)]).await;
    assert_eq!(business().await.tracking, [of_type("New type", both)]);
    let change = Change {
        tracking: vec![of_type(TYPE, both)],
        ..Change::default()
    };
    assert!(!db.store.change_business("none", &change).await.unwrap());
    ask(db, vec![of_type("New type", none)]).await;
    assert!(!db.store.is_tracking_wanted().await.unwrap());
}

async fn a_claimed_message_says_what_is_asked_of_it(db: &TestDb) {
    let mut other = email("C-2");
    other.contact_type = "Other".to_owned();
    enqueued(&db.store, vec![email("C-1"), other]).await;
    // As it is when it is sent.
    ask(db, vec![of_type(TYPE, asked(false, true))]).await;
    let claim = claimed(&db.store).await;
    let asked_of = |to: &str| {
        let mut messages = claim.jobs.iter().filter_map(|job| job.message.as_ref());
        let message = messages.find(|message| message.to.as_str() == to);
        message.unwrap().tracking
    };
    assert_eq!(asked_of("c-1@example.com"), asked(false, true));
    assert_eq!(asked_of("c-2@example.com"), OptIn::default());
}

async fn visits_are_recorded_where_they_are_asked_for(db: &TestDb) {
    ask(
        db,
        vec![
            of_type(TYPE, asked(true, true)),
            of_type("Opens", asked(true, false)),
        ],
    )
    .await;
    let (mut opens, mut none) = (email("C-2"), email("C-3"));
    opens.contact_type = "Opens".to_owned();
    none.contact_type = "None".to_owned();
    let (ids, now) = sent(db, vec![email("C-1"), opens, none]).await;
    let gone = NotificationId::new(uuid::Uuid::from_u128(1));
    let target = link("a?token=secret#part");
    let mut visits = Vec::new();
    for id in [ids[0], ids[1], ids[2], gone] {
        visits.push(opened(id, now, person()));
        visits.push(clicked(id, &target, now, person()));
    }
    let expected = [
        Recorded, Recorded, Recorded, Unwanted, Unwanted, Unwanted, Unwanted, Unwanted,
    ];
    assert_eq!(keep(db, &visits).await, expected);
    let whats: Vec<What> = events(db, ids[0])
        .await
        .into_iter()
        .map(|e| e.what)
        .collect();
    let user_agent = Some("Mail/1.0".to_owned());
    let is_opened = What::Opened {
        user_agent: user_agent.clone(),
        by_machine: false,
    };
    let is_clicked = What::Clicked {
        link: Some("https://example.com/a".to_owned()),
        user_agent,
    };
    assert!(whats.len() == 2 && whats.contains(&is_opened) && whats.contains(&is_clicked));
    let entry = db.store.entry(BUSINESS, ids[0]).await.unwrap().unwrap();
    assert!(entry.facts.opened.is_some() && entry.facts.clicked.is_some());
    // Who does not ask any more learns no more, of messages sent before either.
    ask(db, vec![of_type(TYPE, OptIn::default())]).await;
    let later = now.plus(Duration::from_hours(1));
    let visit = [opened(ids[0], later, person())];
    assert_eq!(keep(db, &visit).await, [Unwanted]);
    assert_eq!(events(db, ids[0]).await.len(), 2);
    assert_eq!(keep(db, &[]).await, []);
}

/// Servers look at the links of a message before they say whether they take it.
async fn what_comes_before_a_message_may_have_gone_ends_no_attempts(db: &TestDb) {
    ask(db, vec![of_type(TYPE, asked(true, true))]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let visit = || [opened(id, db.clock.now(), person())];
    assert_eq!(keep(db, &visit()).await, [Early], "it is in the queue");
    for (outcome, answer) in [("try_later", Early), ("unknown", Recorded)] {
        let claim = claimed(&db.store).await;
        assert!(!claim.jobs[0].has_gone);
        let during = visit();
        assert_eq!(keep(db, &during).await, [Early], "it is being sent");
        let now = db.clock.now();
        let again = Then::Again { due_at: now };
        let outcome = done(&claim, &claim.jobs[0], tried(now, outcome), again);
        let left = nothing_left(&claim);
        db.store.record(&[outcome], &left).await.unwrap();
        // Of an unknown outcome the end is known too late, such as when a dead worker is found.
        assert_eq!(keep(db, &during).await, [answer], "it was being sent");
        db.pass(Duration::from_mins(2));
        assert_eq!(keep(db, &visit()).await, [answer]);
    }
    let claim = claimed(&db.store).await;
    assert!(claim.jobs[0].has_gone, "somebody has read it");
}

/// By a reader who is faster than the record of the send.
async fn what_is_early_is_told_once_more(db: &TestDb) {
    ask(db, vec![of_type(TYPE, asked(true, true))]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let claim = claimed(&db.store).await;
    let now = db.clock.now();
    let (visits, queue) = Queue::new(db.store.clone(), Arc::default());
    let recording = queue.start();
    let read_at = now.plus(Duration::from_secs(1));
    visits.note(opened(id, read_at, person()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let accepted = done(
        &claim,
        &claim.jobs[0],
        tried(now, "accepted"),
        make::sent("p"),
    );
    let left = nothing_left(&claim);
    db.store.record(&[accepted], &left).await.unwrap();
    let started = Instant::now();
    while events(db, id).await.is_empty() {
        assert!(started.elapsed() < Duration::from_mins(1), "it is lost");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    visits.note(clicked(id, &link("a"), read_at, person()));
    assert!(recording.stop(Duration::from_secs(30)).await);
    assert_eq!(events(db, id).await.len(), 2);
}

async fn the_same_is_recorded_once_whoever_tells_it(db: &TestDb) {
    ask(db, vec![of_type(TYPE, asked(true, true))]).await;
    let (ids, now) = sent(db, vec![email("C-1")]).await;
    let id = ids[0];
    let other = db.another_store().await;
    let visit = [opened(id, now, person())];
    assert_eq!(keep(db, &visit).await, [Recorded]);
    for store in [&db.store, &other] {
        let again = store.keep_visits(&visit).await.unwrap();
        assert_eq!(again, [Repeated]);
    }
    let minute = now.plus(Duration::from_mins(1));
    let visits = [
        opened(id, minute, person()),
        opened(id, minute, machine()),
        clicked(id, &link("a"), minute, person()),
        clicked(id, &link("b"), minute, person()),
        clicked(id, &link("a"), minute, person()),
    ];
    let expected = [Recorded, Recorded, Recorded, Recorded, Repeated];
    assert_eq!(keep(db, &visits).await, expected);
    assert_eq!(events(db, id).await.len(), 5);
    other.close().await;
}

async fn whoever_follows_a_link_without_end_fills_nothing(db: &TestDb) {
    ask(db, vec![of_type(TYPE, asked(true, true))]).await;
    let (ids, now) = sent(db, vec![email("C-1")]).await;
    let id = ids[0];
    let at = |minute: u64| now.plus(Duration::from_mins(minute));
    let machines: Vec<Event> = (0..300).map(|m| opened(id, at(m), machine())).collect();
    let kept = keep(db, &machines).await;
    let count = |kept: &[Visited], what| kept.iter().filter(|it| **it == what).count();
    let with_machines = usize::try_from(VISITS_WITH_MACHINES_MAX).unwrap();
    assert_eq!(count(&kept, Recorded), with_machines);
    assert_eq!(count(&kept, Full), 300 - with_machines);
    // There is room for a person's all the same.
    let persons: Vec<Event> = (0..300).map(|m| opened(id, at(m), person())).collect();
    let clicks = (0..300).map(|m| clicked(id, &link(&m.to_string()), at(0), person()));
    let clicks: Vec<Event> = clicks.collect();
    for batch in persons.chunks(30).chain(clicks.chunks(30)) {
        keep(db, batch).await;
    }
    let max = usize::try_from(VISITS_MAX).unwrap();
    assert_eq!(events(db, id).await.len(), 2 * max);
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.facts.opened.unwrap().count, VISITS_MAX);
    assert_eq!(entry.facts.clicked.unwrap().count, VISITS_MAX);
    let span = Span {
        after: NotificationId::new(uuid::Uuid::nil()),
        below: NotificationId::new(uuid::Uuid::max()),
    };
    let verified = db.store.verify(span, 10).await.unwrap();
    assert!(verified.differences.is_empty(), "{verified:?}");
}

async fn opens_at_once_and_by_machines_are_likely_automatic(db: &TestDb) {
    ask(db, vec![of_type(TYPE, asked(true, false))]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let sent = db.clock.now();
    send_one(&db.store, sent, "p-1").await;
    let likely = async || {
        let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
        assert!(entry.facts.opened.is_some());
        entry.facts.opens_likely_automatic()
    };
    let after = |seconds| sent.plus(Duration::from_secs(seconds));
    keep(db, &[opened(id, after(2), person())]).await;
    assert!(likely().await, "seconds after it was sent");
    keep(db, &[opened(id, after(600), machine())]).await;
    assert!(likely().await);
    keep(db, &[opened(id, after(1_200), person())]).await;
    assert!(!likely().await);
}
