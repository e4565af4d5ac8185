//! The password that `sendtrail staff add` asks for at a terminal.

use std::process::{Command, Output};

use super::child::Variables;
use crate::support::db::on_sqlite;
use crate::support::process::{peer_file, peers_python};

const PASSWORD: &str = "correct horse battery";

fn add(variables: &Variables, first: &str, second: &str) -> Output {
    let mut command = Command::new(peers_python());
    command
        .arg(peer_file("typed_password.py"))
        .args([first, second, env!("CARGO_BIN_EXE_sendtrail")])
        .args([
            "staff",
            "add",
            "--email",
            "ana@example.com",
            "--name",
            "Ana",
            "--role",
            "admin",
        ])
        .envs(variables.iter());
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_typed_twice_and_never_shown() {
    on_sqlite(async |db| {
        let variables = Variables::of(db);
        let differ = add(&variables, PASSWORD, "another horse battery");
        let shown = String::from_utf8(differ.stdout).unwrap();
        assert!(
            !differ.status.success() && shown.contains("the two passwords differ"),
            "{shown}"
        );
        assert!(db.store.all_staff().await.unwrap().is_empty());
        let added = add(&variables, PASSWORD, PASSWORD);
        let shown = String::from_utf8(added.stdout).unwrap();
        assert!(added.status.success(), "{shown}");
        assert!(
            shown.contains("Password: ") && shown.contains("Again: "),
            "{shown}"
        );
        assert!(!shown.contains("horse"), "{shown}");
        let kept = db.store.staff_credentials("ana@example.com").await.unwrap();
        assert!(kept.unwrap().password.starts_with("$argon2id$"));
    })
    .await;
}
