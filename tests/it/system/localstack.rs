//! The webhook against LocalStack's SNS: another implementation of topics, subscriptions and
//! signatures than our own sandbox, driven by the AWS SDK.

use std::time::Duration;

use aws_sdk_sns::Client as Sns;
use sendtrail::app::Overrides;
use sendtrail::feedback::sns::TopicArn;
use sendtrail::feedback::subscriptions::{Subscription, look};
use sendtrail::transport::SnsSettings;
use tokio::time::Instant;

use super::child::Variables;
use super::program::Program;
use super::queue::{all_done, fill};
use super::signed::open_of;
use super::sink::Sink;
use super::sqs_queue::Queue;
use crate::support::db::{TestDb, both};

both!(
    a_topic_with_signature_version_1_is_confirmed_heard_and_ended,
    a_topic_with_signature_version_2_is_confirmed_heard_and_ended,
    a_topic_that_is_not_ours_is_not_confirmed,
    a_topic_that_nobody_subscribed_us_to_is_an_alarm,
    a_topic_is_heard_through_queues_with_and_without_envelope,
);

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// LocalStack's only certificate.
const CERTIFICATE: &str =
    "/_aws/sns/SimpleNotificationService-6c6f63616c737461636b69736e696365.pem";

struct LocalStack {
    url: String,
    sns: Sns,
}

impl LocalStack {
    async fn connect() -> Self {
        let url = std::env::var_os("TEST_LOCALSTACK_URL");
        let url = url.expect("TEST_LOCALSTACK_URL is not set: run scripts/test");
        let url = url.into_string().unwrap();
        let settings = SnsSettings {
            endpoint_url: Some(url.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("test".into()),
            secret_access_key: Some("test".into()),
            ..SnsSettings::default()
        };
        let sns = settings.client().await;
        Self { url, sns }
    }

    /// A topic of its own for each test; its ARN.
    async fn topic(&self, signature_version: &str) -> String {
        let name = format!("feedback-{}", uuid::Uuid::new_v8(rand::random()).simple());
        let call = self.sns.create_topic().name(name);
        let call = call.attributes("SignatureVersion", signature_version);
        call.send().await.unwrap().topic_arn.unwrap()
    }

    /// The certificate is trusted at the address where LocalStack has it.
    async fn trust(&self) -> Overrides {
        let url = format!("{}{CERTIFICATE}", self.url);
        let pem = reqwest::get(&url).await.unwrap().text().await.unwrap();
        Overrides {
            trust: vec![(url, pem)],
            ..Overrides::default()
        }
    }

    /// Asks LocalStack to post to the program; the subscription's ARN.
    async fn subscribe(&self, topic: &str, program: &Program) -> String {
        let endpoint = format!("http://{}/webhooks/sns", program.app.address());
        let call = self.sns.subscribe().topic_arn(topic).protocol("http");
        let call = call.endpoint(endpoint).return_subscription_arn(true);
        call.send().await.unwrap().subscription_arn.unwrap()
    }

    async fn is_pending(&self, subscription: &str) -> bool {
        let call = self.sns.get_subscription_attributes();
        let answer = call.subscription_arn(subscription).send().await.unwrap();
        answer.attributes.unwrap()["PendingConfirmation"] != "false"
    }
}

fn variables(db: &TestDb, sink: &Sink, localstack: &LocalStack, topic: &str) -> Variables {
    Variables::of(db)
        .through(sink)
        .with("SNS__ENDPOINT_URL", &localstack.url)
        .with("SNS__REGION", "us-east-1")
        .with("SNS__ACCESS_KEY_ID", "test")
        .with("SNS__SECRET_ACCESS_KEY", "test")
        .with("FEEDBACK__SNS__TOPICS", topic)
}

async fn a_topic_with_signature_version_1_is_confirmed_heard_and_ended(db: &TestDb) {
    confirmed_heard_and_ended(db, "1").await;
}

async fn a_topic_with_signature_version_2_is_confirmed_heard_and_ended(db: &TestDb) {
    confirmed_heard_and_ended(db, "2").await;
}

async fn confirmed_heard_and_ended(db: &TestDb, signature_version: &str) {
    let localstack = LocalStack::connect().await;
    let topic = localstack.topic(signature_version).await;
    let id = fill(db, 1).await.pop_first().unwrap();
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink, &localstack, &topic);
    let program = Program::start_with(&variables, localstack.trust().await).await;
    all_done(db, TIMEOUT).await;

    let subscription = localstack.subscribe(&topic, &program).await;
    let started = Instant::now();
    while localstack.is_pending(&subscription).await {
        assert!(started.elapsed() < TIMEOUT, "never confirmed");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let call = localstack.sns.publish().topic_arn(&topic);
    let call = call.subject("Amazon SES Email Event Notification");
    call.message(open_of(&id)).send().await.unwrap();
    let entry = program
        .client
        .until(&id, |entry| entry["status"] == "Opened")
        .await;
    assert_eq!(entry["facts"]["opened"]["count"], 1);

    let call = localstack.sns.unsubscribe().subscription_arn(subscription);
    call.send().await.unwrap();
    let kinds = "SELECT kind FROM feedback_inbox ORDER BY received_at, kind";
    let wanted = [
        "SubscriptionConfirmation",
        "Open",
        "UnsubscribeConfirmation",
    ];
    let started = Instant::now();
    while db.texts(kinds).await != wanted {
        let in_time = started.elapsed() < TIMEOUT;
        assert!(in_time, "{:?}", db.texts(kinds).await);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let version = format!("%\"SignatureVersion\": \"{signature_version}\"%");
    let signed = format!(
        "SELECT kind FROM feedback_inbox WHERE body LIKE '{version}' \
         OR body LIKE '{}'",
        version.replace(": ", ":")
    );
    assert_eq!(
        db.texts(&signed).await.len(),
        wanted.len(),
        "signed as the topic says"
    );
    program.stop().await;
}

async fn a_topic_that_is_not_ours_is_not_confirmed(db: &TestDb) {
    let localstack = LocalStack::connect().await;
    let (ours, foreign) = (localstack.topic("2").await, localstack.topic("2").await);
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink, &localstack, &ours);
    let program = Program::start_with(&variables, localstack.trust().await).await;
    let subscription = localstack.subscribe(&foreign, &program).await;
    let series = "sendtrail_feedback_total{kind=\"none\",result=\"foreign_topic\"}";
    let started = Instant::now();
    while program.client.metric(series).await.is_none() {
        assert!(started.elapsed() < TIMEOUT, "never asked to confirm");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert!(localstack.is_pending(&subscription).await);
    assert_eq!(db.count("feedback_inbox").await, 0);
    program.stop().await;
}

async fn a_topic_that_nobody_subscribed_us_to_is_an_alarm(db: &TestDb) {
    let localstack = LocalStack::connect().await;
    let topic = localstack.topic("2").await;
    let parsed = TopicArn::parse(&topic).unwrap();
    let look = || look(&localstack.sns, &parsed);
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink, &localstack, &topic);
    let program = Program::start_with(&variables, localstack.trust().await).await;
    let labels = format!("{{alarm=\"subscription_missing\",subject=\"{topic}\"}}");
    let series = format!("sendtrail_alarm{labels}");
    let started = Instant::now();
    while program.client.metric(&series).await.is_none() {
        assert!(started.elapsed() < TIMEOUT, "no alarm");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(look().await, Ok(Subscription::Missing));

    // LocalStack lists a pending one with its ARN, as SNS does not: that is tested beside the code.
    let subscription = localstack.subscribe(&topic, &program).await;
    while localstack.is_pending(&subscription).await {
        assert!(started.elapsed() < TIMEOUT, "never confirmed");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(look().await, Ok(Subscription::Confirmed));
    program.stop().await;
}

/// LocalStack puts the messages into the queues itself, as SNS does.
async fn a_topic_is_heard_through_queues_with_and_without_envelope(db: &TestDb) {
    let localstack = LocalStack::connect().await;
    let topic = localstack.topic("2").await;
    let (enveloped, raw) = (Queue::at_localstack().await, Queue::at_localstack().await);
    for (queue, is_raw) in [(&enveloped, "false"), (&raw, "true")] {
        let name = queue.url.rsplit('/').next().unwrap();
        let call = localstack.sns.subscribe().topic_arn(&topic).protocol("sqs");
        let call = call
            .endpoint(format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
            .attributes("RawMessageDelivery", is_raw);
        call.send().await.unwrap();
    }
    let id = fill(db, 1).await.pop_first().unwrap();
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink, &localstack, &topic)
        .with(
            "FEEDBACK__SQS__QUEUES",
            &format!("{},{}", enveloped.url, raw.url),
        )
        .with("FEEDBACK__SQS__ENDPOINT_URL", &localstack.url)
        .with("FEEDBACK__SQS__REGION", "us-east-1")
        .with("FEEDBACK__SQS__ACCESS_KEY_ID", "test")
        .with("FEEDBACK__SQS__SECRET_ACCESS_KEY", "test")
        .with("FEEDBACK__SQS__WAIT_SECONDS", "1");
    let program = Program::start_with(&variables, localstack.trust().await).await;
    all_done(db, TIMEOUT).await;
    let call = localstack.sns.publish().topic_arn(&topic);
    call.message(open_of(&id)).send().await.unwrap();
    let started = Instant::now();
    while db.count("feedback_inbox").await < 2 {
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    enveloped.emptied().await;
    raw.emptied().await;
    let kept = "SELECT source || ' ' || result FROM feedback_inbox ORDER BY source";
    assert_eq!(db.texts(kept).await, ["sns applied", "sqs applied"]);
    // One happening in two messages.
    let opened = "SELECT CAST(opened_count AS text) FROM delivery_facts";
    assert_eq!(db.texts(opened).await, ["1"]);
    program.stop().await;
}
