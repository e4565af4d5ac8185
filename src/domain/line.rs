//! Text of strangers as one line of a bounded length.

/// At most `max` characters. Control characters and line ends become spaces, spaces in a row become one.
pub fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max && is_plain(text) {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut count = 0;
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    for word in words.filter(|word| !word.is_empty()) {
        let space = usize::from(count > 0);
        if count + space >= max {
            break;
        }
        if space == 1 {
            kept.push(' ');
        }
        count += space;
        for c in word.chars().take(max - count) {
            kept.push(c);
            count += 1;
        }
    }
    kept
}

/// As almost every text is: one line of visible ASCII, with single spaces in between.
fn is_plain(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    text.bytes().all(visible) && !text.contains("  ") && text.trim().len() == text.len()
}
