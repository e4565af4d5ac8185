//! The examples of `docs/integrate.md`, run as they stand there.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::child::{Variables, run};
use super::integrate_client::enqueue;
use super::program::Program;
use crate::support::db::on_postgres;
use crate::support::process::{Process, free_port};

const PAGE: &str = include_str!("../../../docs/integrate.md");
/// Compiled, so that it is Rust; compared with the page below.
const CLIENT: &str = include_str!("integrate_client.rs");
const TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The blocks of a language that follow a heading of the page.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let begin = format!("```{language}\n");
    let blocks = section.split(&begin).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

fn block(heading: &str, language: &str) -> &'static str {
    blocks(heading, language)[0]
}

/// What a command prints, which must go well.
async fn output(mut command: Command) -> String {
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    String::from_utf8(ran.stdout).unwrap()
}

/// A program that runs the text in this file.
fn program(name: &str, folder: &Path, file: &str, text: &str) -> Command {
    std::fs::write(folder.join(file), text).unwrap();
    let mut command = Command::new(name);
    command.arg(folder.join(file)).env("NO_PROXY", "*");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_enqueue_and_see_what_became_of_it_and_verify_webhooks() {
    on_postgres(async |db| {
        let variables = Variables::of(db)
            .sandbox()
            .with("WEBHOOKS__ALLOW_HTTP", "true")
            .with("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true");
        let running = Program::start(&variables).await;
        let folder = tempfile::tempdir().unwrap();
        let mut receivers = Vec::new();
        for (name, language, file) in [("python3", "python", "hook.py"), ("node", "ts", "hook.mjs")]
        {
            let port = free_port();
            let url = format!("http://127.0.0.1:{port}/");
            let added = run(&variables, &["webhooks", "add", "--url", &url]);
            let text = block("Webhooks", language);
            let mut command = program(name, folder.path(), file, text);
            command
                .env("PORT", port.to_string())
                .env("SECRET", added.out.trim());
            receivers.push((Process::spawn(command).listening(port), url));
        }
        let base = format!("http://{}", running.app.address());
        let key = running.client.key();
        let mut ids = Vec::new();
        for (name, heading, language, file) in [
            ("sh", "curl", "sh", "a.sh"),
            ("python3", "Python", "python", "a.py"),
            ("node", "TypeScript", "ts", "a.mjs"),
        ] {
            let mut command = program(name, folder.path(), file, block(heading, language));
            command.env("SENDTRAIL", &base).env("KEY", key);
            ids.push(printed(heading, &output(command).await));
        }
        let entry = enqueue(&base, key).await.unwrap();
        ids.push(entry["id"].as_str().unwrap().to_owned());
        let [into, seen] = blocks("SQL", "sql").try_into().unwrap();
        ids.push(
            db.texts(into.trim_end().trim_end_matches(';'))
                .await
                .remove(0),
        );
        for id in &ids {
            running
                .client
                .until(id, |entry| entry["status"] == "Opened")
                .await;
        }
        let seen = seen.trim_end().trim_end_matches(';');
        let counted = format!("SELECT CAST(COUNT(*) AS TEXT) FROM ({seen}) AS seen");
        assert_eq!(db.texts(&counted).await, [ids.len().to_string()]);
        for (receiver, url) in &receivers {
            are_told(receiver, &ids).await;
            let forged = json!({"type": "notification.sent", "data": {"id": "forged"}});
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = http.post(url).json(&forged).send().await.unwrap();
            assert_eq!(answer.status(), 401, "what nobody signed");
            assert!(
                !receiver.output().contains("forged"),
                "{}",
                receiver.output()
            );
        }
        running.stop().await;
    })
    .await;
}

/// The id that an example prints, with a status that is not the first.
fn printed(heading: &str, output: &str) -> String {
    let (id, status) = output
        .trim()
        .split_once(' ')
        .unwrap_or_else(|| panic!("{heading}: {output}"));
    assert!(
        ["Sent", "Unopened", "Opened"].contains(&status),
        "{heading}: {output}"
    );
    id.to_owned()
}

async fn are_told(receiver: &Process, ids: &[String]) {
    let began = Instant::now();
    for id in ids {
        let told = format!("notification.opened {id} Opened");
        while !receiver.output().contains(&told) {
            assert!(began.elapsed() < TIMEOUT, "{told}: {}", receiver.output());
            sleep(POLL_INTERVAL).await;
        }
    }
}

#[test]
fn the_example_in_rust_is_the_one_that_is_compiled() {
    let (_, code) = CLIENT.split_once("\n\n").unwrap();
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let compiled = squeezed(code).replace("pub(super)", "");
    // The formatter sets a comma where it breaks a line.
    assert_eq!(
        compiled.replace(",)", ")"),
        squeezed(block("Rust", "rust")).replace(",)", ")")
    );
}
