//! A contact history as a file to take away (M7): CSV, Excel, PDF. Entries go in page by page, as the
//! store gives them; nothing here asks a database.

mod cells;
mod csv;
mod face;
mod pdf;
mod sheet;
mod typeset;

use std::io;

pub use self::csv::Csv;
pub use cells::Row;
pub use pdf::Pdf;
pub use sheet::Sheet;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Xlsx,
    Pdf,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Csv, Self::Xlsx, Self::Pdf];

    /// As it is stored, and the ending of the file's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Pdf => "pdf",
        }
    }

    /// As people call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Xlsx => "Excel",
            Self::Pdf => "PDF",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// RFC 7111, ECMA-376, RFC 8118.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Pdf => "application/pdf",
        }
    }

    /// How many entries a file of this form takes.
    pub const fn rows_max(self) -> usize {
        match self {
            Self::Csv => usize::MAX,
            Self::Xlsx => sheet::ROWS_MAX,
            Self::Pdf => pdf::ROWS_MAX,
        }
    }
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error("the sheet cannot be written: {0}")]
    Sheet(#[from] rust_xlsxwriter::XlsxError),
    #[error("the letters of the document cannot be written: {0}")]
    Font(String),
}

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// `Contact history of …`.
    pub title: String,
    pub business: String,
    /// Which entries these are, in words; empty: all.
    pub selection: String,
    /// The entries are of more than one client.
    pub of_all: bool,
    pub made_at: crate::domain::time::Timestamp,
}
