//! A client who asks what is kept, and one who is forgotten: no page, no answer and no file shows it any more.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use sendtrail::domain::role::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, text};
use super::pages_entry::{field, member};
use super::staff::{Browser, start};
use crate::support::db::{TestDb, both};

both! {
    no_page_no_answer_and_no_file_shows_a_forgotten_client,
    a_client_on_hold_is_exported_and_not_forgotten,
}

/// Stands in everything that is the client's own.
const MARK: &str = "zq";

fn email(local: &str) -> Value {
    json!({
        "client": {"id": "C-zq", "name": "Zqana Ruiz"}, "method": "email",
        "to": format!("{local}+zqmail@simulator.test"), "type": "Booking confirmation",
        "metadata": {"zqkey": "zqvalue"}, "idempotency_key": format!("zq-{local}"),
        "content": {"subject": "Zqsubject", "text": "Dear zqana",
            "attachments": [{"name": "zq.txt", "content_type": "text/plain", "data": "enF6cQ=="}]},
    })
}

async fn admin(client: &Client, db: &TestDb, program: &super::program::Program) -> Client {
    let admin = Client::with_key_for("admin", program.app.address(), &db.store).await;
    assert_ne!(admin.key(), client.key());
    admin
}

async fn deleted(admin: &Client, path: &str) -> (u16, Value) {
    let (status, body) = admin.ask(Method::DELETE, path, None).await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

async fn no_page_no_answer_and_no_file_shows_a_forgotten_client(db: &TestDb) {
    let program = start(db).await;
    let admin = admin(&program.client, db, &program).await;
    let ids = program
        .client
        .enqueue(&[email("bounced"), email("clicked"), email("complained")])
        .await;
    exported(&program.client, &admin, &ids).await;
    let mut browser = member(db, &program, Role::Admin).await;
    let run = run_of(&mut browser).await;
    let client = erased(&mut browser, &admin).await;
    operators(db, &mut browser, &run).await;
    pages(&mut browser, &client).await;
    entries(&mut browser, &admin, &ids).await;
    answers(&admin, &client).await;
    // The statuses are what they were.
    assert_eq!(admin.entry(&ids[0]).await["status"], "Bounced");
    program.stop().await;
}

/// Once every message has come to its end, all of it is handed over.
async fn exported(client: &Client, admin: &Client, ids: &[String]) {
    for (id, status) in ids.iter().zip(["Bounced", "Opened", "Sent"]) {
        let is_so = |entry: &Value| {
            let facts = &entry["facts"];
            let ends = ["bounced", "clicked", "complained"];
            ends.iter().any(|end| !facts[end].is_null())
        };
        let entry = client.until(id, is_so).await;
        assert!(
            entry["statuses"].to_string().contains(status) || status == "Sent",
            "{entry}"
        );
    }
    let (status, document) = admin.get("/v1/clients/C-zq/export").await;
    let exported: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (status, exported["entries"].as_array().unwrap().len()),
        (200, 3)
    );
    let first = &exported["entries"][0];
    assert_eq!(first["content"]["subject"], "Zqsubject", "{first}");
    assert!(first["timeline"].as_array().unwrap().len() >= 3, "{first}");
    assert_eq!(
        exported["suppressions"].as_array().unwrap().len(),
        2,
        "{exported}"
    );
}

/// At the page for it. The id that the client has from then on.
async fn erased(browser: &mut Browser, admin: &Client) -> String {
    let token = browser.token().await;
    let path = "/clients/C-zq/erase";
    assert!(browser.get(path).await.html.contains("Erase this client"));
    let form = |id| {
        [
            ("token", token.as_str()),
            ("id", id),
            ("reason", "asked by letter"),
        ]
    };
    assert_eq!(browser.post(path, &form("C-1")).await.status, 422);
    let erased = browser.post(path, &form("C-zq")).await;
    assert_eq!(erased.status, 303, "{}", erased.html);
    let client = erased
        .location
        .strip_prefix("/clients/")
        .unwrap()
        .to_owned();
    let (status, erasure) = deleted(admin, &format!("/v1/clients/{client}")).await;
    assert_eq!(
        (status, &erasure["reason"]),
        (200, &json!("asked by letter"))
    );
    let at = format!("/v1/erasures/{}", text(&erasure["id"]));
    let started = std::time::Instant::now();
    while !admin.get(&at).await.1.contains("checking") {
        assert!(started.elapsed() < Duration::from_secs(30), "{at}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client
}

async fn pages(browser: &mut Browser, client: &str) {
    let own = format!("/clients/{client}");
    for page in [
        "/",
        "/clients?q=erased",
        "/tasks",
        "/downloads",
        "/downloads/history.csv",
        &own,
    ] {
        let shown = browser.get(page).await;
        assert_eq!(shown.status, 200, "{page}");
        unmarked(page, &shown.html);
    }
}

/// What operators see of failures and of the traffic, what can be sent again, and files with the history.
async fn operators(db: &TestDb, browser: &mut Browser, run: &str) {
    let causes = db.texts("SELECT id FROM failure_causes").await;
    assert!(!causes.is_empty());
    let causes = causes.iter().map(|id| format!("/failures/{id}"));
    let fixed = [
        "/failures",
        "/console",
        "/console/live",
        "/resend?status=Bounced",
        "/live",
        run,
    ];
    for page in fixed.map(str::to_owned).into_iter().chain(causes) {
        let shown = browser.get(&page).await;
        assert_eq!(shown.status, 200, "{page}: {}", shown.html);
        unmarked(&page, &shown.html);
    }
    let token = browser.token().await;
    let fields = [("token", &*token), ("format", "xlsx")];
    let asked = browser.post("/downloads", &fields).await;
    assert_eq!(asked.status, 303, "{}", asked.html);
    let started = std::time::Instant::now();
    let file = loop {
        let html = browser.get("/downloads").await.html;
        let mut links = html.split("href=\"/downloads/").skip(1);
        let link = links.find_map(|it| Uuid::try_parse(it.split('"').next()?).ok());
        if let Some(id) = link {
            break format!("/downloads/{id}");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{html}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let text = sheets(&browser.bytes(&file).await);
    assert!(text.contains("Erased client"), "{text}");
    unmarked(&file, &text);
}

/// What stands in a workbook, as Python unpacks it.
fn sheets(workbook: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(workbook).unwrap();
    let read = "import sys, zipfile\n\
                book = zipfile.ZipFile(sys.argv[1])\n\
                for name in book.namelist(): sys.stdout.buffer.write(book.read(name))";
    let mut python = Command::new("python3");
    let output = python.args(["-c", read]).arg(file.path()).output();
    let output = output.expect("python3 is needed: run scripts/test");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Begun by a search for the client: the page of the run.
async fn run_of(browser: &mut Browser) -> String {
    let path = "/resend?search=zqmail";
    let html = browser.get(path).await.html;
    let (token, id) = (browser.token().await, field(&html, "id"));
    let begun = browser
        .post(path, &[("token", &*token), ("id", &*id)])
        .await;
    assert_eq!(begun.status, 303, "{}", begun.html);
    begun.location
}

async fn entries(browser: &mut Browser, admin: &Client, ids: &[String]) {
    for id in ids {
        let shown = browser.get(&format!("/entries/{id}")).await;
        assert!(shown.html.contains("Erased client"), "{}", shown.html);
        assert!(
            shown.html.contains("when the client was erased"),
            "{}",
            shown.html
        );
        unmarked(id, &shown.html);
        let (status, gone) = admin.get(&format!("/v1/notifications/{id}/content")).await;
        assert_eq!(status, 410, "{gone}");
        let again = admin
            .post(&format!("/v1/notifications/{id}/resend"), &json!({}))
            .await;
        assert_eq!(again.0, 409, "{}", again.1);
        let entry = admin.entry(id).await;
        unmarked(id, &entry.to_string());
    }
}

async fn answers(admin: &Client, client: &str) {
    for answer in [
        "/v1/history".to_owned(),
        format!("/v1/clients/{client}"),
        format!("/v1/clients/{client}/export"),
        "/v1/suppressions".to_owned(),
        "/v1/tasks".to_owned(),
        "/v1/failures".to_owned(),
        "/v1/feedback".to_owned(),
    ] {
        let (status, body) = admin.get(&answer).await;
        assert_eq!(status, 200, "{answer}: {body}");
        unmarked(&answer, &body);
    }
    assert_eq!(admin.get("/v1/clients/C-zq").await.0, 404);
}

fn unmarked(what: &str, shown: &str) {
    let shown = shown.to_lowercase();
    let at = shown.find(MARK);
    assert_eq!(at, None, "{what}: {}", &shown[at.unwrap_or(0)..]);
}

async fn a_client_on_hold_is_exported_and_not_forgotten(db: &TestDb) {
    let program = start(db).await;
    let admin = admin(&program.client, db, &program).await;
    program.client.enqueue(&[email("delivered")]).await;
    let hold = json!({"hold": true});
    let patch = async |client: &Client| {
        let answer = client
            .ask(Method::PATCH, "/v1/clients/C-zq", Some(&hold))
            .await;
        answer.unwrap().0
    };
    assert_eq!(patch(&program.client).await, 403);
    assert_eq!(patch(&admin).await, 200);
    let (status, problem) = deleted(&admin, "/v1/clients/C-zq?reason=x").await;
    assert_eq!(status, 409);
    assert!(text(&problem["detail"]).contains("on hold"), "{problem}");
    assert_eq!(admin.get("/v1/clients/C-zq/export").await.0, 200);
    assert_eq!(admin.get("/v1/clients/C-none/export").await.0, 404);
    assert_eq!(deleted(&admin, "/v1/clients/C-none").await.0, 404);
    let wrong = deleted(&admin, "/v1/clients/C-zq?why=x").await;
    assert_eq!(wrong.0, 422, "{}", wrong.1);
    program.stop().await;
}
