//! Every alarm for Prometheus, in Prometheus itself: none in a healthy run, and each once its condition is
//! brought about.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use sendtrail::clock::Clock;
use sendtrail::domain::form::Form;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::sandbox::Sandbox;
use sendtrail::store::buried::NewBuried;
use sendtrail::store::jobs::Wanted;
use sendtrail::store::providers::Order;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::child::{Variables, run};
use super::program::Program;
use super::prometheus::{Prometheus, names};
use super::proxy::{Proxy, State};
use super::rate::{BySandbox as _, sandbox};
use super::receiver::Receiver;
use super::signed::{TOPIC, envelope, open_of, trust};
use crate::store::make::{delivered, email, enqueued, happening, incoming, push, send_one};
use crate::support::db::{TestDb, on_postgres, on_sqlite};

/// For all of it on a busy machine, with a debug build.
const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alarm_fires_for_its_cause_and_none_in_a_healthy_run() {
    on_sqlite(async |good| on_postgres(async |bad| each_alarm(good, bad).await).await).await;
}

async fn each_alarm(good: &TestDb, bad: &TestDb) {
    good.clock.set(Clock::system().now());
    let variables = Variables::of(good)
        .sandbox()
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true")
        .with("FEEDBACK__SNS__TOPICS", TOPIC)
        .with("BRAKES__VOLUME_MIN", "100");
    let program = Program::start_with(&variables, trust()).await;
    let prometheus = Prometheus::start(&[(program.app.address(), 1)]).await;
    is_healthy(&program, &prometheus).await;

    let troubled = Troubled::start(bad).await;
    // Longer than it waits for its database.
    let troubled_target = (troubled.program.app.address(), 5);
    prometheus.scrape(&[(program.app.address(), 1), troubled_target]);
    let began = Instant::now();
    while prometheus.value("count(sendtrail_database_up == 1)").await != Some(2.0) {
        assert!(began.elapsed() < TIMEOUT, "the second is not scraped");
        sleep(POLL_INTERVAL).await;
    }
    receives(&variables, &program).await;
    reports(good, &program).await;
    operates(good).await;
    troubled.goes_wrong(bad).await;

    let (mut wanted, mut fired) = (names(), BTreeSet::new());
    let last = ["SendtrailDatabaseUnreadable", "SendtrailDown"];
    wanted.retain(|name| !last.contains(&name.as_str()));
    prometheus.until_fired(&wanted, &mut fired, TIMEOUT).await;
    for name in last {
        assert!(!fired.contains(name), "{name} has no cause yet");
    }
    troubled.proxy.become_now(State::Down).await;
    let unreadable = BTreeSet::from([last[0].to_owned()]);
    prometheus
        .until_fired(&unreadable, &mut fired, TIMEOUT)
        .await;
    troubled.proxy.become_now(State::Up).await;
    troubled.program.app.stop().await;
    prometheus.until_fired(&names(), &mut fired, TIMEOUT).await;
    assert!(program.app.stop().await);
}

fn to(story: &str, count: usize) -> Vec<Value> {
    let one = |number| {
        json!({"client": "C-1", "method": "email", "type": "Offer",
            "to": format!("{story}+{number}@simulator.test"),
            "content": {"subject": "Offer", "text": "Offer"}})
    };
    (0..count).map(one).collect()
}

fn sms(to: &str) -> Value {
    json!({"client": "C-1", "method": "sms", "to": to, "type": "Code",
        "content": {"text": "1234"}})
}

/// Some of everything, also of what goes wrong on a good day.
async fn is_healthy(program: &Program, prometheus: &Prometheus) {
    let client = &program.client;
    let mut notifications = to("opened", 120);
    notifications.extend(to("bounced", 1));
    notifications.extend(to("rejected", 2));
    notifications.extend((0..9).map(|_| sms("+15005550006")));
    client.enqueue(&notifications).await;
    assert_eq!(client.post_feedback(forged()).await.0, 403);
    let accepted = "sum(sendtrail_sends_total{outcome=\"accepted\"}) >= 130";
    let opened = "sum(sendtrail_feedback_total{kind=\"opened\",result=\"applied\"}) >= 120";
    let began = Instant::now();
    for expression in [accepted, opened] {
        while prometheus.value(expression).await.is_none() {
            assert_eq!(prometheus.alarms().await, [], "a healthy run");
            assert!(began.elapsed() < TIMEOUT, "never came: {expression}");
            sleep(POLL_INTERVAL).await;
        }
    }
    // Longer than what the database told is kept, and two looks at the rules.
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        assert_eq!(prometheus.alarms().await, [], "a healthy run");
        sleep(POLL_INTERVAL).await;
    }
}

/// Of a topic that is none of ours.
fn forged() -> String {
    let mut envelope = envelope(&open_of("0197a2c4-0000-7000-8000-000000000000"));
    envelope["TopicArn"] = "arn:aws:sns:us-east-1:999999999999:ses-feedback".into();
    envelope.to_string()
}

/// Recipients and applications that do not want what they get.
async fn receives(variables: &Variables, program: &Program) {
    let gone = Receiver::start(&[410; 9]).await;
    for url in [&gone.url(), "http://127.0.0.1:9/nobody"] {
        let added = run(variables, &["webhooks", "add", "--url", url]);
        assert_eq!(added.code, Some(0), "{added:?}");
    }
    let mut notifications = to("bounced", 190);
    notifications.extend(to("complained", 190));
    notifications.extend((0..70).map(|_| sms("+15005550001")));
    program.client.enqueue(&notifications).await;
}

/// Providers that report the wrong things, or cannot report.
async fn reports(db: &TestDb, program: &Program) {
    for number in 0..150 {
        let now = db.clock.now();
        let happenings = vec![happening(number + 1, now, delivered())];
        let name = format!("of another program {number}");
        let message = incoming(&name, None, Some(&name), happenings);
        db.store.keep_feedback(message).await.unwrap();
    }
    for _ in 0..12 {
        assert_eq!(program.client.post_feedback(forged()).await.0, 403);
    }
}

/// What waits for an operator.
async fn operates(db: &TestDb) {
    let order = Order {
        method: Method::Push,
        provider: Some("sns"),
        by: "a test",
    };
    db.store.pause_provider(order, "a test").await.unwrap();
    let buried = NewBuried {
        business: "default",
        source: "a queue",
        message_id: "m-1",
        reason: json!([]),
        body: "no JSON",
    };
    db.store.bury(buried).await.unwrap();
}

/// A program whose providers fail in their ways, and on whose database others died.
struct Troubled {
    program: Program,
    proxy: Proxy,
    /// Of SES; it tells nobody what became of a message.
    _sandbox: Sandbox,
}

/// Longer than the slowest answer that is no trouble.
const SLOW: Duration = Duration::from_millis(5_500);

impl Troubled {
    async fn start(db: &TestDb) -> Self {
        an_hour_ago(db).await;
        let (proxy, sandbox) = (Proxy::start(db), sandbox().await);
        let variables = Variables::of(db)
            .with("DATABASE__URL", &proxy.url(db))
            .by_ses(&sandbox)
            .with("EMAIL__UNKNOWN", "hold")
            .with("DELIVERY__UNKNOWN_GRACE_MS", "100")
            .with("DELIVERY__BREAKER__FAILURES", "1000")
            .with("DELIVERY__BROKEN_PAUSE_MS", "1000")
            .with("PUSH__PROVIDERS", "")
            .with("FEEDBACK__SNS__TOPICS", &format!("{UNHEARD},{UNCONFIRMED}"))
            .with(
                "SNS__ENDPOINT_URL",
                &format!("http://{}", subscriptions().await),
            )
            .with("SNS__ACCESS_KEY_ID", "test")
            .with("SNS__SECRET_ACCESS_KEY", "test")
            .with("SMS__PROVIDERS", "twilio")
            .with(
                "TWILIO__ENDPOINT_URL",
                &format!("http://{}", refuses().await),
            )
            .with("TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000000")
            .with("TWILIO__AUTH_TOKEN", "test")
            .with("TWILIO__FROM", "+15005550006");
        let program = Program::start(&variables).await;
        Self {
            program,
            proxy,
            _sandbox: sandbox,
        }
    }

    /// Answers are lost, credentials are refused, a worker dies.
    async fn goes_wrong(&self, db: &TestDb) {
        let mut notifications = to("lost-answer", 15);
        notifications.extend((0..9).map(|_| sms("+14155550100")));
        self.program.client.enqueue(&notifications).await;
        let wanted = Wanted {
            worker: "gone",
            provider: "none",
            method: Method::Push,
            forms: &[Form::Plain],
            limit: 1,
            bytes_max: u64::MAX,
            lease: Duration::from_secs(1),
        };
        assert!(db.store.claim(wanted).await.unwrap().is_some());
    }
}

/// Push messages that nobody sends, and emails of which SES tells nothing.
async fn an_hour_ago(db: &TestDb) {
    db.clock.set(Clock::system().now().minus(HOUR));
    for number in 0..20 {
        enqueued(&db.store, vec![email("C-1")]).await;
        send_one(&db.store, db.clock.now(), &format!("of SES {number}")).await;
    }
    let mut urgent = push("C-1");
    urgent.priority = Priority::High;
    enqueued(
        &db.store,
        vec![urgent.clone(), urgent, push("C-1"), push("C-1")],
    )
    .await;
    db.clock.set(Clock::system().now());
}

/// Topics of a region whose hosts no name server outside knows. Nobody subscribed to the one; nobody
/// confirmed the subscription to the other.
const UNHEARD: &str = "arn:aws-iso:sns:us-iso-east-1:123456789012:unheard";
const UNCONFIRMED: &str = "arn:aws-iso:sns:us-iso-east-1:123456789012:unconfirmed";

/// Answers as SNS when it is asked for the subscriptions to these.
async fn subscriptions() -> SocketAddr {
    let answer = async |asked: String| {
        assert!(asked.contains("ListSubscriptionsByTopic"), "{asked}");
        let listed = if asked.ends_with("unconfirmed") {
            "<member><SubscriptionArn>PendingConfirmation</SubscriptionArn><Protocol>https</Protocol>\
             <Endpoint>https://mail.example.com/webhooks/sns</Endpoint></member>"
        } else {
            assert!(asked.ends_with("unheard"), "{asked}");
            ""
        };
        format!(
            "<ListSubscriptionsByTopicResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
             <ListSubscriptionsByTopicResult><Subscriptions>{listed}</Subscriptions>\
             </ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"
        )
    };
    serve(Router::new().fallback(answer)).await
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A provider that takes its time to refuse our credentials.
async fn refuses() -> SocketAddr {
    let answer = async || {
        sleep(SLOW).await;
        let body = json!({"code": 20003, "message": "Authenticate", "status": 401}).to_string();
        (StatusCode::UNAUTHORIZED, body)
    };
    serve(Router::new().fallback(answer)).await
}
