//! Traces, as a collector made of OpenTelemetry's own messages reads them.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::child::{Child, Variables};
use super::client::{Client, text};
use crate::support::db::{TestDb, both, on_sqlite};
use crate::support::process::{Process, free_port, peer_file, peers_python};

both! {
    a_notification_is_one_trace_from_its_enqueue_to_the_feedback,
    the_log_tells_of_a_notification_under_its_trace,
}

/// How long a span may take to be given up: one batch, and a refused connection.
const GIVEN_UP: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running collector.
pub(super) struct Collector {
    process: Process,
    port: u16,
}

impl Collector {
    pub(super) fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(peers_python());
        command
            .arg(peer_file("otlp_collector.py"))
            .arg(port.to_string());
        let process = Process::spawn(command).listening(port);
        Self { process, port }
    }

    /// Has the program send it everything.
    pub(super) fn told(&self, variables: Variables) -> Variables {
        let endpoint = format!("http://127.0.0.1:{}/v1/traces", self.port);
        variables
            .with("TRACES__OTLP_ENDPOINT", &endpoint)
            .with("TRACES__AUTHORIZATION", "Bearer collector")
    }

    /// All that it was sent, a line for each span.
    pub(super) fn text(&self) -> String {
        self.process.output()
    }

    fn spans(&self, trace: &str) -> Vec<Value> {
        let text = self.text();
        let spans = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        spans.filter(|span| span["trace"] == trace).collect()
    }
}

async fn a_notification_is_one_trace_from_its_enqueue_to_the_feedback(db: &TestDb) {
    let collector = Collector::start();
    let variables = collector.told(Variables::of(db).sandbox());
    let mut child = Child::serve(&variables, "api,web,webhooks,worker");
    let client = Client::with_new_key(child.address(), &db.store).await;
    let content = json!({"subject": "x", "text": "x"});
    let email = json!({"client": "C-1", "method": "email", "type": "Offer",
        "to": "throttled+1@simulator.test", "content": content});
    let ids = client.enqueue(&[email]).await;
    let is_delivered = |entry: &Value| !entry["facts"]["delivered"].is_null();
    client.until(&ids[0], is_delivered).await;
    // It sends what it has before it ends.
    child.stop();
    let spans = collector.spans(&ids[0].replace('-', ""));
    let names: Vec<&str> = spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["enqueue", "attempt", "attempt"]);
    // Feedback may be on record before the attempt that it is about.
    assert!(names[3..].contains(&"delivered"), "{names:?}");
    let root = &spans[0];
    assert_eq!(
        (&root["parent"], &root["service"]),
        (&json!(""), &json!("sendtrail"))
    );
    assert_eq!(root["attributes"], json!({"sendtrail.method": "email"}));
    for span in &spans[1..] {
        assert_eq!(span["parent"], root["span"], "{span}");
        assert!(span["began"].as_u64() <= span["ended"].as_u64());
        assert!(root["began"].as_u64() <= span["began"].as_u64());
    }
    let attempts = spans.iter().filter(|span| span["name"] == "attempt");
    let outcomes: Vec<&Value> = attempts
        .map(|span| &span["attributes"]["sendtrail.outcome"])
        .collect();
    assert_eq!(outcomes, ["throttled", "throttled", "accepted"]);
    let ids: BTreeSet<String> = spans.iter().map(|span| span["span"].to_string()).collect();
    assert_eq!(ids.len(), spans.len(), "each span has its own id");
}

async fn the_log_tells_of_a_notification_under_its_trace(db: &TestDb) {
    let variables = Variables::of(db)
        .sandbox()
        .with("LOG__LEVEL", "info,sendtrail::delivery=debug");
    let mut child = Child::serve(&variables, "api,web,webhooks,worker");
    let client = Client::with_new_key(child.address(), &db.store).await;
    let content = json!({"subject": "x", "text": "x"});
    let email = json!({"client": "C-1", "method": "email", "type": "Offer",
        "to": "throttled+1@simulator.test", "content": content});
    let (status, answer) = client.post("/v1/notifications", &email).await;
    assert_eq!(status, 202, "{answer}");
    let id = text(&answer["id"]);
    client
        .until(&id, |entry| !entry["facts"]["sent"].is_null())
        .await;
    let theirs = "0af7651916cd43dd8448eb211c80319c";
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/v1/notifications", "/webhooks/sns"] {
        let address = format!("http://{}{path}", child.address());
        let asked = http.post(address).bearer_auth(client.key()).body("{}");
        let asked = asked.header("content-type", "application/json");
        let asked = asked.header("x-request-id", format!("of{path}"));
        let traceparent = format!("00-{theirs}-b7ad6b7169203331-01");
        let answer = asked.header("traceparent", traceparent).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_client_error(), "{answer:?}");
        assert_eq!(answer.headers()["x-request-id"], format!("of{path}"));
    }
    let log = child.log();
    child.stop();
    assert!(!log.contains("@simulator.test"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let of = |trace: &str, message: &str| -> Vec<&Value> {
        let wanted = lines
            .iter()
            .filter(|line| line["span"]["trace_id"] == trace && line["message"] == message);
        wanted.collect()
    };
    let trace = id.replace('-', "");
    let failed = of(&trace, "an attempt failed");
    assert_eq!(failed[0]["outcome"], "throttled", "{log}");
    assert_eq!(failed[0]["span"]["number"], 1);
    let accepted = of(&trace, "answered");
    let accepted = accepted.iter().find(|line| line["status"] == 202);
    let request_id = &accepted.expect("the line of the enqueue")["span"]["request_id"];
    assert_eq!(request_id.as_str().unwrap().len(), 36, "one of ours");
    let refused = of(theirs, "answered");
    assert_eq!(refused[0]["span"]["request_id"], "of/v1/notifications");
    let of_feedback = |line: &&Value| line["span"]["request_id"] == "of/webhooks/sns";
    let told = lines.iter().filter(of_feedback);
    assert!(told.clone().count() > 0, "{log}");
    assert!(
        told.into_iter()
            .all(|line| line["span"]["trace_id"] == theirs)
    );
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    on_sqlite(without_a_collector).await;
}

async fn without_a_collector(db: &TestDb) {
    let nobody = format!("http://127.0.0.1:{}/v1/traces", free_port());
    let variables = Variables::of(db)
        .sandbox()
        .with("TRACES__OTLP_ENDPOINT", &nobody);
    let mut child = Child::serve(&variables, "api,web,webhooks,worker");
    let client = Client::with_new_key(child.address(), &db.store).await;
    let content = json!({"subject": "x", "text": "x"});
    let email = json!({"client": "C-1", "method": "email", "type": "Offer",
        "to": "delivered@simulator.test", "content": content});
    let ids = client.enqueue(&[email]).await;
    let is_delivered = |entry: &Value| !entry["facts"]["delivered"].is_null();
    client.until(&ids[0], is_delivered).await;
    let series = "sendtrail_trace_spans_total{result=\"not_taken\"}";
    let given_up = async {
        while client.metric(series).await.unwrap_or_default() < 1.0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(GIVEN_UP, given_up).await.unwrap();
    let log = child.log();
    assert!(log.contains("does not take spans"), "{log}");
    child.stop();
}
