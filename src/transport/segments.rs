//! How many parts a text message is sent, and billed, as (3GPP TS 23.038, 23.040).

/// GSM 03.38 basic characters: one septet each.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                     ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters of the extension table: an escape and one more septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Septets in a message of one part, and in each part of several.
const SEPTETS: Room = Room {
    alone: 160,
    joined: 153,
};
/// UTF-16 code units in a message of one part, and in each part of several.
const CODE_UNITS: Room = Room {
    alone: 70,
    joined: 67,
};

struct Room {
    alone: usize,
    joined: usize,
}

/// The number of parts; 1 for the empty text. One character outside GSM 03.38 (a curly quote, a
/// dash, a no-break space) makes the whole text UCS-2, with less than half the room.
pub fn count(text: &str) -> usize {
    let septets = text.chars().map(|c| {
        if BASIC.contains(c) {
            Some(1)
        } else if EXTENSION.contains(c) {
            Some(2)
        } else {
            None
        }
    });
    match septets.collect::<Option<Vec<usize>>>() {
        Some(widths) => parts(&widths, &SEPTETS),
        None => parts(
            &text.chars().map(char::len_utf16).collect::<Vec<_>>(),
            &CODE_UNITS,
        ),
    }
}

/// A character is never split between two parts.
fn parts(widths: &[usize], room: &Room) -> usize {
    if widths.iter().sum::<usize>() <= room.alone {
        return 1;
    }
    let (mut parts, mut used) = (1, 0);
    for width in widths {
        if used + width > room.joined {
            parts += 1;
            used = 0;
        }
        used += width;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_as_carriers_do() {
        for (text, expected) in [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 153 is odd: the escape and its character stay together, so a part holds 76.
            ("€".repeat(153), 3),
            ("ж".repeat(70), 1),
            ("ж".repeat(71), 2),
            ("😀".repeat(35), 1),
            ("😀".repeat(36), 2),
            // 67 is odd: a part holds 33 pairs.
            ("😀".repeat(67), 3),
            (format!("{}’", "a".repeat(69)), 1),
            (format!("{}’", "a".repeat(70)), 2),
        ] {
            assert_eq!(count(&text), expected, "{text}");
        }
    }
}
