//! The file: its digest, and its lines as requests, a batch at a time.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value as Json;

use super::columns::Columns;
use crate::api::FieldError;
use crate::api::ways;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "jsonl" => Ok(Self::JsonLines),
            "csv" => Ok(Self::Csv),
            other => Err(format!("{other:?} must be one of: jsonl, csv")),
        }
    }
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// One line, or of a CSV file one record, which may go over several.
#[derive(Debug)]
pub(super) struct Record {
    /// Where it begins, from 1.
    pub(super) line: u64,
    pub(super) json: Result<Json, FieldError>,
    /// As a line of JSON, or as it is written if it is none.
    pub(super) text: String,
}

/// As for one request over HTTP: what is longer is no notification, or a quotation mark is missing.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Records of one batch together, which are in memory at once; one more may go over it.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Of the SHA-256 in a key, in bytes: enough to tell files from each other.
const DIGEST_BYTES: usize = 16;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Source {
    digest: String,
    length: u64,
    lines: Lines,
}

enum Lines {
    Json {
        file: BufReader<File>,
        line: u64,
        position: u64,
    },
    Csv {
        columns: Columns,
        records: csv::Reader<Metered>,
        left: Rc<Cell<u64>>,
    },
}

/// Ends with an error where one record alone would fill the memory: a quotation mark that is not
/// closed takes everything after it for one field.
struct Metered {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        let read_long = u64::try_from(read).unwrap_or(u64::MAX);
        match self.left.get().checked_sub(read_long) {
            Some(left) => self.left.set(left),
            None => return Err(std::io::Error::other(TOO_LONG)),
        }
        Ok(read)
    }
}

const TOO_LONG: &str = "a record is longer than 16 MiB: is a quotation mark not closed?";

impl Source {
    pub(super) fn open(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let format = format.or_else(|| Format::of(path)).with_context(|| {
            format!(
                "{}: a name ending in .jsonl or .csv says what is in it, or --format",
                path.display()
            )
        })?;
        let mut file = File::open(path).with_context(cannot)?;
        let (digest, length) = digest(&mut file).with_context(cannot)?;
        let begin = if begins_with_mark(&mut file).with_context(cannot)? {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let position = u64::try_from(begin).unwrap_or(0);
        file.seek(SeekFrom::Start(position)).with_context(cannot)?;
        let lines = match format {
            Format::JsonLines => Lines::Json {
                file: BufReader::new(file),
                line: 0,
                position,
            },
            Format::Csv => {
                let left = Rc::new(Cell::new(LINE_BYTES_MAX));
                let file = Metered {
                    file,
                    left: Rc::clone(&left),
                };
                // A line feed alone ends a record, so that each is found on its own line; the carriage
                // return before it is taken off.
                let mut records = csv::ReaderBuilder::new()
                    .flexible(true)
                    .terminator(csv::Terminator::Any(b'\n'))
                    .from_reader(file);
                let names = without_return(records.byte_headers().with_context(cannot)?.clone());
                let names = csv::StringRecord::from_byte_record(names)
                    .map_err(|_not_utf8| anyhow::anyhow!("{}:1: is not UTF-8", path.display()))?;
                let columns = Columns::read(&names).map_err(|wrong| {
                    anyhow::anyhow!("{}:1: {}", path.display(), wrong.join("; "))
                })?;
                Lines::Csv {
                    columns,
                    records,
                    left,
                }
            }
        };
        Ok(Self {
            digest,
            length,
            lines,
        })
    }

    /// In bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// In bytes.
    pub(super) fn position(&self) -> u64 {
        match &self.lines {
            Lines::Json { position, .. } => *position,
            Lines::Csv { records, .. } => records.position().byte(),
        }
    }

    /// The idempotency key of a line that brings none: the same whenever this file comes again.
    pub(super) fn key(&self, line: u64) -> String {
        format!("file-{}-{line}", self.digest)
    }

    /// What a pointer is called in this file, for the beginning of a sentence.
    pub(super) fn field(&self, pointer: &str) -> String {
        let name = match &self.lines {
            Lines::Json { .. } => pointer,
            Lines::Csv { columns, .. } => columns.of(pointer),
        };
        if name.is_empty() {
            String::new()
        } else {
            format!("{name} ")
        }
    }

    /// Up to that many records, fewer where they are long; none at the end.
    pub(super) fn next(&mut self, count: usize) -> anyhow::Result<Vec<Record>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < count && bytes < BATCH_BYTES {
            let record = match &mut self.lines {
                Lines::Json {
                    file,
                    line,
                    position,
                } => json_line(file, line, position),
                Lines::Csv {
                    columns,
                    records,
                    left,
                } => {
                    left.set(LINE_BYTES_MAX);
                    csv_record(columns, records)
                }
            };
            match record.context("cannot read on")? {
                Some(record) => {
                    bytes += record.text.len();
                    batch.push(record);
                }
                None => break,
            }
        }
        Ok(batch)
    }
}

fn digest(file: &mut File) -> std::io::Result<(String, u64)> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        context.update(bytes);
        length += u64::try_from(read).unwrap_or(0);
    }
    let digest = context.finish();
    let first = digest.as_ref().get(..DIGEST_BYTES).unwrap_or_default();
    Ok((hex::encode(first), length))
}

fn begins_with_mark(file: &mut File) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut first = Vec::new();
    let length = u64::try_from(BYTE_ORDER_MARK.len()).unwrap_or(0);
    file.take(length).read_to_end(&mut first)?;
    Ok(first == BYTE_ORDER_MARK)
}

/// The next line that is not blank.
fn json_line(
    file: &mut BufReader<File>,
    line: &mut u64,
    position: &mut u64,
) -> anyhow::Result<Option<Record>> {
    loop {
        let mut bytes = Vec::new();
        let read = file.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        *line += 1;
        *position += u64::try_from(read).unwrap_or(0);
        let is_whole = bytes.ends_with(b"\n") || file.fill_buf()?.is_empty();
        ensure!(
            is_whole,
            "line {line} is longer than {LINE_BYTES_MAX} bytes: this is no file of one notification a line"
        );
        let trimmed = bytes.trim_ascii();
        if !trimmed.is_empty() {
            return Ok(Some(Record {
                line: *line,
                json: ways::parse(trimmed),
                text: String::from_utf8_lossy(trimmed).into_owned(),
            }));
        }
    }
}

/// The record without a carriage return at its end.
fn without_return(mut record: csv::ByteRecord) -> csv::ByteRecord {
    let last = record.len().wrapping_sub(1);
    if let Some(text) = record.get(last).and_then(|text| text.strip_suffix(b"\r")) {
        let text = text.to_vec();
        record.truncate(last);
        record.push_field(&text);
    }
    record
}

fn csv_record(
    columns: &Columns,
    records: &mut csv::Reader<Metered>,
) -> anyhow::Result<Option<Record>> {
    let mut bytes = csv::ByteRecord::new();
    if !records.read_byte_record(&mut bytes)? {
        return Ok(None);
    }
    let line = bytes.position().map_or(0, csv::Position::line);
    let bytes = without_return(bytes);
    let record = csv::StringRecord::from_byte_record_lossy(bytes.clone());
    let (json, extra) = columns.json(&record);
    let text = json.to_string();
    let wrong = |detail: String| FieldError {
        pointer: String::new(),
        detail,
    };
    let json = if csv::StringRecord::from_byte_record(bytes).is_err() {
        Err(wrong("is not UTF-8".to_owned()))
    } else if extra > 0 {
        Err(wrong(format!(
            "has {extra} more fields than there are columns"
        )))
    } else {
        Ok(json)
    };
    Ok(Some(Record { line, json, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_long_lines_is_shorter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let line = format!("\"{}\"\n", "x".repeat(BATCH_BYTES / 3));
        std::fs::write(&path, line.repeat(5)).unwrap();
        let mut source = Source::open(&path, None).unwrap();
        let lines = |batch: Vec<Record>| batch.iter().map(|record| record.line).collect::<Vec<_>>();
        assert_eq!(lines(source.next(100).unwrap()), [1, 2, 3]);
        assert_eq!(lines(source.next(1).unwrap()), [4]);
        assert_eq!(lines(source.next(100).unwrap()), [5]);
        assert!(source.next(100).unwrap().is_empty());
    }
}
