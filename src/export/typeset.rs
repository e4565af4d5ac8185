//! Texts broken into the lines of a column.

use super::face::Face;

/// More than the cells of a page have room for; what comes after is not even measured.
const LETTERS_MAX: usize = 1_000;

/// Lines of at most this width; what does not fit into `lines_max` of them ends in an ellipsis.
/// Breaks at spaces, or inside a word that is wider than a line. Line breaks and other white space
/// of the text count as spaces.
pub(super) fn lines(
    face: &Face,
    text: &str,
    size: f32,
    width: f32,
    lines_max: usize,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let start: String = text.chars().take(LETTERS_MAX).collect();
    for word in start.split_whitespace() {
        let longer = if line.is_empty() {
            word.to_owned()
        } else {
            format!("{line} {word}")
        };
        if face.width(&longer, size) <= width {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        line = pieces(face, word, size, width, &mut lines);
        if lines.len() > lines_max {
            break;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            shorten(face, last, size, width);
        }
    }
    lines
}

/// Breaks a word that is too wide; full lines go to `lines`, the rest is returned.
fn pieces(face: &Face, word: &str, size: f32, width: f32, lines: &mut Vec<String>) -> String {
    let mut piece = String::new();
    for letter in word.chars() {
        piece.push(letter);
        if face.width(&piece, size) > width && piece.chars().nth(1).is_some() {
            piece.pop();
            lines.push(std::mem::take(&mut piece));
            piece.push(letter);
        }
    }
    piece
}

fn shorten(face: &Face, line: &mut String, size: f32, width: f32) {
    loop {
        let shown = format!("{}…", line.trim_end());
        if face.width(&shown, size) <= width || line.pop().is_none() {
            *line = shown;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_spaces_and_long_words_inside() {
        let face = Face::new().unwrap();
        let set = |text: &str, max| lines(&face, text, 10.0, 60.0, max);
        assert_eq!(set("", 3), Vec::<String>::new());
        assert_eq!(set("short", 3), ["short"]);
        let two = set("Booking confirmation", 3);
        assert_eq!(two, ["Booking", "confirmation"]);
        for line in set("a very-long-word-that-has-no-space and\nmore\tof it", 9) {
            assert!(face.width(&line, 10.0) <= 60.0, "{line}");
        }
        let cut = set("one two three four five six seven eight nine ten", 2);
        assert_eq!(cut.len(), 2);
        assert!(cut[1].ends_with('…'), "{cut:?}");
        assert!(face.width(&cut[1], 10.0) <= 60.0);
    }
}
