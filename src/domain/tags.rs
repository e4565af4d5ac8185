//! Tags: up to five short words that say what a message is about (M3). They are the phrases between the
//! words that every letter has, in the manner of RAKE, weighed by how often they occur and whether the
//! subject has them. The same text always has the same tags.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// Of one entry; more would say nothing at a glance.
pub const TAGS_MAX: usize = 5;
/// Characters of one tag: longer ones do not fit a line of the history.
pub const TAG_LENGTH_MAX: usize = 30;
/// Those beyond the fifth take the place of words that turn out to be the client's own name.
const CANDIDATES_MAX: usize = TAGS_MAX + 3;
/// What a message is about is said at its beginning; the rest would only take time.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Shorter ones, in letters that spell sounds, are abbreviations and endings.
const WORD_LENGTH_MIN: usize = 3;

/// Whose words are known, English first: it is taken where nothing shows the language.
const LANGUAGES: [&str; 11] = [
    "en", "es", "fr", "de", "it", "pt", "nl", "da", "sv", "no", "fi",
];
/// Of every language: what letters begin and end with, and what an order to the reader is.
const COURTESIES: &[&str] = &[
    "hello",
    "dear",
    "hey",
    "thank",
    "thanks",
    "regards",
    "sincerely",
    "best",
    "kind",
    "please",
    "welcome",
    "see",
    "let",
    "know",
    "need",
    "would",
    "could",
    "may",
    "get",
    "us",
    "click",
    "reply",
    "http",
    "https",
    "www",
    "team",
    "hallo",
    "liebe",
    "lieber",
    "danke",
    "bitte",
    "grüße",
    "grüßen",
    "freundlichen",
    "hola",
    "gracias",
    "saludos",
    "estimado",
    "estimada",
    "bonjour",
    "merci",
    "cordialement",
    "chère",
    "ciao",
    "grazie",
    "olá",
    "obrigado",
    "obrigada",
    "beste",
    "groet",
    "groeten",
];
/// The bit of [`COURTESIES`], after those of the languages.
const COURTESY: u16 = 1 << LANGUAGES.len();

/// Each stop word, with a bit for every language that has it.
static STOP_WORDS: LazyLock<Map<'static, u16>> = LazyLock::new(|| {
    let mut words: Map<'static, u16> = Map::default();
    for (bit, language) in LANGUAGES.iter().enumerate() {
        for &word in stop_words::lookup(language).unwrap_or_default() {
            *words.entry(word).or_default() |= 1 << bit;
        }
    }
    for &word in COURTESIES {
        *words.entry(word).or_default() |= COURTESY;
    }
    words
});

/// How much more the subject says than the text.
const SUBJECT_WEIGHT: u32 = 3;

/// A word of a text in small letters.
#[derive(Clone, Copy)]
struct Word<'t> {
    text: &'t str,
    /// Where it stands, in bytes.
    at: usize,
    /// Nothing but one space lies between the word before and this one.
    follows: bool,
    weight: u32,
    stops: u16,
}

/// The weightiest words of a message, the best first; a few more than there can be tags.
pub fn candidates(subject: Option<&str>, text: &str) -> Vec<String> {
    let subject = beginning(subject.unwrap_or_default());
    let text = beginning(text);
    let whole = format!("{subject}\n{text}").to_lowercase();
    // Letters may become more than one when they are made small, so this is where the line ends now.
    let subject_end = whole.find('\n').unwrap_or_default();
    let words = words(&whole, subject_end);
    let stops = stops_of(&words);
    let mut phrases = weighed(&words, stops, &whole);
    phrases.sort_unstable_by(|a, b| (b.score, a.at, a.text).cmp(&(a.score, b.at, b.text)));
    let mut chosen: Vec<&str> = Vec::new();
    for phrase in phrases {
        if chosen.len() == CANDIDATES_MAX {
            break;
        }
        let mut parts = phrase.text.split(' ');
        if !parts.any(|part| {
            chosen
                .iter()
                .any(|it| it.split(' ').any(|word| word == part))
        }) {
            chosen.push(phrase.text);
        }
    }
    chosen.into_iter().map(str::to_owned).collect()
}

/// Of these words so many as there can be, without those that occur in what belongs to the client.
pub fn without<'a>(words: &[String], own: impl Iterator<Item = &'a String>) -> Vec<String> {
    let own: BTreeSet<String> = own
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .map(str::to_lowercase)
        .collect();
    let is_own = |tag: &&String| tag.split([' ', '-']).any(|word| own.contains(word));
    let others = words.iter().filter(|tag| !is_own(tag));
    others.take(TAGS_MAX).cloned().collect()
}

/// Why a list of tags cannot be taken; the message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTags {
    #[error("At most {TAGS_MAX} tags are possible: leave some out.")]
    TooMany,
    #[error("A tag has at most {TAG_LENGTH_MAX} characters: shorten the long one.")]
    TooLong,
    #[error("A tag cannot have control characters in it.")]
    Control,
}

/// Tags as a person types them, with commas between; each once, without the white space around.
pub fn typed(text: &str) -> Result<Vec<String>, NotTags> {
    let mut tags: Vec<String> = Vec::new();
    for tag in text.split(',') {
        let tag = tag.split_whitespace().collect::<Vec<_>>().join(" ");
        let known = tags
            .iter()
            .any(|it| it.to_lowercase() == tag.to_lowercase());
        if tag.is_empty() || known {
            continue;
        }
        if tag.chars().any(char::is_control) {
            return Err(NotTags::Control);
        }
        if tag.chars().count() > TAG_LENGTH_MAX {
            return Err(NotTags::TooLong);
        }
        if tags.len() == TAGS_MAX {
            return Err(NotTags::TooMany);
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// On one line, up to so many bytes, not in the middle of a letter.
fn beginning(text: &str) -> &str {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}

/// Addresses and what has a digit in it are no words, and end a phrase.
fn words(whole: &str, subject_end: usize) -> Vec<Word<'_>> {
    let mut reading = Reading {
        whole,
        subject_end,
        words: Vec::with_capacity(whole.len() / 5),
        chunk: Chunk::default(),
        end_before: usize::MAX,
    };
    for (at, c) in whole.char_indices() {
        // Within a word most letters change nothing.
        let is_inside = reading.chunk.begin.is_some() && !reading.chunk.joint;
        if !(is_inside && c.is_ascii_lowercase()) {
            reading.take(at, c);
        }
    }
    reading.take(whole.len(), ' ');
    reading.words
}

/// One pass over a text.
struct Reading<'t> {
    whole: &'t str,
    subject_end: usize,
    words: Vec<Word<'t>>,
    chunk: Chunk,
    /// Where the word before ended.
    end_before: usize,
}

/// What stands between two white spaces.
#[derive(Default)]
struct Chunk {
    /// Where the word that is being read begins.
    begin: Option<usize>,
    has_digit: bool,
    /// Of the web or of a mailbox: `www.example.com/x`, `ana@example.com`, `example.com`.
    is_address: bool,
    /// The last character was a dot or a colon, as they stand within addresses.
    joint: bool,
    /// Words in it so far.
    count: usize,
}

impl Reading<'_> {
    fn take(&mut self, at: usize, c: char) {
        let is_letter = c.is_alphanumeric();
        self.chunk.is_address |= c == '@' || self.chunk.joint && (is_letter || c == '/');
        self.chunk.joint = matches!(c, '.' | ':');
        if is_letter || c == '-' {
            self.chunk.begin.get_or_insert(at);
            self.chunk.has_digit |= c.is_numeric();
            return;
        }
        self.end_word(at);
        if c.is_whitespace() {
            if self.chunk.is_address {
                let kept = self.words.len() - self.chunk.count;
                self.words.truncate(kept);
                self.end_before = usize::MAX;
            }
            self.chunk = Chunk::default();
        }
    }

    fn end_word(&mut self, end: usize) {
        let has_digit = std::mem::take(&mut self.chunk.has_digit);
        let Some(begin) = self.chunk.begin.take() else {
            return;
        };
        let piece = self.whole.get(begin..end).unwrap_or_default();
        let text = piece.trim_start_matches('-');
        let at = end - text.len();
        let text = text.trim_end_matches('-');
        if text.is_empty() || has_digit {
            return;
        }
        let is_next = self.end_before.checked_add(1) == Some(at);
        let follows = is_next && self.whole.as_bytes().get(self.end_before) == Some(&b' ');
        self.words.push(Word {
            text,
            at,
            follows,
            weight: if at < self.subject_end {
                SUBJECT_WEIGHT
            } else {
                1
            },
            stops: STOP_WORDS.get(text).copied().unwrap_or_default(),
        });
        self.chunk.count += 1;
        self.end_before = at + text.len();
    }
}

/// A hash of short words in a few steps. Whoever makes words collide gains nothing: they are few.
#[derive(Clone, Copy, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            let mut word = [0; 8];
            for (slot, byte) in word.iter_mut().zip(eight) {
                *slot = *byte;
            }
            let mixed = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
            // An odd number with as many ones as noughts.
            self.0 = mixed.wrapping_mul(0xf135_7aea_2e62_a9c5);
        }
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

type Map<'t, V> = HashMap<&'t str, V, BuildHasherDefault<Quick>>;

/// The bits of the language whose stop words occur most.
fn stops_of(words: &[Word<'_>]) -> u16 {
    let mut counts = [0_u32; LANGUAGES.len()];
    for word in words.iter().filter(|word| word.stops != 0) {
        for (bit, count) in counts.iter_mut().enumerate() {
            *count += u32::from(word.stops >> bit & 1);
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let language = counts.iter().position(|count| *count == most);
    COURTESY | 1 << language.unwrap_or_default()
}

struct Phrase<'t> {
    text: &'t str,
    at: usize,
    score: u32,
}

/// Every word that says something, and every two of them that stand together in the subject or more
/// than once.
fn weighed<'t>(words: &[Word<'t>], stops: u16, whole: &'t str) -> Vec<Phrase<'t>> {
    // The weight and the number of occurrences, and where the first one is.
    let mut found: Map<'t, (u32, u32, usize)> = Map::default();
    found.reserve(words.len());
    let mut before: Option<&Word<'_>> = None;
    for word in words {
        if word.stops & stops != 0 || !says_something(word.text) {
            before = None;
            continue;
        }
        let seen = found.entry(word.text).or_insert((0, 0, word.at));
        (seen.0, seen.1) = (seen.0 + word.weight, seen.1 + 1);
        if let Some(first) = before.filter(|_| word.follows) {
            let both = whole.get(first.at..word.at + word.text.len());
            let both = both.unwrap_or_default();
            let seen = found.entry(both).or_insert((0, 0, first.at));
            (seen.0, seen.1) = (seen.0 + word.weight, seen.1 + 1);
        }
        before = Some(word);
    }
    let fits = |text: &str| text.chars().count() <= TAG_LENGTH_MAX;
    let phrase = |(text, (weight, count, at)): (&'t str, (u32, u32, usize))| {
        let is_pair = text.contains(' ');
        let counts = !is_pair || count > 1 || weight >= SUBJECT_WEIGHT;
        let score = weight * if is_pair { 3 } else { 2 };
        (counts && fits(text)).then_some(Phrase { text, at, score })
    };
    found.into_iter().filter_map(phrase).collect()
}

fn says_something(word: &str) -> bool {
    let length = word.chars().count();
    length >= WORD_LENGTH_MIN || length > 1 && !word.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(subject: &str, text: &str) -> Vec<String> {
        without(&candidates(Some(subject), text), std::iter::empty())
    }

    #[test]
    fn a_message_is_tagged_by_what_it_is_about() {
        let tags = tags(
            "Your booking confirmation",
            "Hello Ana,\n\nyour yoga class on Monday at 18:00 in the Lisbon studio is booked. The yoga \
             class takes an hour; bring your own mat.\n\nKind regards\nwww.lotus.example",
        );
        assert_eq!(
            tags.first().map(String::as_str),
            Some("booking confirmation")
        );
        assert!(tags.contains(&"yoga class".to_owned()), "{tags:?}");
        assert_eq!(tags.len(), TAGS_MAX);
        for absent in ["your", "hello", "regards", "www", "18", "the"] {
            assert!(!tags.iter().any(|tag| tag == absent), "{tags:?}");
        }
    }

    #[test]
    fn the_language_decides_which_words_say_nothing() {
        let german = tags(
            "Ihre Rechnung für den Kurs",
            "Liebe Ana, die Rechnung für den Kurs liegt bei. Bitte überweisen Sie den Betrag.",
        );
        assert!(german.iter().any(|tag| tag == "rechnung"), "{german:?}");
        let spanish = tags(
            "Recordatorio de la clase",
            "Hola Ana, la clase de yoga es mañana por la tarde en el estudio.",
        );
        assert!(
            spanish.iter().any(|tag| tag == "recordatorio"),
            "{spanish:?}"
        );
        for nothing in ["die", "für", "den", "de", "la", "en", "el", "por"] {
            let all = german.iter().chain(&spanish);
            assert!(all.clone().all(|tag| tag != nothing), "{nothing}");
        }
    }

    #[test]
    fn addresses_numbers_and_the_client_are_no_tags() {
        let words = candidates(
            Some("Invoice 4711 for Ruiz"),
            "Ana Ruiz, invoice at https://pay.example.com/x?invoice=1 or pay@example.com, \
             pay.example.com, +14155550123, 50EUR",
        );
        let own = ["Ana Ruiz".to_owned(), "ana@example.com".to_owned()];
        assert_eq!(without(&words, own.iter()), ["invoice"]);
    }

    #[test]
    fn hostile_and_empty_texts_have_tags_within_the_limits() {
        for text in [
            "",
            "\0\u{202e}<script>alert(1)</script>",
            &"x".repeat(100_000),
            &"ßİ ".repeat(5_000),
            &"- -- a-b -c- ".repeat(2_000),
            "预约确认 您的瑜伽课程",
        ] {
            let found = tags(text, text);
            assert!(found.len() <= TAGS_MAX);
            for tag in &found {
                assert!((1..=TAG_LENGTH_MAX).contains(&tag.chars().count()), "{tag}");
                assert!(!tag.contains(['<', ',', '\0']), "{tag}");
            }
            assert_eq!(found, tags(text, text), "the same each time");
        }
    }

    #[test]
    fn typed_tags_are_tidied_and_limited() {
        let read = |text: &str| typed(text).map(|tags| tags.join("|"));
        assert_eq!(
            read(" VIP,  yoga \u{a0} class,,vip ").as_deref(),
            Ok("VIP|yoga class")
        );
        assert_eq!(read("").as_deref(), Ok(""));
        assert_eq!(read("a,b,c,d,e,f"), Err(NotTags::TooMany));
        assert_eq!(read(&"x".repeat(31)), Err(NotTags::TooLong));
        assert_eq!(read("a\u{0}b"), Err(NotTags::Control));
    }
}
