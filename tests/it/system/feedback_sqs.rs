//! Feedback by a queue of Amazon SQS, played by moto: in the envelope of SNS, without it, and as events
//! of `EventBridge`.

use std::sync::Arc;
use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::feedback::Inbox;
use sendtrail::feedback::sns::{Certificates, SnsSettings, Verifier};
use sendtrail::intake::FeedbackConsumer;
use sendtrail::metrics::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::signed::{TOPIC, envelope, fixture, open_of, trust};
use super::sqs_queue::{Queue, settings};
use crate::peers_aws::Moto;
use crate::store::make::{email, enqueued, sms};
use crate::support::db::{TestDb, both};

both!(
    every_form_is_kept_once_and_applied,
    what_clients_write_is_entered_and_heeded,
    what_cannot_be_kept_comes_again,
    what_the_settings_may_be_to_blame_for_stays_in_the_queue,
);

const TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ACCOUNT: &str = "123456789012";

fn consumer(db: &TestDb, moto: &Moto, queue: &Queue) -> FeedbackConsumer {
    let mut certificates = Certificates::over_https().unwrap();
    for (url, pem) in trust().trust {
        certificates.trust(&url, pem.as_bytes()).unwrap();
    }
    let topics = SnsSettings {
        topics: vec![TOPIC.to_owned()],
        ..SnsSettings::default()
    };
    FeedbackConsumer {
        inbox: Inbox {
            verifier: Arc::new(Verifier::new(topics, certificates)),
            opens_tracked: true,
            store: db.store.clone(),
            clock: db.clock.clone(),
            metrics: Arc::default(),
        },
        client: queue.client.clone(),
        settings: settings(&moto.url, vec![queue.url.clone()]),
    }
}

fn counted(metrics: &Metrics, series: &str) -> usize {
    let text = metrics.render(None, Clock::system().now());
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// As `EventBridge` writes an event of SES.
fn eventbridge(id: &str, event: &str) -> String {
    let detail: Value = serde_json::from_str(event).unwrap();
    json!({
        "version": "0", "id": id, "detail-type": "Email Opened", "source": "aws.ses",
        "account": ACCOUNT, "time": "2027-01-01T09:00:00Z", "region": "us-east-1",
        "resources": [], "detail": detail,
    })
    .to_string()
}

async fn every_form_is_kept_once_and_applied(db: &TestDb) {
    let moto = Moto::start();
    let queue = Queue::at(&moto.url, ACCOUNT).await;
    let ids = enqueued(&db.store, vec![email("C-1"); 4]).await;
    let open = |i: usize| open_of(&ids[i].to_string());
    let (enveloped, bridged) = (envelope(&open(0)).to_string(), eventbridge("e-1", &open(2)));
    let mut forged = envelope(&open(3));
    forged["Message"] = open(2).into();
    // It may have waited in the queue for days.
    let old = fixture("signed_ses/delivery.json");
    queue
        .send(&[
            enveloped.clone(),
            enveloped,
            open(1),
            bridged.clone(),
            bridged,
            "hello".to_owned(),
            r#"{"eventType": "Telepathy", "mail": {"messageId": "m"}}"#.to_owned(),
            forged.to_string(),
            old,
        ])
        .await;
    let consumer = consumer(db, &moto, &queue);
    let metrics = Arc::clone(&consumer.inbox.metrics);
    let running = consumer.start();
    queue.emptied().await;
    assert!(running.stop().await);
    let kept = db
        .texts(
            "SELECT source || ' ' || kind || ' ' || result FROM feedback_inbox \
             ORDER BY source, kind",
        )
        .await;
    let expected = [
        "eventbridge Open applied",
        "sns Delivery unmatched",
        "sns Open applied",
        "sqs Open applied",
        "sqs Telepathy noted",
        "sqs unparsable unparsable",
    ];
    assert_eq!(kept, expected);
    let opened = "SELECT CAST(notification_id AS text) FROM delivery_facts WHERE opened_count = 1 \
                  ORDER BY 1";
    let expected: Vec<String> = ids[..3].iter().map(ToString::to_string).collect();
    assert_eq!(db.texts(opened).await, expected);
    let series =
        |kind, result| format!("sendtrail_feedback_total{{kind=\"{kind}\",result=\"{result}\"}}");
    // At least: what is not deleted within its second is given out once more.
    assert!(counted(&metrics, &series("opened", "duplicate")) >= 2);
    assert_eq!(counted(&metrics, &series("unparsable", "noted")), 1);
    assert_eq!(counted(&metrics, &series("none", "signature")), 1);
}

/// What a number of AWS End User Messaging received (two-way SMS), by its topic and without.
async fn what_clients_write_is_entered_and_heeded(db: &TestDb) {
    let moto = Moto::start();
    let queue = Queue::at(&moto.url, ACCOUNT).await;
    let message = sms("C-1");
    let from = message.to.clone().unwrap();
    enqueued(&db.store, vec![message]).await;
    let text = |id: &str, words: &str| {
        json!({
            "originationNumber": from.as_str(), "destinationNumber": "+12125550101",
            "messageKeyword": "JOIN", "messageBody": words, "inboundMessageId": id,
        })
        .to_string()
    };
    let hello = envelope(&text("m-1", "See you at nine"));
    let again = envelope(&text("m-1", "See you at nine"));
    queue
        .send(&[hello.to_string(), again.to_string(), text("m-2", "Arret")])
        .await;
    let running = consumer(db, &moto, &queue).start();
    queue.emptied().await;
    assert!(running.stop().await);
    let entered =
        "SELECT description FROM contact_log WHERE channel = 'Inbound' ORDER BY description";
    assert_eq!(db.texts(entered).await, ["Arret", "See you at nine"]);
    let reasons = "SELECT reason FROM suppressions";
    assert_eq!(db.texts(reasons).await, ["stop"]);
}

async fn what_the_settings_may_be_to_blame_for_stays_in_the_queue(db: &TestDb) {
    let moto = Moto::start();
    let queue = Queue::at(&moto.url, ACCOUNT).await;
    // Its topic is not listed: perhaps somebody forgot to.
    let foreign = fixture("signed_ses/other_account_topic_valid_signature.json");
    queue.send(&[foreign]).await;
    let consumer = consumer(db, &moto, &queue);
    let metrics = Arc::clone(&consumer.inbox.metrics);
    let running = consumer.start();
    let refused = "sendtrail_feedback_total{kind=\"none\",result=\"foreign_topic\"}";
    let started = Instant::now();
    while counted(&metrics, refused) == 0 {
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert!(running.stop().await);
    assert_ne!(queue.left().await, (0, 0));
    assert_eq!(db.count("feedback_inbox").await, 0);
}

async fn what_cannot_be_kept_comes_again(db: &TestDb) {
    let moto = Moto::start();
    let queue = Queue::at(&moto.url, ACCOUNT).await;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    db.execute("ALTER TABLE feedback_inbox RENAME TO away")
        .await;
    queue.send(&[open_of(&id.to_string())]).await;
    let consumer = consumer(db, &moto, &queue);
    let metrics = Arc::clone(&consumer.inbox.metrics);
    let running = consumer.start();
    let failed = "sendtrail_feedback_total{kind=\"opened\",result=\"not_kept\"}";
    let started = Instant::now();
    while counted(&metrics, failed) == 0 {
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_ne!(queue.left().await, (0, 0));
    db.execute("ALTER TABLE away RENAME TO feedback_inbox")
        .await;
    queue.emptied().await;
    assert!(running.stop().await);
    assert_eq!(db.count("feedback_inbox").await, 1);
    let opened = "SELECT CAST(opened_count AS text) FROM delivery_facts";
    assert_eq!(db.texts(opened).await, ["1"]);
}
