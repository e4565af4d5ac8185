//! Queues of Amazon SQS, played by LocalStack and by moto: messages in, notifications out, once each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use sendtrail::api::ways::Intake;
use sendtrail::clock::Clock;
use sendtrail::intake::{Consumer, SqsSettings};
use sendtrail::store::Store;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::child::{Child, Variables, run};
use super::program::Program;
use super::proxy::{Proxy, State as Line};
use super::queue::all_done;
use super::sink::Sink;
use crate::peers_aws::Moto;
use crate::support::db::{TestDb, both, on_postgres, on_sqlite};

both!(
    messages_of_localstack_are_sent_and_leave_the_queue,
    a_message_that_comes_again_is_enqueued_once,
    what_cannot_be_enqueued_is_buried_with_its_reasons,
    a_kill_loses_no_message_and_repeats_none,
    a_queue_belongs_to_its_business,
);

const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// LocalStack's.
const ACCOUNT: &str = "000000000000";

struct Queue {
    client: Client,
    url: String,
}

fn settings(endpoint_url: &str, queues: Vec<String>) -> SqsSettings {
    SqsSettings {
        queues,
        endpoint_url: Some(endpoint_url.to_owned()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("test".into()),
        secret_access_key: Some("test".into()),
        receivers: 2,
        wait_seconds: 1,
        // Shorter than the settings allow, so that a test need not wait for long.
        visibility_seconds: 1,
        connect_timeout_ms: 10_000,
        timeout_ms: 30_000,
    }
}

fn localstack() -> String {
    let url = std::env::var_os("TEST_LOCALSTACK_URL");
    let url = url.expect("TEST_LOCALSTACK_URL is not set: run scripts/test");
    url.into_string().unwrap()
}

impl Queue {
    async fn at(endpoint: &str, account: &str) -> Self {
        let patient = SqsSettings {
            timeout_ms: 60_000,
            ..settings(endpoint, Vec::new())
        };
        let client = patient.client().await;
        let name = format!("in-{}", uuid::Uuid::new_v8(rand::random()).simple());
        let call = client.create_queue().queue_name(&name).send();
        call.await.unwrap();
        // LocalStack puts the region before the host, which no URL can have before an IP address.
        let url = format!("{endpoint}/{account}/{name}");
        Self { client, url }
    }

    async fn send(&self, bodies: &[String]) {
        for ten in bodies.chunks(10) {
            let entries = ten.iter().enumerate().map(|(i, body)| {
                SendMessageBatchRequestEntry::builder()
                    .id(i.to_string())
                    .message_body(body)
                    .build()
                    .unwrap()
            });
            let call = self.client.send_message_batch().queue_url(&self.url);
            let answer = call
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .unwrap();
            assert!(answer.failed().is_empty(), "{answer:?}");
        }
    }

    /// Messages that wait, and those in somebody's hands.
    async fn left(&self) -> (usize, usize) {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .unwrap();
        let attributes = answer.attributes.unwrap();
        let count = |name: QueueAttributeName| attributes[&name].parse::<usize>().unwrap();
        (
            count(QueueAttributeName::ApproximateNumberOfMessages),
            count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }

    async fn emptied(&self) {
        let started = Instant::now();
        while self.left().await != (0, 0) {
            let left = self.left().await;
            assert!(started.elapsed() < TIMEOUT, "{left:?} messages are left");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn variables(&self, db: &TestDb, endpoint: &str) -> Variables {
        Variables::of(db)
            .with("INTAKE__SQS__QUEUES", &self.url)
            .with("INTAKE__SQS__ENDPOINT_URL", endpoint)
            .with("INTAKE__SQS__REGION", "us-east-1")
            .with("INTAKE__SQS__ACCESS_KEY_ID", "test")
            .with("INTAKE__SQS__SECRET_ACCESS_KEY", "test")
            .with("INTAKE__SQS__WAIT_SECONDS", "1")
            .with("INTAKE__SQS__VISIBILITY_SECONDS", "30")
    }
}

/// A consumer in this process.
fn consumer(store: &Store, client: Client, settings: SqsSettings) -> Consumer {
    Consumer {
        intake: Intake::new(store.clone()),
        clock: Clock::system(),
        metrics: Arc::default(),
        woken: Arc::default(),
        client,
        settings,
    }
}

fn email(name: &str) -> Value {
    json!({"client": {"id": format!("C-{name}"), "email": "ana@example.com"}, "method": "email",
        "type": name, "content": {"subject": "See you on Monday", "text": "Hello"}})
}

async fn types(db: &TestDb) -> Vec<String> {
    db.texts("SELECT type FROM contact_log ORDER BY type").await
}

async fn until(db: &TestDb, sql: &str, wanted: &[&str]) {
    let started = Instant::now();
    loop {
        let found = db.texts(sql).await;
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < TIMEOUT, "{found:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// One message, several in one, and one with a key of its own.
async fn sent_and_gone(db: &TestDb, endpoint: &str, account: &str) {
    let queue = Queue::at(endpoint, account).await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = queue.variables(db, endpoint).through(&sink);
    let doctor = run(&variables, &["doctor"]);
    assert!(
        doctor.out.contains("ok       intake by sqs: in-"),
        "{doctor:?}"
    );
    let program = Program::start(&variables).await;
    let mut keyed = email("keyed");
    keyed["idempotency_key"] = json!("own");
    queue
        .send(&[
            email("one").to_string(),
            json!({"notifications": [email("two"), email("three")]}).to_string(),
            keyed.to_string(),
        ])
        .await;
    sink.until(4, TIMEOUT).await;
    queue.emptied().await;
    all_done(db, TIMEOUT).await;
    assert_eq!(types(db).await, ["keyed", "one", "three", "two"]);
    let keys = db
        .texts("SELECT key FROM idempotency_keys ORDER BY key")
        .await;
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[0], "own");
    assert!(
        keys[1..].iter().all(|key| key.starts_with("sqs-")),
        "{keys:?}"
    );
    let enqueued = "sendtrail_intake_total{source=\"sqs\",result=\"enqueued\"}";
    assert_eq!(program.client.metric(enqueued).await, Some(3.0));
    program.stop().await;
}

async fn messages_of_localstack_are_sent_and_leave_the_queue(db: &TestDb) {
    sent_and_gone(db, &localstack(), ACCOUNT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_moto_are_sent_and_leave_the_queue() {
    let moto = Moto::start();
    on_sqlite(async |db| sent_and_gone(db, &moto.url, "123456789012").await).await;
}

/// In front of an endpoint; refuses to delete while it is told so.
#[derive(Clone)]
struct Keeper {
    endpoint: String,
    keeps: Arc<AtomicBool>,
    http: reqwest::Client,
}

impl Keeper {
    async fn start(endpoint: &str) -> (String, Arc<AtomicBool>) {
        let keeps = Arc::new(AtomicBool::new(true));
        let keeper = Self {
            endpoint: endpoint.to_owned(),
            keeps: Arc::clone(&keeps),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(pass).with_state(keeper);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, keeps)
    }
}

async fn pass(
    State(keeper): State<Keeper>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Bytes) {
    let target = headers["x-amz-target"].to_str().unwrap();
    if target.ends_with("DeleteMessageBatch") && keeper.keeps.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
    }
    let mut request = keeper.http.post(&keeper.endpoint).body(body);
    for name in [
        "x-amz-target",
        "content-type",
        "authorization",
        "x-amz-date",
    ] {
        request = request.header(name, headers[name].clone());
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap())
}

async fn a_message_that_comes_again_is_enqueued_once(db: &TestDb) {
    let queue = Queue::at(&localstack(), ACCOUNT).await;
    let (endpoint, keeps) = Keeper::start(&localstack()).await;
    let settings = settings(&endpoint, vec![queue.url.clone()]);
    let consumer = consumer(&db.store, settings.client().await, settings);
    let metrics = Arc::clone(&consumer.metrics);
    let repeated = || {
        let text = metrics.render(None, Clock::system().now());
        let series = "sendtrail_intake_total{source=\"sqs\",result=\"duplicate\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.parse::<usize>().unwrap())
    };
    let running = consumer.start();
    let batch = json!({"notifications": [email("two"), email("three")]});
    queue
        .send(&[email("one").to_string(), batch.to_string()])
        .await;
    let started = Instant::now();
    while repeated() < 4 {
        assert!(started.elapsed() < TIMEOUT, "never came again");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(types(db).await, ["one", "three", "two"]);
    keeps.store(false, Ordering::SeqCst);
    queue.emptied().await;
    assert!(running.stop().await);
    assert_eq!(types(db).await, ["one", "three", "two"]);
}

async fn what_cannot_be_enqueued_is_buried_with_its_reasons(db: &TestDb) {
    let queue = Queue::at(&localstack(), ACCOUNT).await;
    let mut taken = email("taken");
    taken["idempotency_key"] = json!("taken");
    let mut other = taken.clone();
    other["type"] = json!("other");
    let mut nowhere = email("nowhere");
    nowhere["client"] = json!("C-unknown");
    let bad_batch = json!({"notifications": [email("fine"), {"to": 1}]});
    let variables = queue.variables(db, &localstack());
    let mut child = Child::serve(&variables, "intake");
    let client = super::client::Client::new(child.address(), "none");
    queue.send(&[taken.to_string()]).await;
    until(db, "SELECT type FROM contact_log", &["taken"]).await;
    let bodies = [
        "not JSON at all".to_owned(),
        other.to_string(),
        nowhere.to_string(),
        bad_batch.to_string(),
    ];
    queue.send(&bodies).await;
    queue.emptied().await;
    assert_eq!(types(db).await, ["taken"], "nothing of a wrong batch");
    let mut found = db.texts("SELECT body FROM buried_messages").await;
    found.sort();
    let mut sent = bodies.to_vec();
    sent.sort();
    assert_eq!(found, sent, "kept as they came");
    let reasons = "SELECT CAST(reason AS TEXT) FROM buried_messages";
    let reasons = db.texts(reasons).await.join("\n");
    for words in [
        "is not JSON: expected ident",
        "used before with another body",
        "no address of this method on its card",
        "/notifications/1/client",
    ] {
        assert!(reasons.contains(words), "{words} in {reasons}");
    }
    for (series, value) in [
        (
            "sendtrail_intake_total{source=\"sqs\",result=\"buried\"}",
            4.0,
        ),
        ("sendtrail_intake_buried", 4.0),
    ] {
        assert_eq!(client.metric(series).await, Some(value), "{series}");
    }
    let log = child.log();
    assert!(log.contains("sendtrail intake buried"), "{log}");
    assert!(
        !log.contains("ana@example.com") && !log.contains("not JSON at all"),
        "{log}"
    );
    child.stop();
    operators_see_to_them(db, &variables).await;
}

/// What an operator does with the buried: the list, one of them, again, and away.
async fn operators_see_to_them(db: &TestDb, variables: &Variables) {
    let buried = |arguments: &[&str]| run(variables, &[&["intake", "buried"], arguments].concat());
    let listed = buried(&["list"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert_eq!(listed.out.lines().count(), 4, "{listed:?}");
    assert!(
        !listed.out.contains("ana@example.com"),
        "bodies are not listed"
    );
    let json = buried(&["list", "--json"]);
    let all: Vec<Value> = json
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |words: &str| {
        let found = all
            .iter()
            .find(|one| one["reason"].to_string().contains(words));
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (nowhere, not_json) = (of("on its card"), of("not JSON"));
    let shown = buried(&["show", &not_json]);
    assert!(shown.out.contains("not JSON at all"), "{shown:?}");
    let again = buried(&["retry", &nowhere]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.errors.contains("on its card"), "{again:?}");
    // The client has an address now.
    db.execute(
        "INSERT INTO clients (uid, business_id, client_id, email, created_at)
         SELECT '00000000-0000-7000-8000-000000000001', 'default', 'C-unknown', 'u@example.com', created_at
         FROM businesses",
    )
    .await;
    let again = buried(&["retry", "--all"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.out.contains("1 enqueued, 3 still wrong"), "{again:?}");
    assert_eq!(types(db).await, ["nowhere", "taken"]);
    let dropped = buried(&["drop", &not_json]);
    assert_eq!((dropped.code, dropped.out.trim()), (Some(0), "dropped"));
    let dropped = buried(&["drop", &not_json]);
    assert_eq!(dropped.code, Some(1), "{dropped:?}");
    assert_eq!(db.count("buried_messages").await, 2);
}

async fn a_kill_loses_no_message_and_repeats_none(db: &TestDb) {
    const COUNT: usize = 400;
    let queue = Queue::at(&localstack(), ACCOUNT).await;
    let bodies: Vec<String> = (0..COUNT)
        .map(|i| email(&format!("{i:04}")).to_string())
        .collect();
    queue.send(&bodies).await;
    let variables = queue.variables(db, &localstack());
    let child = Child::serve(&variables, "intake");
    let started = Instant::now();
    while db.count("contact_log").await < COUNT / 4 {
        assert!(started.elapsed() < TIMEOUT, "nothing is taken over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill();
    assert!(
        db.count("contact_log").await < COUNT,
        "it was done too early"
    );
    let child = Child::serve(&variables, "intake");
    queue.emptied().await;
    child.stop();
    let found: BTreeSet<String> = types(db).await.into_iter().collect();
    assert_eq!((found.len(), db.count("contact_log").await), (COUNT, COUNT));
    assert_eq!(db.count("buried_messages").await, 0);
}

async fn a_queue_belongs_to_its_business(db: &TestDb) {
    let queue = Queue::at(&localstack(), ACCOUNT).await;
    let variables = queue.variables(db, &localstack());
    let acme = format!("acme={}", queue.url);
    let variables = variables.with("INTAKE__SQS__QUEUES", &acme);
    let refused = run(&variables, &["serve", "--roles", "intake"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.errors.contains("no business \"acme\""),
        "{refused:?}"
    );
    db.store.ensure_business("acme", "Acme").await.unwrap();
    let child = Child::serve(&variables, "intake");
    queue.send(&[email("one").to_string()]).await;
    until(db, "SELECT business_id FROM contact_log", &["acme"]).await;
    queue.emptied().await;
    child.stop();
    // A poll that was given up would still be given a message.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other_roles = Child::serve(&variables, "api,worker");
    queue.send(&[email("two").to_string()]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.left().await, (1, 0), "only the role intake reads");
    other_roles.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_received_while_the_database_is_away() {
    on_postgres(async |db| {
        let queue = Queue::at(&localstack(), ACCOUNT).await;
        let proxy = Proxy::start(db).await;
        let store = Store::open(&proxy.url(db), 4, Clock::system())
            .await
            .unwrap();
        let settings = settings(&localstack(), vec![queue.url.clone()]);
        let running = consumer(&store, queue.client.clone(), settings).start();
        queue.send(&[email("before").to_string()]).await;
        queue.emptied().await;
        proxy.become_now(Line::Down);
        let bodies: Vec<String> = (0..30)
            .map(|i| email(&format!("{i:02}")).to_string())
            .collect();
        queue.send(&bodies).await;
        // Each receiver takes one handful before it notices, and none after that.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let (waiting, _) = queue.left().await;
        assert_eq!(
            waiting, 30,
            "those it had taken came back, and it took no others"
        );
        assert_eq!(types(db).await, ["before"]);
        proxy.become_now(Line::Up);
        queue.emptied().await;
        assert!(running.stop().await);
        assert_eq!(types(db).await.len(), 31);
        store.close().await;
    })
    .await;
}
