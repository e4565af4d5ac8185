//! The key of a happening: equal for every envelope that tells of the same happening.

use aws_lc_rs::digest::{Context, SHA256};

use super::event::EventKey;

/// A key from the parts that identify a happening: the first 16 bytes of the SHA-256 over the
/// parts, each preceded by its length, so that no two lists of parts give one text.
pub fn of(parts: &[&str]) -> EventKey {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    EventKey::from_digest(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_every_part_and_on_where_parts_end() {
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for other in [
            &["ab"][..],
            &["a", "b", ""],
            &["", "ab"],
            &["b", "a"],
            &["a", "c"],
        ] {
            assert_ne!(of(&["a", "b"]), of(other), "{other:?}");
        }
    }

    /// Keys are stored: a change here would count everything that is repeated later twice.
    #[test]
    fn keys_stay_the_same_between_versions() {
        let key = of(&["ses", "0100-id", "Delivery", "1768471201540"]);
        assert_eq!(key.0.to_string(), "5fd6f4df-845b-8de8-b409-5ee12bec0666");
    }
}
