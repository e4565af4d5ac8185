//! Sentences of the document: what stands between backquotes is code.

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) is_code: bool,
}

pub(super) fn words(text: &str) -> Vec<Part> {
    let parts = text.split('`').enumerate().map(|(place, text)| Part {
        text: text.to_owned(),
        is_code: place % 2 == 1,
    });
    parts.filter(|part| !part.text.is_empty()).collect()
}
