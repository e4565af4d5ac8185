//! Whatever way a notification comes in by, it has all that a notification may have.

use std::time::Duration;

use serde_json::{Value, json};

use super::child::{Variables, run, run_in};
use super::program::Program;
use super::queue::{all_done, statuses};
use super::sink::Sink;
use super::sqs_queue::Queue;
use crate::support::db::{TestDb, both};

both!(every_way_has_templates_files_senders_and_suppressions);

const TIMEOUT: Duration = Duration::from_mins(2);
const TEMPLATE: &str = r#"
method = "email"
subject = "Booking {{ number }}"
text = "Dear {{ name }}"
sample = { name = "Ana", number = 1 }
"#;

fn file() -> Value {
    json!([{"name": "a.txt", "content_type": "text/plain", "data": "SGVsbG8="}])
}

/// One that a template makes, and one to an address that is not written to.
fn bodies(way: &str) -> Value {
    let template = json!({"name": "booking", "data": {"name": "Ana", "number": 8812},
        "attachments": file()});
    json!({"notifications": [
        {"client": {"id": "C-1", "email": "ana@example.com"}, "method": "email", "type": way,
         "template": template},
        gone(way),
    ]})
}

fn gone(way: &str) -> Value {
    json!({"client": "C-2", "to": "gone@example.com", "method": "email", "type": way,
        "content": {"subject": "Never", "text": "seen"}})
}

/// The same in SQL, which does not fill templates: as if it had.
fn bodies_of_sql() -> Value {
    let content = json!({"subject": "Booking 8812", "text": "Dear Ana", "attachments": file()});
    json!({"notifications": [
        {"client": "C-1", "method": "email", "type": "sql", "content": content},
        gone("sql"),
    ]})
}

fn prepare(variables: &Variables) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("booking.toml"), TEMPLATE).unwrap();
    let pushed = run_in(folder.path(), variables, &["templates", "push", "."]);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    let sender = ["business", "set", "--email-from", "shop@shop.example"];
    assert_eq!(run(variables, &sender).code, Some(0));
}

fn by_file(variables: &Variables) {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = bodies("file")["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let ran = run(variables, &["enqueue", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

async fn every_way_has_templates_files_senders_and_suppressions(db: &TestDb) {
    let queue = Queue::at_localstack().await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = queue.variables_at_localstack(db).through(&sink);
    prepare(&variables);
    let program = Program::start(&variables).await;
    let gone = json!({"method": "email", "address": "gone@example.com", "note": "asked by phone"});
    let (status, answer) = program.client.post("/v1/suppressions", &gone).await;
    assert_eq!(status, 201, "{answer}");

    let (status, answer) = program
        .client
        .post("/v1/notifications", &bodies("http"))
        .await;
    assert_eq!(status, 202, "{answer}");
    queue.send(&[bodies("sqs").to_string()]).await;
    by_file(&variables);
    let mut ways = vec!["file", "http", "sqs"];
    if db.is_postgres() {
        ways.push("sql");
        let sql = format!("SELECT sendtrail_enqueue('{}')", bodies_of_sql());
        db.execute(&sql).await;
    }
    queue.emptied().await;
    sink.until(ways.len(), TIMEOUT).await;
    all_done(db, TIMEOUT).await;

    assert_eq!(sink.count(), ways.len());
    let count = ways.len();
    assert_eq!(
        statuses(db).await,
        [format!("Failed {count}"), format!("Sent {count}")]
    );
    let made = db
        .texts(
            "SELECT l.type || ' ' || l.sender || ' ' || coalesce(l.template_name, '-') || ' ' || m.subject
                 || ' ' || m.text
             FROM contact_log l JOIN message_content m ON m.id = l.content_id
             WHERE l.address = 'ana@example.com' AND m.attachments IS NOT NULL ORDER BY 1",
        )
        .await;
    ways.sort_unstable();
    let expected = ways.iter().map(|way| {
        let template = if *way == "sql" { "-" } else { "booking" };
        format!("{way} shop@shop.example {template} Booking 8812 Dear Ana")
    });
    assert_eq!(made, expected.collect::<Vec<_>>());
    assert_eq!(
        db.count("attachments").await,
        1,
        "the same bytes are kept once"
    );
    program.stop().await;
}
