//! The command line, as people and scripts use it: outputs, exit codes, complaints.

use serde_json::Value;

use super::child::{Child, Ran, Variables, run, run_in};
use super::client::Client;
use super::signed::{TOPIC, fixture};
use crate::support::db::{TestDb, both, postgres, sqlite};

both!(
    a_key_is_printed_alone_works_and_stops_working_when_revoked,
    a_worker_alone_serves_no_api,
    the_doctor_is_content_with_the_sandbox,
    the_reason_of_an_erasure_is_one_line,
);

fn expect(ran: &Ran, code: i32, said: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for words in said {
        let found = ran.out.contains(words) || ran.errors.contains(words);
        assert!(found, "{words:?} is not in {ran:?}");
    }
}

async fn a_key_is_printed_alone_works_and_stops_working_when_revoked(db: &TestDb) {
    let variables = Variables::of(db);
    let add = ["keys", "add", "--name", "shop", "--scopes", "enqueue,read"];
    let added = run(&variables, &add);
    expect(&added, 0, &[]);
    let key = added.out.trim_end();
    assert!(added.out.lines().count() == 1 && key.starts_with("st_") && !key.contains(' '));
    let mut child = Child::serve(&variables, "api");
    let address = child.address();
    assert_eq!(Client::new(address, key).get("/v1/history").await.0, 200);
    assert_eq!(
        Client::new(address, "st_other").get("/v1/history").await.0,
        401
    );

    let past = "2020-01-01T00:00:00Z";
    let old = [
        "keys",
        "add",
        "--name",
        "old",
        "--scopes",
        "read",
        "--expires-at",
        past,
    ];
    expect(&run(&variables, &old), 0, &[]);
    let listed = run(&variables, &["keys", "list"]);
    expect(
        &listed,
        0,
        &["shop", "enqueue,read", "valid", "expired 2020"],
    );
    assert!(!listed.out.contains(key));
    assert_eq!(
        listed.errors, "",
        "a command that goes well says nothing else"
    );
    let id = listed.out.split_whitespace().next().unwrap();
    expect(&run(&variables, &["keys", "revoke", id]), 0, &["revoked"]);
    // The program may remember a key for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(Client::new(address, key).get("/v1/history").await.0, 401);
    expect(
        &run(&variables, &["keys", "revoke", id]),
        1,
        &[id, "no valid key"],
    );

    let nobody = [
        "keys",
        "add",
        "--name",
        "shop",
        "--scopes",
        "read",
        "--business",
        "",
    ];
    expect(&run(&variables, &nobody), 1, &["--business", "1 to 100"]);
    let wrong = ["keys", "add", "--name", "shop", "--scopes", "enqueue,cook"];
    expect(
        &run(&variables, &wrong),
        1,
        &["--scopes", "cook", "enqueue, read, admin"],
    );
    assert!(!child.log().contains(key));
    child.stop();
}

async fn a_worker_alone_serves_no_api(db: &TestDb) {
    let mut child = Child::serve(&Variables::of(db).sandbox(), "worker");
    let client = Client::new(child.address(), "none");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(client.get(path).await.0, 200, "{path}");
    }
    for path in ["/v1/history", "/openapi.json", "/", "/webhooks/sns"] {
        assert_eq!(client.get(path).await.0, 404, "{path}");
    }
    child.stop();
    let cook = run(&Variables::of(db), &["serve", "--roles", "worker,cook"]);
    expect(&cook, 2, &["cook", "api, web, webhooks, worker, intake"]);
}

/// Without the settings of the service, somewhere.
#[test]
fn a_command_about_what_is_there_makes_no_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    let none = Variables::default().with("SANDBOX__ENABLED", "true");
    let at = folder.path().join("sendtrail.sqlite");
    let id = "00000000-0000-0000-0000-000000000000";
    let erase = [
        "clients",
        "erase",
        "C-1",
        "--confirm",
        "C-1",
        "--reason",
        "x",
    ];
    for command in [
        &["failures"][..],
        &["clients", "export", "C-1"],
        &erase,
        &["keys", "list"],
        &["keys", "revoke", id],
        &["staff", "list"],
        &["staff", "deactivate", "--email", "ana@example.com"],
        &["business", "show"],
        &["providers", "list"],
        &["brakes", "list"],
        &["intake", "buried", "list"],
        &["webhooks", "list"],
        &["feedback", "list"],
        &["verify"],
        &["backup", "copy.sqlite"],
        &["doctor"],
    ] {
        let ran = run_in(folder.path(), &none, command);
        let said = [at.to_str().unwrap(), "--config FILE", "`sendtrail migrate`"];
        expect(&ran, 1, &said);
        assert!(!at.exists(), "{command:?}");
    }
    // A mail server is told to try again.
    expect(
        &run_in(folder.path(), &none, &["bounce"]),
        75,
        &["no database"],
    );
    let add = ["keys", "add", "--name", "shop", "--scopes", "read"];
    expect(&run_in(folder.path(), &none, &add), 0, &["st_"]);
    expect(
        &run_in(folder.path(), &none, &["keys", "list"]),
        0,
        &["shop"],
    );
}

async fn the_reason_of_an_erasure_is_one_line(db: &TestDb) {
    let long = "x".repeat(501);
    for reason in ["", " ", "asked\nby letter", &long] {
        let erase = [
            "clients",
            "erase",
            "C-1",
            "--confirm",
            "C-1",
            "--reason",
            reason,
        ];
        let ran = run(&Variables::of(db), &erase);
        expect(&ran, 1, &["--reason: one line of 1 to 500 characters"]);
    }
    let erase = [
        "clients",
        "erase",
        "C-1",
        "--confirm",
        "C-1",
        "--reason",
        "asked",
    ];
    expect(&run(&Variables::of(db), &erase), 1, &["has no client C-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_filled_by_migrate_alone_where_it_is_told_so() {
    async fn body(db: &TestDb) {
        let variables = Variables::of(db).with("DATABASE__MIGRATE_ON_START", "false");
        expect(
            &run(&variables, &["serve"]),
            1,
            &["run `sendtrail migrate`"],
        );
        let doctor = run(&variables.clone().sandbox(), &["doctor"]);
        expect(
            &doctor,
            1,
            &["TROUBLE  database", "run `sendtrail migrate`"],
        );
        expect(&run(&variables, &["migrate"]), 0, &["up to date"]);
        assert_eq!(db.count("contact_log").await, 0);
        Child::serve(&variables.sandbox(), "worker").address();
    }
    sqlite(false, body).await;
    postgres(false, body).await;
}

async fn the_doctor_is_content_with_the_sandbox(db: &TestDb) {
    let ran = run(&Variables::of(db).sandbox(), &["doctor"]);
    let said = [
        "ok       settings",
        "ok       database",
        "sandbox stands in",
    ];
    // The tests' server gives its durability up for speed, and a doctor says so.
    expect(&ran, i32::from(db.is_postgres()), &said);
    let mut troubles = ran.out.lines().filter(|line| line.contains("TROUBLE"));
    assert!(
        troubles.all(|line| line.contains("database durability")),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_names_every_trouble() {
    sqlite(true, async |db| {
        // Nobody listens there.
        let nobody = format!("smtp://127.0.0.1:{}", crate::support::process::free_port());
        let variables = Variables::of(db)
            .with("EMAIL__PROVIDERS", "smtp")
            .with("SMTP__URL", &nobody)
            .with("SNS__ENDPOINT_URL", &nobody.replace("smtp", "http"))
            .with("SNS__REGION", "us-east-1")
            .with("SNS__ACCESS_KEY_ID", "test")
            .with("SNS__SECRET_ACCESS_KEY", "test")
            .with("PUSH__PROVIDERS", "");
        let troubles = [
            "ok       database",
            "TROUBLE  feedback topics",
            "set feedback.sns.topics",
            "TROUBLE  email by smtp",
            "TROUBLE  sms by sns",
            "warning  http.public_url is not set",
            "warning  smtp.bounce_address is not set",
        ];
        expect(&run(&variables, &["doctor"]), 1, &troubles);
        let others = of_other_providers(&variables, &nobody.replace("smtp", "http"));
        for (push, troubles) in [
            ("fcm", ["TROUBLE  sms by twilio", "TROUBLE  push by fcm"]),
            ("apns", ["TROUBLE  sms by twilio", "TROUBLE  push by apns"]),
        ] {
            let variables = others.clone().with("PUSH__PROVIDERS", push);
            expect(&run(&variables, &["doctor"]), 1, &troubles);
        }
        let gone = variables.with("DATABASE__URL", "postgres://nobody@127.0.0.1:1/none");
        expect(&run(&gone, &["doctor"]), 1, &["TROUBLE  database"]);
    })
    .await;
}

/// Everything set, and nobody at the addresses.
fn of_other_providers(variables: &Variables, nobody: &str) -> Variables {
    let fixture = |file: &str| {
        let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let account = fixture("fcm/service_account.TEST.json");
    let account = account.replace("https://oauth2.googleapis.com", nobody);
    variables
        .clone()
        .with("SMS__PROVIDERS", "twilio")
        .with("TWILIO__ENDPOINT_URL", nobody)
        .with("TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000000")
        .with("TWILIO__AUTH_TOKEN", "test")
        .with("TWILIO__FROM", "+15005550006")
        .with("FCM__ENDPOINT_URL", nobody)
        .with("FCM__SERVICE_ACCOUNT", &account)
        .with("APNS__ENDPOINT_URL", nobody)
        .with("APNS__KEY", &fixture("apns/AuthKey_ABC123DEFG.TEST.p8"))
        .with("APNS__KEY_ID", "ABC123DEFG")
        .with("APNS__TEAM_ID", "DEF123GHIJ")
        .with("APNS__TOPIC", "com.example.app")
}

#[test]
fn a_provider_without_its_settings_is_named_with_what_is_missing() {
    let bare = Variables::default()
        .with("SMS__PROVIDERS", "twilio")
        .with("PUSH__PROVIDERS", "fcm,apns");
    let keys = [
        "twilio.account_sid is missing",
        "twilio.auth_token is missing",
        "twilio.from is missing",
        "fcm.service_account_file is missing",
        "apns.key_id is missing",
        "apns.team_id is missing",
        "apns.topic is missing",
        "apns.key_file is missing",
    ];
    expect(&run(&bare, &["config", "check"]), 1, &keys);
    let sandbox = bare.clone().with("SANDBOX__ENABLED", "true");
    expect(&run(&sandbox, &["config", "check"]), 0, &["valid"]);
    let set = of_other_providers(&bare, "https://provider.example");
    expect(&run(&set, &["config", "check"]), 0, &["valid"]);
}

#[test]
fn wrong_settings_are_all_named_at_once() {
    let none = Variables::default();
    let words = ["valid", "warning: http.public_url is not set"];
    expect(&run(&none, &["config", "check"]), 0, &words);
    let reached = none
        .clone()
        .with("HTTP__PUBLIC_URL", "https://notify.example.com");
    let ran = run(&reached, &["config", "check"]);
    assert!(
        ran.code == Some(0) && !ran.out.contains("warning"),
        "{ran:?}"
    );
    let wrong = none
        .clone()
        .with("DATABASE__URL", "mysql://somewhere")
        .with("DELIVERY__BATCH", "0")
        .with("DELIVERY__RETRY_MULTIPLIER", "99")
        .with("EMAIL__FROM", "nobody");
    let keys = [
        "database.url",
        "delivery.batch",
        "delivery.retry_multiplier",
        "email.from",
    ];
    expect(&run(&wrong, &["config", "check"]), 1, &keys);
    let unknown = none.clone().with("DELIVERY__BACTH", "1");
    expect(&run(&unknown, &["config", "check"]), 1, &["bacth"]);
    let no_number = none.clone().with("DELIVERY__BATCH", "many");
    expect(
        &run(&no_number, &["config", "check"]),
        1,
        &["delivery.batch"],
    );
    let production = none
        .clone()
        .with("ENVIRONMENT", "production")
        .with("SANDBOX__ENABLED", "true")
        .with("WEB__SAMPLE_STAFF", "true");
    let keys = ["sandbox.enabled", "web.sample_staff"];
    for command in ["config check", "serve", "doctor"] {
        let command: Vec<&str> = command.split(' ').collect();
        expect(&run(&production, &command), 1, &keys);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "[delivery]\nbatch = 5\n[htpp]\nlisten = \"x\"\n").unwrap();
    let file = file.to_str().unwrap();
    expect(
        &run(&none, &["--config", file, "config", "check"]),
        1,
        &["htpp"],
    );
    let level = none.with("LOG__LEVEL", "=nonsense=");
    expect(&run(&level, &["migrate"]), 1, &["log.level"]);
}

#[test]
fn every_command_explains_itself() {
    let none = Variables::default();
    let commands = [
        "serve",
        "demo",
        "migrate",
        "config check",
        "doctor",
        "keys add",
        "keys list",
        "keys revoke",
        "enqueue",
        "intake buried list",
        "intake buried show",
        "intake buried retry",
        "intake buried drop",
        "feedback check",
        "staff add",
        "staff role",
    ];
    let all = run(&none, &["--help"]);
    expect(&all, 0, &["--config", "Usage:"]);
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        assert!(all.out.contains(words[0]), "{command}");
        let help = run(&none, &[&words[..], &["--help"]].concat());
        let usage = format!("Usage: sendtrail {command}");
        expect(&help, 0, &[&usage]);
        let first = help.out.lines().next().unwrap();
        assert!(first.len() > 20, "{command} says too little: {first}");
    }
    expect(&run(&none, &["--version"]), 0, &[env!("CARGO_PKG_VERSION")]);
    expect(&run(&none, &["send"]), 2, &["send"]);
}

/// The path of a file under `tests/fixtures/sns`.
fn path(name: &str) -> String {
    format!("{}/tests/fixtures/sns/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn check(topic: &str, file: &str, more: &[&str]) -> Ran {
    let variables = Variables::default().with("FEEDBACK__SNS__TOPICS", topic);
    let file = path(file);
    run(&variables, &[&["feedback", "check", &file], more].concat())
}

#[test]
fn stored_feedback_is_judged_at_its_own_time_and_refused_today() {
    let manifest: Value = serde_json::from_str(&fixture("kat/manifest.json")).unwrap();
    for entry in manifest.as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap();
        let file = format!("kat/{}", text("message"));
        let message: Value = serde_json::from_str(&fixture(&file)).unwrap();
        let topic = message["TopicArn"].as_str().unwrap();
        let certificate = path(&format!("kat/{}", text("cert")));
        let at = ["--certificate", &certificate, "--at", text("timestamp")];
        let accepted = format!("accepted: {} of {topic}", text("type"));
        expect(&check(topic, &file, &at), 0, &[&accepted]);
        let today = &at[..2];
        expect(
            &check(topic, &file, today),
            1,
            &["refused: the signing certificate is valid"],
        );
        expect(
            &check(TOPIC, &file, &at),
            1,
            &["refused: the topic", "REFUSED", topic],
        );
    }
}

#[test]
fn tampered_feedback_is_refused_at_any_time() {
    let tampered: Value =
        serde_json::from_str(&fixture("negative/tampered_must_fail.json")).unwrap();
    let certificate = path("test-signing/cert.pem");
    let at = [
        "--certificate",
        &certificate,
        "--at",
        "2026-01-15T10:00:06Z",
    ];
    expect(&check(TOPIC, "signed_ses/open.json", &at), 0, &["accepted"]);
    let folder = tempfile::tempdir().unwrap();
    for (what, message) in tampered.as_object().unwrap() {
        let file = folder.path().join("message.json");
        std::fs::write(&file, message.to_string()).unwrap();
        let variables = Variables::default().with("FEEDBACK__SNS__TOPICS", TOPIC);
        let file = file.to_str().unwrap();
        let ran = run(
            &variables,
            &[&["feedback", "check", file], &at[..]].concat(),
        );
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.out.starts_with("refused: "), "{what}: {ran:?}");
    }
    let nothing = check(TOPIC, "no-such-file.json", &at);
    expect(&nothing, 2, &["cannot read", "no-such-file.json"]);
    let no_time = check(TOPIC, "signed_ses/open.json", &["--at", "yesterday"]);
    expect(&no_time, 2, &["--at", "RFC 3339"]);
    let no_certificate = ["--certificate", &path("signed_ses/open.json")];
    assert_eq!(
        check(TOPIC, "signed_ses/open.json", &no_certificate).code,
        Some(2)
    );
}
