//! Mail that comes back, at the running program: sent by SMTP, reported by mail in the words of Python's
//! email package, brought by LMTP and by the command.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::child::{Variables, run, run_with};
use super::client::{text, texts};
use super::program::Program;
use super::proxy::{Proxy, State};
use super::sink::Sink;
use crate::support::db::{TestDb, both, on_postgres};
use crate::support::process::peer_file;

both!(
    a_mail_that_comes_back_is_sent_and_bounced_and_its_address_is_barred,
    what_is_not_signed_is_kept_and_applied_only_where_the_settings_say_so,
    other_mail_is_kept_and_counted,
    one_answer_for_each_recipient_and_what_is_no_lmtp_is_refused,
    who_sends_by_smtp_alone_is_asked_for_a_bounce_address_and_for_no_topic,
);

const TO: &str = "ana@example.com";

fn variables(db: &TestDb, sink: &Sink) -> Variables {
    Variables::of(db)
        .through(sink)
        .with("SMTP__BOUNCE_ADDRESS", "bounces@example.com")
        .with("BOUNCES__LISTEN", "127.0.0.1:0")
}

/// Enqueues an email, waits until it is sent, and returns its id and its envelope's sender.
async fn sent(program: &Program, sink: &Sink) -> (String, String) {
    let new = json!({"client": "C-1", "method": "email", "to": TO, "type": "Reminder",
        "content": {"subject": "Hello", "text": "See you"}});
    let id = program.client.enqueue(&[new]).await.remove(0);
    let is_sent = |entry: &Value| entry["status"] == "Sent";
    program.client.until(&id, is_sent).await;
    let sender = sink.sender(&id).unwrap();
    (id, sender)
}

/// Runs the peer, and returns what it wrote.
fn peer(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("python3")
        .arg(peer_file("bounce_mail.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: run scripts/test");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// What a mail server reports of the message with this id.
fn report(sender: &str, id: &str, action: &str, status: &str) -> Vec<u8> {
    let original = format!("X-Sendtrail-Id: {id}\r\nSubject: Hello\r\n\r\nSee you\r\n");
    let arguments = ["report", sender, TO, action, status];
    peer(&arguments, original.as_bytes())
}

/// Brings a mail by LMTP, by Python's client, and returns the answer.
async fn deliver(program: &Program, to: &str, mail: &[u8]) -> String {
    let port = program.app.bounce_address().unwrap().port().to_string();
    let (to, mail) = (to.to_owned(), mail.to_vec());
    let answer = tokio::task::spawn_blocking(move || peer(&["deliver", &port, &to], &mail));
    String::from_utf8(answer.await.unwrap()).unwrap()
}

async fn counted(program: &Program, kind: &str, result: &str) -> Option<f64> {
    let series = format!("sendtrail_feedback_total{{kind=\"{kind}\",result=\"{result}\"}}");
    program.client.metric(&series).await
}

fn events(entry: &Value) -> Vec<String> {
    let timeline = entry["timeline"].as_array().unwrap();
    timeline.iter().map(|it| text(&it["event"])).collect()
}

async fn a_mail_that_comes_back_is_sent_and_bounced_and_its_address_is_barred(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink);
    let program = Program::start(&variables).await;
    let (id, sender) = sent(&program, &sink).await;
    assert!(sender.starts_with("bounces+") && sender.ends_with("@example.com"));
    assert!(sender.split('@').next().unwrap().len() <= 64);

    let delayed = report(&sender, &id, "delayed", "4.2.2");
    let failed = report(&sender, &id, "failed", "5.1.1");
    for mail in [&delayed, &failed] {
        assert_eq!(deliver(&program, &sender, mail).await, "250 2.0.0 Kept\n");
    }
    let entry = program.client.entry(&id).await;
    // The report has its time to the second, so that it may be earlier than the send.
    let mut told = events(&entry);
    told.sort();
    assert_eq!(told, ["bounced", "delayed", "queued", "sent"]);
    assert!(entry["facts"]["sent"].is_object(), "{entry:#}");
    assert_eq!(texts(&entry["statuses"]), ["Bounced"]);
    assert_eq!(entry["reason"]["category"], "invalid_address", "{entry:#}");
    let (_, list) = program.client.get("/v1/suppressions").await;
    assert!(list.contains(TO) && list.contains("\"bounce\""), "{list}");

    // What was brought may be brought again, in any way and with other headers.
    assert_eq!(
        deliver(&program, &sender, &failed).await,
        "250 2.0.0 Kept\n"
    );
    let by_header = [format!("Delivered-To: {sender}\r\n").as_bytes(), &failed].concat();
    let to = ["bounce", "--recipient", &sender];
    for (arguments, mail) in [(&to[..], &failed), (&to[..1], &by_header)] {
        let ran = run_with(&variables, arguments, mail);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_eq!(events(&program.client.entry(&id).await).len(), 4);
    assert_eq!(db.count("feedback_inbox").await, 3);
    assert_eq!(counted(&program, "bounced", "applied").await, Some(1.0));
    assert_eq!(counted(&program, "bounced", "duplicate").await, Some(1.0));
    let ran = run(&variables, &["feedback", "replay", "--source", "mail"]);
    assert!(
        ran.out.contains("3 messages: 0 new events, 3 applied"),
        "{ran:?}"
    );
    let ran = run(&variables, &["verify"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    program.stop().await;
}

async fn what_is_not_signed_is_kept_and_applied_only_where_the_settings_say_so(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let variables = variables(db, &sink);
    let program = Program::start(&variables).await;
    let (id, sender) = sent(&program, &sink).await;
    let (_, domain) = sender.split_once('@').unwrap();
    let forged = format!("bounces+{}@{domain}", "a".repeat(42));
    let mail = report(&forged, &id, "failed", "5.1.1");
    assert_eq!(deliver(&program, &forged, &mail).await, "250 2.0.0 Kept\n");
    assert_eq!(counted(&program, "unknown", "noted").await, Some(1.0));
    assert_eq!(program.client.entry(&id).await["status"], "Sent");

    let noted = ["feedback", "list", "--result", "noted", "--json"];
    let listed: Value = serde_json::from_str(&run(&variables, &noted).out).unwrap();
    assert_eq!(listed["kind"], "unsigned-report");
    let name = text(&listed["id"]);
    let shown = run(&variables, &["feedback", "show", &name]);
    assert!(shown.out.contains("Final-Recipient"), "{shown:?}");
    let apply = ["feedback", "apply", &name];
    let ran = run(&variables, &apply);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let trusting = variables.with("BOUNCES__ACCEPT_UNSIGNED", "true");
    let ran = run(&trusting, &apply);
    assert!(ran.out.contains("applied, 1 new events"), "{ran:?}");
    let entry = program.client.entry(&id).await;
    assert_eq!(texts(&entry["statuses"]), ["Bounced"]);
    program.stop().await;
}

async fn other_mail_is_kept_and_counted(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let program = Program::start(&variables(db, &sink)).await;
    let (id, sender) = sent(&program, &sink).await;
    let away = b"From: ana@example.com\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n";
    let odd = b"\xff\0\xfe no mail at all \r\n..\r\n";
    for mail in [&away[..], &odd[..]] {
        assert_eq!(deliver(&program, &sender, mail).await, "250 2.0.0 Kept\n");
    }
    assert_eq!(counted(&program, "unknown", "noted").await, Some(2.0));
    assert_eq!(program.client.entry(&id).await["status"], "Sent");
    let kinds = db
        .texts("SELECT kind FROM feedback_inbox ORDER BY kind")
        .await;
    assert_eq!(kinds, ["automatic-reply", "other-mail"]);
    program.stop().await;
}

/// A client that says what the test wants.
struct Dialogue(BufReader<TcpStream>);

impl Dialogue {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut dialogue = Self(BufReader::new(stream));
        assert!(dialogue.hear().await.starts_with("220 "));
        dialogue
    }

    async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    /// The answers to these lines, each of one line.
    async fn say(&mut self, lines: &[&str]) -> Vec<String> {
        let text = format!("{}\r\n", lines.join("\r\n"));
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        for _line in lines {
            answers.push(self.hear().await);
        }
        answers
    }

    /// The answers to a message for these recipients.
    async fn send(&mut self, recipients: &[&str], message: &str) -> Vec<String> {
        let to = recipients.iter().map(|to| format!("RCPT TO:<{to}>"));
        let to: Vec<String> = to.collect();
        let mut lines = vec!["MAIL FROM:<>"];
        lines.extend(to.iter().map(String::as_str));
        lines.push("DATA");
        let answers = self.say(&lines).await;
        assert!(answers.last().unwrap().starts_with("354 "), "{answers:?}");
        let text = format!("{message}\r\n.\r\n");
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        for _recipient in recipients {
            answers.push(self.hear().await);
        }
        answers
    }
}

async fn one_answer_for_each_recipient_and_what_is_no_lmtp_is_refused(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let program = Program::start(&variables(db, &sink)).await;
    let mut dialogue = Dialogue::open(program.app.bounce_address().unwrap()).await;
    for (line, answer) in [
        ("EHLO mx.example.net", "500 5.5.1 This is LMTP: say LHLO"),
        ("RCPT TO:<a@example.com>", "503 5.5.1 Name a sender first"),
        ("DATA", "503 5.5.1 Name a recipient first"),
        (
            "MAIL FROM:<> SIZE=99999999",
            "552 5.3.4 The message is too long",
        ),
        ("STARTTLS", "500 5.5.2 Command not recognized"),
        ("NOOP", "250 2.0.0 Ok"),
    ] {
        assert_eq!(dialogue.say(&[line]).await, [answer]);
    }
    dialogue
        .0
        .write_all(b"LHLO mx.example.net\r\n")
        .await
        .unwrap();
    let mut offers = Vec::new();
    while offers
        .last()
        .is_none_or(|last: &String| last.starts_with("250-"))
    {
        offers.push(dialogue.hear().await);
    }
    assert!(
        offers.contains(&"250-ENHANCEDSTATUSCODES".to_owned()),
        "{offers:?}"
    );
    let mail = "Subject: Hello\r\n\r\nHi";
    let answers = dialogue
        .send(&["a@example.com", "b@example.com"], mail)
        .await;
    assert_eq!(answers, ["250 2.0.0 Kept"; 2]);
    let answers = dialogue.send(&["a@example.com"], mail).await;
    assert_eq!(answers, ["250 2.0.0 Kept"], "the next message");
    // Neither is an address of ours: it is kept once for both.
    assert_eq!(db.count("feedback_inbox").await, 1);
    assert_eq!(dialogue.say(&["QUIT"]).await, ["221 2.0.0 Bye"]);
    longer_than_it_said(&program).await;
    assert_eq!(db.count("feedback_inbox").await, 1);
    program.stop().await;
}

/// A message without an end.
async fn longer_than_it_said(program: &Program) {
    let mut dialogue = Dialogue::open(program.app.bounce_address().unwrap()).await;
    let lines = [
        "MAIL FROM:<> SIZE=100",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "DATA",
    ];
    dialogue.say(&lines).await;
    let line = format!("{}\r\n", "x".repeat(1022));
    for _mebibyte in 0..32 {
        let text = line.repeat(1024);
        dialogue.0.write_all(text.as_bytes()).await.unwrap();
    }
    dialogue.0.write_all(line.as_bytes()).await.unwrap();
    for _recipient in ["a", "b"] {
        assert_eq!(dialogue.hear().await, "552 5.3.4 The message is too long");
    }
    assert_eq!(dialogue.hear().await, "", "the connection is closed");
}

async fn who_sends_by_smtp_alone_is_asked_for_a_bounce_address_and_for_no_topic(db: &TestDb) {
    let sink = Sink::start(Duration::ZERO).await;
    let alone = Variables::of(db)
        .through(&sink)
        .with("SMS__PROVIDERS", "")
        .with("PUSH__PROVIDERS", "");
    let doctor = |variables: &Variables| {
        let ran = tokio::task::block_in_place(|| run(variables, &["doctor"]));
        // The tests' PostgreSQL gives its durability up for speed, and a doctor says so.
        let code = i32::from(db.is_postgres());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        ran.out
    };
    let out = doctor(&alone);
    assert!(out.contains("smtp.bounce_address is not set"), "{out}");
    let out = doctor(&alone.with("SMTP__BOUNCE_ADDRESS", "bounces@example.com"));
    assert!(!out.contains("bounce"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_now_is_to_be_brought_again() {
    on_postgres(async |db: &TestDb| {
        let sink = Sink::start(Duration::ZERO).await;
        let proxy = Proxy::start(db);
        let variables = variables(db, &sink).with("DATABASE__URL", &proxy.url(db));
        let program = Program::start(&variables).await;
        let (id, sender) = sent(&program, &sink).await;
        let mail = report(&sender, &id, "failed", "5.1.1");
        let mail_text = String::from_utf8(mail.clone()).unwrap();
        let mut dialogue = Dialogue::open(program.app.bounce_address().unwrap()).await;
        proxy.become_now(State::Down).await;
        let answers = dialogue.send(&[&sender], &mail_text).await;
        assert_eq!(answers, ["451 4.3.0 It could not be kept at the moment"]);
        let ran = run_with(&variables, &["bounce", "--recipient", &sender], &mail);
        assert_eq!(ran.code, Some(75), "{ran:?}");
        assert!(!ran.errors.contains(&sender), "{ran:?}");
        proxy.become_now(State::Up).await;
        let answers = dialogue.send(&[&sender], &mail_text).await;
        assert_eq!(answers, ["250 2.0.0 Kept"]);
        let entry = program.client.entry(&id).await;
        assert_eq!(texts(&entry["statuses"]), ["Bounced"]);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_command_says_by_its_exit_code_whether_to_try_again() {
    let large = vec![b'x'; 32 * 1024 * 1024 + 1];
    let nowhere = Variables::default().with("DATABASE__URL", "postgres://u:p@127.0.0.1:1/none");
    let ran = run_with(&nowhere, &["bounce"], &large);
    assert_eq!(ran.code, Some(65), "{ran:?}");
    assert!(ran.errors.contains("33554432 bytes"), "{ran:?}");
    for variables in [&nowhere, &nowhere.clone().with("NO__SUCH", "setting")] {
        let ran = run_with(variables, &["bounce"], b"Subject: Hello\n\nHi\n");
        assert_eq!(ran.code, Some(75), "{ran:?}");
    }
}
