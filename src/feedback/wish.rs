//! Words by which clients end text messages or ask for them again.

use crate::store::inbound::Wish;

/// A provider's list, in capitals: a message that consists of one of them is heeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) stop: &'static [&'static str],
    pub(super) start: &'static [&'static str],
}

impl Words {
    pub(super) fn wish(&self, body: &str) -> Option<Wish> {
        let word = bare(body);
        if self.stop.contains(&word.as_str()) {
            Some(Wish::Stop)
        } else if self.start.contains(&word.as_str()) {
            Some(Wish::Start)
        } else {
            None
        }
    }
}

/// In capitals, without what stands around it: who writes "Stop." wants no more messages either.
fn bare(body: &str) -> String {
    let around = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
    body.trim_matches(around).to_uppercase()
}
