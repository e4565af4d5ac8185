//! The file of rejected lines: made with the first of them, over that of an earlier run.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

#[derive(Debug)]
pub(super) struct Rejected {
    path: PathBuf,
    file: Option<File>,
}

impl Rejected {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Where they are, if there are any.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    pub(super) fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let at = || format!("cannot write {} (--rejected)", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(&self.path).with_context(at)?),
        };
        writeln!(file, "{line}").with_context(at)
    }
}
