//! The typeface of documents: which glyph shows a character, and how wide it is. It is compiled in
//! (Ubuntu Light: Latin, Greek, Cyrillic), so what is read here is known and trusted; the tests
//! read all of it. OpenType 1.9: `head`, `hhea`, `hmtx`, `cmap` of format 4.

use std::collections::BTreeMap;

use super::Error;

#[derive(Debug)]
pub(super) struct Face {
    pub(super) data: &'static [u8],
    units: f32,
    glyphs: BTreeMap<char, u16>,
    advances: Vec<u16>,
}

/// The typeface that documents are set in.
const FONT: &[u8] = epaint_default_fonts::UBUNTU_LIGHT;
/// Of the glyph that stands for what the typeface does not have.
const MISSING: u16 = 0;

impl Face {
    pub(super) fn new() -> Result<Self, Error> {
        Self::read(FONT).ok_or_else(|| Error::Font("the typeface cannot be read".to_owned()))
    }

    fn read(data: &'static [u8]) -> Option<Self> {
        let head = table(data, *b"head")?;
        let hhea = table(data, *b"hhea")?;
        let hmtx = table(data, *b"hmtx")?;
        let count = usize::from(word(hhea, 34)?);
        let advances: Option<_> = (0..count).map(|glyph| word(hmtx, glyph * 4)).collect();
        Some(Self {
            data,
            units: f32::from(word(head, 18)?),
            glyphs: characters(table(data, *b"cmap")?)?,
            advances: advances?,
        })
    }

    pub(super) fn glyph(&self, character: char) -> u16 {
        self.glyphs.get(&character).copied().unwrap_or(MISSING)
    }

    /// In thousandths of the size.
    pub(super) fn advance(&self, glyph: u16) -> f32 {
        let of = self.advances.get(usize::from(glyph));
        // Those after the last of the table are as wide as that.
        let units = of.or(self.advances.last()).copied().unwrap_or(0);
        f32::from(units) * 1000.0 / self.units
    }

    /// The width of a text at a size, in points.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let sum: f32 = text.chars().map(|c| self.advance(self.glyph(c))).sum();
        sum * size / 1000.0
    }
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn long(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

fn table(data: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let count = usize::from(word(data, 4)?);
    let records = (0..count).map(|number| 12 + number * 16);
    let mut named = records.filter(|at| data.get(*at..at + 4) == Some(name.as_slice()));
    let record = named.next()?;
    let begin = long(data, record + 8)?;
    data.get(begin..begin.checked_add(long(data, record + 12)?)?)
}

/// The characters of the subtable for Windows and Unicode (platform 3, encoding 1).
fn characters(cmap: &[u8]) -> Option<BTreeMap<char, u16>> {
    let count = usize::from(word(cmap, 2)?);
    let mut records = (0..count).map(|number| 4 + number * 8);
    let record = records.find(|at| word(cmap, *at) == Some(3) && word(cmap, at + 2) == Some(1))?;
    let map = cmap.get(long(cmap, record + 4)?..)?;
    if word(map, 0)? != 4 {
        return None;
    }
    let double = usize::from(word(map, 6)?);
    let mut found = BTreeMap::new();
    for segment in (0..double).step_by(2) {
        let end = word(map, 14 + segment)?;
        let start = word(map, 16 + double + segment)?;
        let delta = word(map, 16 + 2 * double + segment)?;
        let place = 16 + 3 * double + segment;
        let offset = usize::from(word(map, place)?);
        for code in start..=end {
            let glyph = if offset == 0 {
                code.wrapping_add(delta)
            } else {
                let at = place + offset + 2 * usize::from(code - start);
                match word(map, at) {
                    Some(0) | None => 0,
                    Some(glyph) => glyph.wrapping_add(delta),
                }
            };
            if let Some(character) = char::from_u32(u32::from(code)).filter(|_| glyph != MISSING) {
                found.insert(character, glyph);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_typeface_has_the_letters_of_europe_and_their_widths() {
        let face = Face::new().unwrap();
        for character in "AzÀßžŁŞıΩжЇ€–…0".chars() {
            let glyph = face.glyph(character);
            assert_ne!(glyph, MISSING, "{character}");
            assert!(face.advance(glyph) > 100.0, "{character}");
        }
        assert_eq!(face.glyph('你'), MISSING);
        assert!(face.width("WWW", 10.0) > face.width("iii", 10.0));
    }
}
