//! The part of `sendtrail doctor` that looks at how the database is set.

use std::path::Path;

use super::doctor::{CLOCK, Finding};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::condition::{Condition, PostgresSettings};
use crate::transport::ses_condition::SKEW_MAX;

/// The oldest PostgreSQL that is tested.
const POSTGRES_OLDEST: i64 = 140_000;
/// File systems by which several machines see one file: SQLite's locks and shared memory do not work there
/// (sqlite.org/wal.html).
const OVER_A_NETWORK: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
];

/// Whether this machine and that of PostgreSQL have the same time; SQLite's is this one's.
pub(super) async fn clock(store: Option<&Store>) -> Option<Finding> {
    let theirs = store?.time_of_server().await.ok()??;
    Some(Finding::new(CLOCK, skew(Clock::system().now(), theirs)))
}

fn skew(ours: Timestamp, theirs: Timestamp) -> Option<String> {
    let off = ours.since(theirs).max(theirs.since(ours));
    (off > SKEW_MAX).then(|| {
        format!(
            "it is {} seconds off the clock of the database, and one of them is wrong: run an NTP client \
             (chrony, systemd-timesyncd) on both",
            off.as_secs()
        )
    })
}

pub(super) async fn condition(store: Option<&Store>) -> Vec<Finding> {
    let Some(store) = store else {
        return Vec::new();
    };
    match store.condition().await {
        // That it does not answer is named already.
        Err(_silent) => Vec::new(),
        Ok(Condition::Sqlite { journal_mode, path }) => sqlite(&journal_mode, Path::new(&path)),
        Ok(Condition::Postgres(settings)) => postgres(&settings),
    }
}

fn sqlite(journal_mode: &str, path: &Path) -> Vec<Finding> {
    let wal = (journal_mode != "wal").then(|| {
        format!(
            "it is {journal_mode}, with which readers hold up writers: PRAGMA journal_mode = wal"
        )
    });
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let network = network_mount(&mounts, path).map(|kind| {
        format!(
            "it is on {kind}, where SQLite's locks do not work and data is lost: put it on a disk of \
             this machine, or use PostgreSQL"
        )
    });
    vec![
        Finding::new("database journal", wal),
        Finding::new("database file", network),
    ]
}

fn postgres(settings: &PostgresSettings) -> Vec<Finding> {
    let off = |on: bool, name: &str, why: &str| {
        (!on).then(|| format!("{name} is off: {why}; set {name} = on in postgresql.conf"))
    };
    let version = settings.version;
    let old = (version < POSTGRES_OLDEST).then(|| {
        format!(
            "it is {}, which is not tested: use 14 or later",
            version / 10_000
        )
    });
    let why = "a crash of the machine can destroy the database";
    let fsync = off(settings.fsync, "fsync", why);
    let why = "a crash can leave pages that are half written";
    let pages = off(settings.full_page_writes, "full_page_writes", why);
    let why = "what was acknowledged last is lost when the server crashes";
    let commits = off(settings.synchronous_commit, "synchronous_commit", why);
    let why = "the tables of the queue grow without end";
    let vacuum = off(settings.autovacuum, "autovacuum", why);
    let archive = (!settings.archive_mode).then(|| {
        "archive_mode is off, so a backup restores the moment at which it was made and nothing later \
         (docs/running.md)"
            .to_owned()
    });
    vec![
        Finding::new("database version", old),
        Finding::new("database durability", fsync.or(pages).or(commits)),
        Finding::new("database vacuum", vacuum),
        Finding {
            unseen: archive,
            ..Finding::new("database archive", None)
        },
    ]
}

/// The kind of the file system that a file is on, if others see it over a network.
fn network_mount<'a>(mounts: &'a str, file: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        file.starts_with(at).then_some((at.len(), kind))
    });
    // Of several the innermost.
    let (_, kind) = mounted.max_by_key(|(length, _)| *length)?;
    OVER_A_NETWORK.contains(&kind).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_off_the_database_is_named_either_way() {
        let at = |text| Timestamp::parse(text).unwrap();
        let ours = at("2027-01-01T12:00:00Z");
        assert_eq!(skew(ours, at("2027-01-01T12:01:00Z")), None);
        for theirs in ["2027-01-01T12:01:30Z", "2027-01-01T11:58:30Z"] {
            let said = skew(ours, at(theirs)).unwrap();
            assert!(
                said.contains("90 seconds off") && said.contains("NTP"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_file_on_a_network_is_noticed_by_its_innermost_mount() {
        let mounts =
            "/dev/sda1 / ext4 rw 0 0\nserver:/x /srv nfs4 rw 0 0\n/dev/sdb /srv/disk xfs rw 0 0\n";
        let of = |file: &str| network_mount(mounts, Path::new(file));
        assert_eq!(of("/var/lib/a.sqlite"), None);
        assert_eq!(of("/srv/a.sqlite"), Some("nfs4"));
        assert_eq!(of("/srv/disk/a.sqlite"), None);
        assert_eq!(of("/srvx/a.sqlite"), None);
    }
}
