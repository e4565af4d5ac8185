//! Queues of Amazon SQS, played by LocalStack and by moto: messages in, notifications out, once each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use sendtrail::api::ways::Intake;
use sendtrail::clock::Clock;
use sendtrail::intake::{Consumer, SqsSettings};
use sendtrail::metrics::Metrics;
use sendtrail::store::Store;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::child::{Child, Variables, run};
use super::program::Program;
use super::proxy::{Proxy, State as Line};
use super::queue::all_done;
use super::sink::Sink;
use super::sqs_queue::{Queue, localstack, settings};
use crate::peers_aws::Moto;
use crate::support::db::{TestDb, both, on_postgres, on_sqlite};

both!(
    messages_of_localstack_are_sent_and_leave_the_queue,
    a_message_that_comes_again_is_enqueued_once,
    what_cannot_be_enqueued_is_buried_with_its_reasons,
    a_kill_before_the_messages_are_deleted_loses_none_and_repeats_none,
    a_queue_belongs_to_its_business,
);

const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// For something that must not happen.
const A_WHILE: Duration = Duration::from_secs(2);

const DUPLICATE: &str = "sendtrail_intake_total{source=\"sqs\",result=\"duplicate\"}";
const LEFT: &str = "sendtrail_intake_total{source=\"sqs\",result=\"left\"}";

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

fn counted(metrics: &Metrics, series: &str) -> usize {
    let text = metrics.render(None, Clock::system().now());
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse().unwrap())
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
async fn sent_and_gone(db: &TestDb, queue: &Queue, endpoint: &str) {
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
    // Almost as large as SQS takes them.
    keyed["content"]["text"] = json!("x".repeat(250_000));
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
    sent_and_gone(db, &Queue::at_localstack().await, &localstack()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_moto_are_sent_and_leave_the_queue() {
    let moto = Moto::start();
    let queue = Queue::at(&moto.url, "123456789012").await;
    on_sqlite(async |db| sent_and_gone(db, &queue, &moto.url).await).await;
}

/// In front of LocalStack.
#[derive(Clone)]
struct Relay {
    url: String,
    /// It refuses to delete while this is so.
    keeps: Arc<AtomicBool>,
    /// Times that it was asked for messages.
    asked: Arc<AtomicUsize>,
    http: reqwest::Client,
}

impl Relay {
    async fn start(keeps: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keeps: Arc::new(AtomicBool::new(keeps)),
            asked: Arc::default(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let router = axum::Router::new().fallback(pass).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        relay
    }
}

async fn pass(State(relay): State<Relay>, headers: HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
    let target = headers["x-amz-target"].to_str().unwrap();
    if target.ends_with("DeleteMessageBatch") && relay.keeps.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
    }
    if target.ends_with("ReceiveMessage") {
        relay.asked.fetch_add(1, Ordering::SeqCst);
    }
    let mut request = relay.http.post(localstack()).body(body);
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
    let queue = Queue::at_localstack().await;
    let relay = Relay::start(true).await;
    let settings = settings(&relay.url, vec![queue.url.clone()]);
    let consumer = consumer(&db.store, settings.client().await, settings);
    let metrics = Arc::clone(&consumer.metrics);
    let running = consumer.start();
    let batch = json!({"notifications": [email("two"), email("three")]});
    queue
        .send(&[email("one").to_string(), batch.to_string()])
        .await;
    let started = Instant::now();
    while counted(&metrics, DUPLICATE) < 4 {
        assert!(started.elapsed() < TIMEOUT, "never came again");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert_eq!(types(db).await, ["one", "three", "two"]);
    relay.keeps.store(false, Ordering::SeqCst);
    queue.emptied().await;
    assert!(running.stop().await);
    assert_eq!(types(db).await, ["one", "three", "two"]);
}

async fn what_cannot_be_enqueued_is_buried_with_its_reasons(db: &TestDb) {
    let queue = Queue::at_localstack().await;
    let mut taken = email("taken");
    taken["idempotency_key"] = json!("taken");
    let mut other = taken.clone();
    other["type"] = json!("other");
    let mut nowhere = email("nowhere");
    nowhere["client"] = json!("C-unknown");
    let bad_batch = json!({"notifications": [email("fine"), {"to": 1}]});
    let variables = queue.variables_at_localstack(db);
    let mut child = Child::serve(&variables, "intake");
    let client = super::client::Client::new(child.address(), "none");
    queue.send(&[taken.to_string()]).await;
    until(db, "SELECT type FROM contact_log", &["taken"]).await;
    let nul = r#"{"client": "C", "b\u0000d": 1, "method": "sms"}"#;
    let bodies = [
        nul.to_owned(),
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
            5.0,
        ),
        ("sendtrail_intake_buried", 5.0),
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
    assert_eq!(listed.out.lines().count(), 5, "{listed:?}");
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
    assert!(again.out.contains("1 enqueued, 4 still wrong"), "{again:?}");
    assert_eq!(types(db).await, ["nowhere", "taken"]);
    let dropped = buried(&["drop", &not_json]);
    assert_eq!((dropped.code, dropped.out.trim()), (Some(0), "dropped"));
    let dropped = buried(&["drop", &not_json]);
    assert_eq!(dropped.code, Some(1), "{dropped:?}");
    assert_eq!(db.count("buried_messages").await, 3);
}

async fn a_kill_before_the_messages_are_deleted_loses_none_and_repeats_none(db: &TestDb) {
    const COUNT: usize = 60;
    let queue = Queue::at_localstack().await;
    let bodies: Vec<String> = (0..COUNT)
        .map(|i| email(&format!("{i:04}")).to_string())
        .collect();
    queue.send(&bodies).await;
    let variables = queue.variables_at_localstack(db);
    let mut killed = Child::serve(&variables.clone().fault("TakenOver:2"), "intake");
    let status = killed.ended(TIMEOUT);
    assert_eq!(status.code(), None, "{status}\n{}", killed.log());
    let before = db.count("contact_log").await;
    assert!(before > 0, "nothing was committed before the end");
    let mut child = Child::serve(&variables, "intake");
    let client = super::client::Client::new(child.address(), "none");
    queue.emptied().await;
    let again = client.metric(DUPLICATE).await;
    assert!(again >= Some(1.0), "none of {before} came again: {again:?}");
    child.stop();
    let found: BTreeSet<String> = types(db).await.into_iter().collect();
    assert_eq!((found.len(), db.count("contact_log").await), (COUNT, COUNT));
    assert_eq!(db.count("buried_messages").await, 0);
}

async fn a_queue_belongs_to_its_business(db: &TestDb) {
    let queue = Queue::at_localstack().await;
    let variables = queue.variables_at_localstack(db);
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
    // Another queue: at this one a poll that was given up may still be given a message.
    let queue = Queue::at_localstack().await;
    let mut other_roles = Child::serve(&queue.variables_at_localstack(db), "api,worker");
    other_roles.address();
    queue.send(&[email("two").to_string()]).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(queue.left().await, (1, 0), "only the role intake reads");
    other_roles.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_received_while_the_database_is_away() {
    on_postgres(async |db| {
        let queue = Queue::at_localstack().await;
        let proxy = Proxy::start(db);
        let store = Store::open(&proxy.url(db), 4, Clock::system())
            .await
            .unwrap();
        let relay = Relay::start(false).await;
        let settings = settings(&relay.url, vec![queue.url.clone()]);
        let consumer = consumer(&store, settings.client().await, settings);
        let metrics = Arc::clone(&consumer.metrics);
        let running = consumer.start();
        queue.send(&[email("before").to_string()]).await;
        queue.emptied().await;
        proxy.become_now(Line::Down).await;
        let bodies: Vec<String> = (0..30)
            .map(|i| email(&format!("{i:02}")).to_string())
            .collect();
        queue.send(&bodies).await;
        let started = Instant::now();
        while counted(&metrics, LEFT) == 0 || queue.left().await != (30, 0) {
            assert!(
                started.elapsed() < TIMEOUT,
                "what was taken never came back"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        // Each receiver has taken a handful before it noticed, and takes none after that.
        let asked = relay.asked.load(Ordering::SeqCst);
        tokio::time::sleep(A_WHILE * 4).await;
        assert_eq!(relay.asked.load(Ordering::SeqCst), asked);
        assert_eq!(types(db).await, ["before"]);
        proxy.become_now(Line::Up).await;
        queue.emptied().await;
        assert!(running.stop().await);
        assert_eq!(types(db).await.len(), 31);
        store.close().await;
    })
    .await;
}
