//! How many entries have each status, as a small chart that is a list for whoever hears it.

use askama::Template;

use super::page::class;
use super::staff::Head;
use crate::domain::status::Status;

#[derive(Clone, Debug)]
pub struct Counts {
    pub head: Head,
    pub counts: Vec<Count>,
    /// All entries that were counted.
    pub entries: u64,
    /// Those of them that staff made by hand.
    pub by_hand: u64,
    /// Which entries were counted, when not all.
    pub note: Option<String>,
    /// Link to the history that was counted.
    pub back: String,
}

#[derive(Clone, Debug)]
pub struct Count {
    pub status: Status,
    pub number: u64,
    /// Link to these entries.
    pub link: String,
}

impl Counts {
    pub fn render(&self) -> Result<String, askama::Error> {
        CountsTemplate { page: self }.render()
    }

    /// Of a thousand.
    fn share(&self, number: u64) -> u64 {
        (number * 1_000).checked_div(self.entries).unwrap_or(0)
    }

    fn bars(&self) -> impl Iterator<Item = (&Count, &'static str, u64, String)> {
        self.counts.iter().map(|count| {
            let share = self.share(count.number);
            let percent = match share {
                0 if count.number > 0 => "under 0.1 %".to_owned(),
                _ => format!("{}.{} %", share / 10, share % 10),
            };
            (count, class(count.status), share, percent)
        })
    }
}

#[derive(Template)]
#[template(path = "counts.html")]
struct CountsTemplate<'a> {
    page: &'a Counts,
}
