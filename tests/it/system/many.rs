//! Many processes and many messages on one PostgreSQL, which is killed in the middle: each message
//! goes exactly once. `scripts/test` runs these apart from the rest, because they fill the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child::{Child, Variables};
use super::queue::{all_done, fill, sent, statuses};
use super::sink::Sink;
use crate::support::db::{TestDb, postgres_at};

const COUNT: usize = 100_000;
/// For all messages with a debug build, on a machine that also plays the receiving server.
const TIMEOUT: Duration = Duration::from_mins(8);
/// Longer than PostgreSQL takes to come back.
const LEASE_SECONDS: &str = "30";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_send_each_of_100_000_exactly_once() {
    let server = Server::start();
    postgres_at(server.url.clone(), true, async |db| {
        exactly_once(db, 2, || {}).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_send_each_of_100_000_exactly_once_though_postgresql_is_killed() {
    let server = Server::start();
    postgres_at(server.url.clone(), true, async |db| {
        exactly_once(db, 4, || server.crash()).await;
    })
    .await;
}

async fn exactly_once(db: &TestDb, workers: usize, in_the_middle: impl FnOnce()) {
    let enqueued = fill(db, COUNT).await;
    let sink = Sink::start(Duration::ZERO).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("DELIVERY__LEASE_SECONDS", LEASE_SECONDS);
    let names = (1..=workers).map(|number| format!("worker-{number}.example"));
    let children = names.map(|name| {
        let variables = variables.clone().with("SMTP__HELLO_NAME", &name);
        Child::serve(&variables, "worker")
    });
    let children: Vec<Child> = children.collect();
    sink.until(COUNT / 2, TIMEOUT).await;
    in_the_middle();
    all_done(db, TIMEOUT).await;
    children.into_iter().for_each(Child::stop);

    assert_eq!(sink.repeated(), BTreeSet::new(), "sent more than once");
    assert!(sink.ids() == enqueued, "some were lost or invented");
    assert_eq!(sink.count(), COUNT);
    assert_eq!(statuses(db).await, [format!("Sent {COUNT}")]);
    assert!(sent(db).await == enqueued);
    let mut shares = BTreeMap::<String, usize>::new();
    for worker in sink.seen().into_values().flatten() {
        *shares.entry(worker).or_default() += 1;
    }
    let fair = |share: &usize| *share > COUNT / workers / 4;
    assert!(
        shares.len() == workers && shares.values().all(fair),
        "{shares:?}"
    );
}

/// A PostgreSQL of this test's own, on which a commit means what it says.
struct Server {
    folder: tempfile::TempDir,
    url: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let said = script(&["start-durable", &cluster(&folder)]);
        Self {
            url: said.trim().to_owned(),
            folder,
        }
    }

    /// Kills it and starts it again.
    fn crash(&self) {
        script(&["crash", &cluster(&self.folder)]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script(&["stop", &cluster(&self.folder)]);
    }
}

/// A folder in one that the server's user may enter.
fn cluster(folder: &tempfile::TempDir) -> String {
    let passable = Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), passable).unwrap();
    folder.path().join("cluster").display().to_string()
}

/// Runs `scripts/postgres`; returns what it printed.
fn script(arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let output = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
