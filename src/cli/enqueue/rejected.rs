//! The file of rejected lines: made with the first of them, beside those of earlier runs, which
//! somebody may be mending.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Somebody who has so many files of rejected lines must clear them away first.
const NAMES_MAX: u32 = 1_000;

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
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let file = self.create().with_context(|| at(&self.path))?;
            self.file.insert(file)
        };
        writeln!(file, "{line}").with_context(|| at(&self.path))
    }

    /// Under the first name that is free: the one asked for, then with `.2`, `.3`, … behind it.
    fn create(&mut self) -> std::io::Result<File> {
        let asked = self.path.clone();
        let mut number = 1_u32;
        loop {
            match File::create_new(&self.path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => {
                    number += 1;
                    let mut name = asked.clone().into_os_string();
                    name.push(format!(".{number}"));
                    self.path = name.into();
                }
                made => return made,
            }
        }
    }
}

fn at(path: &Path) -> String {
    format!("cannot write {} (--rejected)", path.display())
}
