//! Who has been told to slow down, and how often. Bounded: the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};

use super::story::THROTTLED_TIMES;

/// Far more than any story run at one time; about 1 MB.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Throttled {
    times: HashMap<String, u32>,
    oldest_first: VecDeque<String>,
}

impl Throttled {
    /// Counts this request; true while it is still to be refused.
    pub(super) fn refuses(&mut self, identity: &str) -> bool {
        if let Some(times) = self.times.get_mut(identity) {
            *times += 1;
            if *times > THROTTLED_TIMES {
                self.times.remove(identity);
                self.oldest_first.retain(|known| known != identity);
                return false;
            }
            return true;
        }
        if self.oldest_first.len() >= REMEMBERED_MAX
            && let Some(forgotten) = self.oldest_first.pop_front()
        {
            self.times.remove(&forgotten);
        }
        self.times.insert(identity.to_owned(), 1);
        self.oldest_first.push_back(identity.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_is_refused_twice_and_then_let_through() {
        let mut throttled = Throttled::default();
        assert!(throttled.refuses("a"));
        assert!(throttled.refuses("b"));
        assert!(throttled.refuses("a"));
        assert!(!throttled.refuses("a"));
        assert!(throttled.refuses("a"), "the next message begins anew");
        assert!(throttled.refuses("b"));
        assert!(!throttled.refuses("b"));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut throttled = Throttled::default();
        for number in 0..=REMEMBERED_MAX {
            assert!(throttled.refuses(&number.to_string()));
        }
        assert_eq!(throttled.times.len(), REMEMBERED_MAX);
        assert_eq!(throttled.oldest_first.len(), REMEMBERED_MAX);
    }
}
