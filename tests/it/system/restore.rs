//! A restore after `kill -9` under load: nothing that was acknowledged is missing, and what waited is sent.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::domain::id::NotificationId;
use sendtrail::store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::child::{Child, Variables, run};
use super::client::Client;
use super::kill::call_until_cut;
use super::sink::Sink;

type Acknowledged = Arc<watch::Sender<BTreeSet<String>>>;

const TIMEOUT: Duration = Duration::from_mins(1);
const CALLERS: usize = 4;
/// Acknowledged before the backup begins, and once more before the kill.
const SOME: usize = 300;

fn variables(url: &str) -> Variables {
    Variables::default()
        .with("DATABASE__URL", url)
        .with("HTTP__LISTEN", "127.0.0.1:0")
        .with("LOG__FORMAT", "json")
}

/// Callers that enqueue one batch after the other.
struct Load {
    child: Child,
    acknowledged: Acknowledged,
    callers: Vec<JoinHandle<serde_json::Value>>,
}

impl Load {
    async fn begin(url: &str) -> Self {
        let mut child = Child::serve(&variables(url), "api");
        let address = child.address();
        let store = Store::open(url, 4, Clock::system()).await.unwrap();
        let client = Client::with_new_key(address, &store).await;
        // Whoever closes the database last takes SQLite's log into it.
        store.close().await;
        let acknowledged: Acknowledged = Arc::new(watch::Sender::new(BTreeSet::new()));
        let callers = (0..CALLERS).map(|caller| {
            let call = call_until_cut(caller, client.clone(), Arc::clone(&acknowledged));
            tokio::spawn(call)
        });
        Self {
            callers: callers.collect(),
            child,
            acknowledged,
        }
    }

    /// Until that many are acknowledged; these.
    async fn until(&self, count: usize) -> BTreeSet<String> {
        let mut changes = self.acknowledged.subscribe();
        let enough = changes.wait_for(|ids| ids.len() >= count);
        let enough = tokio::time::timeout(TIMEOUT, enough).await.unwrap();
        enough.unwrap().clone()
    }

    /// SIGKILL; what was acknowledged.
    async fn kill(self) -> BTreeSet<String> {
        self.child.kill();
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.acknowledged.borrow().clone()
    }
}

/// Every one of them is there, and the program sends all that waits there.
async fn restored(url: &str, acknowledged: &BTreeSet<String>) {
    let store = Store::open(url, 4, Clock::system()).await.unwrap();
    let ids: Vec<NotificationId> = acknowledged
        .iter()
        .map(|id| NotificationId::parse(id).unwrap())
        .collect();
    let found = store.entries("default", &ids).await.unwrap();
    assert_eq!(found.len(), ids.len(), "acknowledged and lost");
    store.close().await;
    let sink = Sink::start(Duration::ZERO).await;
    let child = Child::serve(&variables(url).through(&sink), "worker");
    let started = std::time::Instant::now();
    while !sink.ids().is_superset(acknowledged) {
        assert!(started.elapsed() < TIMEOUT, "not all were sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.stop();
    sink.alone().await;
    assert!(sink.repeated().is_empty(), "some were sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_restored_from_a_backup_and_from_its_files_as_a_kill_left_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("sqlite:{}", at("live.sqlite"));
    let load = Load::begin(&url).await;
    let before = load.until(SOME).await;
    let ran = run(&variables(&url), &["backup", &at("copy.sqlite")]);
    assert_eq!(ran.code, Some(0), "{}", ran.errors);
    let again = run(&variables(&url), &["backup", &at("copy.sqlite")]);
    assert!(again.errors.contains("there is a file"), "{}", again.errors);
    load.until(before.len() + SOME).await;
    let acknowledged = load.kill().await;
    for end in ["", "-wal"] {
        let from = at(&format!("live.sqlite{end}"));
        std::fs::copy(from, at(&format!("moved.sqlite{end}"))).unwrap();
    }
    restored(&format!("sqlite:{}", at("moved.sqlite")), &acknowledged).await;
    restored(&format!("sqlite:{}", at("copy.sqlite")), &before).await;
}

/// What the script does with a server.
fn postgres(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let ran = Command::new(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {said}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// A server that ends with the test.
struct Server(String);

impl Drop for Server {
    fn drop(&mut self) {
        postgres(&["stop", &self.0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restored_from_a_base_backup_and_its_log_up_to_the_kill() {
    let folder = tempfile::tempdir().unwrap();
    // The server runs as another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = postgres(&["start-archived", &at("live")]);
    let live = Server(at("live"));
    let load = Load::begin(&url).await;
    let before = load.until(SOME).await;
    postgres(&["base", &live.0]);
    load.until(before.len() + SOME).await;
    let acknowledged = load.kill().await;
    postgres(&["stop", &live.0]);
    let url = postgres(&["restore", &at("second"), &live.0]);
    let _second = Server(at("second"));
    restored(&url, &acknowledged).await;
}
