//! What must not be in logs, metrics and traces: addresses, numbers, words of messages, keys, passwords.

use std::net::SocketAddr;

use sendtrail::domain::role::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::child::{Child, Variables, run};
use super::client::Client;
use super::sqs_queue::Queue;
use super::staff::{self, Browser};
use super::traces::Collector;
use crate::peers_aws::Moto;
use crate::support::db::{TestDb, both};
use crate::support::process::free_port;

both!(the_logs_metrics_and_traces_of_a_busy_program_hold_no_personal_data_and_no_secret);

/// Words that occur nowhere else.
const SUBJECT: &str = "subject-kiwi";
const TEXT: &str = "text-papaya";
const HTML: &str = "html-quince";
const NAME: &str = "name-tamarind";
const METADATA: &str = "metadata-guava";
const PASSWORD: &str = "password-durian";
const STAFF: &str = "carambola@example.com";
const WRONG_PASSWORD: &str = "password-medlar";
/// moto's.
const ACCOUNT: &str = "123456789012";

async fn the_logs_metrics_and_traces_of_a_busy_program_hold_no_personal_data_and_no_secret(
    db: &TestDb,
) {
    let collector = Collector::start();
    let moto = Moto::start();
    staff::add(db, "default", STAFF, "S-1", Role::Admin).await;
    for (email, sms, push) in [
        ("ses", "sns", "sns"),
        ("smtp", "twilio", "fcm"),
        ("smtp", "twilio", "apns"),
    ] {
        let doors = Doors::open(&moto).await;
        let variables = doors
            .variables(db, &moto)
            .sandbox()
            .with("EMAIL__PROVIDERS", email)
            .with("SMS__PROVIDERS", sms)
            .with("PUSH__PROVIDERS", push)
            .with("DATABASE__URL", &with_password(db))
            .with("LOG__LEVEL", "trace");
        let variables = collector.told(variables);
        let mut child = Child::serve(&variables, "api,web,webhooks,worker,intake");
        let client = Client::with_new_key(child.address(), &db.store).await;
        let mut secrets = [SUBJECT, TEXT, HTML, NAME, METADATA, PASSWORD, client.key()]
            .map(str::to_owned)
            .to_vec();
        secrets.extend(every_kind_of_traffic(&client).await);
        sign_in(child.address()).await;
        doors.mail_comes_back(&client).await;
        if sms == "twilio" {
            doors.a_client_texts().await;
        }
        doors.a_queue_brings(&client).await;
        let of_commands = a_file_brings(&variables);
        secrets.extend(OF_DOORS.map(str::to_owned));
        let (status, metrics) = client.get("/metrics").await;
        assert!(
            status == 200 && metrics.contains("sendtrail_sends"),
            "{metrics}"
        );
        let log = format!("{}\n{of_commands}", child.log());
        child.stop();
        let traces = collector.text();
        assert!(traces.contains("\"attempt\""), "{traces}");
        assert!(
            log.contains("answered") && log.contains("subscription confirmed"),
            "{log}"
        );
        // What shows who we are to a provider.
        secrets.extend(["Bearer ", "bearer ", "ya29.", "Basic "].map(str::to_owned));
        for secret in secrets {
            for told in [&log, &metrics, &traces] {
                let line = told.lines().find(|line| line.contains(&secret));
                assert_eq!(line, None, "{secret}");
            }
        }
    }
}

/// The server of the tests asks for none and takes any.
fn with_password(db: &TestDb) -> String {
    db.url
        .replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1)
}

/// Good and bad; returns the addresses.
async fn every_kind_of_traffic(client: &Client) -> Vec<String> {
    let content = json!({"subject": SUBJECT, "text": TEXT, "html": HTML});
    let mut notifications = Vec::new();
    for story in [
        "opened",
        "bounced",
        "rejected",
        "throttled",
        "lost-answer",
        "down",
        "duplicate",
    ] {
        let to = format!("{story}+lychee@simulator.test");
        notifications.push(
            json!({"client": {"id": "C-1", "name": NAME}, "method": "email",
            "to": to, "type": "Offer", "content": content, "metadata": {"x": METADATA}}),
        );
    }
    for end in ["0001", "0004", "0007", "0009"] {
        notifications.push(json!({"client": "C-2", "method": "sms", "type": "Offer",
            "to": format!("+1500555{end}"), "content": {"text": TEXT}}));
    }
    for end in ["disabled", "unregistered", "down"] {
        notifications.push(json!({"client": "C-3", "method": "push", "type": "Offer",
            "to": format!("device-rambutan-{end}"), "content": {"title": SUBJECT, "text": TEXT}}));
    }
    let ids = client.enqueue(&notifications).await;
    for id in &ids {
        let ended = |entry: &Value| {
            entry["status"] != "Awaiting Send" && entry["next_attempt_at"].is_null()
        };
        client.until(id, ended).await;
    }
    let wrong = json!({"client": {"id": "C-1", "email": "pitaya@nowhere"}, "method": "email",
        "to": "pitaya@nowhere", "type": "Offer", "content": content});
    assert_eq!(client.post("/v1/notifications", &wrong).await.0, 422);
    assert_eq!(client.get("/v1/history?search=lychee").await.0, 200);
    assert_eq!(
        client.get("/v1/clients/pitaya@nowhere/history").await.0,
        404
    );
    let stranger = format!("{{\"Type\": \"Notification\", \"Message\": \"{TEXT}\"}}");
    assert_eq!(client.post_feedback(stranger).await.0, 400);
    ["lychee", "rambutan", "pitaya", "+1500555"]
        .map(str::to_owned)
        .to_vec()
}

/// In what comes in by other ways, and at the sign-in.
const OF_DOORS: [&str; 8] = [
    STAFF,
    staff::PASSWORD,
    WRONG_PASSWORD,
    "feijoa",
    "soursop",
    "+1415555",
    "longan",
    "mangosteen",
];

/// The right password, a wrong one, and nobody's.
async fn sign_in(address: SocketAddr) {
    for (email, password, status) in [
        (STAFF, WRONG_PASSWORD, 422),
        ("mangosteen@example.com", WRONG_PASSWORD, 422),
        (STAFF, staff::PASSWORD, 303),
    ] {
        let mut browser = Browser::on(address);
        let page = browser.sign_in(email, password).await;
        assert_eq!(page.status, status, "{email} {}", page.html);
        if status == 303 {
            assert!(browser.is_signed_in().await);
        }
    }
}

/// Where mail, texts and messages of queues come in.
struct Doors {
    mail: u16,
    sandbox: u16,
    queue: Queue,
}

impl Doors {
    async fn open(moto: &Moto) -> Self {
        Self {
            mail: free_port(),
            sandbox: free_port(),
            queue: Queue::at(&moto.url, ACCOUNT).await,
        }
    }

    fn variables(&self, db: &TestDb, moto: &Moto) -> Variables {
        self.queue
            .variables(db, &moto.url)
            .with("BOUNCES__LISTEN", &format!("127.0.0.1:{}", self.mail))
            .with("BOUNCES__ACCEPT_UNSIGNED", "true")
            .with("SMTP__BOUNCE_ADDRESS", "bounces@example.com")
            .with("SANDBOX__LISTEN", &format!("127.0.0.1:{}", self.sandbox))
    }

    /// A report about a message of ours, and any other mail.
    async fn mail_comes_back(&self, client: &Client) {
        let new = json!({"client": "C-4", "method": "email", "type": "Offer",
            "to": "sent+lychee@simulator.test", "content": {"subject": SUBJECT, "text": TEXT}});
        let id = client.enqueue(&[new]).await.remove(0);
        client
            .until(&id, |entry| entry["status"] != "Awaiting Send")
            .await;
        let report = format!(
            "From: feijoa-server@example.net\r\nTo: bounces@example.com\r\nSubject: feijoa\r\n\
             Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
             Final-Recipient: rfc822; feijoa@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp; 550 feijoa unknown\r\n\r\n--b\r\n\
             Content-Type: text/rfc822-headers\r\n\r\nX-Sendtrail-Id: {id}\r\n\
             Subject: {SUBJECT}\r\n\r\n--b--"
        );
        for mail in [&*report, "Subject: feijoa\r\n\r\nfeijoa"] {
            self.deliver(mail).await;
        }
        client
            .until(&id, |entry| !entry["facts"]["bounced"].is_null())
            .await;
    }

    async fn deliver(&self, mail: &str) {
        let stream = TcpStream::connect(("127.0.0.1", self.mail)).await.unwrap();
        let mut stream = BufReader::new(stream);
        let text = format!(
            "LHLO mx.example.net\r\nMAIL FROM:<feijoa@example.net>\r\nRCPT TO:<feijoa@example.com>\r\n\
             DATA\r\n{mail}\r\n.\r\nQUIT\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut answers, mut line) = (Vec::new(), String::new());
        while stream.read_line(&mut line).await.unwrap() > 0 {
            answers.push(std::mem::take(&mut line));
        }
        assert!(
            answers.contains(&"250 2.0.0 Kept\r\n".to_owned()),
            "{answers:?}"
        );
    }

    /// A question, and STOP.
    async fn a_client_texts(&self) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for body in ["soursop?", "STOP"] {
            let url = format!("http://127.0.0.1:{}/sandbox/texts", self.sandbox);
            let written = json!({"from": "+14155550199", "body": body});
            let answer = http.post(url).json(&written).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 204);
        }
    }

    /// What can be enqueued, and what cannot.
    async fn a_queue_brings(&self, client: &Client) {
        let good = json!({"client": {"id": "C-5", "name": "longan"}, "method": "email", "type": "Offer",
            "to": "sent+longan@simulator.test", "content": {"subject": "longan", "text": "longan"}});
        let mut wrong = good.clone();
        wrong["to"] = json!("longan@nowhere");
        let bodies = [good.to_string(), wrong.to_string(), "{longan".to_owned()];
        self.queue.send(&bodies).await;
        self.queue.emptied().await;
        assert_eq!(client.get("/v1/clients/C-5/history").await.0, 200);
    }
}

/// A good line and wrong ones. What the command logged.
fn a_file_brings(variables: &Variables) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mangosteen.jsonl");
    let good = json!({"client": {"id": "C-6", "name": "mangosteen"}, "method": "email", "type": "Offer",
        "to": "sent+mangosteen@simulator.test", "content": {"subject": "mangosteen", "text": "x"}});
    let mut wrong = good.clone();
    wrong["to"] = json!("mangosteen@nowhere");
    std::fs::write(&path, format!("{good}\n{wrong}\n{{mangosteen\n")).unwrap();
    let ran = run(variables, &["enqueue", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let logged = ran.errors.lines().filter(|line| line.starts_with('{'));
    logged.collect::<Vec<_>>().join("\n")
}
