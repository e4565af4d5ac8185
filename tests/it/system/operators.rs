//! Operators are told of trouble and of its end by webhooks of their own.

use std::time::Duration;

use sendtrail::store::buried::NewBuried;
use serde_json::{Value, json};

use super::child::{Child, Variables};
use super::receiver::{Received, Receiver};
use crate::support::db::{TestDb, both};

both!(two_workers_tell_operators_once_of_trouble_and_once_of_its_end);

const TIMEOUT: Duration = Duration::from_mins(1);
const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

async fn two_workers_tell_operators_once_of_trouble_and_once_of_its_end(db: &TestDb) {
    // Busy at first: the same is sent again.
    let (chat, pager) = (Receiver::start(&[503]).await, Receiver::start(&[]).await);
    let variables = Variables::of(db)
        .with("EMAIL__PROVIDERS", "")
        .with("SMS__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "")
        .with(
            "OPERATIONS__WEBHOOK_URLS",
            &format!("{},{}", chat.url(), pager.url()),
        )
        .with("OPERATIONS__WEBHOOK_SECRET", SECRET)
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
