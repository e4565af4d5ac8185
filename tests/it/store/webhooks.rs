//! Events for webhook endpoints: written with the events themselves, handed out endpoint by endpoint,
//! kept to be sent again.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::webhook::{EndpointUrl, Secret, UrlRules};
use sendtrail::store::webhook_queue::{HeldEndpoint, Round, WebhookEnd, WebhookOutcome};
use sendtrail::store::webhooks::{ENDPOINTS_MAX, Endpoint, NewEndpoint};
use uuid::Uuid;

use super::make::{
    BUSINESS, delivered, email, enqueued, happening, incoming, of, opened, send_one,
};
use crate::support::db::{TestDb, both};

both! {
    an_event_is_written_for_the_endpoints_of_its_business_that_want_it,
    a_repeated_event_is_told_once_and_without_an_endpoint_nothing_is_written,
    an_endpoint_is_in_one_worker_s_hands_until_the_lease_runs_out,
    what_is_not_taken_comes_again_and_the_endpoint_is_switched_off_after_days,
    an_endpoint_that_is_gone_is_switched_off_at_once,
    a_replay_sends_everything_again_in_its_order,
    old_events_go_and_with_an_endpoint_what_waited_for_it,
    both_secrets_sign_while_the_application_changes_over,
    a_business_has_its_own_endpoints_and_only_so_many,
}

const DAY: Duration = Duration::from_hours(24);
const LEASE: Duration = Duration::from_secs(20);

async fn endpoint(db: &TestDb, business: &str, events: &[&'static str]) -> Endpoint {
    let url = EndpointUrl::parse("https://example.com/", UrlRules::default()).unwrap();
    let secret = Secret::new([1; 32]);
    let new = NewEndpoint {
        business,
        url: &url,
        description: Some("bookings"),
        events,
        secret: &secret,
    };
    db.store.add_webhook(new).await.unwrap().unwrap()
}

async fn tell(db: &TestDb, id: NotificationId, key: u128, what: What) {
    let event = happening(key, db.clock.now(), what);
    let name = db.clock.new_uuid(db.clock.now()).to_string();
    let message = incoming(&name, Some(id), None, vec![event]);
    db.store.keep_feedback(message).await.unwrap();
}

async fn claim(db: &TestDb) -> Vec<HeldEndpoint> {
    db.store.claim_webhooks("w", LEASE, 10).await.unwrap()
}

/// Words and ids of what is due.
async fn due(db: &TestDb, held: &HeldEndpoint) -> Vec<(String, Uuid)> {
    let due = db.store.due_webhooks(held, 100).await.unwrap();
    due.into_iter().map(|it| (it.word, it.id)).collect()
}

/// How many endpoints are failing, and how many are switched off.
async fn troubled(db: &TestDb) -> (i64, i64) {
    let troubled = db.store.troubled_webhooks().await.unwrap();
    (troubled.failing, troubled.disabled)
}

fn words(due: &[(String, Uuid)]) -> Vec<&str> {
    due.iter().map(|(word, _)| word.as_str()).collect()
}

async fn record(db: &TestDb, held: &HeldEndpoint, end: WebhookEnd, round: &Round) -> bool {
    let due = due(db, held).await;
    let outcomes: Vec<_> = due
        .iter()
        .map(|(_, id)| WebhookOutcome { id: *id, end })
        .collect();
    let recorded = db.store.record_webhooks("w", held.id, &outcomes, round);
    recorded.await.unwrap()
}

fn good(db: &TestDb) -> Round {
    Round {
        next_at: db.clock.now(),
        error: None,
        give_up_after: 5 * DAY,
        gone: false,
    }
}

fn bad(db: &TestDb) -> Round {
    Round {
        next_at: db.clock.now().plus(Duration::from_mins(1)),
        error: Some("it answered 500".to_owned()),
        ..good(db)
    }
}

async fn an_event_is_written_for_the_endpoints_of_its_business_that_want_it(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let all = endpoint(db, BUSINESS, &[]).await;
    let some = ["notification.opened", "notification.bounced"];
    let some = endpoint(db, BUSINESS, &some).await;
    let others = endpoint(db, "other", &[]).await;
    let ours = enqueued(&db.store, vec![email("C-1")]).await[0];
    send_one(&db.store, db.clock.now(), "p-1").await;
    let theirs = of(&db.store, "other", vec![email("C-1")]).await[0];
    tell(db, ours, 1, delivered()).await;
    tell(db, ours, 2, opened()).await;
    tell(db, theirs, 3, delivered()).await;
    let held = claim(db).await;
    assert_eq!(held.len(), 3);
    for (endpoint, expected) in [
        (
            &all,
            &[
                "notification.sent",
                "notification.delivered",
                "notification.opened",
            ][..],
        ),
        (&some, &["notification.opened"]),
        (&others, &["notification.delivered"]),
    ] {
        let held = held.iter().find(|it| it.id == endpoint.id).unwrap();
        assert_eq!(words(&due(db, held).await), expected);
        assert_eq!(held.business, endpoint.business);
    }
    let due = db.store.due_webhooks(&held[0], 100).await.unwrap();
    assert!(due.iter().all(|it| !it.entry.statuses().is_empty()));
}

async fn a_repeated_event_is_told_once_and_without_an_endpoint_nothing_is_written(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    tell(db, id, 1, delivered()).await;
    assert_eq!(db.count("webhook_deliveries").await, 0);
    endpoint(db, BUSINESS, &[]).await;
    for _ in 0..3 {
        tell(db, id, 1, delivered()).await;
        tell(db, id, 2, opened()).await;
    }
    assert_eq!(db.count("webhook_deliveries").await, 1);
}

async fn an_endpoint_is_in_one_worker_s_hands_until_the_lease_runs_out(db: &TestDb) {
    endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    assert!(claim(db).await.is_empty(), "nothing is due");
    tell(db, id, 1, delivered()).await;
    let other = db.another_store().await;
    let (ours, theirs) = tokio::join!(
        db.store.claim_webhooks("a", LEASE, 10),
        other.claim_webhooks("b", LEASE, 10),
    );
    assert_eq!(ours.unwrap().len() + theirs.unwrap().len(), 1);
    db.pass(LEASE / 2);
    assert!(claim(db).await.is_empty());
    db.pass(LEASE / 2);
    let held = claim(db).await;
    assert_eq!(held.len(), 1, "its holder is dead");
    // One that was only slow: what it says of the event holds, the endpoint is not its any more.
    let event = due(db, &held[0]).await[0].1;
    let taken = [WebhookOutcome {
        id: event,
        end: WebhookEnd::Taken,
    }];
    let round = good(db);
    let late = other.record_webhooks("a", held[0].id, &taken, &round);
    late.await.unwrap();
    assert!(claim(db).await.is_empty());
    record(db, &held[0], WebhookEnd::Taken, &good(db)).await;
    let rows = "SELECT attempts FROM webhook_deliveries WHERE due_at IS NULL";
    assert_eq!(db.texts(rows).await, ["1"]);
    other.close().await;
}

async fn what_is_not_taken_comes_again_and_the_endpoint_is_switched_off_after_days(db: &TestDb) {
    let made = endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    tell(db, id, 1, delivered()).await;
    let state = async || db.store.webhook(BUSINESS, made.id).await.unwrap().unwrap();
    let fail = async || {
        let held = claim(db).await;
        assert_eq!(held.len(), 1);
        let at = db.clock.now().plus(Duration::from_mins(1));
        let failures = held[0].failures;
        (
            record(db, &held[0], WebhookEnd::Again { at }, &bad(db)).await,
            failures,
        )
    };
    assert_eq!(fail().await, (false, 0));
    assert!(claim(db).await.is_empty(), "it rests");
    assert_eq!(state().await.state(), "failing");
    assert_eq!(troubled(db).await, (1, 0));
    assert_eq!(state().await.last_error.as_deref(), Some("it answered 500"));
    db.pass(Duration::from_mins(1));
    assert_eq!(fail().await, (false, 1));
    // What comes meanwhile waits with it.
    tell(db, id, 2, opened()).await;
    db.pass(5 * DAY);
    assert_eq!(fail().await, (true, 2));
    assert_eq!(state().await.state(), "disabled");
    assert_eq!(db.store.disabled_webhooks().await.unwrap().len(), 1);
    assert_eq!(troubled(db).await, (0, 1));
    db.pass(Duration::from_mins(2));
    assert!(claim(db).await.is_empty());
    tell(db, id, 3, opened()).await;

    assert!(db.store.enable_webhook(BUSINESS, made.id).await.unwrap());
    let held = claim(db).await;
    assert_eq!(due(db, &held[0]).await.len(), 3);
    record(db, &held[0], WebhookEnd::Taken, &good(db)).await;
    assert_eq!(troubled(db).await, (0, 0));
    let state = state().await;
    assert_eq!((state.state(), state.last_error), ("active", None));
    assert_eq!(state.last_delivered_at, Some(db.clock.now()));
    assert!(claim(db).await.is_empty());
}

async fn an_endpoint_that_is_gone_is_switched_off_at_once(db: &TestDb) {
    switched_off(db).await;
    db.pass(DAY);
    assert!(claim(db).await.is_empty());
}

pub(super) async fn switched_off(db: &TestDb) -> Endpoint {
    let endpoint = endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    send_one(&db.store, db.clock.now(), "p-1").await;
    tell(db, id, 1, delivered()).await;
    let held = claim(db).await;
    let at = db.clock.now();
    let gone = Round {
        gone: true,
        ..bad(db)
    };
    assert!(record(db, &held[0], WebhookEnd::Again { at }, &gone).await);
    endpoint
}

/// Copies of the one event that is there, each with an id of its own, dated a minute after another.
async fn multiply(db: &TestDb, count: u32) {
    let start = db.clock.now();
    let ids: Vec<String> = (1..=count)
        .map(|i| start.plus(Duration::from_mins(u64::from(i))))
        .map(|at| format!("('{}')", NotificationId::floor(at)))
        .collect();
    let id = if db.is_postgres() {
        "CAST(n.id AS uuid)"
    } else {
        "n.id"
    };
    db.execute(&format!(
        "WITH n (id) AS (VALUES {}) INSERT INTO webhook_deliveries (endpoint_id, id, \
         notification_id, event_key, event, queued_at, due_at, attempts, delivered_at) \
         SELECT d.endpoint_id, {id}, d.notification_id, d.event_key, d.event, d.queued_at, NULL, 1, \
         d.queued_at FROM webhook_deliveries d, n",
        ids.join(", ")
    ))
    .await;
    db.pass(Duration::from_mins(u64::from(count) + 1));
}

async fn a_replay_sends_everything_again_in_its_order(db: &TestDb) {
    const COUNT: u32 = 2_500;
    let made = endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    tell(db, id, 1, delivered()).await;
    let held = claim(db).await;
    record(db, &held[0], WebhookEnd::Taken, &good(db)).await;
    let start = db.clock.now();
    multiply(db, COUNT).await;
    assert!(claim(db).await.is_empty());
    let from = start.plus(Duration::from_mins(101));
    let replayed = db.store.replay_webhook(BUSINESS, made.id, from).await;
    assert_eq!(replayed.unwrap(), Some(u64::from(COUNT) - 100));
    let held = claim(db).await;
    let due = db.store.due_webhooks(&held[0], 100).await.unwrap();
    let ids: Vec<Uuid> = due.iter().map(|it| it.id).collect();
    assert_eq!(ids[0], NotificationId::floor(from).uuid());
    assert!(ids.is_sorted() && ids.len() == 100);
    assert!(due.iter().all(|it| it.attempts == 0));
    let stranger = db.store.replay_webhook("other", made.id, start).await;
    assert_eq!(stranger.unwrap(), None);
}

async fn old_events_go_and_with_an_endpoint_what_waited_for_it(db: &TestDb) {
    const COUNT: u32 = 1_500;
    let made = endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    tell(db, id, 1, delivered()).await;
    multiply(db, COUNT).await;
    assert!(db.store.remove_webhook(BUSINESS, made.id).await.unwrap());
    assert!(!db.store.remove_webhook(BUSINESS, made.id).await.unwrap());
    assert!(claim(db).await.is_empty(), "nobody to send it to");
    let keep = 30 * DAY;
    assert!(!db.store.prune_webhooks(keep).await.unwrap());
    assert_eq!(db.count("webhook_deliveries").await, 1_501);
    db.pass(keep + Duration::from_mins(1));
    assert!(db.store.prune_webhooks(keep).await.unwrap());
    assert!(!db.store.prune_webhooks(keep).await.unwrap());
    assert_eq!(db.count("webhook_deliveries").await, 0);
    assert_eq!(db.count("delivery_events").await, 1, "the ledger stays");
}

async fn both_secrets_sign_while_the_application_changes_over(db: &TestDb) {
    let made = endpoint(db, BUSINESS, &[]).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let (first, second) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let rotated = db.store.rotate_webhook(BUSINESS, made.id, &second, DAY);
    assert!(rotated.await.unwrap());
    tell(db, id, 1, delivered()).await;
    assert_eq!(claim(db).await[0].secrets, [second.clone(), first]);
    db.pass(DAY);
    assert_eq!(claim(db).await[0].secrets, std::slice::from_ref(&second));
    let stranger = db.store.rotate_webhook("other", made.id, &second, DAY);
    assert!(!stranger.await.unwrap());
}

async fn a_business_has_its_own_endpoints_and_only_so_many(db: &TestDb) {
    let made = endpoint(db, BUSINESS, &["notification.opened"]).await;
    assert_eq!(made.events, ["notification.opened"]);
    assert!(db.store.webhooks("other").await.unwrap().is_empty());
    assert!(db.store.webhook("other", made.id).await.unwrap().is_none());
    assert!(!db.store.remove_webhook("other", made.id).await.unwrap());
    assert!(!db.store.enable_webhook("other", made.id).await.unwrap());
    for _ in 1..ENDPOINTS_MAX {
        endpoint(db, BUSINESS, &[]).await;
    }
    let url = EndpointUrl::parse("https://example.com/", UrlRules::default()).unwrap();
    let one_more = NewEndpoint {
        business: BUSINESS,
        url: &url,
        description: None,
        events: &[],
        secret: &Secret::new([1; 32]),
    };
    assert!(db.store.add_webhook(one_more).await.unwrap().is_none());
    assert_eq!(
        db.store.webhooks(BUSINESS).await.unwrap().len(),
        ENDPOINTS_MAX
    );
}
