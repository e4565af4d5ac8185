//! Each matter that operators are told of: raised by what causes it, once, and cleared once that is over.

use std::collections::HashMap;
use std::time::Duration;

use sendtrail::config::Settings;
use sendtrail::domain::alarm::Kind;
use sendtrail::domain::brake;
use sendtrail::domain::event::Decision;
use sendtrail::domain::matter::Matter;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::brakes::Lifted;
use sendtrail::store::buried::NewBuried;
use sendtrail::store::providers::{Health, Order};
use sendtrail::webhooks::{OperationsSettings, Teller};
use serde_json::json;

use super::make::{BUSINESS, delivered, email, enqueued, send_one};
use super::{alarms, brakes, held, hindrance, webhooks};
use crate::support::db::{TestDb, both};

both! {
    each_matter_is_raised_once_by_its_cause_and_cleared_once_that_is_over,
    what_an_operator_paused_or_a_brake_holds_is_not_told_of_as_unsent,
}

const LEASE: Duration = Duration::from_mins(1);
const MINUTE: Duration = Duration::from_mins(1);
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ses-feedback";

fn teller(db: &TestDb) -> Teller {
    let settings = Settings::load(None, Some(HashMap::new())).unwrap();
    Teller {
        store: db.store.clone(),
        clock: db.clock.clone(),
        settings: OperationsSettings {
            webhook_urls: vec!["https://pager.example/".to_owned()],
            webhook_secret: None,
        },
        webhooks: settings.webhooks,
    }
}

/// What is told at this moment: the matters, and whether they are over. Taken, so that it does not come
/// again.
async fn told(db: &TestDb, teller: &Teller) -> Vec<(Matter, bool)> {
    teller.look().await.unwrap();
    let mut told = Vec::new();
    for news in db.store.claim_news(100, LEASE).await.unwrap() {
        db.store.end_news(news.id, None).await.unwrap();
        told.push((news.matter, news.is_cleared));
    }
    told
}

fn count(told: &[(Matter, bool)], wanted: (Matter, bool)) -> usize {
    told.iter().filter(|one| **one == wanted).count()
}

async fn each_matter_is_raised_once_by_its_cause_and_cleared_once_that_is_over(db: &TestDb) {
    let teller = teller(db);
    assert_eq!(told(db, &teller).await, []);
    for matter in Matter::all() {
        let word = matter.as_str();
        begin(db, matter).await;
        let mut raised = told(db, &teller).await;
        let patience = matter.patience();
        assert_eq!(raised.is_empty(), !patience.is_zero(), "{word}: {raised:?}");
        db.pass(patience);
        lasts(db, matter).await;
        raised.extend(told(db, &teller).await);
        assert_eq!(count(&raised, (matter, false)), 1, "{word}: {raised:?}");
        assert_eq!(count(&raised, (matter, true)), 0, "{word}: {raised:?}");
        let again = told(db, &teller).await;
        assert_eq!(again, [], "{word}");
        end(db, matter).await;
        let cleared = told(db, &teller).await;
        assert_eq!(count(&cleared, (matter, true)), 1, "{word}: {cleared:?}");
        // Nothing of it is left for the next.
        db.pass(Duration::from_hours(48));
        told(db, &teller).await;
        assert_eq!(db.count("operation_matters").await, 0, "{word}");
    }
}

async fn due(db: &TestDb, priority: Priority) {
    let mut new = email("C-1");
    new.priority = priority;
    enqueued(&db.store, vec![new]).await;
}

const fn all_email() -> Order<'static> {
    Order {
        method: Method::Email,
        provider: None,
        by: "ops",
    }
}

/// Brings it about.
async fn begin(db: &TestDb, matter: Matter) {
    match matter {
        Matter::Alarm(Kind::FeedbackSilent) => {
            alarms::taken_over(db, 20).await;
            db.pass(16 * MINUTE);
        }
        Matter::Alarm(kind) => db.store.raise(kind, TOPIC).await.unwrap(),
        Matter::UrgentQueueOld => {
            due(db, Priority::High).await;
            db.pass(2 * MINUTE);
        }
        Matter::QueueOld => {
            due(db, Priority::Normal).await;
            db.pass(16 * MINUTE);
        }
        Matter::NothingSent => {
            due(db, Priority::Bulk).await;
            db.pass(10 * MINUTE);
        }
        Matter::CredentialsBroken | Matter::ProviderRests => lasts(db, matter).await,
        Matter::ProviderPaused => {
            let paused = db.store.pause_provider(all_email(), "moving house").await;
            paused.unwrap();
        }
        Matter::Held => {
            held::held(db).await;
        }
        Matter::Buried => {
            let buried = NewBuried {
                business: BUSINESS,
                source: "a queue",
                message_id: "m-1",
                reason: json!([]),
                body: "no JSON",
            };
            db.store.bury(buried).await.unwrap();
        }
        Matter::WebhookDisabled => {
            webhooks::switched_off(db).await;
        }
        Matter::BrakeWarned => brakes::warn(db).await,
        Matter::BrakeHeld => brakes::hold(db, BUSINESS).await,
    }
}

/// What is forgotten unless somebody goes on saying it.
async fn lasts(db: &TestDb, matter: Matter) {
    if matches!(matter, Matter::CredentialsBroken | Matter::ProviderRests) {
        let health = Health {
            broken: matter == Matter::CredentialsBroken,
            ..hindrance::rests(db)
        };
        db.store.keep_health(&[health]).await.unwrap();
    }
}

async fn end(db: &TestDb, matter: Matter) {
    match matter {
        Matter::Alarm(Kind::FeedbackSilent) => {
            let ids = alarms::taken_over(db, 1).await;
            alarms::tell(db, ids[0], delivered()).await;
            db.pass(16 * MINUTE);
        }
        Matter::Alarm(kind) => db.store.clear(kind, TOPIC).await.unwrap(),
        Matter::UrgentQueueOld | Matter::QueueOld | Matter::NothingSent => {
            send_one(&db.store, db.clock.now(), matter.as_str()).await;
        }
        Matter::CredentialsBroken | Matter::ProviderRests => {
            let well = Health {
                state: "closed".to_owned(),
                ..hindrance::rests(db)
            };
            db.store.keep_health(&[well]).await.unwrap();
        }
        Matter::ProviderPaused => {
            assert!(db.store.resume_provider(all_email()).await.unwrap());
        }
        Matter::Held => {
            let held = db.store.held(BUSINESS, None, 1).await.unwrap();
            let decided = db
                .store
                .decide(BUSINESS, held[0].id, Decision::GiveUp, None);
            decided.await.unwrap();
        }
        Matter::Buried => {
            let id = db.store.buried(None, 1).await.unwrap()[0].id;
            assert!(db.store.drop_buried(id).await.unwrap());
        }
        Matter::WebhookDisabled => {
            let id = db.store.disabled_webhooks().await.unwrap()[0].id;
            assert!(db.store.remove_webhook(BUSINESS, id).await.unwrap());
        }
        Matter::BrakeWarned => brakes::unwarn(db).await,
        Matter::BrakeHeld => {
            let lifted = Lifted {
                business: BUSINESS,
                kind: brake::Kind::Bounce,
                by: "Ana",
                reason: "the list is cleaned",
            };
            assert!(db.store.lift_brake(lifted).await.unwrap());
        }
    }
}

async fn what_an_operator_paused_or_a_brake_holds_is_not_told_of_as_unsent(db: &TestDb) {
    let teller = teller(db);
    let unsent = async || {
        let told = told(db, &teller).await;
        count(&told, (Matter::NothingSent, false))
    };
    due(db, Priority::Bulk).await;
    brakes::hold(db, BUSINESS).await;
    for _ in 0..3 {
        db.pass(11 * MINUTE);
        assert_eq!(unsent().await, 0, "a brake holds it");
    }
    due(db, Priority::Normal).await;
    let paused = db.store.pause_provider(all_email(), "moving house").await;
    paused.unwrap();
    for _ in 0..3 {
        db.pass(11 * MINUTE);
        assert_eq!(unsent().await, 0, "an operator paused it");
    }
    assert!(db.store.resume_provider(all_email()).await.unwrap());
    assert_eq!(unsent().await, 0, "there is time yet");
    // One goes, of two.
    due(db, Priority::Normal).await;
    send_one(&db.store, db.clock.now(), "p-1").await;
    while db.store.fold_flow().await.unwrap() {}
    db.pass(9 * MINUTE);
    assert_eq!(unsent().await, 0, "one went");
    db.pass(3 * MINUTE);
    assert_eq!(unsent().await, 0, "there is time yet");
    db.pass(2 * MINUTE);
    assert_eq!(unsent().await, 1);
}
