//! What every measure needs: a folder, a private PostgreSQL server, sizes; all gone when dropped.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sendtrail::clock::Clock;
use tempfile::TempDir;

use crate::database::Kind;
use crate::report::median;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Emails of one round.
    pub(crate) emails: usize,
    /// Signed messages of one round.
    pub(crate) webhooks: usize,
    /// Signed messages that come while a worker sends.
    pub(crate) beside: usize,
    /// Emails of which the worker does not come to the end meanwhile.
    pub(crate) beside_emails: usize,
    /// Notifications of one round, enqueued one by one.
    pub(crate) singles: usize,
    /// Batches of 1,000 of one round.
    pub(crate) batches: usize,
    /// Entries of the history.
    pub(crate) entries: usize,
    /// Pages read.
    pub(crate) pages: usize,
    /// Entries of the histories that are read side by side.
    pub(crate) histories: [usize; 2],
    pub(crate) backlogs: [usize; 2],
    /// Seconds for which a worker's memory is watched in each situation.
    pub(crate) watch_seconds: u64,
    /// Due jobs while claims are measured.
    pub(crate) claim_backlogs: [usize; 2],
    /// Of 1,000 messages each.
    pub(crate) claim_rounds: usize,
    pub(crate) churn_seconds: u64,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        emails: 20_000,
        webhooks: 10_000,
        beside: 30_000,
        beside_emails: 200_000,
        singles: 10_000,
        batches: 40,
        entries: 100_000,
        pages: 2_000,
        histories: [100_000, 20_000_000],
        backlogs: [10_000, 1_000_000],
        watch_seconds: 8,
        claim_backlogs: [10_000, 2_000_000],
        claim_rounds: 40,
        churn_seconds: 600,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        emails: 2_000,
        webhooks: 1_000,
        beside: 1_000,
        beside_emails: 30_000,
        singles: 1_000,
        batches: 4,
        entries: 5_000,
        pages: 200,
        histories: [20_000, 100_000],
        backlogs: [2_000, 20_000],
        watch_seconds: 2,
        claim_backlogs: [2_000, 20_000],
        claim_rounds: 4,
        churn_seconds: 5,
    };
}

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) sizes: Sizes,
    pub(crate) clock: Clock,
    // Before the folder: the server must be down when its files go.
    pub(crate) postgres: Option<Postgres>,
    folder: TempDir,
}

impl Rig {
    pub(crate) fn start(databases: &[Kind], sizes: Sizes) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("sendtrail-bench-")?;
        // The user as whom PostgreSQL runs must be able to pass.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let postgres = if databases.contains(&Kind::Postgres) {
            Some(Postgres::start(folder.path().join("postgres"))?)
        } else {
            None
        };
        sendtrail::app::install_crypto();
        Ok(Self {
            sizes,
            clock: Clock::system(),
            postgres,
            folder,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the figures depend on.
    pub(crate) fn describe(&self) -> anyhow::Result<String> {
        let cores = std::thread::available_parallelism()?;
        let server = match &self.postgres {
            Some(_) => script(&["version"])?,
            None => "PostgreSQL not used".to_owned(),
        };
        let flush = flush_millis(self.folder.path())?;
        Ok(format!(
            "sendtrail benches: {cores} cores shared by server, database, load and sink; loopback; \
             medians of {} interleaved rounds\n{server}, fsync and synchronous_commit on, \
             512 MB shared buffers; SQLite WAL, synchronous = FULL\nflushing 4 KB to this disk: \
             {flush:.2} ms",
            self.sizes.rounds
        ))
    }
}

/// How long it takes to append a page to a file and flush it.
fn flush_millis(folder: &Path) -> anyhow::Result<f64> {
    const TIMES: usize = 101;
    let path = folder.join("flush");
    let mut file = std::fs::File::create(&path)?;
    let mut millis = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    Ok(median(&millis))
}

/// A server of our own, with commits that last.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    /// Of its database `postgres`.
    pub(crate) url: String,
    pub(crate) pid: u32,
}

impl Postgres {
    fn start(folder: PathBuf) -> anyhow::Result<Self> {
        let url = script(&["start-durable", path(&folder)?])?;
        let mut server = Self {
            folder,
            url,
            pid: 0,
        };
        let pid_file = std::fs::read_to_string(server.folder.join("data/postmaster.pid"))?;
        server.pid = pid_file.lines().next().unwrap_or_default().trim().parse()?;
        Ok(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // There is nobody left to tell when it fails.
        path(&self.folder)
            .and_then(|folder| script(&["stop", folder]))
            .ok();
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("the temporary folder has no readable name")
}

fn script(arguments: &[&str]) -> anyhow::Result<String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let output = Command::new(program).args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "scripts/postgres {arguments:?}: {error}"
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
