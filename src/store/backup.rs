//! A copy of the database while it is in use. Of SQLite alone: PostgreSQL has its own tools.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::db::Pools;
use super::{Error, Store};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    #[error(
        "this database is PostgreSQL: back it up with pg_basebackup and an archive of its log, or with \
         pg_dump (docs/running.md)"
    )]
    Postgres,
    #[error("there is a file {0}: name another, or move it away")]
    Exists(String),
    #[error("the path {0} is not UTF-8, which SQLite wants")]
    Path(String),
    #[error("cannot write {path}: {why}")]
    File { path: String, why: std::io::Error },
    #[error(transparent)]
    Database(#[from] Error),
}

impl Store {
    /// Writes all that is committed now to a new file, without holding up who writes. The file is whole
    /// once it has its name.
    pub async fn backup(&self, to: &Path) -> Result<(), NoBackup> {
        if let Pools::Postgres { .. } = self.db.pools {
            return Err(NoBackup::Postgres);
        }
        let shown = || to.display().to_string();
        if to.exists() {
            return Err(NoBackup::Exists(shown()));
        }
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        let name = partial.to_str().ok_or_else(|| NoBackup::Path(shown()))?;
        let failed = |why| NoBackup::File { path: shown(), why };
        match std::fs::remove_file(partial) {
            Ok(()) => {}
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => return Err(failed(why)),
        }
        // It holds what the database holds: for nobody else, whatever the umask says.
        let mut private = std::fs::OpenOptions::new();
        private.write(true).create_new(true).mode(0o600);
        drop(private.open(partial).map_err(failed)?);
        self.db.copy_to(name).await?;
        // SQLite does not wait until a copy is on the disk.
        let whole = std::fs::File::open(partial).and_then(|file| file.sync_all());
        whole.map_err(failed)?;
        std::fs::rename(partial, to).map_err(failed)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(failed)
    }
}
