//! The program's binary as a child: started with settings in its environment, looked at from outside,
//! ended as gently or as rudely as the test wants.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::sink::Sink;
use crate::support::db::TestDb;

/// Settings by their names without the prefix: `DATABASE__URL`.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn of(db: &TestDb) -> Self {
        Self::default()
            .with("DATABASE__URL", &db.url)
            .with("HTTP__LISTEN", "127.0.0.1:0")
            .with("LOG__FORMAT", "json")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let name = format!("SENDTRAIL__{name}");
        self.0.insert(name, value.to_owned());
        self
    }

    /// Email goes to the sink, without the waits that suit a real provider. The lease leaves a
    /// heartbeat room on a busy machine.
    pub(super) fn through(self, sink: &Sink) -> Self {
        self.with("EMAIL__PROVIDERS", "smtp")
            .with("SMTP__URL", &sink.url())
            .with("DELIVERY__LEASE_SECONDS", "3")
            .with("DELIVERY__UNKNOWN_GRACE_MS", "500")
            .with("DELIVERY__POLL_MS", "50")
    }

    pub(super) fn sandbox(self) -> Self {
        self.with("SANDBOX__ENABLED", "true")
            .with("SANDBOX__LATENCY_MS", "20")
            .with("SANDBOX__LATE_MS", "1500")
            .with("SANDBOX__RETRY_INITIAL_MS", "50")
            .with("SANDBOX__RETRY_MAX_MS", "200")
            .with("SANDBOX__UNKNOWN_GRACE_MS", "1000")
    }

    /// The process ends when it comes to this step for that time, as `STEP:N` (`src/fault.rs`).
    pub(super) fn fault(mut self, step: &str) -> Self {
        self.0.insert("SENDTRAIL_FAULT".to_owned(), step.to_owned());
        self
    }

    /// As the operating system names who runs it.
    pub(super) fn user(mut self, name: &str) -> Self {
        self.0.insert("USER".to_owned(), name.to_owned());
        self
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (String, String)> {
        self.0.clone().into_iter()
    }
}

/// A running `sendtrail serve`. What is still running ends with the test.
pub(super) struct Child {
    process: std::process::Child,
    errors: tempfile::NamedTempFile,
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A command that does one thing and ends.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

impl Child {
    /// Starts it; it may not be up yet.
    pub(super) fn serve(variables: &Variables, roles: &str) -> Self {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let process = command(variables)
            .args(["serve", "--roles", roles])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        Self { process, errors }
    }

    /// What it has logged so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap()
    }

    /// Where its HTTP server listens, once it does.
    pub(super) fn address(&mut self) -> SocketAddr {
        let started = Instant::now();
        loop {
            if let Some(address) = self.log().lines().find_map(listening) {
                return address;
            }
            let ended = self.process.try_wait().unwrap();
            let too_long = started.elapsed() > START_TIMEOUT;
            assert!(ended.is_none() && !too_long, "{ended:?}\n{}", self.log());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// SIGKILL: it has no chance to do anything more.
    pub(super) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM.
    pub(super) fn tell_to_stop(&self) {
        assert!(signal("TERM", self.process.id()));
    }

    /// It stands still until it is told to go on.
    pub(super) fn suspend(&self) {
        assert!(signal("STOP", self.process.id()));
    }

    pub(super) fn go_on(&self) {
        assert!(signal("CONT", self.process.id()));
    }

    /// Waits for its end.
    pub(super) fn ended(&mut self, at_most: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < at_most, "still running\n{}", self.log());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    pub(super) fn stop(mut self) {
        self.tell_to_stop();
        let status = self.ended(Duration::from_secs(30));
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// By way of the shell, which is everywhere. Whether there was such a process.
pub(super) fn signal(name: &str, pid: u32) -> bool {
    let kill = format!("kill -{name} {pid}");
    let told = Command::new("sh").args(["-c", &kill]).status();
    told.unwrap().success()
}

fn listening(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let message = line.get("message")?.as_str()?;
    let address = line.get("address")?.as_str()?;
    (message == "listening").then(|| address.parse().unwrap())
}

/// The binary with these settings and no others.
fn command(variables: &Variables) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendtrail"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SENDTRAIL__") {
            command.env_remove(name);
        }
    }
    for name in ["USER", "LOGNAME", "USERNAME"] {
        command.env_remove(name);
    }
    command.envs(variables.iter());
    command
}

/// Starts a command of the program with its outputs kept.
pub(super) fn start(variables: &Variables, arguments: &[&str]) -> std::process::Child {
    let mut command = command(variables);
    let command = command.args(arguments).stdin(Stdio::null());
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a command of the program to its end.
pub(super) fn run(variables: &Variables, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), variables, arguments)
}

/// The same in a folder, where relative paths lead.
pub(super) fn run_in(folder: &Path, variables: &Variables, arguments: &[&str]) -> Ran {
    run_on(folder, variables, arguments, b"")
}

/// The same with something on standard input.
pub(super) fn run_with(variables: &Variables, arguments: &[&str], input: &[u8]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    run_on(folder.path(), variables, arguments, input)
}

fn run_on(folder: &Path, variables: &Variables, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command(variables)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let waited = finished.recv_timeout(COMMAND_TIMEOUT);
        if waited == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            signal("KILL", pid);
        }
    });
    // Then its end. A command that reads none of it may be gone by now.
    let mut standard_input = child.stdin.take().unwrap();
    drop(standard_input.write_all(input));
    drop(standard_input);
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    Ran::from(output)
}

/// What a command left behind.
#[derive(Debug)]
pub(super) struct Ran {
    /// None: ended by a signal.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) errors: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
