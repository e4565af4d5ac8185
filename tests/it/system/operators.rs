//! Operators are told of trouble and of its end by webhooks of their own.

use std::time::Duration;

use sendtrail::domain::brake::Kind;
use sendtrail::store::brakes::Lifted;
use sendtrail::store::buried::NewBuried;
use serde_json::{Value, json};

use super::child::{Child, Variables};
use super::receiver::{Received, Receiver};
use crate::support::db::{TestDb, both};

both! {
    two_workers_tell_operators_once_of_trouble_and_once_of_its_end,
    operators_are_told_that_a_brake_warns_then_holds_and_is_lifted,
}

const TIMEOUT: Duration = Duration::from_mins(1);
const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

async fn two_workers_tell_operators_once_of_trouble_and_once_of_its_end(db: &TestDb) {
    // Busy at first: the same is sent again.
    let (chat, pager) = (Receiver::start(&[503]).await, Receiver::start(&[]).await);
    let urls = format!("{},{}", chat.url(), pager.url());
    let variables = telling(db, &urls)
        .with("WEBHOOKS__RETRY_INITIAL_MS", "50")
        .with("WEBHOOKS__RETRY_MAX_MS", "100");
    let workers = [(); 2].map(|()| Child::serve(&variables, "worker"));
    let buried = NewBuried {
        business: "default",
        source: "a queue",
        message_id: "m-1",
        reason: json!([]),
        body: "ana@example.com",
    };
    db.store.bury(buried).await.unwrap();
    chat.until(2, TIMEOUT).await;
    pager.until(1, TIMEOUT).await;
    let id = db.store.buried(None, 1).await.unwrap()[0].id;
    db.store.drop_buried(id).await.unwrap();
    chat.until(3, TIMEOUT).await;
    pager.until(2, TIMEOUT).await;
    for worker in workers {
        worker.stop();
    }
    assert_eq!(
        story(&chat),
        ["alarm.raised", "alarm.raised", "alarm.cleared"]
    );
    assert_eq!(story(&pager), ["alarm.raised", "alarm.cleared"]);
    assert_eq!(chat.ids().len(), 2, "the second time under the same id");
}

/// A worker that sends nothing.
fn telling(db: &TestDb, urls: &str) -> Variables {
    Variables::of(db)
        .with("EMAIL__PROVIDERS", "")
        .with("SMS__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "")
        .with("OPERATIONS__WEBHOOK_URLS", urls)
        .with("OPERATIONS__WEBHOOK_SECRET", SECRET)
}

async fn operators_are_told_that_a_brake_warns_then_holds_and_is_lifted(db: &TestDb) {
    let now = if db.is_postgres() { "now()" } else { "0" };
    db.execute(&format!(
        "INSERT INTO brakes (business_id, kind, state, sent, returned, why, changed_at) \
         VALUES ('default', 'bounce', 'warned', 1000, 60, '', {now})"
    ))
    .await;
    let pager = Receiver::start(&[]).await;
    // It would judge by counts, and there are none.
    let variables = telling(db, &pager.url()).with("BRAKES__ENABLED", "false");
    let worker = Child::serve(&variables, "worker");
    pager.until(1, TIMEOUT).await;
    db.execute("UPDATE brakes SET state = 'held', returned = 120")
        .await;
    pager.until(3, TIMEOUT).await;
    let lifted = Lifted {
        business: "default",
        kind: Kind::Bounce,
        by: "Ana",
        reason: "the list is cleaned",
    };
    assert!(db.store.lift_brake(lifted).await.unwrap());
    pager.until(4, TIMEOUT).await;
    worker.stop();
    let mut told: Vec<(String, String)> = Vec::new();
    for event in pager.events() {
        assert!(event.is_signed_by(SECRET), "{event:?}");
        let body = event.json();
        assert_eq!(body["data"]["subject"], "default bounce", "{body}");
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        told.push((word(&body["type"]), word(&body["data"]["alarm"])));
    }
    // That it warns no more and that it holds is told at once.
    told[1..3].sort();
    let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        told,
        [
            ("alarm.raised", "brake_warned"),
            ("alarm.cleared", "brake_warned"),
            ("alarm.raised", "brake_held"),
            ("alarm.cleared", "brake_held"),
        ]
    );
}

/// What it was told, in order.
fn story(receiver: &Receiver) -> Vec<String> {
    let told = |event: Received| {
        assert!(event.is_signed_by(SECRET), "{event:?}");
        assert!(!event.body.contains("ana@"), "{event:?}");
        let body = event.json();
        assert_eq!(body["data"]["alarm"], "buried", "{body}");
        assert!(
            body["data"]["remedy"]
                .as_str()
                .unwrap()
                .contains("intake buried"),
            "{body}"
        );
        let Value::String(word) = &body["type"] else {
            panic!("{body}")
        };
        word.clone()
    };
    receiver.events().into_iter().map(told).collect()
}
