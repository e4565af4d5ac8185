//! Applications are told what becomes of their notifications, at least once, whatever is slow, dead or
//! killed.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::domain::event::{EventKey, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::webhook::{EndpointUrl, Secret, UrlRules};
use sendtrail::store::feedback::{Happening, Incoming, Report};
use sendtrail::store::webhooks::NewEndpoint;
use serde_json::json;
use uuid::Uuid;

use super::child::{Child, Variables, run};
use super::program::Program;
use super::queue::fill;
use super::receiver::{Received, Receiver};
use crate::support::db::{TestDb, both};

both!(
    a_story_is_told_with_a_signature_and_without_an_address,
    what_was_not_taken_is_sent_again_under_the_same_id,
    an_event_that_is_refused_holds_up_no_other,
    events_come_in_order_and_can_be_replayed,
    a_slow_and_a_dead_endpoint_delay_no_other,
    a_kill_loses_no_event_and_repeats_only_with_the_same_id,
    an_address_within_is_neither_taken_nor_called,
);

const TIMEOUT: Duration = Duration::from_mins(1);

fn variables(db: &TestDb) -> Variables {
    closed(db).with("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true")
}

/// Nothing within may be called.
fn closed(db: &TestDb) -> Variables {
    Variables::of(db)
        .with("EMAIL__PROVIDERS", "")
        .with("SMS__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "")
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__RETRY_INITIAL_MS", "50")
        .with("WEBHOOKS__RETRY_MAX_MS", "500")
        .with("WEBHOOKS__TIMEOUT_MS", "1000")
        .with("WEBHOOKS__CONNECT_TIMEOUT_MS", "1000")
}

/// Makes an endpoint by the command; returns its secret.
fn add(variables: &Variables, url: &str, more: &[&str]) -> String {
    let arguments = [&["webhooks", "add", "--url", url], more].concat();
    let ran = run(variables, &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.trim().to_owned()
}

/// Notifications of which nothing is sent, only told.
async fn notifications(db: &TestDb, count: usize) -> Vec<NotificationId> {
    let ids = fill(db, count).await;
    db.execute("DELETE FROM jobs").await;
    let ids = ids.iter().map(|id| NotificationId::parse(id).unwrap());
    ids.collect()
}

async fn tell(db: &TestDb, id: NotificationId, key: u128, what: What) {
    let now = db.pass(Duration::from_millis(1));
    let message = Incoming {
        source: "sns",
        message_id: format!("{id} {key}"),
        topic: "arn:aws:sns:eu-west-1:123456789012:feedback".to_owned(),
        received_at: now,
        kind: "test".to_owned(),
        body: "{}".into(),
        report: Some(Report {
            notification: Some(id),
            provider_message_id: None,
            source: "ses",
            happenings: vec![Happening {
                key: EventKey(Uuid::from_u128(key)),
                occurred_at: now,
                what,
            }],
        }),
    };
    db.store.keep_feedback(message).await.unwrap();
}

const fn delivered() -> What {
    What::Delivered { response: None }
}

const fn opened() -> What {
    What::Opened {
        user_agent: None,
        by_machine: false,
    }
}

/// Waits until nothing is due any more.
async fn all_taken(db: &TestDb) {
    const LEFT: &str = "SELECT CAST(COUNT(*) AS TEXT) FROM webhook_deliveries \
                        WHERE delivered_at IS NULL";
    let started = std::time::Instant::now();
    while db.texts(LEFT).await != ["0"] {
        assert!(
            started.elapsed() < TIMEOUT,
            "{:?} are left",
            db.texts(LEFT).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_story_is_told_with_a_signature_and_without_an_address(db: &TestDb) {
    let variables = Variables::of(db)
        .sandbox()
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true");
    let receiver = Receiver::start(&[]).await;
    let secret = add(&variables, &receiver.url(), &[]);
    let program = Program::start(&variables).await;
    let message = |to: &str| {
        json!({"client": "C-1", "method": "email", "to": format!("{to}@simulator.test"),
               "type": "Booking", "content": {"subject": "private words", "text": "private words"}})
    };
    let wanted = [
        message("mailbox-full"),
        message("clicked"),
        message("rejected"),
    ];
    let ids = program.client.enqueue(&wanted).await;
    let expected: BTreeSet<(String, &str)> = [
        (0, "sent"),
        (0, "bounced"),
        (1, "sent"),
        (1, "delivered"),
        (1, "opened"),
        (1, "clicked"),
        (2, "failed"),
    ]
    .into_iter()
    .map(|(i, word)| (ids[i].clone(), word))
    .collect();
    let is_told = |told: &BTreeSet<(String, String)>| {
        let found = |(id, word): &(String, &str)| told.contains(&(id.clone(), (*word).to_owned()));
        expected.iter().all(found)
    };
    let started = std::time::Instant::now();
    while !is_told(&told(&receiver)) {
        assert!(started.elapsed() < TIMEOUT, "{:?}", told(&receiver));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    all_taken(db).await;
    for event in receiver.events() {
        assert!(event.is_signed_by(&secret), "{event:?}");
        assert!(!event.is_signed_by(Secret::new([0; 32]).reveal()));
        for private in ["simulator.test", "private words"] {
            assert!(!event.body.contains(private), "{}", event.body);
        }
    }
    tells_of_the_bounce(&receiver);
    let series = "sendtrail_webhook_events_total{result=\"delivered\"}";
    assert!(program.client.metric(series).await >= Some(7.0));
    program.stop().await;
}

/// Ids of notifications and what was told of them.
fn told(receiver: &Receiver) -> BTreeSet<(String, String)> {
    let events = receiver.events().into_iter().map(|it| it.json());
    let named = events.map(|it| {
        let word = it["type"].as_str().unwrap().replace("notification.", "");
        (it["data"]["id"].as_str().unwrap().to_owned(), word)
    });
    named.collect()
}

fn tells_of_the_bounce(receiver: &Receiver) {
    let events = receiver.events().into_iter().map(|it| it.json());
    let bounced: Vec<_> = events
        .filter(|it| it["type"] == "notification.bounced")
        .collect();
    assert_eq!(bounced.len(), 1);
    let data = &bounced[0]["data"];
    assert_eq!(data["status"], "Bounced");
    assert_eq!(data["statuses"], json!(["Bounced"]));
    assert_eq!(data["reason"]["category"], "mailbox_full");
    assert_eq!(data["bounce"]["kind"], "transient");
    assert_eq!(data["client_id"], "C-1");
    assert_eq!(data["type"], "Booking");
}

async fn what_was_not_taken_is_sent_again_under_the_same_id(db: &TestDb) {
    let variables = variables(db);
    let receiver = Receiver::start(&[500, 429, 404, 503]).await;
    add(
        &variables,
        &receiver.url(),
        &["--events", "notification.opened"],
    );
    let ids = notifications(db, 1).await;
    tell(db, ids[0], 1, delivered()).await;
    tell(db, ids[0], 2, opened()).await;
    let program = Program::start(&variables).await;
    receiver.until(5, TIMEOUT).await;
    all_taken(db).await;
    assert_eq!((receiver.count(), receiver.ids().len()), (5, 1));
    program.stop().await;
}

async fn an_event_that_is_refused_holds_up_no_other(db: &TestDb) {
    const HOURS: &str = "36000000";
    let variables = variables(db)
        .with("WEBHOOKS__RETRY_INITIAL_MS", HOURS)
        .with("WEBHOOKS__RETRY_MAX_MS", HOURS);
    let receiver = Receiver::start(&[404]).await;
    add(&variables, &receiver.url(), &[]);
    let ids = notifications(db, 2).await;
    tell(db, ids[0], 1, delivered()).await;
    let program = Program::start(&variables).await;
    receiver.until(1, TIMEOUT).await;
    tell(db, ids[1], 1, delivered()).await;
    receiver.until(2, TIMEOUT).await;
    assert_eq!(receiver.ids().len(), 2);
    program.stop().await;
}

async fn events_come_in_order_and_can_be_replayed(db: &TestDb) {
    let variables = variables(db);
    let receiver = Receiver::start(&[]).await;
    add(&variables, &receiver.url(), &[]);
    let ids = notifications(db, 40).await;
    for key in 0..5 {
        for id in &ids {
            tell(db, *id, key, opened()).await;
        }
    }
    let program = Program::start(&variables).await;
    receiver.until(200, TIMEOUT).await;
    all_taken(db).await;
    let told = receiver.events();
    assert_eq!((told.len(), receiver.ids().len()), (200, 200));
    for id in &ids {
        let of_it = told.iter().map(Received::json);
        let of_it = of_it.filter(|it| it["data"]["id"] == id.to_string());
        let times: Vec<String> = of_it
            .map(|it| it["timestamp"].as_str().unwrap().to_owned())
            .collect();
        assert!(times.len() == 5 && times.is_sorted(), "{times:?}");
    }
    let list = run(&variables, &["webhooks", "list"]);
    let endpoint = list.out.split_whitespace().next().unwrap().to_owned();
    let from = [
        "webhooks",
        "replay",
        &endpoint,
        "--from",
        "2020-01-01T00:00:00Z",
    ];
    let ran = run(&variables, &from);
    assert!(ran.out.contains("200 events"), "{ran:?}");
    receiver.until(400, TIMEOUT).await;
    all_taken(db).await;
    assert_eq!((receiver.count(), receiver.ids().len()), (400, 200));
    program.stop().await;
}

async fn a_slow_and_a_dead_endpoint_delay_no_other(db: &TestDb) {
    const COUNT: usize = 100;
    let variables = variables(db);
    let (slow, fast) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    slow.answer(false);
    add(&variables, "http://127.0.0.1:1/hooks", &[]);
    add(&variables, &slow.url(), &[]);
    let secret = add(&variables, &fast.url(), &[]);
    for id in notifications(db, COUNT).await {
        tell(db, id, 1, delivered()).await;
    }
    let program = Program::start(&variables).await;
    fast.until(COUNT, TIMEOUT).await;
    assert_eq!(fast.count(), COUNT);
    assert!(fast.events().iter().all(|it| it.is_signed_by(&secret)));
    // It has had nothing but unanswered requests, a few at a time.
    slow.until(1, TIMEOUT).await;
    slow.answer(true);
    let started = std::time::Instant::now();
    while slow.ids().len() < COUNT {
        assert!(started.elapsed() < TIMEOUT, "{}", slow.ids().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let list = run(&variables, &["webhooks", "list"]);
    let dead = list.out.lines().next().unwrap();
    assert!(
        dead.contains("failing: no connection can be made to it"),
        "{dead}"
    );
    program.stop().await;
}

async fn a_kill_loses_no_event_and_repeats_only_with_the_same_id(db: &TestDb) {
    const COUNT: usize = 600;
    let variables = variables(db);
    let receiver = Receiver::start(&[]).await;
    add(&variables, &receiver.url(), &[]);
    for id in notifications(db, COUNT).await {
        tell(db, id, 1, delivered()).await;
    }
    let child = Child::serve(&variables, "worker");
    receiver.until(COUNT / 3, TIMEOUT).await;
    child.kill();
    assert!(receiver.count() < COUNT, "killed in the middle");
    let child = Child::serve(&variables, "worker");
    all_taken(db).await;
    child.stop();
    assert_eq!(receiver.ids().len(), COUNT);
    // What was sent in the round that was not recorded.
    assert!(receiver.count() <= COUNT + 128, "{}", receiver.count());
}

async fn an_address_within_is_neither_taken_nor_called(db: &TestDb) {
    let variables = closed(db);
    let receiver = Receiver::start(&[]).await;
    let refused = run(&variables, &["webhooks", "add", "--url", &receiver.url()]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.errors.contains("--url is not public"),
        "{refused:?}"
    );
    // One that was made when the settings allowed it.
    let free = UrlRules {
        allow_http: true,
        allow_private: true,
    };
    let ids = notifications(db, 1).await;
    let url = EndpointUrl::parse(&receiver.url(), free).unwrap();
    let new = NewEndpoint {
        business: "default",
        url: &url,
        description: None,
        events: &[],
        secret: &Secret::new([1; 32]),
    };
    let made = db.store.add_webhook(new).await.unwrap().unwrap();
    tell(db, ids[0], 1, delivered()).await;
    let program = Program::start(&variables).await;
    let started = std::time::Instant::now();
    let shown = loop {
        let shown = db.store.webhook("default", made.id).await.unwrap().unwrap();
        if shown.last_error.is_some() {
            break shown;
        }
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(shown.last_error.unwrap().contains("not public"));
    assert_eq!(receiver.count(), 0);
    program.stop().await;
}
