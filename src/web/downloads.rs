//! The page of files to take away.

use askama::Template;
use uuid::Uuid;

use super::page::When;
use super::staff::Head;
use crate::domain::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Downloads {
    pub head: Head,
    /// The latest first.
    pub files: Vec<Download>,
}

/// A file that was asked for.
#[derive(Clone, Debug)]
pub struct Download {
    pub id: Uuid,
    pub title: String,
    /// Which entries, in words; may be empty.
    pub selection: String,
    pub format: &'static str,
    pub asked_at: Timestamp,
    pub expires_at: Timestamp,
    pub written: i64,
    pub state: DownloadState,
}

#[derive(Clone, Debug)]
pub enum DownloadState {
    Making,
    /// Ready, with its length in bytes.
    Ready(i64),
    /// There will be none, and why.
    Failed(String),
}

pub fn render_downloads(page: &Downloads) -> Result<String, askama::Error> {
    DownloadsTemplate { page }.render()
}

/// What changes while the page is open.
pub fn render_downloads_live(page: &Downloads) -> Result<String, askama::Error> {
    DownloadsLive { page }.render()
}

#[derive(Template)]
#[template(path = "downloads.html")]
struct DownloadsTemplate<'a> {
    page: &'a Downloads,
}

#[derive(Template)]
#[template(path = "downloads_live.html")]
struct DownloadsLive<'a> {
    page: &'a Downloads,
}

impl Downloads {
    fn is_busy(&self) -> bool {
        let mut files = self.files.iter();
        files.any(|file| matches!(file.state, DownloadState::Making))
    }
}

impl Download {
    fn asked(&self) -> When {
        When::new(self.asked_at)
    }

    fn until(&self) -> When {
        When::new(self.expires_at)
    }

    fn size(&self) -> String {
        match self.state {
            DownloadState::Ready(bytes) => size(bytes),
            DownloadState::Making | DownloadState::Failed(_) => String::new(),
        }
    }
}

/// A length as people read it (IEC 80000-13).
fn size(bytes: i64) -> String {
    const TENTH: i64 = 1024 * 1024 / 10;
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        1_048_576.. => format!("{}.{} MiB", bytes / TENTH / 10, bytes / TENTH % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_offered_when_ready_and_their_progress_until_then() {
        let at = Timestamp::parse("2026-11-26T10:00:00Z").unwrap();
        let file = |state| Download {
            id: Uuid::nil(),
            title: "Contact history of <Anna>".to_owned(),
            selection: "Status: Bounced.".to_owned(),
            format: "Excel",
            asked_at: at,
            expires_at: at,
            written: 12_345,
            state,
        };
        let page = |files| Downloads {
            head: Head::sample("Lotus"),
            files,
        };
        let empty = render_downloads(&page(vec![])).unwrap();
        assert!(empty.contains("Nothing yet"), "{empty}");
        let busy = render_downloads(&page(vec![file(DownloadState::Making)])).unwrap();
        assert!(busy.contains("data-busy"), "{busy}");
        assert!(busy.contains("12345"), "{busy}");
        assert!(busy.contains("of &#60;Anna&#62;"), "{busy}");
        let done = vec![
            file(DownloadState::Ready(5_000_000)),
            file(DownloadState::Failed("It broke.".to_owned())),
        ];
        let done = render_downloads_live(&page(done)).unwrap();
        assert!(
            done.contains("4.7 MiB") && done.contains("It broke."),
            "{done}"
        );
        assert!(!done.contains("data-busy"), "{done}");
    }
}
