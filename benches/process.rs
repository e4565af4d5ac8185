//! Processes that are measured or measured against: started, watched through /proc, stopped.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

/// From the start of a process to its first word.
const START_LIMIT: Duration = Duration::from_secs(30);
const SOURCE_LIMIT: Duration = Duration::from_mins(5);
/// The unit of CPU times in /proc: `USER_HZ`, 100 on every Linux (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server in a process of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    _process: Guarded,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

impl Server {
    /// `sendtrail serve` on a database, as it is shipped: only addresses and credentials are set.
    pub(crate) async fn sendtrail(
        database: &str,
        roles: &str,
        smtp: Option<u16>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sendtrail"));
        command
            .args(["serve", "--roles", roles])
            .stderr(Stdio::piped());
        set(&mut command, database, smtp);
        let mut process = Guarded(command.spawn().context("sendtrail cannot be started")?);
        let mut log = lines(process.0.stderr.take().context("no log")?);
        let address = async {
            let mut text = String::new();
            while let Some(line) = log.recv().await {
                if let Some(address) = listening(&line) {
                    return Ok(address);
                }
                text.push_str(&line);
            }
            bail!("sendtrail ended instead of listening: {text}")
        };
        let address = timeout(START_LIMIT, address)
            .await
            .context("it does not start")??;
        // What it logs later must not be lost: it is trouble.
        tokio::spawn(async move {
            while let Some(line) = log.recv().await {
                if line.contains("WARN") || line.contains("ERROR") {
                    println!("  sendtrail: {line}");
                }
            }
        });
        Ok(Self {
            pid: process.0.id(),
            _process: process,
            address,
        })
    }

    /// A floor: this program with other arguments, which tells its address on standard output.
    pub(crate) async fn floor(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Guarded(command.spawn()?);
        let mut output = lines(process.0.stdout.take().context("no output")?);
        let line = timeout(START_LIMIT, output.recv())
            .await
            .context("it does not start")?;
        let address = line.unwrap_or_default().parse();
        let address = address.with_context(|| format!("{arguments:?} ended at its start"))?;
        Ok(Self {
            pid: process.0.id(),
            _process: process,
            address,
        })
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Stat::read(self.pid)?.own)
    }
}

/// The lines that a process writes, as they come; read on a thread, so that a full pipe never
/// stops it.
fn lines(from: impl Read + Send + 'static) -> UnboundedReceiver<String> {
    let (lines, received) = unbounded_channel();
    std::thread::spawn(move || {
        // Read on when nobody listens any more.
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
    });
    received
}

fn set(command: &mut Command, database: &str, smtp: Option<u16>) {
    command
        .env_clear()
        .env("SENDTRAIL__DATABASE__URL", database)
        .env("SENDTRAIL__HTTP__LISTEN", "127.0.0.1:0")
        .env("SENDTRAIL__EMAIL__PROVIDERS", "smtp")
        .env(
            "SENDTRAIL__SMTP__URL",
            format!("smtp://127.0.0.1:{}", smtp.unwrap_or(9)),
        )
        .env("SENDTRAIL__SMTP__HELLO_NAME", "bench.example")
        // Set, so that nobody asks the network for them.
        .env("SENDTRAIL__SNS__REGION", "us-east-1")
        .env("SENDTRAIL__SNS__ACCESS_KEY_ID", "bench")
        .env("SENDTRAIL__SNS__SECRET_ACCESS_KEY", "bench")
        .env("SENDTRAIL__LOG__FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
}

/// Runs `sendtrail` to its end; gives what it printed.
pub(crate) fn sendtrail(database: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendtrail"));
    set(&mut command, database, None);
    let output = command.args(arguments).stdout(Stdio::piped()).output()?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The address in the line of the log that tells it.
fn listening(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("message")?.as_str()? != "listening" {
        return None;
    }
    line.get("address")?.as_str()?.parse().ok()
}

/// Postfix's `smtp-sink`: takes every message and forgets it.
#[derive(Debug)]
pub(crate) struct Sink {
    process: Guarded,
    pub(crate) port: u16,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut command = postfix("smtp-sink");
        // It refuses to stay the superuser.
        if std::fs::metadata("/proc/self")?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        // Connections that may wait to be accepted.
        command.args([&format!("127.0.0.1:{port}"), "1000"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map(Guarded);
        let process = process.context("smtp-sink cannot be started (Debian: package postfix)")?;
        let deadline = Instant::now() + START_LIMIT;
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            ensure!(Instant::now() < deadline, "smtp-sink does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { process, port })
    }

    /// Its CPU time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Stat::read(self.process.0.id())?.own)
    }

    /// Postfix's `smtp-source`: how long it takes to send that many messages over 16 connections.
    pub(crate) async fn source(
        &self,
        messages: usize,
        bytes: usize,
        options: &[&str],
    ) -> anyhow::Result<Duration> {
        let mut command = postfix("smtp-source");
        command
            .args(options)
            .args([
                "-s",
                "16",
                "-m",
                &messages.to_string(),
                "-l",
                &bytes.to_string(),
            ])
            .arg(format!("127.0.0.1:{}", self.port))
            .stdin(Stdio::null());
        let began = Instant::now();
        let process = command.spawn().map(Guarded);
        let mut process = process.context("smtp-source cannot be started (Debian: postfix)")?;
        loop {
            if let Some(status) = process.0.try_wait()? {
                ensure!(status.success(), "smtp-source failed");
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < SOURCE_LIMIT, "smtp-source does not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Debian keeps them where only the superuser looks.
fn postfix(name: &str) -> Command {
    let path = format!("/usr/sbin/{name}");
    Command::new(if std::path::Path::new(&path).exists() {
        &path
    } else {
        name
    })
}

/// Resident memory, in MB of a million bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let megabytes = |key: &str| -> anyhow::Result<f64> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .context("no size")?;
            let kibibytes: f64 = line.trim_end_matches("kB").trim().parse()?;
            Ok(kibibytes * 1024.0 / 1e6)
        };
        Ok(Self {
            now: megabytes("VmRSS:")?,
            peak: megabytes("VmHWM:")?,
        })
    }
}

/// What /proc tells of a process's CPU time (proc(5), `stat`).
struct Stat {
    parent: u32,
    own: Duration,
    /// Of its children that have ended.
    children: Duration,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name before may hold anything; the last bracket ends it.
        let (_, rest) = text.rsplit_once(')').context("stat without a name")?;
        let mut fields = rest.split_whitespace().skip(1);
        let parent = fields.next().context("stat without parent")?.parse()?;
        let ticks = fields
            .skip(9)
            .take(4)
            .map(str::parse::<f64>)
            .collect::<Result<Vec<_>, _>>()?;
        let [user, system, children_user, children_system] = ticks.as_slice() else {
            bail!("stat without times");
        };
        let time = |ticks: f64| Duration::from_secs_f64(ticks / TICKS_PER_SECOND);
        Ok(Self {
            parent,
            own: time(user + system),
            children: time(children_user + children_system),
        })
    }
}

/// The CPU time of this process.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    Ok(Stat::read(std::process::id())?.own)
}

/// The CPU time of a process with that of its children, living and ended.
pub(crate) fn cpu_of_family(pid: u32) -> anyhow::Result<Duration> {
    let head = Stat::read(pid)?;
    let mut sum = head.own + head.children;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ends while we look is counted with the ended ones next time.
        if let Ok(stat) = Stat::read(other)
            && stat.parent == pid
        {
            sum += stat.own + stat.children;
        }
    }
    Ok(sum)
}
